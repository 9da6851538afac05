package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// ringTimeout is how long a request may be held up by a Redis that is away. The
// sweeper rings for what was not heard.
const ringTimeout = 200 * time.Millisecond

// Bell puts tasks into Redis. It is safe for concurrent use.
type Bell struct {
	redis redis.UniversalClient
	asynq *asynq.Client
}

// NewBell returns a Bell with a few connections of its own, opened when needed.
func NewBell(r *Redis) *Bell {
	client := r.impatientClient()
	return &Bell{redis: client, asynq: asynq.NewClientFromRedisClient(client)}
}

// Ring puts t into its queue, within 200 ms. A ring that is queued already, is
// running or has failed counts as rung. An error means that nobody may have
// heard; callers log it and go on, because SQL remembers what is to be done.
func (b *Bell) Ring(ctx context.Context, t Task) error {
	ctx, cancel := context.WithTimeout(ctx, ringTimeout)
	defer cancel()
	_, err := b.asynq.EnqueueContext(ctx, asynq.NewTask(t.Kind, t.Payload),
		asynq.TaskID(t.ID), asynq.Queue(t.Queue), asynq.MaxRetry(0), asynq.Timeout(taskTimeout))
	if err != nil && !errors.Is(err, asynq.ErrTaskIDConflict) {
		return fmt.Errorf("ringing for %s %s: %w", t.Kind, t.ID, err)
	}
	return nil
}

// Close ends the Bell's connections.
func (b *Bell) Close() error { return b.redis.Close() }

// Ping asks Redis whether it hears, for at most 200 ms.
func (b *Bell) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, ringTimeout)
	defer cancel()
	return b.redis.Ping(ctx).Err()
}
