package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/grantd/grantd/traces"
)

// ringTimeout is how long a request may be delayed by an unreachable Redis. The
// sweeper rings for what was not heard.
const ringTimeout = 200 * time.Millisecond

// Bell puts tasks into Redis and tells the Listeners. It is safe for concurrent use.
type Bell struct {
	redis    redis.UniversalClient
	asynq    *asynq.Client
	announce func(ctx context.Context, queue string) error
	instead  func(ctx context.Context, t Task) error
}

// NewBellFor returns a Bell that hands each task to enqueue, in the place of Redis. It
// is for simulations, which decide when a task arrives, and whether.
func NewBellFor(enqueue func(ctx context.Context, t Task) error) *Bell {
	return &Bell{instead: enqueue}
}

// NewBell returns a Bell with a few connections of its own, opened when needed.
func NewBell(r *Redis) *Bell {
	client := r.impatientClient()
	b := &Bell{redis: client, asynq: asynq.NewClientFromRedisClient(client)}
	b.announce = func(ctx context.Context, queue string) error {
		return client.Publish(ctx, r.ringChannel(), queue).Err()
	}
	if r.memory != nil {
		b.announce = r.memory.announce
	}
	return b
}

// Ring puts t into its queue, within 200 ms. A ring that is queued already, is
// running or has failed counts as rung. An error means that nobody may have
// heard; callers log it and go on, because SQL remembers what is to be done.
func (b *Bell) Ring(ctx context.Context, t Task) error {
	if b.instead != nil {
		return b.instead(ctx, t)
	}
	ctx, cancel := context.WithTimeout(ctx, ringTimeout)
	defer cancel()
	_, err := b.asynq.EnqueueContext(ctx, asynq.NewTaskWithHeaders(t.Kind, t.Payload, traceOf(ctx)),
		asynq.TaskID(t.ID), asynq.Queue(t.Queue), asynq.MaxRetry(0), asynq.Timeout(taskTimeout))
	if err != nil && !errors.Is(err, asynq.ErrTaskIDConflict) {
		return fmt.Errorf("ringing for %s %s: %w", t.Kind, t.ID, err)
	}
	_ = b.announce(ctx, t.Queue) // the task is queued: unannounced it is found within a second
	return nil
}

// TraceHeader is the header of a task that names the trace of what enqueued it.
const TraceHeader = "traceparent"

func traceOf(ctx context.Context) map[string]string {
	if parent := traces.Parent(ctx); parent != "" {
		return map[string]string{TraceHeader: parent}
	}
	return nil
}

// Close ends the Bell's connections.
func (b *Bell) Close() error {
	if b.instead != nil {
		return nil
	}
	return b.redis.Close()
}

// Ping asks Redis whether it hears, for at most 200 ms.
func (b *Bell) Ping(ctx context.Context) error {
	if b.instead != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, ringTimeout)
	defer cancel()
	return b.redis.Ping(ctx).Err()
}
