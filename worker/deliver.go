package worker

import (
	"context"
	"runtime/debug"
	"time"
)

// deliverUntil delivers events until ctx ends. A panic is logged, and does not end it.
func (w *Worker) deliverUntil(ctx context.Context) {
	for {
		w.deliverRecovering(ctx)
		select {
		case <-ctx.Done():
			return
		case <-time.After(jittered(w.every)):
		}
	}
}

func (w *Worker) deliverRecovering(ctx context.Context) {
	defer func() {
		if p := recover(); p != nil {
			w.log.Error("delivering events panicked; it begins again", "panic", p, "stack", string(debug.Stack()))
		}
	}()
	w.deliver(ctx)
}
