package main

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// helper tells this test binary, started by itself, to be the command.
const helper = "GRANTD_TEST_WITH"

func TestMain(m *testing.M) {
	if os.Getenv(helper) != "" {
		main()
	}
	os.Exit(m.Run())
}

// with prepares a run that finds both services in the environment.
func with(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), helper+"=1",
		"GRANTD_TEST_DATABASE_URL=postgres://given", "GRANTD_TEST_REDIS_URL=redis://given")
	return cmd
}

func code(t *testing.T, err error) int {
	t.Helper()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if err != nil && !ok {
		t.Fatal(err)
	}
	if !ok {
		return 0
	}
	return exit.ExitCode()
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	for want, args := range map[int][]string{
		0:   {"true"},
		7:   {"sh", "-c", "exit 7"},
		137: {"sh", "-c", "kill -9 $$"},
		127: {"/no/such/command"},
		2:   {},
	} {
		if got := code(t, with(t, args...).Run()); got != want {
			t.Errorf("%q: code %d, want %d", args, got, want)
		}
	}
}

func TestTheCommandGetsTheURLs(t *testing.T) {
	t.Parallel()
	cmd := with(t, "sh", "-c", `echo "$GRANTD_TEST_DATABASE_URL $GRANTD_TEST_REDIS_URL"`)
	var notes strings.Builder
	cmd.Stderr = &notes
	out, err := cmd.Output()
	if err != nil || string(out) != "postgres://given redis://given\n" {
		t.Errorf("out = %q, %v", out, err)
	}
	if want := "PostgreSQL: using GRANTD_TEST_DATABASE_URL\nRedis: using GRANTD_TEST_REDIS_URL\n"; notes.String() != want {
		t.Errorf("notes = %q", notes.String())
	}
}

func TestSignalsAreForwarded(t *testing.T) {
	t.Parallel()
	cmd := with(t, "sh", "-c", `trap 'kill $!; exit 9' TERM; sleep 60 >/dev/null 2>&1 & echo ready; wait`)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if !bufio.NewScanner(out).Scan() {
		t.Error("the command never was ready")
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got := code(t, cmd.Wait()); got != 9 {
		t.Errorf("code %d", got)
	}
}
