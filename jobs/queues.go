package jobs

import (
	"context"
	"fmt"
	"time"

	"github.com/hibiken/asynq"
)

// QueueSize is how many tasks a queue has.
type QueueSize struct {
	Queue           string
	Pending, Active int
	Oldest          time.Duration // how long the oldest pending task has waited
}

// QueueSizes asks Redis for the size of each queue. It returns when ctx ends, whatever becomes
// of Redis.
func (b *Bell) QueueSizes(ctx context.Context) ([]QueueSize, error) {
	type answer struct {
		sizes []QueueSize
		err   error
	}
	answered := make(chan answer, 1)
	go func() {
		sizes, err := b.queueSizes()
		answered <- answer{sizes, err}
	}()
	select {
	case a := <-answered:
		return a.sizes, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (b *Bell) queueSizes() ([]QueueSize, error) {
	inspector := asynq.NewInspectorFromRedisClient(b.redis)
	known, err := inspector.Queues()
	if err != nil {
		return nil, fmt.Errorf("listing the queues: %w", err)
	}
	var sizes []QueueSize
	for _, queue := range []string{QueueDefault, QueueSlices} {
		size := QueueSize{Queue: queue}
		for _, name := range known { // a queue exists from its first task on
			if name != queue {
				continue
			}
			info, err := inspector.GetQueueInfo(queue)
			if err != nil {
				return nil, fmt.Errorf("asking for the size of queue %s: %w", queue, err)
			}
			size.Pending, size.Active, size.Oldest = info.Pending, info.Active, max(0, info.Latency)
		}
		sizes = append(sizes, size)
	}
	return sizes, nil
}
