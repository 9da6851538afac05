package brokertest

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/grantd/grantd/brokertest/services"
	"github.com/grantd/grantd/store"
)

// Backend is a pair of a database and a Redis.
type Backend string

// The backends: real servers, and what runs on nothing but Go.
const (
	Embedded Backend = "embedded" // SQLite and in-process Redis
	Servers  Backend = "servers"  // PostgreSQL and Redis
)

// Main runs the tests of a package, stops the services that they started, and calls what
// else is to be ended.
func Main(m *testing.M, end ...func()) { services.Main(m, end...) }

// Each runs a test on both backends. Without PostgreSQL or Redis the second is
// skipped and says so, or fails where they are required.
func Each(t *testing.T, f func(*testing.T, Backend)) {
	for _, b := range []Backend{Embedded, Servers} {
		t.Run(string(b), func(t *testing.T) {
			t.Parallel()
			f(t, b)
		})
	}
}

// URLs returns an empty database and an empty Redis that end with the test.
func (b Backend) URLs(t testing.TB) (database, redis string) {
	t.Helper()
	if b == Servers {
		return services.Database(t), services.RedisDatabase(t)
	}
	return "sqlite:" + filepath.Join(t.TempDir(), "grantd.db"), "memory:"
}

// Migrated returns a database with the present schema and an empty Redis that end with
// the test.
func (b Backend) Migrated(t testing.TB) (database, redis string) {
	t.Helper()
	if b == Servers {
		return migratedPostgres.Database(t), services.RedisDatabase(t)
	}
	database, redis = b.URLs(t)
	if err := os.WriteFile(strings.TrimPrefix(database, "sqlite:"), must(migratedSQLite())(t), 0o600); err != nil {
		t.Fatal(err)
	}
	return database, redis
}

var migratedPostgres = services.NewTemplate(migrate)

func migrate(ctx context.Context, url string) error {
	s, err := store.Open(ctx, store.Options{URL: url})
	if err != nil {
		return err
	}
	_, err = s.Migrate(ctx)
	return errors.Join(err, s.Close()) // closing brings the log of SQLite into the file
}

// migratedSQLite is the file of a migrated SQLite database: migrating takes a hundred
// times as long as a copy, and more under the race detector.
var migratedSQLite = sync.OnceValues(func() ([]byte, error) {
	folder, err := os.MkdirTemp("", "grantd-test-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "grantd.db")
	if err := migrate(context.Background(), "sqlite:"+path); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

// Store opens and migrates a database of the backend. The clock moves time on
// SQLite only: PostgreSQL has its own.
func (b Backend) Store(t testing.TB, clock *Clock) *store.Store {
	t.Helper()
	url, _ := b.Migrated(t)
	return OpenStore(t, url, clock)
}

// OpenStore opens and migrates the database at url, and closes it with the test.
func OpenStore(t testing.TB, url string, clock *Clock) *store.Store {
	t.Helper()
	return openStore(t, store.Options{URL: url, Clock: clock.Now})
}

func openStore(t testing.TB, o store.Options) *store.Store {
	t.Helper()
	s, err := store.Open(context.Background(), o)
	if err != nil {
		t.Fatalf("opening the store: %v", err)
	}
	t.Cleanup(func() { s.Close() })
	if _, err := s.Migrate(context.Background()); err != nil {
		t.Fatalf("migrating the store: %v", err)
	}
	return s
}

// SQL opens the database at url beside the store that uses it, for looking at rows
// that no question of the store is about.
func SQL(t testing.TB, url string) *sql.DB {
	t.Helper()
	driver, dsn := "pgx", url
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		driver, dsn = "sqlite3", "file:"+path+"?_pragma=busy_timeout(5000)"
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatalf("opening %s: %v", driver, err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// Column returns the values of a query's only column.
func Column[T any](t testing.TB, db *sql.DB, query string) []T {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		var v T
		if err := rows.Scan(&v); err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// Clock is the real time plus what a test has advanced it by. Its zero value is
// ready to use, and so is a nil one.
type Clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

// Now returns the clock's time, in UTC.
func (c *Clock) Now() time.Time {
	if c == nil {
		return time.Now().UTC()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().UTC().Add(c.ahead)
}

// Advance moves the clock forward.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// Eventually polls until ok holds, and fails the test when it never does: after a
// minute of a machine that has nothing else to do (see Patience).
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	limit := StartPatience(time.Minute)
	for !ok() {
		if limit.Over() {
			t.Fatalf("waited without success for %s: %s", limit, what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
