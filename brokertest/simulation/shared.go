package simulation

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/ncruces/go-sqlite3"
	sqlite "github.com/ncruces/go-sqlite3/driver"
	"gorm.io/gorm"

	"github.com/grantd/grantd/metrics"
	"github.com/grantd/grantd/store"
)

// shared is the connection to SQLite that all replicas of all plays use. A play is one
// transaction, which is rolled back at its end: the next one begins with the same image, and
// no statement is prepared twice.
type shared struct {
	sqlite.Conn
	folder  string
	look    lookout
	metrics *metrics.Metrics // nobody reads them, and making them takes as long as many statements
	opened  *store.Store     // its connection this is
	held    *sql.Conn
	db      *sql.DB
	idle    map[string]driver.Stmt   // those that are prepared, and not in use
	hot     map[string]*sqlite3.Stmt // those of the hot query
}

// share opens the image as a store does.
func share(path string) (*shared, error) {
	ctx := context.Background()
	s := &shared{idle: map[string]driver.Stmt{}, hot: map[string]*sqlite3.Stmt{}, look: lookout{}, metrics: metrics.New("")}
	var own *sql.DB
	var err error
	s.opened, err = store.Open(ctx, store.Options{URL: "sqlite:" + path, Between: &store.Between{
		Pool:  func(p gorm.ConnPool) gorm.ConnPool { own = p.(*sql.DB); return p },
		Fetch: func(_ []string, query func() error) error { return query() },
	}})
	if err != nil {
		return nil, err
	}
	return s, s.take(ctx, own)
}

// take takes a connection from a store's own.
func (s *shared) take(ctx context.Context, own *sql.DB) (err error) {
	s.db = sql.OpenDB(s)
	s.db.SetMaxOpenConns(1)
	if s.held, err = own.Conn(ctx); err != nil {
		return err
	}
	return s.held.Raw(func(c any) error {
		s.Conn = c.(sqlite.Conn)
		err1 := s.Raw().Exec("PRAGMA temp_store = memory; PRAGMA cache_size = -65536; PRAGMA cache_spill = off")
		// A plan depends on no value, so that no other value has a statement prepared again.
		_, err2 := s.Raw().Config(sqlite3.DBCONFIG_ENABLE_QPSG, true)
		return errors.Join(err1, err2, s.look.open(s.Raw()))
	})
}

func (s *shared) close() (err error) {
	for _, p := range s.hot {
		err = errors.Join(err, p.Close())
	}
	return errors.Join(err, s.look.close(), s.db.Close(), s.held.Close(), s.opened.Close())
}

// prepareHot prepares a statement of the hot query, once.
func (s *shared) prepareHot(query string) (p *sqlite3.Stmt, err error) {
	if p = s.hot[query]; p == nil {
		if p, _, err = s.Raw().PrepareFlags(query, sqlite3.PREPARE_PERSISTENT); err == nil {
			s.hot[query] = p
		}
	}
	return p, err
}

// begin begins a play.
func (s *shared) begin() error { return s.Raw().Exec("BEGIN IMMEDIATE") }

// end undoes what a play has done.
func (s *shared) end() error {
	if s.Raw().GetAutocommit() {
		return errors.New("the transaction that a play is has ended before the play")
	}
	return s.Raw().Exec("ROLLBACK")
}

// Connect implements driver.Connector.
func (s *shared) Connect(context.Context) (driver.Conn, error) { return s, nil }

// Driver implements driver.Connector.
func (s *shared) Driver() driver.Driver { return nil }

// IsValid implements driver.Validator. With ResetSession it has database/sql keep the
// connection after a transaction whose context has ended.
func (s *shared) IsValid() bool { return true }

// ResetSession implements driver.SessionResetter.
func (s *shared) ResetSession(context.Context) error { return nil }

// Close implements driver.Conn: what was prepared is closed with it.
func (s *shared) Close() (err error) {
	for _, p := range s.idle {
		err = errors.Join(err, p.Close())
	}
	return err
}

// PrepareContext implements driver.ConnPrepareContext.
func (s *shared) PrepareContext(_ context.Context, query string) (driver.Stmt, error) {
	p, ok := s.idle[query]
	if !ok {
		var err error
		if p, err = s.Conn.PrepareContext(context.Background(), query); err != nil {
			return nil, err
		}
	}
	delete(s.idle, query)
	return &prepared{statementOfSQLite: p.(statementOfSQLite), s: s, query: query}, nil
}

// BeginTx implements driver.ConnBeginTx: a transaction is a part of that of the play.
func (s *shared) BeginTx(context.Context, driver.TxOptions) (driver.Tx, error) {
	return part{s}, s.run("SAVEPOINT part")
}

// run runs a statement without values.
func (s *shared) run(query string) error {
	p, err := s.PrepareContext(context.Background(), query)
	if err != nil {
		return fmt.Errorf("preparing %s: %w", query, err)
	}
	_, err = p.(driver.StmtExecContext).ExecContext(context.Background(), nil)
	return errors.Join(err, p.Close())
}

type part struct{ s *shared }

func (p part) Commit() error { return p.s.run("RELEASE part") }

func (p part) Rollback() error {
	return errors.Join(p.s.run("ROLLBACK TO part"), p.s.run("RELEASE part"))
}

type statementOfSQLite interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
	driver.NamedValueChecker
}

// prepared is a statement that is kept when it is closed. It is not interrupted: SQLite would
// roll back the whole play, and no time passes while it runs.
type prepared struct {
	statementOfSQLite
	s      *shared
	query  string
	closed bool // database/sql may close one twice
}

func (p *prepared) ExecContext(_ context.Context, args []driver.NamedValue) (driver.Result, error) {
	return p.statementOfSQLite.ExecContext(context.Background(), args)
}

func (p *prepared) QueryContext(_ context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return p.statementOfSQLite.QueryContext(context.Background(), args)
}

func (p *prepared) Close() error {
	if p.closed {
		return nil
	}
	p.closed = true
	if _, another := p.s.idle[p.query]; another {
		return p.statementOfSQLite.Close()
	}
	p.s.idle[p.query] = p.statementOfSQLite
	return nil
}
