package services

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
)

// Required reports whether a missing service is a failure rather than a reason to
// skip: GRANTD_TEST_REQUIRE_SERVICES=1.
func Required() bool { return os.Getenv("GRANTD_TEST_REQUIRE_SERVICES") == "1" }

// shared is the one Set of this test process.
var shared struct {
	once sync.Once
	set  *Set
	err  error
}

// Main runs the tests of a package and stops the shared services afterwards:
//
//	func TestMain(m *testing.M) { services.Main(m) }
//
// It calls what else is to be ended.
//
// A package without it leaves that to the kernel, and the servers' folder to the
// next run.
func Main(m *testing.M, end ...func()) {
	code := m.Run()
	for _, f := range end {
		f()
	}
	shared.once.Do(func() {}) // from now on nothing starts
	if shared.set != nil {
		if err := shared.set.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "stopping the services of the tests:", err)
		}
	}
	os.Exit(code)
}

// Shared returns the Set of this test process and starts it on first use. The
// test is skipped when a service is missing, or fails if services are required.
func Shared(t testing.TB) *Set {
	t.Helper()
	s := sharedSet(t)
	if len(s.Missing) > 0 {
		Skip(t, strings.Join(s.Missing, "; "))
	}
	return s
}

// Database returns the URL of an empty PostgreSQL database that is dropped with
// the test. The test is skipped when there is no PostgreSQL.
func Database(t testing.TB) string {
	t.Helper()
	return lend(t, postgres, func(s *Set) string { return s.PostgresURL }, (*Set).NewDatabase)
}

// RedisDatabase returns the URL of an empty Redis database that is emptied after
// the test. The test is skipped when there is no Redis.
func RedisDatabase(t testing.TB) string {
	t.Helper()
	return lend(t, redisServer, func(s *Set) string { return s.RedisURL }, (*Set).NewRedis)
}

func lend(t testing.TB, k kind, url func(*Set) string, get func(*Set, context.Context) (string, func(), error)) string {
	t.Helper()
	s := sharedSet(t)
	if url(s) == "" {
		Skip(t, fmt.Sprintf("there is no %s: install %s or set %s", k.name, k.install, k.env))
	}
	lent, drop, err := get(s, t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(drop)
	return lent
}

func sharedSet(t testing.TB) *Set {
	t.Helper()
	// Not the test's context: the servers outlive the test that was first.
	shared.once.Do(func() { shared.set, shared.err = Start(context.Background()) })
	if shared.err != nil {
		t.Fatal("starting the services of the tests: ", shared.err)
	}
	return shared.set
}

// Skip leaves a test out because of what is missing, or fails it where services are
// required.
func Skip(t testing.TB, why string) {
	t.Helper()
	if Required() {
		t.Fatal(why)
	}
	t.Skip("left out: " + why)
}
