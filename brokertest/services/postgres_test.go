package services

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
)

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), url)
	must(t, err)
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

func ask(t *testing.T, url, query string) (answer string) {
	t.Helper()
	must(t, connect(t, url).QueryRow(t.Context(), query).Scan(&answer))
	return answer
}

func TestPostgresKeepsPortAndDataAcrossStopAndKill(t *testing.T) {
	t.Parallel()
	s := own(t, StartPostgres)
	must(t, execute(t.Context(), s.URL, "CREATE TABLE kept AS SELECT 'yes' AS answer"))
	for name, end := range map[string]func() error{"stop": s.Stop, "kill": s.Kill} {
		connect(t, s.URL) // somebody is connected while it ends
		must(t, end())
		if _, err := pgx.Connect(t.Context(), s.URL); err == nil {
			t.Fatalf("%s: still answers", name)
		}
		must(t, s.Start(t.Context()))
		if got := ask(t, s.URL, "SELECT answer FROM kept"); got != "yes" {
			t.Fatalf("%s: lost its data", name)
		}
	}
}

func TestPausedPostgresHangsAndGoesOn(t *testing.T) {
	t.Parallel()
	s := own(t, StartPostgres)
	idle := connect(t, s.URL)
	must(t, s.Pause())
	if err := idle.Ping(soon(t)); err == nil {
		t.Error("an open connection answers")
	}
	if _, err := pgx.Connect(soon(t), s.URL); err == nil {
		t.Error("a new connection answers")
	}
	must(t, s.Resume())
	must(t, connect(t, s.URL).Ping(t.Context()))

	must(t, s.Pause())
	must(t, s.Stop()) // a paused server can be stopped
}

// A start of grantd is refused where a commit may be lost, so the usual server
// must keep commits, and a test must be able to have the other one.
func TestPostgresSettings(t *testing.T) {
	t.Parallel()
	if got := ask(t, own(t, StartPostgres).URL, "SHOW synchronous_commit"); got != "on" {
		t.Errorf("synchronous_commit = %s", got)
	}
	if got := ask(t, own(t, StartPostgres, "synchronous_commit=off").URL, "SHOW synchronous_commit"); got != "off" {
		t.Errorf("synchronous_commit = %s", got)
	}
}

func TestEachDatabaseIsItsOwn(t *testing.T) {
	t.Parallel()
	one, two := Database(t), Database(t)
	must(t, execute(t.Context(), one, "CREATE TABLE mine ()"))
	if got := ask(t, two, "SELECT count(*)::text FROM pg_tables WHERE tablename = 'mine'"); got != "0" {
		t.Error("two tests share a database")
	}
}

func TestADatabaseIsDroppedUnderItsUsers(t *testing.T) {
	t.Parallel()
	s := Shared(t)
	url, drop, err := s.NewDatabase(t.Context())
	must(t, err)
	user := connect(t, url)
	drop()
	if err := user.Ping(t.Context()); err == nil {
		t.Error("the database is still there")
	}
}
