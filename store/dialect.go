package store

import (
	"context"
	"errors"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/grantd/grantd/migrations"
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
}

var (
	postgresDialect = dialect{migrations.Postgres, " FOR UPDATE SKIP LOCKED", " FOR UPDATE"}
	sqliteDialect   = dialect{migrations.SQLite, "", ""}
)

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

// ErrNotFound is returned where the row asked for does not exist.
var ErrNotFound = gorm.ErrRecordNotFound

// ErrDuplicate is returned where a row would break a unique key.
var ErrDuplicate = gorm.ErrDuplicatedKey

// IsNotFound reports whether err says that a row does not exist.
func IsNotFound(err error) bool { return errors.Is(err, ErrNotFound) }

// changed turns the result of a conditional write into whether it took place.
func changed(r *gorm.DB) (bool, error) { return r.RowsAffected > 0, r.Error }
