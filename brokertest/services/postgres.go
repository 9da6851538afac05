package services

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

var postgres = kind{
	name:    "PostgreSQL",
	env:     "GRANTD_TEST_DATABASE_URL",
	install: "postgresql",
	find:    func(m machine) string { return m.find("postgres", "initdb") },
	start:   startPostgres,
	compose: "postgres",
	port:    "5432",
	url:     postgresURL,
}

func postgresURL(addr string) string {
	return "postgres://postgres@" + addr + "/postgres?sslmode=disable"
}

// StartPostgres starts a PostgreSQL of its own, for a test that stops, kills or
// pauses it. Settings are lines of postgresql.conf, such as
// "synchronous_commit=off". The error is ErrMissing where none is installed.
func StartPostgres(ctx context.Context, settings ...string) (*Server, error) {
	return postgres.startLocal(ctx, settings)
}

func startPostgres(ctx context.Context, binary string, settings ...string) (*Server, error) {
	who, err := postgresUser()
	if err != nil {
		return nil, err
	}
	return launch(ctx, recipe{
		name:    "PostgreSQL",
		prepare: func(ctx context.Context, folder string) error { return initdb(ctx, binary, folder, who) },
		command: func(folder string, port int) command {
			return command{path: binary, args: postgresArgs(folder, port, settings), dir: folder, user: who}
		},
		ready: func(_ context.Context, folder string, _, pid int) bool { return postmasterReady(folder, pid) },
		stop:  syscall.SIGINT, // "fast": does not wait for clients
		// SIGKILL would leave PostgreSQL's shared memory behind.
		orphan: syscall.SIGQUIT,
		url:    postgresURL,
	})
}

// postgresUser returns nil unless we are root, whom PostgreSQL refuses.
func postgresUser() (*syscall.Credential, error) {
	return unprivileged("postgres", "nobody")
}

// unprivileged returns the first of these users that there is, and nil unless we are
// root.
func unprivileged(names ...string) (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	for _, name := range names {
		if u, err := user.Lookup(name); err == nil {
			uid, _ := strconv.ParseUint(u.Uid, 10, 32)
			gid, _ := strconv.ParseUint(u.Gid, 10, 32)
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
		}
	}
	return nil, fmt.Errorf("servers do not run as root here, and there is no user %s", strings.Join(names, " or "))
}

func initdb(ctx context.Context, binary, folder string, who *syscall.Credential) error {
	if who != nil {
		if err := os.Chown(folder, int(who.Uid), int(who.Gid)); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, filepath.Join(filepath.Dir(binary), "initdb"),
		"--pgdata="+filepath.Join(folder, "data"), "--username=postgres", "--auth=trust",
		"--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions")
	cmd.Dir = folder
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return nil
}

// postgresArgs keeps what grantd relies on (synchronous_commit) and drops what
// only a crash of the machine would need.
func postgresArgs(folder string, port int, settings []string) []string {
	args := []string{"-D", filepath.Join(folder, "data"), "-p", strconv.Itoa(port)}
	defaults := []string{
		"listen_addresses=127.0.0.1", "unix_socket_directories=" + folder,
		"max_connections=200", "shared_buffers=64MB",
		"synchronous_commit=on", "fsync=off", "full_page_writes=off",
	}
	for _, s := range append(defaults, settings...) {
		args = append(args, "-c", s)
	}
	return args
}

// postmasterReady reads the file in which PostgreSQL says who it is and how far
// it has come. To connect would not do: another server may sit on the port.
func postmasterReady(folder string, pid int) bool {
	data, err := os.ReadFile(filepath.Join(folder, "data", "postmaster.pid"))
	lines := strings.Split(string(data), "\n")
	return err == nil && len(lines) > 7 &&
		lines[0] == strconv.Itoa(pid) && strings.TrimSpace(lines[7]) == "ready"
}
