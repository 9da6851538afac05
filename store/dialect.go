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
	// list follows IN and takes one parameter, what listed makes of texts. A parameter
	// for each of them would be refused from some number on: PostgreSQL takes 65,535.
	list string
}

var (
	postgresDialect = dialect{name: migrations.Postgres, skipLocked: " FOR UPDATE SKIP LOCKED", lock: " FOR UPDATE",
		list: "(SELECT jsonb_array_elements_text(CAST(? AS jsonb)))"}
	sqliteDialect = dialect{name: migrations.SQLite, list: "(SELECT value FROM json_each(?))"}
)

// listed is the parameter of dialect.list.
func listed(values []string) models.Strings { return models.Strings(values) }

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
	err := s.db.WithContext(ctx).Raw("SELECT statement_timestamp()").Row().Scan(&now)
	return now.UTC(), err
}

// changed turns the result of a conditional write into whether it took place.
func changed(r *gorm.DB) (bool, error) { return r.RowsAffected > 0, r.Error }
