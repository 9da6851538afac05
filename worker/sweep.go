package worker

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"
)

// sweepLimit is when a sweep is given up: the next one may find the database
// working.
const sweepLimit = 30 * time.Second

// sweepUntil sweeps at once and then again and again, never two at a time, until
// ctx ends. Nothing that goes wrong ends it: it is what finds lost work.
func (w *Worker) sweepUntil(ctx context.Context) {
	failing := complaint{log: w.log, what: "sweeping"}
	for {
		err := w.sweep(ctx)
		if ctx.Err() == nil {
			failing.note(err)
			w.metrics.Swept(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(jittered(w.every)):
		}
	}
}

func (w *Worker) sweep(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, sweepLimit)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			w.log.Error("a sweep panicked", "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return w.sweepOnce(ctx)
}

// jittered spreads workers that were started together: 80 to 120 % of d.
func jittered(d time.Duration) time.Duration {
	return d*4/5 + rand.N(d*2/5+1)
}
