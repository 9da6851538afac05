package store

import (
	"context"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/grantd/grantd/migrations"
	"github.com/grantd/grantd/models"
)

// sqliteTime has no zone: all times are UTC, so that comparing the texts
// compares the times.
const sqliteTime = "2006-01-02 15:04:05.000"

// dialect is what PostgreSQL and SQLite do not share.
type dialect struct {
	name migrations.Dialect
	// skipLocked ends a SELECT that claims rows, in a materialized WITH: as a plain
	// subquery PostgreSQL may run it once a row and claim more than its LIMIT. SQLite
	// has one writer anyway.
	skipLocked string
	// lock ends a SELECT whose rows nobody else may change until commit.
	lock string
	// rows says of a statement's rows that they are those of a subquery, which is to
	// follow between the two parts. They are found by their place: by the primary key
	// PostgreSQL may plan to read the whole table.
	rows [2]string
	// list follows IN and takes one parameter, what listed makes of texts. A parameter
	// for each of them would be refused from some number on: PostgreSQL takes 65,535.
	list string
}

var (
	postgresDialect = dialect{name: migrations.Postgres, skipLocked: " FOR UPDATE SKIP LOCKED", lock: " FOR UPDATE",
		rows: [2]string{"ctid = ANY(ARRAY(SELECT ctid FROM ", " FOR UPDATE SKIP LOCKED))"},
		list: "(SELECT jsonb_array_elements_text(CAST(? AS jsonb)))"}
	sqliteDialect = dialect{name: migrations.SQLite, rows: [2]string{"rowid IN (SELECT rowid FROM ", ")"}, list: "(SELECT value FROM json_each(?))"}
)

// listed is the parameter of dialect.list.
func listed(values []string) models.Strings { return models.Strings(values) }

// later is the later of two times in SQL, of which the first may be NULL. Indexes are on
// this expression.
func later(column, than string) string {
	return "(CASE WHEN " + column + " > " + than + " THEN " + column + " ELSE " + than + " END)"
}

// rowsOf is a condition for the rows of "table WHERE … LIMIT ?"; on PostgreSQL they
// are locked, and those that somebody else has locked are left out.
func (d dialect) rowsOf(selection string) string { return d.rows[0] + selection + d.rows[1] }

// forget deletes at most limit rows of a table whose time, a column with an index, is
// longer ago than the retention, and returns how many. The order is what makes
// PostgreSQL use that index: without knowing the time it expects a third of the rows,
// and would look for them from the table's beginning.
func (s *Store) forget(ctx context.Context, table, column, and string, retention time.Duration, limit int) (int64, error) {
	old := table + " WHERE " + column + " <= ?" + and + " ORDER BY " + column + " LIMIT ?"
	r := s.db.WithContext(ctx).Exec("DELETE FROM "+table+" WHERE "+s.dialect.rowsOf(old), s.in(-retention), limit)
	return r.RowsAffected, r.Error
}

// now is the database's time as an SQL expression. On SQLite the process is the
// database, and its clock is a parameter. statement_timestamp is stable, so an
// index can serve "due_at <= now".
func (s *Store) now() clause.Expr {
	return s.in(0)
}

// in is the database's time plus d, as an SQL expression.
func (s *Store) in(d time.Duration) clause.Expr {
	if s.dialect.name == migrations.SQLite {
		return gorm.Expr("?", s.clock().Add(d))
	}
	if d == 0 {
		return gorm.Expr("statement_timestamp()")
	}
	return gorm.Expr("statement_timestamp() + make_interval(secs => CAST(? AS double precision))", d.Seconds())
}

// Now asks the database what time it is.
func (s *Store) Now(ctx context.Context) (time.Time, error) {
	if s.dialect.name == migrations.SQLite {
		return s.clock(), nil
	}
	var now time.Time
	err := scanRow(s.db.WithContext(ctx).Raw("SELECT statement_timestamp()"), &now)
	return now.UTC(), err
}

// scanRow reads the one row of a query. gorm leaves its errors as the driver made them.
func scanRow(query *gorm.DB, into ...any) error { return translate(query.Row().Scan(into...)) }

// changed turns the result of a conditional write into whether it took place.
func changed(r *gorm.DB) (bool, error) { return r.RowsAffected > 0, r.Error }
