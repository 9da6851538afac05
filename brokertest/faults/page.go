package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"
)

const intro = `# Faults

What grantd was put through, lastly on %s, on %s: real grantd processes on real PostgreSQL and Redis,
all on one machine, with the test authorization server as the upstream. ` + "`make faults`" + ` plays all rows at full size and writes this
page; each row is also a test. Rows that a run leaves out stay as they were.

- *Size*: how the row was measured. ` + "`full`" + ` has 10,000 authorizations in deletions, ` + "`test`" + ` 300 to 600.
- *Lost*: authorizations whose person would have to consent again although they need not, and grants that were left
  upstream. An answer that was lost after the upstream had rotated cannot be retrieved by anybody; such a row says so.
- *Spent twice*: refresh tokens that were sent again after their outcome had been saved, or while another attempt might
  still have been running (R3). The one replay of an attempt whose outcome nobody knows is neither.
- *Seconds to recover*: from the end of the fault, or from the fault where it has no end (a kill), until everything that
  had been asked for was done. What was left of a deletion is in it, and so are leases: 25 s for items, 40 s for a refresh.

`

// writePage writes the page, with the rows that were played now and, for the
// others, what the page said before.
func writePage(file string, lines []line, where string) error {
	before, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.WriteFile(file, []byte(markdown(lines, rowsOf(string(before)), where)), 0o644)
}

// markdown is the page: the rows in their order, each as it was played, or as it
// was told before.
func markdown(lines []line, before map[string]string, where string) string {
	told := map[string]string{}
	for what, row := range before {
		told[what] = row
	}
	for _, l := range lines {
		told[l.what] = tableRow(l.cells())
	}
	var b strings.Builder
	fmt.Fprintf(&b, intro, time.Now().UTC().Format(time.DateOnly), where)
	b.WriteString(tableRow(head) + tableRow([]string{"---", "--:", "--:", "--:", "---", "---"}))
	for _, r := range rows {
		b.WriteString(told[r.what])
	}
	return b.String()
}

func tableRow(cells []string) string {
	escaped := make([]string, len(cells))
	for i, c := range cells {
		escaped[i] = strings.ReplaceAll(c, "|", "\\|")
	}
	return "| " + strings.Join(escaped, " | ") + " |\n"
}

// rowsOf finds the rows of a page by what was done.
func rowsOf(page string) map[string]string {
	found := map[string]string{}
	for text := range strings.Lines(page) {
		if what, _, ok := strings.Cut(strings.TrimPrefix(text, "| "), " | "); ok && strings.HasPrefix(text, "| ") {
			found[what] = text
		}
	}
	return found
}
