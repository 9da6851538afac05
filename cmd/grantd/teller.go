package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode/utf8"
)

// width is how many columns a line of the demo may have.
const width = 100

// teller prints a story: numbered steps, the calls that make them, and what came
// of each.
type teller struct{ out io.Writer }

type nowhere struct{}

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }

func (t teller) say(format string, args ...any) { fmt.Fprintf(t.out, format+"\n", args...) }

func (t teller) step(n int, title string) { t.say("\n%2d. %s", n, title) }

func (t teller) result(format string, args ...any) {
	t.say("   → %s", cut(fmt.Sprintf(format, args...), width-5))
}

// curl prints the call that a person would type, for the shell variable that
// holds the API token. With a JSON body it is a POST.
func (t teller) curl(url, token, json string, more ...string) {
	words := []string{"curl"}
	if len(more) > 0 && more[0] == "-X" {
		words[0] += " -X " + more[1]
		more = more[2:]
	}
	words = append(words, url, fmt.Sprintf(`-H "Authorization: Bearer $%s"`, token))
	if len(more) > 0 {
		words = append(words, strings.Join(more, " "))
	}
	if json != "" {
		words = append(words, "--json '"+strings.ReplaceAll(json, "\n", "\n       ")+"'")
	}
	t.say("%s", wrap(words, "     ", "          "))
}

// wrap fills lines with words that stay whole, and ends all but the last with
// the shell's sign that the command goes on.
func wrap(words []string, first, rest string) string {
	var b strings.Builder
	line := first + words[0]
	for _, w := range words[1:] {
		head, _, _ := strings.Cut(w, "\n")
		if utf8.RuneCountInString(line)+1+utf8.RuneCountInString(head)+2 > width {
			b.WriteString(line + " \\\n")
			line = rest + w
			continue
		}
		line += " " + w
	}
	return b.String() + line
}

// cut shortens s to n characters.
func cut(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

// expected says what a step wanted and what came instead.
func expected(what string, came error) error {
	return fmt.Errorf("  expected: %s\n  came:     %w", what, came)
}

// same compares.
func same[T comparable](what string, want, got T) error {
	if want == got {
		return nil
	}
	return expected(fmt.Sprintf("%s to be %v", what, want), fmt.Errorf("%v", got))
}

// atOnce calls f from n goroutines that begin together, and returns what they
// got, or the first error.
func atOnce[T any](n int, f func() (T, error)) ([]T, error) {
	values, errs := make([]T, n), make([]error, n)
	var all sync.WaitGroup
	begin := make(chan struct{})
	for i := range n {
		all.Go(func() {
			<-begin
			values[i], errs[i] = f()
		})
	}
	close(begin)
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return values, nil
}
