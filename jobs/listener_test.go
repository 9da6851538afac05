package jobs

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/grantd/grantd/brokertest/services"
)

// aDay is longer than any test: who is held for so long hears the ring or nothing.
const aDay = 24 * time.Hour

// counted makes a Listener's clients and counts the requests for tasks that reach Redis.
type counted struct {
	*Listener
	dequeues atomic.Int64
}

func (c *counted) MakeRedisClient() any {
	client := c.Listener.MakeRedisClient().(redis.UniversalClient)
	client.AddHook(countDequeues{&c.dequeues})
	return client
}

type countDequeues struct{ n *atomic.Int64 }

func (c countDequeues) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if dequeues(cmd) != "" {
			c.n.Add(1)
		}
		return next(ctx, cmd)
	}
}
func (countDequeues) DialHook(next redis.DialHook) redis.DialHook { return next }
func (countDequeues) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// listen runs a worker for one queue as another process would: on a connection of its
// own, except that a Redis in this process is the same. It returns the tasks that ran.
func listen(t *testing.T, r *Redis, holdFor time.Duration) (*counted, chan string) {
	t.Helper()
	if r.memory == nil {
		r = &Redis{name: r.name, options: r.options}
		r.probe = r.impatientClient()
		t.Cleanup(func() { must(t, r.probe.Close()) })
	}
	c := &counted{Listener: newListener(r, holdFor)}
	ran := make(chan string, 100)
	server := asynq.NewServer(c, asynq.Config{
		Concurrency: 2, Queues: map[string]int{QueueDefault: 1}, LogLevel: asynq.FatalLevel,
		TaskCheckInterval: time.Millisecond, ShutdownTimeout: time.Second,
	})
	must(t, server.Start(asynq.HandlerFunc(func(_ context.Context, task *asynq.Task) error {
		ran <- string(task.Payload())
		return nil
	})))
	t.Cleanup(func() { c.Close(); server.Shutdown() })
	return c, ran
}

// held waits until requests to an empty queue are delayed by a Listener that hears rings.
func held(t *testing.T, c *counted) {
	t.Helper()
	eventually(t, "the subscription is made", c.hears.Load)
	last := int64(-1)
	eventually(t, "requests to the queue are delayed", func() bool {
		before := last
		last = c.dequeues.Load()
		return last > 0 && last == before && len(c.queues[QueueDefault]) == 0
	})
}

func runs(t *testing.T, b *Bell, ring int64, ran chan string) {
	t.Helper()
	task := Stats.Task(JobRing{JobID: "j", Ring: ring})
	must(t, b.Ring(t.Context(), task))
	hears(t, ran, string(task.Payload))
}

func hears(t *testing.T, ran chan string, want string) {
	t.Helper()
	select {
	case got := <-ran:
		if got != want {
			t.Fatalf("ran %s, want %s", got, want)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("never ran: ", want)
	}
}

// TestAnEmptyQueueIsAskedOncePerRing: the only thing that lets a request go is a ring,
// so each task that runs shows that its ring was heard.
func TestAnEmptyQueueIsAskedOncePerRing(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *Redis) {
		const rings = 50
		c, ran := listen(t, r, aDay)
		bell := newBell(t, r)
		held(t, c)
		before := c.dequeues.Load()
		for ring := range int64(rings) {
			runs(t, bell, ring, ran)
		}
		held(t, c)
		// One finds the task and one, unless the next task is there by then, that there
		// is no other. A ring that arrives after its task was found costs one more.
		if n := c.dequeues.Load() - before; n < rings || n > 3*rings {
			t.Errorf("Redis was asked %d times for %d tasks", n, rings)
		}
	})
}

// TestEveryWorkerHearsARing: which of them is free is not known to who rings.
func TestEveryWorkerHearsARing(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *Redis) {
		one, ran := listen(t, r, aDay)
		other, _ := listen(t, r, aDay)
		held(t, one)
		held(t, other)
		before := one.dequeues.Load() + other.dequeues.Load()
		bell := newBell(t, r)
		must(t, bell.announce(t.Context(), QueueDefault))
		eventually(t, "both look", func() bool { return one.dequeues.Load()+other.dequeues.Load() >= before+2 })
		select {
		case task := <-ran:
			t.Error("ran ", task)
		default:
		}
	})
}

// TestAQueueIsLookedAtWithoutARing: a ring may be lost, and asynq puts a task back
// into its queue without one.
func TestAQueueIsLookedAtWithoutARing(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *Redis) {
		c, ran := listen(t, r, holdFor)
		held(t, c)
		bell := newBell(t, r)
		bell.announce = func(context.Context, string) error { return errors.New("not published") }
		runs(t, bell, 1, ran)
	})
}

// TestClosingLetsGoOfAHeldRequest: asynq's shutdown waits for it.
func TestClosingLetsGoOfAHeldRequest(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, r *Redis) {
		l := newListener(r, aDay)
		server := asynq.NewServer(l, asynq.Config{
			Queues: Queues, LogLevel: asynq.FatalLevel, TaskCheckInterval: time.Millisecond, ShutdownTimeout: time.Minute,
		})
		must(t, server.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error { return nil })))
		eventually(t, "rings are heard", l.hears.Load)
		ended := make(chan struct{})
		go func() { l.Close(); server.Shutdown(); close(ended) }()
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			t.Fatal("the shutdown waits for a ring")
		}
		l.Close() // again, and nothing happens
	})
}

// TestARingIsHeardAfterRedisWasAway takes it away in each way, the subscription alone
// among them.
func TestARingIsHeardAfterRedisWasAway(t *testing.T) {
	t.Parallel()
	server := ownRedis(t)
	r := open(t, server.URL)
	bell, ring := newBell(t, r), int64(1)
	c, ran := listen(t, r, aDay)
	held(t, c)
	runs(t, bell, ring, ran)
	for _, trouble := range []struct {
		name string
		do   func() error
	}{
		{"killed and started", func() error {
			return errors.Join(server.Kill(), server.Start(t.Context()))
		}},
		{"the subscription is ended", func() error {
			return r.probe.ClientKillByFilter(t.Context(), "TYPE", "pubsub").Err()
		}},
	} {
		held(t, c)
		must(t, trouble.do())
		eventually(t, trouble.name+": Redis hears", func() bool {
			ring++
			return bell.Ring(t.Context(), Stats.Task(JobRing{JobID: "j", Ring: ring})) == nil
		})
		// Tasks before this one may have been queued although their ring failed.
		for want := string(Stats.Task(JobRing{JobID: "j", Ring: ring}).Payload); ; {
			select {
			case got := <-ran:
				if got == want {
					want = ""
				}
			case <-time.After(20 * time.Second):
				t.Fatalf("%s: the ring is not heard", trouble.name)
			}
			if want == "" {
				break
			}
		}
	}
}

// TestWhoMayNotSubscribePolls: a Redis user may be forbidden every channel, which is
// the default for new users.
func TestWhoMayNotSubscribePolls(t *testing.T) {
	t.Parallel()
	server := ownRedis(t)
	must(t, open(t, server.URL).probe.Do(t.Context(), "ACL", "SETUSER", "deaf", "on", ">s3cret", "~*", "+@all", "resetchannels").Err())
	r := open(t, "redis://deaf:s3cret@"+server.URL[len("redis://"):])
	c, ran := listen(t, r, aDay)
	for ring := range int64(3) {
		runs(t, newBell(t, r), ring, ran)
	}
	if c.hears.Load() {
		t.Error("it hears")
	}
}

func ownRedis(t *testing.T) *services.Server {
	t.Helper()
	server, err := services.StartRedis(t.Context())
	if errors.Is(err, services.ErrMissing) {
		t.Skip(err)
	}
	must(t, err)
	t.Cleanup(func() { must(t, server.Close()) })
	return server
}
