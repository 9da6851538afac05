package jobs

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// holdEmpty is a hook for the client of one asynq server. It waits before the script
// that takes a task from a queue if the last answer was that there is none.
type holdEmpty struct {
	listener *Listener
	empty    atomic.Bool
}

var _ redis.Hook = (*holdEmpty)(nil)

// ProcessHook implements redis.Hook.
func (h *holdEmpty) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		queue := dequeues(cmd)
		if h.listener.queues[queue] == nil {
			return next(ctx, cmd)
		}
		if h.empty.Swap(false) {
			h.listener.wait(queue)
		}
		h.listener.forget(queue)
		err := next(ctx, cmd)
		h.empty.Store(errors.Is(err, redis.Nil))
		return err
	}
}

// DialHook implements redis.Hook.
func (h *holdEmpty) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessPipelineHook implements redis.Hook.
func (h *holdEmpty) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// dequeues returns the queue that asynq's script takes a task from, or "" for every
// other command. The script is known by its first two keys: asynq:{name}:pending and
// asynq:{name}:paused.
func dequeues(cmd redis.Cmder) string {
	args := cmd.Args()
	if len(args) < 5 || cmd.Name() != "evalsha" && cmd.Name() != "eval" {
		return ""
	}
	pending, _ := args[3].(string)
	paused, _ := args[4].(string)
	name, ok := strings.CutSuffix(pending, "}:pending")
	name, prefixed := strings.CutPrefix(name, "asynq:{")
	if !ok || !prefixed || paused != "asynq:{"+name+"}:paused" {
		return ""
	}
	return name
}
