package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/ncruces/go-sqlite3"
	"gorm.io/gorm"
)

// ErrNotFound is returned where the row asked for does not exist.
var ErrNotFound = gorm.ErrRecordNotFound

// ErrDuplicate is returned where a row would break a unique key.
var ErrDuplicate = gorm.ErrDuplicatedKey

// IsNotFound reports whether err says that a row does not exist.
func IsNotFound(err error) bool { return errors.Is(err, ErrNotFound) }

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
// its values, which will be refused again.
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
	case err == nil:
		return false
	case connecting(err), pgconn.SafeToRetry(err), errors.As(err, &network):
		return true
	case strings.HasSuffix(err.Error(), closedText):
		return true
	}
	for _, known := range []error{context.Canceled, context.DeadlineExceeded, io.EOF, io.ErrUnexpectedEOF,
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

// closedText is what database/sql answers with after Close. It has no name there.
const closedText = "sql: database is closed"
