package jobs

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hibiken/asynq"

	"github.com/grantd/grantd/brokertest/services"
)

// inspector looks into the queues.
func inspector(t *testing.T, r *Redis) *asynq.Inspector {
	t.Helper()
	i := asynq.NewInspector(r)
	t.Cleanup(func() { must(t, i.Close()) })
	return i
}

// serve runs a worker whose only handler is handle, until the test ends.
func serve(t *testing.T, r *Redis, handle asynq.HandlerFunc) {
	t.Helper()
	s := asynq.NewServer(r, asynq.Config{
		Concurrency: 2, Queues: Queues, LogLevel: asynq.FatalLevel,
		TaskCheckInterval: 20 * time.Millisecond, ShutdownTimeout: time.Second,
	})
	must(t, s.Start(handle))
	t.Cleanup(s.Shutdown)
}

func delivered(t *testing.T, i *asynq.Inspector, queue, id string) *asynq.TaskInfo {
	t.Helper()
	info, err := i.GetTaskInfo(queue, id)
	must(t, err)
	return info
}

func TestRingQueuesWhatTheTaskSays(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *Redis) {
		task := DeleteProvider.Task(JobRing{JobID: "j1", Ring: 1})
		must(t, newBell(t, r).Ring(t.Context(), task))
		got := delivered(t, inspector(t, r), task.Queue, task.ID)
		if got.Type != task.Kind || string(got.Payload) != string(task.Payload) {
			t.Errorf("queued %s %s", got.Type, got.Payload)
		}
		if got.MaxRetry != 0 || got.Retention != 0 || got.Timeout != taskTimeout {
			t.Errorf("policy: retries %d, retention %s, timeout %s", got.MaxRetry, got.Retention, got.Timeout)
		}
	})
}

// TestO1_TheSameRingIsQueuedOnce: the request and the sweeper may both ring.
func TestO1_TheSameRingIsQueuedOnce(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *Redis) {
		bell, i := newBell(t, r), inspector(t, r)
		for _, ring := range []int64{1, 1, 1, 2} {
			must(t, bell.Ring(t.Context(), Stats.Task(JobRing{JobID: "j", Ring: ring})))
		}
		queue, err := i.GetQueueInfo(QueueDefault)
		must(t, err)
		if queue.Pending != 2 {
			t.Errorf("%d tasks are queued, want one per ring", queue.Pending)
		}
	})
}

// TestO1_AFailedRingDoesNotBlockTheNext: asynq keeps a task that failed for good
// (90 days in its archive) and refuses its id for as long.
func TestO1_AFailedRingDoesNotBlockTheNext(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *Redis) {
		bell, i, runs := newBell(t, r), inspector(t, r), new(atomic.Int64)
		serve(t, r, func(context.Context, *asynq.Task) error {
			runs.Add(1)
			return errors.New("fails")
		})
		for ring := int64(1); ring <= 2; ring++ {
			task := Revoke.Task(AuthorizationRing{AuthorizationID: "a", Ring: ring})
			must(t, bell.Ring(t.Context(), task))
			eventually(t, "the task is archived", func() bool {
				return delivered(t, i, task.Queue, task.ID).State == asynq.TaskStateArchived
			})
			must(t, bell.Ring(t.Context(), task)) // blocked, and counts as rung
		}
		if n := runs.Load(); n != 2 {
			t.Errorf("%d runs of 2 rings: asynq retried", n)
		}
	})
}

func TestO1_ACompletedRingDoesNotBlockTheNext(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *Redis) {
		bell, runs := newBell(t, r), make(chan string, 10)
		serve(t, r, func(_ context.Context, task *asynq.Task) error {
			runs <- string(task.Payload())
			return nil
		})
		for ring := int64(1); ring <= 2; ring++ {
			task := DeleteProvider.Task(JobRing{JobID: "j", Ring: ring})
			must(t, bell.Ring(t.Context(), task))
			if got := <-runs; got != string(task.Payload) {
				t.Fatalf("ran %s, want %s", got, task.Payload)
			}
		}
	})
}

// TestO1_AnEmptiedRedisIsRungAgain: nothing in the Bell remembers what was in
// Redis before.
func TestO1_AnEmptiedRedisIsRungAgain(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *Redis) {
		bell, task := newBell(t, r), Stats.Task(JobRing{JobID: "j", Ring: 1})
		must(t, bell.Ring(t.Context(), task))
		must(t, r.probe.FlushDB(t.Context()).Err())
		must(t, bell.Ring(t.Context(), task))
		// Not asked of the inspector: asynq's client registers a queue once, and
		// after the loss only a worker, which knows its queues, finds the task.
		runs := make(chan string, 10)
		serve(t, r, func(_ context.Context, task *asynq.Task) error {
			runs <- task.Type()
			return nil
		})
		if got := <-runs; got != Stats.Name {
			t.Errorf("ran %s", got)
		}
	})
}

// away is a Redis that cannot be reached, each in its own way.
var away = map[string]func(ctx context.Context, network, addr string) (net.Conn, error){
	"refuses": func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("connection refused")
	},
	"cannot be dialled": func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	},
	"does not answer": func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() { // it reads what it is sent, and that is all
			for buf := make([]byte, 512); ; {
				if _, err := theirs.Read(buf); err != nil {
					return
				}
			}
		}()
		return ours, nil
	},
}

// TestRingGivesUp: asynq's own client would hold a request for 1.7 s and more.
// The clock is the bubble's, so 200 ms are 200 ms on the slowest machine.
func TestRingGivesUp(t *testing.T) {
	t.Parallel()
	for name, dial := range away {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				bell := NewBell(&Redis{options: redisOptions(dial)})
				for range 3 { // fewer than its connections, see below
					began := time.Now()
					if err := bell.Ring(t.Context(), Stats.Task(JobRing{JobID: "j", Ring: 1})); err == nil {
						t.Error("rang")
					}
					if took := time.Since(began); took > ringTimeout {
						t.Errorf("took %s", took)
					}
				}
				must(t, bell.Close())
				time.Sleep(time.Minute) // go-redis notices that after some seconds
			})
		})
	}
}

// TestManyRingAtOnceAndAllGiveUp is not in a bubble: those who wait for one of
// go-redis's connections use timers that the whole process shares.
func TestManyRingAtOnceAndAllGiveUp(t *testing.T) {
	t.Parallel()
	for name, dial := range away {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bell := newBell(t, &Redis{options: redisOptions(dial)})
			rung := make(chan error)
			for range 50 {
				go func() { rung <- bell.Ring(t.Context(), Stats.Task(JobRing{JobID: "j", Ring: 1})) }()
			}
			for range 50 {
				if <-rung == nil {
					t.Error("rang")
				}
			}
		})
	}
}

func TestTheBellRingsAgainWhenRedisIsBack(t *testing.T) {
	t.Parallel()
	server, err := services.StartRedis(t.Context())
	if errors.Is(err, services.ErrMissing) {
		t.Skip(err)
	}
	must(t, err)
	t.Cleanup(func() { must(t, server.Close()) })
	r := open(t, server.URL)
	bell, ring := newBell(t, r), int64(0)
	next := func() error {
		ring++
		return bell.Ring(t.Context(), Stats.Task(JobRing{JobID: "j", Ring: ring}))
	}
	for _, trouble := range []struct {
		name       string
		begin, end func() error
	}{
		{"pause", server.Pause, server.Resume},
		{"kill", server.Kill, func() error { return server.Start(t.Context()) }},
	} {
		must(t, next())
		must(t, trouble.begin())
		if next() == nil || r.Ping(t.Context()) == nil {
			t.Errorf("%s: Redis answers", trouble.name)
		}
		must(t, trouble.end())
		eventually(t, "Redis is heard again", func() bool { return next() == nil && r.Ping(t.Context()) == nil })
	}
}
