package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/driver"

	"github.com/grantd/grantd/models"
)

// sqliteFetches runs the hot query on a connection of its own that can only read: it does
// not wait for the one that writes, and the query is prepared once.
type sqliteFetches struct {
	path          string
	shared        *sql.DB                                   // its connection is used where there is one: see Between
	prepareShared func(query string) (*sqlite3.Stmt, error) // on it
	clock         func() time.Time

	mu     sync.Mutex
	closed bool
	conn   *sqlite3.Conn // nil until the first fetch
	begin  *sqlite3.Stmt
	query  *sqlite3.Stmt
	named  *sqlite3.Stmt // nil until the first fetch by a name
	end    *sqlite3.Stmt
	reader *fetchReader
}

// load reads all ids in one transaction, which is short: the log of a database whose
// readers never pause could not be written back, and would grow.
func (f *sqliteFetches) load(ctx context.Context, ids []string) (map[string]*models.Linked, error) {
	return f.each(ctx, ids, func(id string) (*models.Linked, error) { return f.one(f.query, id) })
}

// loadNamed is load for names, as FetchableOf makes them.
func (f *sqliteFetches) loadNamed(ctx context.Context, names []string) (map[string]*models.Linked, error) {
	return f.each(ctx, names, func(name string) (_ *models.Linked, err error) {
		if f.named == nil {
			if f.named, err = f.prepare(fetchQuery(f.reader.columns, "a.id = ("+fmt.Sprintf(newestOf, "?1", "?2", "?3")+")")); err != nil {
				return nil, fmt.Errorf("preparing the hot query by name: %w", err)
			}
		}
		return f.one(f.named, strings.SplitN(name, nameSeparator, 3)...)
	})
}

// each reads one row for each key.
func (f *sqliteFetches) each(ctx context.Context, ids []string, read func(string) (*models.Linked, error)) (found map[string]*models.Linked, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, sql.ErrConnDone
	}
	// After an error nobody need know where the connection stands: the next fetch has a
	// new one.
	defer func() {
		if err != nil {
			err = errors.Join(err, f.disconnect())
		}
	}()
	if err := f.connect(); err != nil {
		return nil, err
	}
	f.conn.SetInterrupt(ctx)
	defer f.conn.SetInterrupt(context.Background())
	now := f.clock()
	if len(ids) > 1 {
		if err := f.begin.Exec(); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, f.end.Exec()) }()
	}
	found = make(map[string]*models.Linked, len(ids))
	for _, id := range ids {
		l, err := read(id)
		if err != nil {
			return nil, err
		}
		if l != nil {
			l.Now = now
			found[id] = l
		}
	}
	return found, nil
}

// one reads one authorization, nil where there is none.
func (f *sqliteFetches) one(query *sqlite3.Stmt, arguments ...string) (l *models.Linked, err error) {
	for i, argument := range arguments {
		if err := query.BindText(i+1, argument); err != nil {
			return nil, err
		}
	}
	if query.Step() {
		if l, err = f.reader.read((*sqliteValues)(query)); err != nil {
			return nil, errors.Join(err, query.Reset())
		}
	}
	return l, errors.Join(query.Err(), query.Reset())
}

func (f *sqliteFetches) connect() (err error) {
	if f.conn != nil {
		return nil
	}
	if f.conn, err = f.open(); err != nil {
		return fmt.Errorf("opening the database to read: %w", err)
	}
	f.reader = newFetchReader()
	for _, s := range []struct {
		text string
		to   **sqlite3.Stmt
	}{
		{"SAVEPOINT fetch", &f.begin}, {"RELEASE fetch", &f.end}, {fetchQuery(f.reader.columns, "a.id = ?"), &f.query},
	} {
		if *s.to, err = f.prepare(s.text); err != nil {
			return fmt.Errorf("preparing the hot query: %w", err)
		}
	}
	return nil
}

func (f *sqliteFetches) prepare(query string) (s *sqlite3.Stmt, err error) {
	if f.shared != nil {
		return f.prepareShared(query)
	}
	s, _, err = f.conn.PrepareFlags(query, sqlite3.PREPARE_PERSISTENT)
	return s, err
}

func (f *sqliteFetches) open() (*sqlite3.Conn, error) {
	if f.shared == nil {
		return sqlite3.OpenFlags(sqliteURL(f.path, "busy_timeout(5000)"), sqlite3.OPEN_READONLY|sqlite3.OPEN_URI)
	}
	c, err := f.shared.Conn(context.Background())
	if err != nil {
		return nil, err
	}
	var raw *sqlite3.Conn
	err = c.Raw(func(c any) error {
		raw = c.(driver.Conn).Raw()
		return nil
	})
	return raw, errors.Join(err, c.Close())
}

// disconnect may be called with any part of a connection.
func (f *sqliteFetches) disconnect() (err error) {
	if f.shared == nil {
		err = errors.Join(f.begin.Close(), f.end.Close(), f.query.Close(), f.named.Close(), f.conn.Close())
	}
	f.conn, f.begin, f.end, f.query, f.named = nil, nil, nil, nil, nil
	return err
}

// close comes before the connection that writes is closed: the last one to close writes the
// log back, which a connection that only reads cannot.
func (f *sqliteFetches) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	return f.disconnect()
}

// sqliteValues are those of the row at which the statement is.
type sqliteValues sqlite3.Stmt

func (v *sqliteValues) row() *sqlite3.Stmt { return (*sqlite3.Stmt)(v) }

func (v *sqliteValues) null(i int) bool          { return v.row().ColumnType(i) == sqlite3.NULL }
func (v *sqliteValues) raw(i int) []byte         { return v.row().ColumnRawBlob(i) }
func (v *sqliteValues) bool(i int) (bool, error) { return v.row().ColumnInt64(i) != 0, nil }
func (v *sqliteValues) int(i int) (int64, error) { return v.row().ColumnInt64(i), nil }

func (v *sqliteValues) time(i int) (time.Time, error) {
	return readSQLiteTime(string(v.row().ColumnRawText(i)))
}

// readSQLiteTime reads a time that SQLite returns as text.
func readSQLiteTime(text string) (time.Time, error) {
	at, err := time.Parse(sqliteTime, text)
	if err != nil { // whatever else SQLite takes for a time may have been written by another tool
		at, err = sqlite3.TimeFormatAuto.Decode(text)
	}
	return at, err
}
