package services

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func environment(pairs map[string]string) func(string) string {
	return func(name string) string { return pairs[name] }
}

// program writes an executable shell script.
func program(t *testing.T, path, script string) string {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755))
	return path
}

func TestVariablesComeFirst(t *testing.T) {
	t.Parallel()
	m := thisMachine()
	m.getenv = environment(map[string]string{
		"GRANTD_TEST_DATABASE_URL": "postgres://me:pw@db/x", "GRANTD_TEST_REDIS_URL": "redis://:pw@cache/3"})
	s, err := start(t.Context(), m)
	must(t, err)
	want := &Set{PostgresURL: "postgres://me:pw@db/x", RedisURL: "redis://:pw@cache/3",
		Notes: []string{"PostgreSQL: using GRANTD_TEST_DATABASE_URL", "Redis: using GRANTD_TEST_REDIS_URL"}}
	if diff := cmp.Diff(want, s, cmp.AllowUnexported(Set{})); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsMissingIsSaid(t *testing.T) {
	t.Parallel()
	s, err := start(t.Context(), machine{getenv: environment(nil), folders: []string{t.TempDir()}})
	must(t, err)
	want := []string{
		"PostgreSQL: none found — the tests on PostgreSQL are left out; install postgresql or set GRANTD_TEST_DATABASE_URL",
		"Redis: none found — the tests on Redis are left out; install redis-server or set GRANTD_TEST_REDIS_URL",
	}
	if diff := cmp.Diff(want, s.Missing); diff != "" {
		t.Error(diff)
	}
	if _, _, err := s.NewDatabase(t.Context()); err == nil {
		t.Error("a database without PostgreSQL")
	}
	if _, _, err := s.NewRedis(t.Context()); err == nil {
		t.Error("a database without Redis")
	}
}

// fakeDocker knows what Start asks, and writes down what it was asked.
const fakeDocker = `
echo "$*" >> "$(dirname "$0")/asked"
case "$*" in
*"port postgres 5432") echo 127.0.0.1:40001 ;;
*"port redis 6379") echo 127.0.0.1:40002 ;;
esac`

func TestDockerComesLast(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s, err := start(t.Context(), machine{getenv: environment(nil), docker: program(t, folder+"/docker", fakeDocker)})
	must(t, err)
	if s.PostgresURL != "postgres://postgres@127.0.0.1:40001/postgres?sslmode=disable" || s.RedisURL != "redis://127.0.0.1:40002/0" {
		t.Errorf("URLs %s, %s", s.PostgresURL, s.RedisURL)
	}
	must(t, s.Close())
	asked, err := os.ReadFile(folder + "/asked")
	must(t, err)
	if n := strings.Count(string(asked), "down --volumes"); n != 2 {
		t.Errorf("%d containers were taken down:\n%s", n, asked)
	}
}

func TestDockerThatDoesNotAnswerIsNoService(t *testing.T) {
	t.Parallel()
	s, err := start(t.Context(), machine{getenv: environment(nil), docker: program(t, t.TempDir()+"/docker", "exit 1")})
	must(t, err)
	if len(s.Missing) != 2 {
		t.Errorf("missing %q", s.Missing)
	}
}

func TestTheHighestVersionIsFound(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, f := range []string{"v9.6/postgres", "v9.6/initdb", "v10/postgres", "v10/initdb", "v15/postgres", "v15/initdb", "v17/postgres"} {
		program(t, filepath.Join(root, f), "")
	}
	m := machine{folders: []string{filepath.Join(root, "v*")}}
	if got := m.find("postgres", "initdb"); got != filepath.Join(root, "v15/postgres") {
		t.Errorf("found %s", got)
	}
}
