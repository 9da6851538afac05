package broker

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// The table in docs/architecture.md is the one that decides: the same rows, in the same
// order.
func TestTheTableOfVerdictsIsTheOneInTheDocs(t *testing.T) {
	content, err := os.ReadFile("../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(content), "| the upstream's answer, and what preceded it |")
	if !found {
		t.Fatal("docs/architecture.md has no table of verdicts")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	var told, decide []string
	for _, line := range strings.Split(table, "\n")[2:] {
		told = append(told, strings.TrimSpace(strings.Split(line, "|")[1]))
	}
	for _, row := range verdicts {
		decide = append(decide, row.name)
	}
	if !slices.Equal(told, decide) {
		t.Errorf("the docs have the rows\n%s\nbut these decide:\n%s", strings.Join(told, "\n"), strings.Join(decide, "\n"))
	}
}
