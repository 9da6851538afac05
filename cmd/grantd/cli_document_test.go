package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/grantd/grantd/commands"
)

// written begins the part of docs/cli.md that is made of the command line itself.
const written = "<!-- GRANTD_WRITE=1 go test ./cmd/grantd -run TestTheCommandLineDocument writes everything below -->\n"

// docs/cli.md says what the command line takes, and what its exit codes mean. GRANTD_WRITE=1 writes it.
func TestTheCommandLineDocument(t *testing.T) {
	t.Parallel()
	const path = "../../docs/cli.md"
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	byHand, _, found := strings.Cut(string(page), written)
	if !found {
		t.Fatalf("%s does not have the line %q", path, written)
	}
	want := byHand + written + reference(t)
	if os.Getenv("GRANTD_WRITE") == "1" {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want != string(page) {
		t.Error("docs/cli.md differs from the command line: GRANTD_WRITE=1 go test ./cmd/grantd -run TestTheCommandLineDocument writes it anew")
	}
}

// reference are the exit codes, and every command with its arguments and flags.
func reference(t *testing.T) string {
	var line cli
	parser, err := newParser(context.Background(), &line, console{nil, &bytes.Buffer{}, &bytes.Buffer{}}, readEnvironment(nil), func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("\n## Exit codes\n\n| code | meaning |\n|---|---|\n")
	for _, e := range commands.ExitCodes {
		fmt.Fprintf(&b, "| %d | %s |\n", e.Code, e.Meaning)
	}
	b.WriteString("\n## Settings of the commands that ask a running grantd\n\n| flag | variable | meaning |\n|---|---|---|\n")
	for _, f := range parser.Model.Flags {
		if ofConnection(f) {
			fmt.Fprintf(&b, "| `%s` | `%s` | %s |\n", flagName(f), variable(f.Name), f.Help)
		}
	}
	fmt.Fprintf(&b, "| | `%s` | The API token, with `GRANTD_URL` and in place of a context. |\n", commands.TokenVariable)
	b.WriteString("\n## All commands\n")
	for _, g := range groups {
		first := true
		for _, n := range parser.Model.Children {
			if n.Hidden || n.Group == nil || n.Group.Key != g.Key {
				continue
			}
			if first {
				fmt.Fprintf(&b, "\n### %s\n", strings.TrimSuffix(g.Title, ":"))
				first = false
			}
			describeNode(&b, n)
		}
	}
	return b.String()
}

// describeNode writes a command, or those below it.
func describeNode(b *strings.Builder, n *kong.Node) {
	if len(n.Children) > 0 {
		for _, child := range n.Children {
			if !child.Hidden {
				describeNode(b, child)
			}
		}
		return
	}
	fmt.Fprintf(b, "\n**`grantd %s`** – %s\n", n.Path(), n.Help)
	if len(n.Positional)+len(n.Flags) > 0 {
		b.WriteByte('\n')
	}
	for _, a := range n.Positional {
		fmt.Fprintf(b, "- `<%s>`: %s\n", a.Name, a.Help)
	}
	for _, f := range n.Flags {
		if f.Name != "help" && !f.Hidden {
			fmt.Fprintf(b, "- `%s`: %s\n", flagName(f), f.Help)
		}
	}
}

func flagName(f *kong.Flag) string {
	name := "--" + f.Name
	if f.Short != 0 {
		name = "-" + string(f.Short) + ", " + name
	}
	if f.Tag.Negatable != "" {
		name = "--[no-]" + f.Name
	}
	if !f.IsBool() {
		name += " " + f.FormatPlaceHolder()
	}
	return name
}
