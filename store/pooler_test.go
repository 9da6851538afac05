package store_test

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/brokertest/services"
	"github.com/grantd/grantd/store"
)

// A pooler that gives a session to several connections seems to work, until a plan or a lock is another one's.
func TestAPoolerThatSharesSessionsIsFound(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		if program = "/usr/sbin/pgbouncer"; !isFile(program) {
			services.Skip(t, "this test needs pgbouncer")
		}
	}
	database := must(url.Parse(services.Database(t)))(t)
	if database.Hostname() == "" || net.ParseIP(database.Hostname()) == nil {
		t.Skip("left out: PostgreSQL is not reached over TCP here")
	}
	if s := must(store.Open(ctx, store.Options{URL: database.String()}))(t); must(s.SharedSessions(ctx))(t) {
		t.Error("without a pooler sessions are shared")
	} else if err := s.Close(); err != nil {
		t.Error(err)
	}
	for mode, want := range map[string]bool{"session": false, "transaction": true} {
		s := must(store.Open(ctx, store.Options{URL: bouncer(t, program, mode, database)}))(t)
		if got := must(s.SharedSessions(ctx))(t); got != want {
			t.Errorf("with pool_mode = %s sessions are shared: %v", mode, got)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func isFile(path string) bool { _, err := os.Stat(path); return err == nil }

// bouncer starts a PgBouncer in front of a database and returns the URL behind which it is.
func bouncer(t *testing.T, program, mode string, database *url.URL) string {
	t.Helper()
	l := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	password, _ := database.User.Password()
	if password != "" { // which PgBouncer takes for an error where it is empty
		password = " password='" + password + "'"
	}
	name := filepath.Base(database.Path)
	folder := t.TempDir()
	for _, f := range []string{folder, filepath.Dir(folder)} { // PgBouncer may run as another user
		if err := os.Chmod(f, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(folder, "pgbouncer.ini")
	settings := fmt.Sprintf(`[databases]
%[1]s = host=%[2]s port=%[3]s user=%[4]s%[5]s dbname=%[1]s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %[6]d
unix_socket_dir =
auth_type = any
pool_mode = %[7]s
ignore_startup_parameters = extra_float_digits, idle_in_transaction_session_timeout
`, name, database.Hostname(), database.Port(), database.User.Username(), password, port, mode)
	if err := os.WriteFile(file, []byte(settings), 0o644); err != nil {
		t.Fatal(err)
	}
	args := []string{"-q", file}
	if os.Getuid() == 0 { // which PgBouncer refuses to run as
		args = append([]string{"-u", "postgres"}, args...)
	}
	cmd := exec.Command(program, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	at := fmt.Sprintf("127.0.0.1:%d", port)
	brokertest.Eventually(t, "PgBouncer listens", func() bool {
		c, err := net.Dial("tcp", at)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable", database.User.Username(), at, name)
}
