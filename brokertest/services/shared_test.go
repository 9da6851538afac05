package services

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if os.Getenv(orphanage) != "" {
		raiseOrphans()
	}
	Main(m)
}

// own skips the test when start finds no programs, and closes its server.
func own(t *testing.T, start func(context.Context, ...string) (*Server, error), settings ...string) *Server {
	t.Helper()
	s, err := start(t.Context(), settings...)
	if errors.Is(err, ErrMissing) {
		Skip(t, err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually polls until ok, for what ends or begins by itself.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatal("never happened: ", what)
		case <-poll.C:
		}
	}
}

// soon is a context for a call that is expected to hang.
func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

func TestSharedIsOneSet(t *testing.T) {
	t.Parallel()
	if a, b := Shared(t), Shared(t); a != b {
		t.Fatal("two sets")
	}
}
