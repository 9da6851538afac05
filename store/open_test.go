package store_test

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/grantd/grantd/brokertest/services"
	"github.com/grantd/grantd/store"
)

// Finding F7: beside a database of mode 0600 its log and the log's index were 0644, in a
// folder that had existed before. They hold the same rows.
func TestTheFilesOfADatabaseArePrivate(t *testing.T) {
	folder := t.TempDir()
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "grantd.db")
	open := func() *store.Store {
		s, err := store.Open(context.Background(), store.Options{URL: "sqlite:" + path})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Migrate(context.Background()); err != nil {
			t.Fatal(err)
		}
		return s
	}
	wantModes := func(mode os.FileMode) {
		t.Helper()
		for _, name := range []string{path, path + "-wal", path + "-shm"} {
			info, err := os.Stat(name)
			if err != nil {
				t.Fatal(err)
			}
			if info.Mode().Perm() != mode {
				t.Errorf("%s has mode %04o, want %04o", filepath.Base(name), info.Mode().Perm(), mode)
			}
		}
	}
	first := open()
	wantModes(0o600)
	first.Close() // the last one to close removes the log
	first = open()
	defer first.Close()
	wantModes(0o600)

	// What an operator decided for the database holds for the log too.
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	second := open()
	defer second.Close()
	wantModes(0o640)
}

// A wrong password was told as a failure of TLS first, and what PostgreSQL had said last.
func TestAWrongPasswordIsNamedFirst(t *testing.T) {
	rules, err := os.CreateTemp("", "grantd-hba-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(rules.Name())
	if _, err := rules.WriteString("host all ada 127.0.0.1/32 scram-sha-256\nhost all postgres 127.0.0.1/32 trust\n"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(rules.Chmod(0o644), rules.Close()); err != nil {
		t.Fatal(err)
	}
	server, err := services.StartPostgres(t.Context(), "hba_file="+rules.Name())
	if errors.Is(err, services.ErrMissing) {
		services.Skip(t, "it needs a PostgreSQL of its own: "+err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	admin, err := pgx.Connect(t.Context(), server.URL)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.Exec(t.Context(), "CREATE ROLE ada LOGIN PASSWORD 'right'"); err != nil {
		t.Fatal(err)
	}
	if err := admin.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	address := func(user *url.Userinfo, database string) string {
		u, err := url.Parse(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		u.User, u.Path = user, database
		u.RawQuery = "" // TLS is tried first, as by default
		return u.String()
	}
	for wanted, at := range map[string]string{
		"connecting to the database: PostgreSQL refuses the user or the password (28P01)": address(url.UserPassword("ada", "wrong"), "/postgres"),
		"connecting to the database: PostgreSQL has no database of that name (3D000)":     address(url.User("postgres"), "/absent"),
	} {
		_, err := store.Open(t.Context(), store.Options{URL: at})
		if err == nil || !strings.HasPrefix(err.Error(), wanted) {
			t.Errorf("said %v, want %s", err, wanted)
		}
		if err != nil && strings.Contains(err.Error(), "wrong") {
			t.Errorf("the error repeats the password: %v", err)
		}
	}
}
