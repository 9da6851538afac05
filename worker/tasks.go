package worker

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/hibiken/asynq"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/jobs"
	"github.com/grantd/grantd/traces"
)

// task does what a payload names.
type task func(ctx context.Context, payload []byte) error

// tasksOf returns what the service does for each kind of task, by its name.
func tasksOf(service *broker.Service) map[string]task {
	kinds := map[string]task{}
	for _, h := range service.Tasks() {
		kinds[h.Kind] = h.Run
	}
	return kinds
}

// process is asynq's handler. The error it returns is for asynq's statistics;
// nothing is tried again because of it.
func (w *Worker) process(ctx context.Context, t *asynq.Task) error {
	w.tasks.Add(1)
	defer w.tasks.Done()
	start := time.Now()
	ctx, span := w.traces.Task(ctx, t.Type(), t.Headers()[jobs.TraceHeader])
	err := w.run(ctx, t.Type(), t.Payload())
	span.End(err != nil)
	w.metrics.TaskRan(t.Type(), err, time.Since(start))
	id, _ := asynq.GetTaskID(ctx)
	log := w.log
	if trace := traces.ID(ctx); trace != "" {
		log = log.With("traceId", trace)
	}
	switch {
	case err == nil:
		log.Debug("task done", "kind", t.Type(), "task", id, "durationSeconds", time.Since(start).Seconds())
	case errors.Is(err, context.Canceled):
		log.Info("task stopped", "kind", t.Type(), "task", id)
	default:
		log.Warn("task failed; it is enqueued again when due", "kind", t.Type(), "task", id, "error", err)
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
