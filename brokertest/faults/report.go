package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// line is a row with its outcome.
type line struct {
	row
	result
	full    bool   // played at full size
	skipped string // why it was left out
	err     error  // how it failed
}

func (l line) bad() bool { return l.err != nil || l.lost > 0 || l.spent > 0 }

func (l line) complaint() error {
	if l.err != nil {
		return fmt.Errorf("%s: %w", l.name, l.err)
	}
	return fmt.Errorf("%s: lost %d, spent twice %d", l.name, l.lost, l.spent)
}

func (l line) cells() []string {
	size := "test"
	if l.full {
		size = "full"
	}
	switch {
	case l.skipped != "":
		return []string{l.what, "–", "–", "–", size, "left out: " + l.skipped}
	case l.err != nil:
		reason, _, _ := strings.Cut(l.err.Error(), "\n")
		return []string{l.what, "?", "?", "?", size, "FAILED: " + reason}
	}
	return []string{l.what, fmt.Sprint(l.lost), fmt.Sprint(l.spent), fmt.Sprintf("%.1f", l.recovered.Seconds()), size, l.note}
}

var head = []string{"what was done", "lost", "spent twice", "seconds to recover", "size", "remarks"}

func printTable(out io.Writer, lines []line) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, strings.Join(head, "\t"))
	for _, l := range lines {
		fmt.Fprintln(table, strings.Join(l.cells(), "\t"))
	}
	return table.Flush()
}
