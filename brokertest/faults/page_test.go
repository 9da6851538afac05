package main

import (
	"os"
	"strings"
	"testing"
	"time"
)

// A run of some rows leaves the others as they were, each with its size.
func TestThePageKeepsWhatWasNotPlayed(t *testing.T) {
	first := markdown([]line{{row: rows[0], full: true, result: result{recovered: 1500 * time.Millisecond, note: "a | b"}},
		{row: rows[1], full: true, skipped: "no disk"}}, nil, "here")
	second := markdown([]line{{row: rows[1], result: result{lost: 1}}}, rowsOf(first), "here")
	for what, want := range map[string]string{
		rows[0].what: `| 0 | 0 | 1.5 | full | a \| b |`,
		rows[1].what: `| 1 | 0 | 0.0 | test |  |`,
	} {
		if row := rowsOf(second)[what]; !strings.HasSuffix(row, want+"\n") {
			t.Errorf("%s: the page says %q, want %s", what, row, want)
		}
	}
	if again := markdown(nil, rowsOf(second), "here"); again != second {
		t.Errorf("written again without a run it differs:\n%s\n%s", again, second)
	}
}

// docs/faults.md is what the command writes: nothing in it is made by hand.
func TestThePageInDocsIsWritten(t *testing.T) {
	page, err := os.ReadFile("../../docs/faults.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(markdown(nil, rowsOf(string(page)), "x"), tableRow(head))
	if !ok || !strings.HasSuffix(string(page), tableRow(head)+table) {
		t.Error("the table is not the command's; write it with `make faults`")
	}
	opening, rest, _ := strings.Cut(intro, "%s, on %s")
	if !strings.HasPrefix(string(page), opening) || !strings.Contains(string(page), rest) {
		t.Error("the words above the table are not the command's")
	}
	for _, r := range rows {
		if rowsOf(string(page))[r.what] == "" {
			t.Errorf("the page has no row for %s", r.name)
		}
	}
}
