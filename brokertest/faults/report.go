package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// line is a row with what became of it.
type line struct {
	row
	result
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
	switch {
	case l.skipped != "":
		return []string{l.what, "–", "–", "–", "left out: " + l.skipped}
	case l.err != nil:
		reason, _, _ := strings.Cut(l.err.Error(), "\n")
		return []string{l.what, "?", "?", "?", "FAILED: " + reason}
	}
	return []string{l.what, fmt.Sprint(l.lost), fmt.Sprint(l.spent), fmt.Sprintf("%.1f", l.recovered.Seconds()), l.note}
}

var head = []string{"what was done", "lost", "spent twice", "seconds to recover", "remarks"}

func printTable(out io.Writer, lines []line) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, strings.Join(head, "\t"))
	for _, l := range lines {
		fmt.Fprintln(table, strings.Join(l.cells(), "\t"))
	}
	return table.Flush()
}

const intro = `# Faults

Written by ` + "`make faults`" + ` on %s, %s: real grantd processes on real PostgreSQL and Redis, all on that machine,
with the test authorization server as the upstream. Deletions have %s authorizations unless a row says otherwise.

- *Lost*: authorizations whose person would have to consent again although they need not, and grants that were left
  upstream. An answer that was lost after the upstream had rotated cannot be had again by anybody; such a row says so.
- *Spent twice*: refresh tokens that were sent again after their outcome had been saved, or while another attempt might
  still have been running (R3). The one replay of an attempt whose outcome nobody knows is neither.
- *Seconds to recover*: from the end of the fault, or from the fault where it has no end (a kill), until everything that
  had been asked for was done. What was left of a deletion is in it, and so are leases: 25 s for items, 40 s for a refresh.

`

func markdown(lines []line, where string, full bool) string {
	var b strings.Builder
	size := "10,000"
	if !full {
		size = "600"
	}
	fmt.Fprintf(&b, intro, time.Now().UTC().Format(time.DateOnly), where, size)
	write := func(cells []string) {
		for i, c := range cells {
			cells[i] = strings.ReplaceAll(c, "|", "\\|")
		}
		fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | "))
	}
	write(append([]string{}, head...))
	write([]string{"---", "--:", "--:", "--:", "---"})
	for _, l := range lines {
		write(l.cells())
	}
	return b.String()
}
