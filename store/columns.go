package store

import (
	"fmt"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// A statement names the columns it reads, and never says *. With a *, its result changes when a migration adds a column, and
// PostgreSQL then refuses it once on every connection that prepared it before ("cached plan must not change result type"):
// processes that serve during an upgrade would answer errors.

// columns are those of a row's type in the table called as given, as they stand in a SELECT.
func (s *Store) columns(alias string, row any) string {
	names := columnsOf(s.db, row)
	for i, name := range names {
		names[i] = alias + "." + name
	}
	return strings.Join(names, ", ")
}

// returning is the clause of an UPDATE or DELETE that returns rows of this type.
func returning(db *gorm.DB, row any) clause.Returning {
	var r clause.Returning
	for _, name := range columnsOf(db, row) {
		r.Columns = append(r.Columns, clause.Column{Name: name})
	}
	return r
}

func columnsOf(db *gorm.DB, row any) []string {
	statement := gorm.Statement{DB: db}
	if err := statement.Parse(row); err != nil {
		panic(fmt.Sprintf("%T is no type of a row: %v", row, err))
	}
	return append([]string(nil), statement.Schema.DBNames...)
}

// namesOf are the columns of a row's type as they stand after RETURNING.
func namesOf(db *gorm.DB, row any) string { return strings.Join(columnsOf(db, row), ", ") }
