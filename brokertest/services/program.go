package services

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Program is a server of any kind that a test wants to have for itself.
type Program struct {
	Name    string
	Prepare func(ctx context.Context, folder string) error // once, before the first start
	Command func(folder string, port int) Command
	Ready   string // a path that it answers with 200 once it is ready
}

// Command is what to run.
type Command struct {
	Path string
	Args []string
	Env  []string // beside our own
}

// RunProgram runs a server until the test ends, as startProgram does. A test that fails shows the
// end of its log.
func RunProgram(ctx context.Context, t testing.TB, p Program) *Server {
	t.Helper()
	server, err := startProgram(ctx, p)
	if err != nil {
		t.Fatalf("%v", err) // with the end of its log
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of the log of %s:\n%s", p.Name, server.Log())
		}
		if err := server.Close(); err != nil {
			t.Errorf("ending %s: %v", p.Name, err)
		}
	})
	return server
}

// startProgram starts a server on a free loopback port, with a temporary folder for its
// data and its log, and returns when it is ready. Its URL is http. Where we are root it
// runs as nobody, who then owns the folder. Like all servers here it ends with the
// process that started it.
func startProgram(ctx context.Context, p Program) (*Server, error) {
	who, err := unprivileged("nobody")
	if err != nil {
		return nil, err
	}
	return launch(ctx, recipe{
		name: p.Name,
		prepare: func(ctx context.Context, folder string) error {
			return errors.Join(p.Prepare(ctx, folder), handOver(folder, who))
		},
		command: func(folder string, port int) command {
			c := p.Command(folder, port)
			return command{path: c.Path, args: c.Args, env: c.Env, dir: folder, user: who}
		},
		ready: func(ctx context.Context, _ string, port, _ int) bool {
			return answers(ctx, "http://"+loopback(port)+p.Ready)
		},
		stop:   syscall.SIGTERM,
		orphan: syscall.SIGKILL,
		url:    func(addr string) string { return "http://" + addr },
	})
}

// answers reports whether an address is answered with 200.
func answers(ctx context.Context, url string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	return response.Body.Close() == nil && response.StatusCode == http.StatusOK
}

// handOver makes who the owner of a folder and of what is in it.
func handOver(folder string, who *syscall.Credential) error {
	if who == nil {
		return nil
	}
	return filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Chown(path, int(who.Uid), int(who.Gid)))
	})
}

// Log is the end of what the server has written so far.
func (s *Server) Log() string { return tail(s.logPath()) }
