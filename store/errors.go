package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/ncruces/go-sqlite3"
	"gorm.io/gorm"

	"github.com/grantd/grantd/models"
)

// ErrNotFound is returned where the row asked for does not exist.
var ErrNotFound = gorm.ErrRecordNotFound

// ErrDuplicate is returned where a row would break a unique key.
var ErrDuplicate = gorm.ErrDuplicatedKey

// IsNotFound reports whether err says that a row does not exist.
func IsNotFound(err error) bool { return errors.Is(err, ErrNotFound) }

// NotFound is the answer to who asks for a thing that does not exist, or is not theirs to
// see.
func NotFound(thing string) error {
	return &models.Error{Code: models.CodeNotFound, Message: thing + " not found.", Err: ErrNotFound}
}

// found names the thing that was looked for where there is none. A row that nobody asked
// for by name, such as a provider's secret, is not named: where it is missing, that is a
// fault of ours.
func found(err error, thing string) error {
	if IsNotFound(err) {
		return NotFound(thing)
	}
	return err
}

// taken answers with a conflict where a unique key is the caller's choice. A duplicate of
// any other key is a fault of ours.
func taken(err error, conflict models.Error) error {
	if !errors.Is(err, ErrDuplicate) {
		return err
	}
	conflict.Code, conflict.Err = models.CodeConflict, err
	return &conflict
}

// answerInTheDomainsErrors has gorm translate every error that it meets: of statements, of
// reading rows, and of a transaction's begin and end. What does not come from gorm calls
// translate itself.
func answerInTheDomainsErrors(db *gorm.DB) error {
	d := domainErrors{db.Dialector}
	db.Dialector = d
	// Of a query for rows alone gorm takes the driver's error as it is.
	return db.Callback().Row().After("gorm:row").Register("store:errors", func(tx *gorm.DB) { tx.Error = d.Translate(tx.Error) })
}

// domainErrors is a dialect of gorm, to which gorm hands each error.
type domainErrors struct{ gorm.Dialector }

// Translate implements gorm.ErrorTranslator.
func (d domainErrors) Translate(err error) error {
	if t, ok := d.Dialector.(gorm.ErrorTranslator); ok && err != nil {
		err = t.Translate(err) // into ErrDuplicate, above all
	}
	return translate(err)
}

// translate says what an error of a driver is to those who asked. One that is none of
// these is about the statement or its values, so that it is a fault of ours: it stays as
// it is, which means internal.
func translate(err error) error {
	var known *models.Error
	switch {
	case err == nil, errors.As(err, &known):
		return err
	case errors.Is(err, context.Canceled):
		return &models.Error{Code: models.CodeCancelled, Message: "The request was cancelled.", Err: err}
	case IsUnavailable(err):
		return &models.Error{Code: models.CodeUnavailable, Message: "The service cannot reach its database right now. Try again shortly.",
			RetryAfter: tryAgain, Err: err}
	}
	return err
}

// tryAgain is when a database that is away may be back.
const tryAgain = time.Second

// IsFailure reports whether err is what this package answers with, and not a decision
// that was made inside a transaction.
func IsFailure(err error) bool {
	return IsNotFound(err) || errors.Is(err, ErrDuplicate) || errors.Is(err, context.Canceled) || IsUnavailable(err)
}

// unavailableStates are the SQLSTATEs, and with two characters the classes of them,
// of a PostgreSQL that may take the same statement later.
var unavailableStates = map[string]bool{
	"08":    true, // connection exception
	"40":    true, // transaction rollback: serialization failure, deadlock
	"53":    true, // insufficient resources: connections, memory, disk full
	"57":    true, // operator intervention: shutdown, cancelled, starting up
	"58":    true, // system error: input or output
	"25006": true, // read only: the server has become a replica
	"25P03": true, // idle in transaction for too long
	"55P03": true, // lock not available
}

// unavailableCodes are the same of SQLite.
var unavailableCodes = map[sqlite3.ErrorCode]bool{
	sqlite3.BUSY:      true,
	sqlite3.LOCKED:    true,
	sqlite3.NOMEM:     true,
	sqlite3.READONLY:  true,
	sqlite3.INTERRUPT: true,
	sqlite3.IOERR:     true,
	sqlite3.FULL:      true,
	sqlite3.CANTOPEN:  true,
	sqlite3.PROTOCOL:  true,
	sqlite3.NOLFS:     true,
}

// IsUnavailable reports whether err is about the database as a whole: it cannot be
// reached, is shutting down, out of some resource, or the time is over. The same
// statement may work later. It is false for what a database says about a statement or
// its values, which will be refused again, and where the caller has left.
func IsUnavailable(err error) bool {
	var refused *pgconn.PgError
	if errors.As(err, &refused) && !connecting(err) {
		return len(refused.Code) == 5 && (unavailableStates[refused.Code[:2]] || unavailableStates[refused.Code])
	}
	var code sqlite3.ErrorCode
	if errors.As(err, &code) {
		return unavailableCodes[code]
	}
	var network net.Error
	switch {
	case err == nil, errors.Is(err, context.Canceled):
		return false
	case connecting(err), pgconn.SafeToRetry(err), errors.As(err, &network):
		return true
	case strings.HasSuffix(err.Error(), closedText), strings.HasSuffix(err.Error(), closedPoolText):
		return true
	}
	for _, known := range []error{context.DeadlineExceeded, io.EOF, io.ErrUnexpectedEOF,
		driver.ErrBadConn, sql.ErrConnDone, sql.ErrTxDone, pgconn.ErrConnClosed} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// connecting reports whether no connection could be made. Whatever the server said to
// that, a wrong password too, it said about no statement.
func connecting(err error) bool {
	var failed *pgconn.ConnectError
	return errors.As(err, &failed)
}

// closedText is what database/sql answers with after Close, and closedPoolText what pgx
// does. They have no name there.
const (
	closedText     = "sql: database is closed"
	closedPoolText = "closed pool"
)
