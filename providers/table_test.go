package providers

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the tables of docs/providers.md")

const (
	providersDoc = "../docs/providers.md"
	tablesBegin  = "<!-- generated: go test ./providers -run TestProvidersTable -update -->\n"
	tablesEnd    = "<!-- end of what is generated -->\n"
)

// TestProvidersTable compares what docs/providers.md says about every type with the
// registry, and wants notes about each beside.
func TestProvidersTable(t *testing.T) {
	raw, err := os.ReadFile(providersDoc)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begun := strings.Cut(string(raw), tablesBegin)
	_, after, ended := strings.Cut(rest, tablesEnd)
	if !begun || !ended {
		t.Fatalf("%s has lost the marks of what is generated", providersDoc)
	}
	r := newRegistry(t, Options{TestHost: "http://localhost:9000"})
	for _, name := range r.Names() {
		if !strings.Contains(after, "\n## `"+name+"`\n") {
			t.Errorf("%s has no notes on %s, under a heading of its own", providersDoc, name)
		}
	}
	fresh := before + tablesBegin + tables(r) + tablesEnd + after
	switch {
	case fresh == string(raw):
	case *update:
		if err := os.WriteFile(providersDoc, []byte(fresh), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s is not what the types say; run: go test ./providers -run TestProvidersTable -update", providersDoc)
	}
}

// tables are what each type does, and where.
func tables(r *Registry) string {
	var b strings.Builder
	for _, columns := range [][]column{does, isAt} {
		b.WriteString("\n| type |")
		for _, c := range columns {
			fmt.Fprintf(&b, " %s |", c.name)
		}
		b.WriteString("\n|---|" + strings.Repeat("---|", len(columns)) + "\n")
		for _, name := range r.Names() {
			u, err := r.At(Client{Type: name, ID: "CLIENT_ID"}).derived()
			if err != nil {
				panic(err)
			}
			fmt.Fprintf(&b, "| `%s` |", name)
			for _, c := range columns {
				fmt.Fprintf(&b, " %s |", c.cell(described{u.t, u.e}))
			}
			b.WriteString("\n")
		}
	}
	return b.String() + "\n"
}
