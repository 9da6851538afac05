package store

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/grantd/grantd/models"
)

// postgresFetches runs the hot query on pgx itself, on connections that nothing else
// can take: however many refreshes wait for one of the others, a fresh token is read.
type postgresFetches struct {
	take    takeConnection
	one     string // the query for one id
	many    string // the query for a list of ids
	named   string // the query for lists of organisations, users and providers
	readers sync.Pool
	close   func() error // of connections that are its own
}

// MaxFetchConns bounds the connections of the hot query: with more of them each query
// answers fewer callers, and all take longer.
const MaxFetchConns = 2

// openPostgresFetches takes the pool's configuration for everything else. No connection
// is made before the first fetch, so that a worker has none.
func openPostgresFetches(ctx context.Context, c *pgxpool.Config, conns int) (*postgresFetches, error) {
	c = c.Copy()
	c.MaxConns = int32(conns)
	// Kept: where PostgreSQL has no connection left to give, this one is there.
	c.MaxConnIdleTime = 24 * time.Hour
	c.AfterConnect = planByIndex
	c.ConnConfig.ConnectTimeout, c.PingTimeout = fetchTime, fetchTime // see load
	pool, err := pgxpool.NewWithConfig(ctx, c)
	if err != nil {
		return nil, errors.New("the postgres:// URL cannot be used")
	}
	f := newPostgresFetches(func(ctx context.Context) (*pgx.Conn, func(), error) {
		c, err := pool.Acquire(ctx)
		if err != nil {
			return nil, nil, err
		}
		return c.Conn(), c.Release, nil
	})
	f.close = func() error { pool.Close(); return nil }
	return f, nil
}

// takeConnection waits for a connection, which is the caller's until release is called.
type takeConnection func(ctx context.Context) (c *pgx.Conn, release func(), err error)

// sharedConnections are those of all other statements. Whoever takes one waits in the same line
// as they do: database/sql hands a connection on to the next in its line, and gives it back to
// the pool below only while nobody waits.
func sharedConnections(db *sql.DB) takeConnection {
	return func(ctx context.Context) (taken *pgx.Conn, release func(), err error) {
		c, err := db.Conn(ctx)
		if err != nil {
			return nil, nil, err
		}
		release = func() { _ = c.Close() } // it can only have been given back before
		if err := c.Raw(func(under any) error { taken = under.(*stdlib.Conn).Conn(); return nil }); err != nil {
			release()
			return nil, nil, err
		}
		return taken, release, nil
	}
}

func newPostgresFetches(take takeConnection) *postgresFetches {
	columns := append(fetchColumns(new(models.Linked)), fetchColumn{name: "statement_timestamp()"})
	return &postgresFetches{
		take: take,
		one:  fetchQuery(columns, "a.id = $1"),
		many: fetchQuery(columns, "a.id = ANY($1)"),
		named: strings.Replace(fetchQuery(append(columns, fetchColumn{name: "k.name"}), "true"), "FROM authorizations a",
			`FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS k (org, person, provider, name)
			JOIN authorizations a ON a.id = (`+fmt.Sprintf(newestOf, "k.org", "k.person", "k.provider")+`)`, 1),
		readers: sync.Pool{New: func() any { return newPostgresReader() }},
	}
}

// planByIndex plans the hot query once and by its indexes. Left to itself PostgreSQL plans
// a list of ids again each time, which takes longer than running it, and by the statistics
// of a table that was small when they were made.
func planByIndex(ctx context.Context, c *pgx.Conn) error {
	_, err := c.PgConn().Exec(ctx, "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; "+
		"SET enable_hashjoin = off; SET enable_mergejoin = off").ReadAll()
	return err
}

// loadNamed is load for names, as FetchableOf makes them.
func (f *postgresFetches) loadNamed(ctx context.Context, names []string) (map[string]*models.Linked, error) {
	var parts [3][]string
	numbers := make([]string, len(names)) // in place of the names, which no text of PostgreSQL holds
	for i, name := range names {
		for part, text := range strings.SplitN(name, nameSeparator, len(parts)) {
			parts[part] = append(parts[part], text)
		}
		numbers[i] = strconv.Itoa(i)
	}
	numbered, err := f.run(ctx, len(names), func(rows pgx.Rows, l *models.Linked) string {
		values := rows.RawValues()
		return string(values[len(values)-1])
	}, f.named, parts[0], parts[1], parts[2], numbers)
	found := make(map[string]*models.Linked, len(numbered))
	for number, l := range numbered {
		if i, err := strconv.Atoi(number); err == nil {
			found[names[i]] = l
		}
	}
	return found, err
}

func newPostgresReader() *fetchReader {
	r := newFetchReader()
	r.columns = append(r.columns, fetchColumn{"statement_timestamp()", &r.row.Now})
	return r
}

// load ends at ctx's deadline by a deadline of the connection: for a context that may be
// cancelled pgx starts a goroutine with each query, which costs more than decoding a row.
func (f *postgresFetches) load(ctx context.Context, ids []string) (map[string]*models.Linked, error) {
	byID := func(_ pgx.Rows, l *models.Linked) string { return l.Authorization.ID }
	if len(ids) == 1 {
		return f.run(ctx, 1, byID, f.one, ids[0])
	}
	return f.run(ctx, len(ids), byID, f.many, ids)
}

// run reads the rows of a query for n of them, by the key that each of them has.
func (f *postgresFetches) run(ctx context.Context, n int, key func(pgx.Rows, *models.Linked) string, query string, arguments ...any) (map[string]*models.Linked, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	conn, release, err := f.take(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	ctx = context.WithoutCancel(ctx)
	network := conn.PgConn().Conn()
	if err := network.SetDeadline(deadline); err != nil {
		return nil, err
	}
	defer func() { _ = network.SetDeadline(time.Time{}) }() // fails only on a connection that is closed
	rows, err := conn.Query(ctx, query, arguments...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	reader := f.readers.Get().(*fetchReader)
	defer f.readers.Put(reader)
	found := make(map[string]*models.Linked, n)
	for rows.Next() {
		l, err := reader.read(postgresValues(rows.RawValues()))
		if err != nil {
			return nil, err
		}
		found[key(rows, l)] = l
	}
	return found, rows.Err()
}

// postgresValues are in the formats that pgx asks PostgreSQL for: texts and JSON as text,
// everything else binary.
type postgresValues [][]byte

func (v postgresValues) null(i int) bool  { return v[i] == nil }
func (v postgresValues) raw(i int) []byte { return v[i] }

func (v postgresValues) bool(i int) (bool, error) {
	if len(v[i]) != 1 {
		return false, v.odd(i)
	}
	return v[i][0] == 1, nil
}

func (v postgresValues) int(i int) (int64, error) {
	if len(v[i]) != 8 {
		return 0, v.odd(i)
	}
	return int64(binary.BigEndian.Uint64(v[i])), nil
}

// postgresEpoch is 2000-01-01, from which PostgreSQL counts microseconds.
const postgresEpoch = 946684800_000_000

func (v postgresValues) time(i int) (time.Time, error) {
	n, err := v.int(i)
	return time.UnixMicro(n + postgresEpoch).UTC(), err
}

func (v postgresValues) odd(i int) error {
	return fmt.Errorf("PostgreSQL sent %d bytes, which is no value in its binary format", len(v[i]))
}
