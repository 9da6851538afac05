package protocol

import (
	"fmt"
	"strings"
)

// Page is the table for people, in Markdown.
func Page() string {
	var b strings.Builder
	b.WriteString("| part | in the state | event | possible if | next state | what changes |\n|---|---|---|---|---|---|\n")
	code := func(text, empty string) string {
		if text == "" {
			return empty
		}
		return "`" + strings.ReplaceAll(text, "|", "\\|") + "`"
	}
	for _, r := range Table {
		state, next := r.State, r.Next
		if state == "" {
			state = "any"
		}
		if next == "" {
			next = "the same"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", r.Part, state, r.Event, code(r.Guard, ""), next, code(r.Effect, ""))
	}
	b.WriteString("\nIn the row, at the upstream, and in what the proof remembers:\n\n")
	list := func(variables []variable, prefix, suffix string) {
		for _, v := range variables {
			fmt.Fprintf(&b, "- `%s%s%s`: %s\n", prefix, v.name, suffix, v.says)
		}
	}
	list(variables, "", "")
	b.WriteString("\nOf each refresh token, by its number (`it` is the one that an event is about):\n\n")
	list(arrays, "", "[…]")
	b.WriteString("\nOf each process (`me` is its number):\n\n")
	list(own, "my.", "")
	b.WriteString("\nWhat must hold:\n\n")
	for _, p := range Promises {
		at := "always"
		if p.At != nil {
			var events []string
			for _, e := range p.At {
				events = append(events, string(e))
			}
			at = "before *" + strings.Join(events, "*, *") + "*"
		}
		fmt.Fprintf(&b, "- **%s**, %s: `%s`. Otherwise %s.\n", p.Invariant, at, p.Holds, p.Says)
	}
	return b.String()
}
