package worker

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/hibiken/asynq"

	"github.com/grantd/grantd/jobs"
)

// task does what a payload names.
type task func(ctx context.Context, payload []byte) error

// table has a row for each kind of task: how to read it, and the broker's call.
func (w *Worker) table() map[string]task {
	return map[string]task{
		jobs.KindDeleteProvider: as(jobs.ParseDeleteProvider, func(ctx context.Context, p jobs.DeleteProvider) error {
			return w.service.RunRevocation(ctx, p.JobID)
		}),
		jobs.KindRevokeUser: as(jobs.ParseRevokeUser, func(ctx context.Context, p jobs.RevokeUser) error {
			return w.service.RunRevocation(ctx, p.JobID)
		}),
		jobs.KindResetProvider: as(jobs.ParseResetProvider, func(ctx context.Context, p jobs.ResetProvider) error {
			return w.service.RunReset(ctx, p.JobID)
		}),
		jobs.KindStats: as(jobs.ParseStats, func(ctx context.Context, p jobs.Stats) error {
			return w.service.RunStats(ctx, p.JobID)
		}),
		jobs.KindRefresh: as(jobs.ParseRefresh, func(ctx context.Context, p jobs.Refresh) error {
			return w.service.RefreshDue(ctx, p.AuthorizationID)
		}),
		jobs.KindRevoke: as(jobs.ParseRevoke, func(ctx context.Context, p jobs.Revoke) error {
			return w.service.RevokeOne(ctx, p.AuthorizationID)
		}),
	}
}

func as[P any](parse func([]byte) (P, error), do func(context.Context, P) error) task {
	return func(ctx context.Context, payload []byte) error {
		p, err := parse(payload)
		if err != nil {
			return fmt.Errorf("%w: %w", err, asynq.SkipRetry)
		}
		return do(ctx, p)
	}
}

// process is asynq's handler. The error it returns is for asynq's statistics;
// nothing is tried again because of it.
func (w *Worker) process(ctx context.Context, t *asynq.Task) error {
	w.tasks.Add(1)
	defer w.tasks.Done()
	start := time.Now()
	err := w.run(ctx, t.Type(), t.Payload())
	w.metrics.ran(t.Type(), err, time.Since(start))
	id, _ := asynq.GetTaskID(ctx)
	switch {
	case err == nil:
		w.log.Debug("task done", "kind", t.Type(), "task", id, "durationSeconds", time.Since(start).Seconds())
	case errors.Is(err, context.Canceled):
		w.log.Info("task stopped", "kind", t.Type(), "task", id)
	default:
		w.log.Warn("task failed; it is rung for again when due", "kind", t.Type(), "task", id, "error", err)
	}
	return err
}

// run does the task of a kind. A panic is an error of that one task.
func (w *Worker) run(ctx context.Context, kind string, payload []byte) (err error) {
	defer func() {
		if p := recover(); p != nil {
			w.log.Error("a task panicked", "kind", kind, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("%s panicked", kind)
		}
	}()
	do, ok := w.kinds[kind]
	if !ok { // rung by a newer version: somebody else knows it, or will
		return fmt.Errorf("unknown kind of task %q: %w", kind, asynq.SkipRetry)
	}
	return do(ctx, payload)
}
