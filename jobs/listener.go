package jobs

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// How long a worker leaves an empty queue alone: until a ring is heard, but at most
// for holdFor, because a ring may be lost; only for pollEvery while rings cannot be heard.
const (
	holdFor   = time.Second
	pollEvery = 30 * time.Millisecond
)

// How a lost subscription is noticed and made again.
const (
	checkSubscription = 5 * time.Second
	resubscribeAfter  = time.Second
)

// Listener makes the Redis clients of a process's asynq servers. asynq asks an empty
// queue for tasks again and again; these clients hold such a request back until a
// Bell says that there is a task. All of them share one subscription.
type Listener struct {
	redis   *Redis
	holdFor time.Duration
	queues  map[string]chan struct{} // one element: there was a ring since the last request
	hears   atomic.Bool              // whether rings arrive at present
	closed  chan struct{}
	close   func()
	running sync.WaitGroup
}

// NewListener begins to listen for the rings of all queues.
func NewListener(r *Redis) *Listener { return newListener(r, holdFor) }

func newListener(r *Redis, holdFor time.Duration) *Listener {
	ctx, cancel := context.WithCancel(context.Background())
	l := &Listener{redis: r, holdFor: holdFor, queues: map[string]chan struct{}{}, closed: make(chan struct{})}
	for queue := range Queues {
		l.queues[queue] = make(chan struct{}, 1)
	}
	stop := func() {}
	if r.memory != nil {
		stop = r.memory.listen(l.rung)
		l.hears.Store(true)
	} else {
		l.running.Go(func() { l.keepSubscribed(ctx) })
	}
	l.close = sync.OnceFunc(func() { close(l.closed); stop(); cancel() })
	return l
}

// MakeRedisClient returns a new client for one of asynq's servers, which closes it.
func (l *Listener) MakeRedisClient() any {
	client := l.redis.MakeRedisClient().(redis.UniversalClient)
	client.AddHook(&holdEmpty{listener: l})
	return client
}

// Close stops listening and lets go of every request that is held. It comes before
// the shutdown of the servers, which wait for their requests.
func (l *Listener) Close() {
	l.close()
	l.running.Wait()
}

// rung remembers that there may be a task in a queue.
func (l *Listener) rung(queue string) {
	select {
	case l.queues[queue] <- struct{}{}:
	default: // rung before and not looked at yet, or a queue that only other releases know
	}
}

func (l *Listener) rungAll() {
	for queue := range l.queues {
		l.rung(queue)
	}
}

// wait returns when the queue is worth another look.
func (l *Listener) wait(queue string) {
	limit := pollEvery
	if l.hears.Load() {
		limit = l.holdFor
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-l.queues[queue]:
	case <-timer.C:
	case <-l.closed:
	}
}

// forget drops a ring. The request for tasks that follows sees whatever it announced.
func (l *Listener) forget(queue string) {
	select {
	case <-l.queues[queue]:
	default:
	}
}

func (l *Listener) keepSubscribed(ctx context.Context) {
	for ctx.Err() == nil {
		l.hearUntilLost(ctx)
		if l.hears.Swap(false) {
			l.rungAll() // nobody shall wait on for a ring that does not arrive
		}
		select {
		case <-ctx.Done():
		case <-time.After(resubscribeAfter):
		}
	}
}

// hearUntilLost subscribes and returns when the subscription is lost or refused. A
// connection that is silent for some seconds is asked for a sign of life.
func (l *Listener) hearUntilLost(ctx context.Context) {
	subscription := l.redis.probe.Subscribe(ctx, l.redis.ringChannel())
	defer subscription.Close()
	// Closing is what ends a read.
	defer context.AfterFunc(ctx, func() { _ = subscription.Close() })()
	for asked := false; ; {
		message, err := subscription.ReceiveTimeout(ctx, checkSubscription)
		var timeout net.Error
		switch {
		case err == nil:
			asked = false
		case errors.As(err, &timeout) && timeout.Timeout() && !asked && l.hears.Load() && subscription.Ping(ctx) == nil:
			asked = true
			continue
		default:
			return
		}
		switch m := message.(type) {
		case *redis.Subscription:
			l.hears.Store(true)
			l.rungAll() // for what was rung before
		case *redis.Message:
			l.rung(m.Payload)
		}
	}
}

// ringChannel is where rings are published. Redis's channels are shared by its
// databases, so the database's number is part of the name.
func (r *Redis) ringChannel() string { return "grantd:rings:" + strconv.Itoa(r.options.DB) }
