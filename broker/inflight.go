package broker

import (
	"context"
	"sync"
	"time"
)

// inflight counts the calls that may spend something upstream, so that the
// process does not end in the middle of one.
type inflight struct {
	mu   sync.Mutex
	n    int
	idle chan struct{} // closed when n falls to 0; nil while it is 0
}

func (f *inflight) begin() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n++; f.n == 1 {
		f.idle = make(chan struct{})
	}
}

func (f *inflight) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n--; f.n == 0 {
		close(f.idle)
		f.idle = nil
	}
}

func (f *inflight) wait(ctx context.Context) error {
	f.mu.Lock()
	idle := f.idle
	f.mu.Unlock()
	if idle == nil {
		return nil
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// detach runs f to its end, whatever happens to the caller, with a deadline of
// its own. It returns f's answer, or ifSlow when the caller's patience or context
// ends first; f goes on then.
func detach[T any](s *Service, ctx context.Context, patience, deadline time.Duration, ifSlow error, f func(context.Context) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	done := make(chan answer, 1)
	s.inflight.begin()
	go func() {
		defer s.inflight.end()
		own, cancel := context.WithTimeout(context.WithoutCancel(ctx), deadline)
		defer cancel()
		v, err := f(own)
		done <- answer{v, err}
	}()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case a := <-done:
		return a.value, a.err
	case <-timer.C:
	case <-ctx.Done():
	}
	var zero T
	return zero, ifSlow
}

// awake is a context that ends after d, but gives a process that was asleep when
// its time came a moment more: an answer may be waiting in its socket, and with a
// single-use token that answer is the only one there will ever be (R1).
func awake(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	planned := time.Now().Add(d)
	end := func() { cancel(context.DeadlineExceeded) }
	timer := time.AfterFunc(d, func() {
		if time.Since(planned) < wakeMargin/2 {
			end()
			return
		}
		time.AfterFunc(wakeMargin, end)
	})
	return ctx, func() { timer.Stop(); cancel(context.Canceled) }
}
