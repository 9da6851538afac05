package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/driver"
	"github.com/ncruces/go-sqlite3/gormlite"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/grantd/grantd/migrations"
	"github.com/grantd/grantd/traces"
)

// Options say which database to open and how.
type Options struct {
	// URL is "sqlite:PATH" or "postgres://…".
	URL string
	// Clock is the time on SQLite, where the process is the database. PostgreSQL
	// has its own. Nil means time.Now.
	Clock func() time.Time
	// MaxConns bounds the PostgreSQL pool; 0 means 16, beyond which the tail of
	// the latencies grows without more throughput.
	MaxConns int
	// FetchConns are the PostgreSQL connections that only the hot query uses, beside
	// those: 1 or 2, 0 means 1. Two serve more where the database is far away.
	FetchConns int
	// AllowAsyncCommit accepts a PostgreSQL that may lose the last commits in a
	// crash, and with them refresh tokens that cannot be replaced (R11).
	AllowAsyncCommit bool
	// Traces gets a span for each statement on PostgreSQL; nil for none.
	Traces *traces.Tracer
	// Between is what a test puts between grantd and the database; nil in production.
	Between *Between
}

// Between sees every statement before the database does, so that a test can decide when
// each of them runs, and whether its answer arrives.
type Between struct {
	// Pool wraps what runs statements and begins transactions.
	Pool func(gorm.ConnPool) gorm.ConnPool
	// Fetch is called around the hot query for these authorizations, which has a connection
	// of its own. It returns what query returns, or an error of its own.
	Fetch func(ids []string, query func() error) error
	// Asks is called before somebody joins those whom the hot query answers together.
	Asks func(ctx context.Context, id string)
	// Answered is called before each of them goes on with the answer.
	Answered func(ctx context.Context, id string)
	// SQLite is one connection that several stores use for everything, the hot query
	// included, in the place of connections of their own. It is left open. Nil for none.
	SQLite *sql.DB
	// Prepare prepares a statement of the hot query on that connection, or returns the one that it prepared before. It is
	// left open too.
	Prepare func(query string) (*sqlite3.Stmt, error)
	// Like is a store on the same connection, from which this one has what gorm knows of the
	// types of rows. Nil for none.
	Like *Store
}

// Store is an open database, or one transaction of it.
type Store struct {
	db      *gorm.DB
	sql     *sql.DB
	pool    *pgxpool.Pool // under sql, on PostgreSQL
	fetches *batches
	named   *batches // by what a user has linked at a provider
	claims  *batches // those of FetchableAll
	// closeFetches ends the connections of the hot query.
	closeFetches func() error
	dialect      dialect
	clock        func() time.Time
	between      *Between
	inTx         bool
	observer     *Observer
	afterTx      *[]func() // what is called once the transaction is committed
}

// Open connects to the database that o names and checks that it keeps what it
// acknowledges (R11). It does not look at the schema: see Migrate and CheckSchema.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	// What SQLite keeps has milliseconds; what is answered must equal what is read later.
	s := &Store{observer: &Observer{}, clock: func() time.Time { return o.Clock().UTC().Truncate(time.Millisecond) }, between: o.Between}
	var err error
	switch scheme, path, _ := strings.Cut(o.URL, ":"); scheme {
	case "sqlite":
		if o.Between != nil && o.Between.SQLite != nil {
			return s, s.useShared(o.Between.SQLite, o.Between.Like)
		}
		err = s.openSQLite(path)
	case "postgres", "postgresql":
		err = s.openPostgres(ctx, o)
	default:
		err = fmt.Errorf("a database URL begins with sqlite: or postgres://")
	}
	if err != nil {
		return nil, err
	}
	if err := s.sql.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("connecting to the database: %w", plainly(err)), s.Close())
	}
	return s, s.checkDurability(ctx, o.AllowAsyncCommit)
}

// openSQLite opens the file with one connection: SQLite has one writer, and
// waiting for it in Go is fairer and faster than inside SQLite.
func (s *Store) openSQLite(path string) error {
	if path == "" {
		return errors.New("sqlite: needs a path, such as sqlite:grantd.db")
	}
	// Made here, so that only its owner may read who authorized what.
	made, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("opening the database: %w", err)
	}
	if err := made.Close(); err != nil {
		return fmt.Errorf("opening the database: %w", err)
	}
	dsn := sqliteURL(path, "journal_mode(wal)", "busy_timeout(5000)", "foreign_keys(1)", "synchronous(full)") +
		"&_txlock=immediate&_timefmt=" + url.QueryEscape(sqliteTime)
	db, err := driver.Open(dsn, func(c *sqlite3.Conn) error { return keepPrivate(c, path) })
	if err != nil {
		return fmt.Errorf("opening %s: %w", path, err)
	}
	db.SetMaxOpenConns(1)
	s.fetch(&sqliteFetches{path: path, clock: s.clock})
	return s.use(db, sqliteDialect, gormlite.OpenDB(db))
}

func (s *Store) fetch(reads *sqliteFetches) {
	s.fetches, s.closeFetches = &batches{load: reads.load, most: 1}, reads.close
	s.named = &batches{load: reads.loadNamed, most: 1}
	s.claims = &batches{load: reads.load}
}

// useShared uses the connection of others.
func (s *Store) useShared(db *sql.DB, like *Store) error {
	s.fetch(&sqliteFetches{shared: db, prepareShared: s.between.Prepare, clock: s.clock})
	if like == nil {
		return s.use(db, sqliteDialect, gormlite.OpenDB(db))
	}
	s.sql, s.dialect = db, sqliteDialect
	s.db = like.db.Session(&gorm.Session{NewDB: true, Context: context.Background(), NowFunc: s.clock})
	s.db.ConnPool = db
	s.putBetween()
	return nil
}

func sqliteURL(path string, pragmas ...string) string {
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?_pragma=" + strings.Join(pragmas, "&_pragma=")
}

// keepPrivate gives the database's log and the log's index, which hold the same rows, the
// mode of the database, as SQLite's own file layer does and this one does not. A
// connection makes them when it first reads.
func keepPrivate(c *sqlite3.Conn, path string) error {
	if err := c.Exec("SELECT 1 FROM sqlite_master LIMIT 1"); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	for _, beside := range []string{path + "-wal", path + "-shm"} {
		if err := os.Chmod(beside, info.Mode().Perm()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (s *Store) openPostgres(ctx context.Context, o Options) error {
	config, err := pgxpool.ParseConfig(o.URL)
	if err != nil {
		// pgx repeats the URL, and with it the password.
		return errors.New("the postgres:// URL cannot be parsed")
	}
	if mode := config.ConnConfig.DefaultQueryExecMode; mode == pgx.QueryExecModeExec || mode == pgx.QueryExecModeSimpleProtocol {
		return errors.New("default_query_exec_mode must not be exec or simple_protocol: with these PostgreSQL sends " +
			"its values as text, and tokens are read in its binary format. Leave the parameter out of the URL")
	}
	fetchConns := cmp.Or(o.FetchConns, 1)
	if fetchConns < 1 || fetchConns > MaxFetchConns {
		return fmt.Errorf("the connections for fetching tokens must be 1 to %d", MaxFetchConns)
	}
	config.MaxConns = int32(cmp.Or(o.MaxConns, 16))
	config.MaxConnIdleTime = time.Minute
	config.AfterConnect = readUTC
	if o.Traces != nil {
		config.ConnConfig.Tracer = traced{o.Traces}
	}
	// A process that freezes inside a transaction, or is cut off, keeps its rows
	// locked until PostgreSQL notices: after this, not after hours.
	config.ConnConfig.RuntimeParams["idle_in_transaction_session_timeout"] = "15s"
	if s.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return errors.New("the postgres:// URL cannot be used")
	}
	reads, err := openPostgresFetches(ctx, config, fetchConns)
	if err != nil {
		s.pool.Close()
		return err
	}
	s.fetches, s.closeFetches = &batches{load: reads.load, most: fetchConns}, reads.close
	s.named = &batches{load: reads.loadNamed, most: fetchConns}
	db := stdlib.OpenDBFromPool(s.pool)
	db.SetMaxOpenConns(int(config.MaxConns))
	s.claims = &batches{load: newPostgresFetches(sharedConnections(db)).load}
	return s.use(db, postgresDialect, postgres.New(postgres.Config{Conn: db}))
}

// plainly puts what PostgreSQL itself said before what else went wrong on the way: where
// it refuses a password, pgx reports the attempt with TLS first.
func plainly(err error) error {
	refused, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return err
	}
	switch refused.Code {
	case "28P01", "28000":
		return fmt.Errorf("PostgreSQL refuses the user or the password (%s)", refused.Code)
	case "3D000":
		return errors.New("PostgreSQL has no database of that name (3D000)")
	}
	return fmt.Errorf("PostgreSQL says: %w", refused)
}

// readUTC makes a connection return times in UTC, as the API shows them.
func readUTC(_ context.Context, c *pgx.Conn) error {
	c.TypeMap().RegisterType(&pgtype.Type{
		Name: "timestamptz", OID: pgtype.TimestamptzOID,
		Codec: &pgtype.TimestamptzCodec{ScanLocation: time.UTC},
	})
	return nil
}

func (s *Store) use(db *sql.DB, d dialect, g gorm.Dialector) error {
	s.sql, s.dialect = db, d
	var err error
	s.db, err = gorm.Open(g, &gorm.Config{
		// gorm's logger prints statements with their values, secrets included.
		Logger:                 logger.Discard,
		TranslateError:         true,
		SkipDefaultTransaction: true,
		DisableAutomaticPing:   true,
		NowFunc:                s.clock,
		QueryFields:            true, // see columns
	})
	if err != nil {
		return errors.Join(fmt.Errorf("opening the database: %w", err), db.Close())
	}
	if err := answerInTheDomainsErrors(s.db); err != nil {
		return errors.Join(fmt.Errorf("opening the database: %w", err), db.Close())
	}
	s.putBetween()
	return nil
}

func (s *Store) putBetween() {
	if s.between != nil {
		s.db.ConnPool = s.between.Pool(s.db.ConnPool)
		s.db.Statement.ConnPool = s.db.ConnPool
		s.fetches.load, s.claims.load = s.between.around(s.fetches.load), s.between.around(s.claims.load)
	}
}

// checkDurability refuses a database that acknowledges what it may still lose,
// and a replica, whose tokens may be behind (R11).
func (s *Store) checkDurability(ctx context.Context, allowAsync bool) error {
	if s.dialect.name != migrations.Postgres {
		return nil
	}
	var commit string
	var replica bool
	err := s.sql.QueryRowContext(ctx, `SELECT current_setting('synchronous_commit'), pg_is_in_recovery()`).Scan(&commit, &replica)
	switch {
	case err != nil:
		err = fmt.Errorf("asking the database for its settings: %w", err)
	case replica:
		err = errors.New("the database is a read replica; GRANTD_DATABASE_URL must name the primary")
	case commit == "off" && !allowAsync:
		err = errors.New("the database runs with synchronous_commit=off and may lose refresh tokens that cannot be replaced; " +
			"turn it on, or accept the loss with GRANTD_ALLOW_ASYNC_COMMIT=true")
	}
	if err != nil {
		return errors.Join(err, s.Close())
	}
	return nil
}

// Ping asks the database whether it is there.
func (s *Store) Ping(ctx context.Context) error { return s.sql.PingContext(ctx) }

// Close ends all connections.
func (s *Store) Close() error {
	err := s.closeFetches()
	if s.between == nil || s.between.SQLite == nil {
		err = errors.Join(err, s.sql.Close())
	}
	if s.pool != nil {
		s.pool.Close()
	}
	return err
}

// Tx runs f in one transaction, which commits when f returns nil. Inside f only
// the store it is given may be used: on SQLite the outer one would wait for the
// connection that f holds.
func (s *Store) Tx(ctx context.Context, f func(*Store) error) error {
	if s.inTx {
		return f(s)
	}
	var after []func()
	err := s.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		after = nil
		inner := *s
		inner.db, inner.inTx, inner.afterTx = tx, true, &after
		return f(&inner)
	})
	if err == nil {
		for _, tell := range after {
			tell()
		}
	}
	return err
}
