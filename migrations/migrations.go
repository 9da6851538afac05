// Package migrations holds the schema: numbered SQL files, one set for both
// databases. In a file {{time}}, {{json}} and {{bytes}} stand for the column
// types that differ; everything else is SQL that PostgreSQL and SQLite share.
//
// A file with {{concurrently}} only makes and drops indexes, of tables that people
// are using meanwhile. PostgreSQL runs it outside of a transaction, one statement
// after the other. Where that is interrupted the file runs again, so that each
// statement says IF NOT EXISTS or IF EXISTS.
//
// A file that has been released is never edited: a change is the next number.
package migrations

import (
	"embed"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

//go:embed *.sql
var files embed.FS

// RunsWith is the oldest schema whose grantd may start on, and go on with, the schema
// that these files make: the release before, which is what makes a rolling upgrade and
// going back possible. It is raised by the migration that takes away what that grantd
// still needs, which is the second of two steps (docs/upgrading.md).
const RunsWith = 47

// Dialect names a database.
type Dialect string

// The dialects.
const (
	Postgres Dialect = "postgres"
	SQLite   Dialect = "sqlite"
)

var types = map[Dialect]*strings.Replacer{
	Postgres: strings.NewReplacer("{{time}}", "TIMESTAMPTZ", "{{json}}", "JSONB", "{{bytes}}", "BYTEA", concurrently, "CONCURRENTLY"),
	SQLite:   strings.NewReplacer("{{time}}", "DATETIME", "{{json}}", "TEXT", "{{bytes}}", "BLOB", concurrently, ""),
}

// concurrently stands for how PostgreSQL builds an index without locking its table.
const concurrently = "{{concurrently}}"

// Migration is one numbered step, rendered for a dialect.
type Migration struct {
	Version int64
	Name    string
	SQL     string
	// Concurrent is that PostgreSQL must run the Statements one by one, outside of a transaction.
	Concurrent bool
}

// Statements are those of a migration that is Concurrent, without comments.
func (m Migration) Statements() []string {
	var all []string
	for _, s := range strings.Split(comments.ReplaceAllString(m.SQL, ""), ";") {
		if s = strings.TrimSpace(s); s != "" {
			all = append(all, s)
		}
	}
	return all
}

var comments = regexp.MustCompile(`--.*`)

// All returns every migration for the dialect, in the order of their numbers.
func All(d Dialect) ([]Migration, error) {
	render, ok := types[d]
	if !ok {
		return nil, fmt.Errorf("no such dialect: %q", d)
	}
	entries, err := files.ReadDir(".")
	if err != nil {
		return nil, err
	}
	var all []Migration
	for _, e := range entries {
		number, _, _ := strings.Cut(e.Name(), "_")
		version, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("migration %s: its name does not begin with a number", e.Name())
		}
		sql, err := files.ReadFile(e.Name())
		if err != nil {
			return nil, err
		}
		all = append(all, Migration{Version: version, Name: e.Name(), SQL: render.Replace(string(sql)),
			Concurrent: strings.Contains(string(sql), concurrently)})
	}
	return all, nil
}
