package broker

import (
	"context"
	"sync"
	"time"
)

// What callers wait for may be done by any process, so a process that waits polls its row. All
// who wait in this process for the same row share one poller: a thousand of them cost
// one small query per interval.

// pollers are the rows that this process polls, by what names them. The first who waits
// for a row starts its poller, and the last who leaves ends it.
type pollers[T any] struct {
	mu   sync.Mutex
	byID map[string]*poller[T]
}

// join returns the poller of a row and the number of its latest poll, and has it poll
// again at once.
func (h *pollers[T]) join(id string, start func() *poller[T]) (*poller[T], int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.byID[id]
	if p == nil {
		if h.byID == nil {
			h.byID = map[string]*poller[T]{}
		}
		p = start()
		h.byID[id] = p
		go p.run()
	}
	p.waiting++
	return p, p.pollNow()
}

func (h *pollers[T]) leave(id string, p *poller[T]) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p.waiting--; p.waiting == 0 {
		delete(h.byID, id)
		close(p.stop)
	}
}

// poller polls one row for all who wait for it.
type poller[T any] struct {
	load func(context.Context) (T, error)
	same func(a, b T) bool
	show func(context.Context, T) (T, error)

	waiting int           // how many callers wait; guarded by the mutex of pollers
	stop    chan struct{} // closed when the last of them has left
	now     chan struct{} // asks for a poll before the interval is over

	mu    sync.Mutex
	begun int64 // polls
	last  snapshot[T]
}

// snapshot is what one poll found.
type snapshot[T any] struct {
	poll    int64 // its number
	version int64 // rises with each change of the row
	row     T
	err     error
	// show completes the row with what is derived from it, once for all who ask.
	show     func() (T, error)
	replaced chan struct{} // closed when there is a newer snapshot
}

func newPoller[T any](load func(context.Context) (T, error), same func(a, b T) bool, show func(context.Context, T) (T, error)) *poller[T] {
	return &poller[T]{load: load, same: same, show: show, stop: make(chan struct{}), now: make(chan struct{}, 1),
		last: snapshot[T]{replaced: make(chan struct{})}}
}

// run polls until nobody waits any more.
func (p *poller[T]) run() {
	for interval := shortestPoll; ; {
		select {
		case <-p.stop:
			return
		case <-p.now:
		case <-time.After(interval):
		}
		if p.poll() {
			interval = shortestPoll
		} else {
			interval = min(interval*3/2, longestPoll)
		}
	}
}

// pollNow returns the number of the latest poll, and asks for another.
func (p *poller[T]) pollNow() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case p.now <- struct{}{}:
	default: // asked for already, and not begun
	}
	return p.begun
}

// poll polls once, and reports whether the row has changed. It has a deadline of its
// own and does not end with the callers, because a query that is cancelled costs its
// connection.
func (p *poller[T]) poll() bool {
	p.mu.Lock()
	p.begun++
	now := snapshot[T]{poll: p.begun, version: p.last.version, replaced: make(chan struct{})}
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), pollTimeout)
	defer cancel()
	now.row, now.err = p.load(ctx)
	return p.publish(now)
}

func (p *poller[T]) publish(now snapshot[T]) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := p.last
	if now.err != nil {
		now.row = last.row
	}
	changed := !p.same(now.row, last.row)
	if changed {
		now.version++
	}
	now.show = sync.OnceValues(func() (T, error) {
		if now.err != nil {
			return now.row, now.err
		}
		ctx, cancel := context.WithTimeout(context.Background(), pollTimeout)
		defer cancel()
		return p.show(ctx, now.row)
	})
	p.last = now
	close(last.replaced)
	return changed
}

// await returns the latest snapshot as soon as it is a wanted one, or with an error when
// ctx ends.
func (p *poller[T]) await(ctx context.Context, wanted func(snapshot[T]) bool) (snapshot[T], error) {
	for {
		p.mu.Lock()
		now := p.last
		p.mu.Unlock()
		if wanted(now) {
			return now, nil
		}
		select {
		case <-now.replaced:
		case <-ctx.Done():
			return now, ctx.Err()
		}
	}
}
