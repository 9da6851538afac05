package commands

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// table is what people are shown of a value: a row for each element of a list, or a row for each field of one thing.
type table struct {
	head []string // nil for one thing, whose rows are a name and a value
	rows [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// show prints a value as --output says: t for people, value for programs.
func (s *Session) show(value any, t table) error {
	switch s.Connection.Output {
	case "json":
		raw, err := indented(value)
		if err != nil {
			return err
		}
		_, err = io.WriteString(s.Out, escape(string(raw), printableJSON, pair))
		return err
	case "yaml":
		text, err := asYAML(value)
		if err != nil {
			return err
		}
		_, err = io.WriteString(s.Out, text)
		return err
	}
	return t.write(s.Out)
}

// printableJSON are the characters that JSON is written with. All others are within strings, where an escape means the same.
func printableJSON(r rune) bool { return r == '\n' || unicode.IsPrint(r) }

func indented(value any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(value)
	return b.Bytes(), err
}

func (t table) write(w io.Writer) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if t.head != nil {
		fmt.Fprintln(out, strings.Join(t.head, "\t"))
	}
	for _, row := range t.rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			if cell == "" {
				cell = "-"
			}
			cells[i] = Plain(cell, false)
		}
		fmt.Fprintln(out, strings.Join(cells, "\t"))
	}
	return out.Flush()
}

// asYAML is the JSON of a value, in the same order, as YAML.
func asYAML(value any) (string, error) {
	raw, err := json.Marshal(value)
	if err != nil {
		return "", err
	}
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(escape(string(raw), printableJSON, long)), &document); err != nil {
		return "", err
	}
	restyle(&document)
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(&document); err != nil {
		return "", err
	}
	return escape(b.String(), printableJSON, long), nil
}

// restyle writes a node in YAML's style in place of JSON's. A string with anything that is not printable stays in
// quotation marks, where it can be escaped.
func restyle(n *yaml.Node) {
	if n.Kind != yaml.ScalarNode || !strings.ContainsFunc(n.Value, func(r rune) bool { return !unicode.IsPrint(r) }) {
		n.Style = 0
	}
	for _, child := range n.Content {
		restyle(child)
	}
}

// at is a time as tables show it.
func at(t *time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

// say tells a person what happened, beside what the command prints.
func (s *Session) say(format string, args ...any) {
	fmt.Fprintln(s.Err, Plain(fmt.Sprintf(format, args...), true))
}
