package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"
)

// scene is what a row plays on. In the command the testing.TB is a stage, so that
// rows can use the test kit in either place.
type scene struct {
	testing.TB
	ctx    context.Context // ends when the row has taken too long
	binary string          // grantd
	full   bool            // the size of the command, not of the tests
}

// size is how many of something a row takes.
func (s *scene) size(full, test int) int {
	if s.full {
		return full
	}
	return test
}

// until polls until ok holds, and fails the row at its deadline.
func (s *scene) until(what string, ok func() bool) {
	s.Helper()
	if !s.eventually(ok) {
		s.Fatalf("waited without success, since %v: %s", context.Cause(s.ctx), what)
	}
}

// eventually polls until ok holds, and returns false when the row's deadline comes first.
// Any goroutine may call it.
func (s *scene) eventually(ok func() bool) bool {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-s.ctx.Done():
			return false
		case <-tick.C:
		}
	}
	return true
}

func (s *scene) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// stage is a testing.TB outside of a test. What it does not implement is not used
// by the test kit, and panics.
type stage struct {
	testing.TB
	name   string
	ctx    context.Context
	cancel context.CancelFunc

	mu       sync.Mutex
	cleanups []func()
	failures []error
	skipped  string
}

func newStage(ctx context.Context, name string) *stage {
	st := &stage{name: name}
	st.ctx, st.cancel = context.WithCancel(ctx)
	return st
}

// play runs f as the testing package runs a test: Fatal ends f alone, and what
// f leaves to Cleanup is done in any case.
func (st *stage) play(f func()) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer st.cleanUp()
		defer st.cancel()
		f()
	}()
	<-ended
}

func (st *stage) cleanUp() {
	for {
		st.mu.Lock()
		if len(st.cleanups) == 0 {
			st.mu.Unlock()
			return
		}
		last := len(st.cleanups) - 1
		f := st.cleanups[last]
		st.cleanups = st.cleanups[:last]
		st.mu.Unlock()
		f()
	}
}

func (st *stage) Name() string             { return st.name }
func (st *stage) Helper()                  {}
func (st *stage) Context() context.Context { return st.ctx }
func (st *stage) Output() io.Writer        { return os.Stderr }

func (st *stage) Cleanup(f func()) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.cleanups = append(st.cleanups, f)
}

func (st *stage) TempDir() string {
	folder, err := os.MkdirTemp("", "grantd-faults-")
	if err != nil {
		st.Fatal(err)
	}
	st.Cleanup(func() { os.RemoveAll(folder) })
	return folder
}

func (st *stage) Log(args ...any)                 { fmt.Fprintln(os.Stderr, append([]any{st.name + ":"}, args...)...) }
func (st *stage) Logf(format string, args ...any) { st.Log(fmt.Sprintf(format, args...)) }

func (st *stage) Error(args ...any) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.failures = append(st.failures, errors.New(fmt.Sprint(args...)))
}

func (st *stage) Errorf(format string, args ...any) { st.Error(fmt.Sprintf(format, args...)) }
func (st *stage) Fail()                             { st.Error("it failed") }
func (st *stage) FailNow()                          { st.Fatal("it failed") }

func (st *stage) Fatal(args ...any) {
	st.Error(args...)
	runtime.Goexit()
}

func (st *stage) Fatalf(format string, args ...any) { st.Fatal(fmt.Sprintf(format, args...)) }

func (st *stage) Failed() bool { return st.err() != nil }

func (st *stage) err() error {
	st.mu.Lock()
	defer st.mu.Unlock()
	return errors.Join(slices.Clone(st.failures)...)
}

func (st *stage) Skip(args ...any) {
	st.mu.Lock()
	st.skipped = fmt.Sprint(args...)
	st.mu.Unlock()
	runtime.Goexit()
}

func (st *stage) Skipf(format string, args ...any) { st.Skip(fmt.Sprintf(format, args...)) }
func (st *stage) SkipNow()                         { st.Skip("left out") }
func (st *stage) Skipped() bool                    { return st.skipped != "" }
