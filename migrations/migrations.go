// Package migrations holds the schema: numbered SQL files, one set for both
// databases. In a file {{time}}, {{json}} and {{bytes}} stand for the column
// types that differ; everything else is SQL that PostgreSQL and SQLite share.
//
// A file that has been released is never edited: a change is the next number.
package migrations

import (
	"embed"
	"fmt"
	"strconv"
	"strings"
)

//go:embed *.sql
var files embed.FS

// Dialect names a database.
type Dialect string

// The dialects.
const (
	Postgres Dialect = "postgres"
	SQLite   Dialect = "sqlite"
)

var types = map[Dialect]*strings.Replacer{
	Postgres: strings.NewReplacer("{{time}}", "TIMESTAMPTZ", "{{json}}", "JSONB", "{{bytes}}", "BYTEA"),
	SQLite:   strings.NewReplacer("{{time}}", "DATETIME", "{{json}}", "TEXT", "{{bytes}}", "BLOB"),
}

// Migration is one numbered step, rendered for a dialect.
type Migration struct {
	Version int64
	Name    string
	SQL     string
}

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
		all = append(all, Migration{Version: version, Name: e.Name(), SQL: render.Replace(string(sql))})
	}
	return all, nil
}
