package simulation

import "strings"

// Story is the log without the statements that only read.
func (r Result) Story() string {
	var kept strings.Builder
	for line := range strings.Lines(r.Log) {
		if strings.HasSuffix(line, ": BEGIN\n") || strings.Contains(line, ": SELECT from ") && !strings.Contains(line, ": FAILS") {
			continue
		}
		kept.WriteString(line)
	}
	return kept.String()
}

// parting shows where two logs part, and what came before.
func parting(a, b string) string {
	first, second := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(first), len(second)) {
		if first[i] != second[i] {
			return strings.Join(first[max(0, i-10):i], "\n") + "\nonce:  " + first[i] + "\nagain: " + second[i]
		}
	}
	return "one of them goes on"
}
