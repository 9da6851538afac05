package worker

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/jobs"
	"github.com/grantd/grantd/metrics"
)

// logged is a log that may be read while it is written.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// newTestWorker has no service behind it: what is heard and swept is what the
// test puts into kinds, sweepOnce and deliver.
func newTestWorker(t *testing.T, redisURL string) (*Worker, *jobs.Redis, *logged) {
	t.Helper()
	redis, err := jobs.OpenRedis(redisURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { redis.Close() })
	log := &logged{}
	w, err := New(Options{
		Service: &broker.Service{}, Redis: redis, SweepEvery: 10 * time.Millisecond, Grace: time.Second,
		Log:     slog.New(slog.NewTextHandler(log, nil)),
		Metrics: metrics.New(""),
	})
	if err != nil {
		t.Fatal(err)
	}
	w.sweepOnce = func(context.Context) error { return nil }
	w.deliver = func(ctx context.Context) { <-ctx.Done() }
	return w, redis, log
}

func wait[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

func start(t *testing.T, w *Worker) {
	t.Helper()
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Shutdown)
}

func TestARingIsHeardAndAPanicDoesNotEndTheWorker(t *testing.T) {
	w, redis, log := newTestWorker(t, "memory:")
	heard := make(chan string, 2)
	w.kinds[jobs.DeleteProvider.Name] = jobs.DeleteProvider.Handle(func(_ context.Context, id string) error {
		heard <- id
		if id == "bad" {
			panic("in a slice")
		}
		return nil
	}).Run
	start(t, w)
	bell := jobs.NewBell(redis)
	t.Cleanup(func() { bell.Close() })
	for _, id := range []string{"bad", "good"} {
		if err := bell.Ring(t.Context(), jobs.DeleteProvider.Task(jobs.JobRing{JobID: id, Ring: 1})); err != nil {
			t.Fatal(err)
		}
		if got := wait(t, heard); got != id {
			t.Errorf("heard %s, want %s", got, id)
		}
	}
	if !strings.Contains(log.String(), "in a slice") {
		t.Error("the log does not tell of the panic")
	}
}

func TestTasksThatCannotBeReadAreNotTriedAgain(t *testing.T) {
	w, _, _ := newTestWorker(t, "memory:")
	for kind, payload := range map[string]string{
		jobs.DeleteProvider.Name: `{`, jobs.Stats.Name: `{}`, jobs.Revoke.Name: `null`, "job:of_tomorrow": `{"jobId":"j"}`,
	} {
		if err := w.run(t.Context(), kind, []byte(payload)); !errors.Is(err, asynq.SkipRetry) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestSweepingGoesOnWhateverHappens(t *testing.T) {
	w, _, log := newTestWorker(t, "memory:")
	var running atomic.Int32
	swept, n := make(chan int), 0
	w.sweepOnce = func(ctx context.Context) error {
		if running.Add(1) > 1 {
			t.Error("two sweeps at a time")
		}
		defer running.Add(-1)
		n++
		select {
		case swept <- n:
		case <-ctx.Done():
		}
		switch n {
		case 1:
			return errors.New("database away")
		case 2:
			panic("in a sweep")
		}
		return nil
	}
	start(t, w)
	for want := 1; want <= 5; want++ {
		if got := wait(t, swept); got != want {
			t.Errorf("sweep %d, want %d", got, want)
		}
	}
	if l := log.String(); strings.Count(l, "sweeping fails") != 1 || !strings.Contains(l, "works again") {
		t.Errorf("logged %s", l)
	}
}

// Redis is only the doorbell: a worker that starts while it is away must sweep,
// and must end when it is told to.
func TestAWorkerStartsWithoutRedis(t *testing.T) {
	w, _, _ := newTestWorker(t, "redis://127.0.0.1:1")
	swept := make(chan struct{})
	w.sweepOnce = func(ctx context.Context) error {
		select {
		case swept <- struct{}{}:
		case <-ctx.Done():
		}
		return nil
	}
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	wait(t, swept)
	ended := make(chan struct{})
	go func() { w.Shutdown(); close(ended) }()
	wait(t, ended)
}

func TestShutdownCancelsWhatDoesNotFinish(t *testing.T) {
	w, redis, _ := newTestWorker(t, "memory:")
	began, stopped := make(chan struct{}), make(chan error, 1)
	w.kinds[jobs.Stats.Name] = func(ctx context.Context, _ []byte) error {
		close(began)
		<-ctx.Done()
		stopped <- ctx.Err()
		return ctx.Err()
	}
	start(t, w)
	bell := jobs.NewBell(redis)
	t.Cleanup(func() { bell.Close() })
	if err := bell.Ring(t.Context(), jobs.Stats.Task(jobs.JobRing{JobID: "j"})); err != nil {
		t.Fatal(err)
	}
	wait(t, began)
	w.Shutdown()
	select {
	case <-stopped:
	default:
		t.Error("Shutdown returned before the task did")
	}
}

func TestShutdownWithoutStartReturns(t *testing.T) {
	w, _, _ := newTestWorker(t, "memory:")
	w.Shutdown()
}

// A panic while events are delivered does not end the worker's delivering.
func TestDeliveringGoesOnAfterAPanic(t *testing.T) {
	w, _, _ := newTestWorker(t, "memory:")
	again := make(chan struct{})
	first := true
	w.deliver = func(ctx context.Context) {
		if first {
			first = false
			panic("of a test")
		}
		close(again)
		<-ctx.Done()
	}
	start(t, w)
	wait(t, again)
}
