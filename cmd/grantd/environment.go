package main

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/grantd/grantd/commands"
)

// environment is where settings come from that are no flags. It is not kong's own
// support for variables, which reads the process's environment and so cannot be
// given another one by tests.
type environment struct {
	values map[string]string
	// misread are the variables whose value is not of the setting's kind, by flag. They
	// are reported together with everything else that is wrong, and not one at a time.
	misread map[string]string
}

func readEnvironment(environ []string) *environment {
	e := &environment{values: map[string]string{}, misread: map[string]string{}}
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		e.values[name] = value
	}
	return e
}

// Validate implements kong.Resolver.
func (*environment) Validate(*kong.Application) error { return nil }

// Resolve implements kong.Resolver. A value that cannot be read leaves the setting at
// its default.
func (e *environment) Resolve(_ *kong.Context, _ *kong.Path, f *kong.Flag) (any, error) {
	value := e.values[variable(f.Name)]
	if ofConnection(f) && value != "" {
		return value, nil
	}
	if !isSetting(f) || value == "" {
		return nil, nil
	}
	if problem := unreadable(f, value); problem != "" {
		e.misread[f.Name] = problem
		return nil, nil
	}
	return value, nil
}

// unreadable says why a value is not of a setting's kind, "" where it is.
func unreadable(f *kong.Flag, value string) string {
	switch f.Target.Interface().(type) {
	case bool:
		if _, err := strconv.ParseBool(value); err != nil {
			return fmt.Sprintf("%q is neither true nor false", value)
		}
	case time.Duration:
		if _, err := parseDuration(value); err != nil {
			return err.Error()
		}
	case int:
		if _, err := strconv.Atoi(value); err != nil {
			return fmt.Sprintf("%q is not a number", value)
		}
	}
	return ""
}

// unknown says which GRANTD_ variables are no settings, with the setting that comes
// nearest. Those of the tests are not ours to judge.
func (e *environment) unknown(flags []*kong.Flag) []string {
	known := []string{commands.TokenVariable}
	for _, f := range flags {
		if isSetting(f) || ofConnection(f) {
			known = append(known, variable(f.Name))
		}
	}
	var problems []string
	for _, name := range slices.Sorted(maps.Keys(e.values)) {
		if !strings.HasPrefix(name, "GRANTD_") || slices.Contains(known, name) || strings.HasPrefix(name, "GRANTD_TEST_") {
			continue
		}
		problem := name + " is not a setting and has no effect"
		if like := nearest(name, known); like != "" {
			problem += "; did you mean " + like + "?"
		}
		problems = append(problems, problem)
	}
	return problems
}

// nearest returns the candidate that differs from name in the fewest characters, ""
// where all differ in many.
func nearest(name string, candidates []string) string {
	best, least := "", 4
	for _, c := range candidates {
		if d := distance(name, c); d < least {
			best, least = c, d
		}
	}
	return best
}

// distance is the Levenshtein distance.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}

// logsUnknown reports whether a command tells of unknown variables itself, in its log
// or among what is wrong.
func logsUnknown(command string) bool {
	return slices.Contains([]string{"serve", "api", "worker", "config"}, command)
}

// mapDuration reads a duration of the command line.
func mapDuration(ctx *kong.DecodeContext, target reflect.Value) error {
	var text string
	if err := ctx.Scan.PopValueInto("duration", &text); err != nil {
		return err
	}
	d, err := parseDuration(text)
	if err != nil {
		return err
	}
	target.SetInt(int64(d))
	return nil
}

// parseDuration reads what time.ParseDuration reads, with days before it: 30d, 1d12h.
func parseDuration(text string) (time.Duration, error) {
	wrong := fmt.Errorf("%q is not a duration such as 5s, 90m, 12h or 30d", text)
	days, rest, ok := strings.Cut(text, "d")
	if !ok {
		d, err := time.ParseDuration(text)
		if err != nil {
			return 0, wrong
		}
		return d, nil
	}
	n, err := strconv.ParseInt(days, 10, 32)
	if err != nil || n < 0 || n > 36500 {
		return 0, wrong
	}
	d := time.Duration(n) * 24 * time.Hour
	if rest == "" {
		return d, nil
	}
	more, err := time.ParseDuration(rest)
	if err != nil || more < 0 {
		return 0, wrong
	}
	return d + more, nil
}
