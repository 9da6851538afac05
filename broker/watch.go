package broker

import (
	"context"
	"reflect"
	"sync"
	"time"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// A job is done by any process, so who waits for one looks at its row. All who
// wait in this process for the same job, or listen for the same link, share one poller: a thousand of them cost
// one small query per tick.

const (
	quickTick = 100 * time.Millisecond // after a change
	slowTick  = 500 * time.Millisecond // of a job that keeps still
	lookLimit = 5 * time.Second        // for one look
)

// MaxWait is how long WaitJob may be asked to wait.
const MaxWait = time.Minute

// WaitJob returns a job as soon as its status or counters are not what they were
// when it was called, and else as it is after the wait. A job that has ended is
// returned at once; so is any when ctx ends, since a server that drains still
// answers.
func (s *Service) WaitJob(ctx context.Context, c models.Caller, id string, wait time.Duration) (models.Job, error) {
	if wait < time.Millisecond || wait > MaxWait {
		return models.Job{}, models.Invalid(models.FieldError{Name: "wait", Message: "must be from 1ms to 60s"})
	}
	w, err := s.WatchJob(context.WithoutCancel(ctx), c, id)
	if err != nil {
		return models.Job{}, err
	}
	defer w.Close()
	patience, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	w.Changed(patience)
	return w.Job()
}

// JobWatch is a job under somebody's eyes. It is used by one goroutine, and has to
// be closed.
type JobWatch struct {
	hub  *watches[models.Job]
	id   string
	post *post[models.Job]
	seen sighting[models.Job]
	// leave gives the place to wait back; nil where there is nothing to wait for.
	leave func()
}

// WatchJob begins to watch a job of the caller's organisation, for admins (A6). A job
// that has ended is shown whatever the limits (T2).
func (s *Service) WatchJob(ctx context.Context, c models.Caller, id string) (*JobWatch, error) {
	p, before := s.watches.join(id, func() *post[models.Job] {
		return newPost(func(ctx context.Context) (models.Job, error) { return s.store.Job(ctx, id) }, alike, s.withDetails)
	})
	w := &JobWatch{hub: &s.watches, id: id, post: p}
	var err error
	// Only what was seen after the caller came counts as what it came for.
	w.seen, err = p.await(ctx, func(now sighting[models.Job]) bool { return now.look > before })
	if err == nil {
		err = w.seen.err
	}
	if err == nil && !maySeeJob(c, w.seen.row) {
		err = store.ErrNotFound
	}
	if err == nil && !w.seen.row.Status.Final() {
		w.leave, err = s.waiting.take(c, s.limits.Waiting)
	}
	if err != nil {
		w.Close()
		return nil, found(err, "Job")
	}
	return w, nil
}

// Changed waits until the job's status or counters differ from those that were
// seen last, and reports whether they do. It is false when ctx ends before, and
// at once when the job has ended.
func (w *JobWatch) Changed(ctx context.Context) bool {
	if w.seen.row.Status.Final() {
		return false
	}
	last := w.seen.version
	now, err := w.post.await(ctx, func(now sighting[models.Job]) bool { return now.err != nil || now.version != last })
	w.seen = now
	return err == nil
}

// Job returns the job as it was seen last.
func (w *JobWatch) Job() (models.Job, error) {
	j, err := w.seen.show()
	return j, found(err, "Job")
}

// Close ends the watch.
func (w *JobWatch) Close() {
	w.hub.leave(w.id, w.post)
	if w.leave != nil {
		w.leave()
	}
}

// watches are the posts from which this process looks at jobs. The first to watch
// a job sets one up, the last to leave takes it down.
type watches[T any] struct {
	mu    sync.Mutex
	posts map[string]*post[T]
}

// join returns the post at a job and the number of its latest look, and has it
// look again now.
func (h *watches[T]) join(id string, set func() *post[T]) (*post[T], int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.posts[id]
	if p == nil {
		if h.posts == nil {
			h.posts = map[string]*post[T]{}
		}
		p = set()
		h.posts[id] = p
		go p.stand()
	}
	p.watchers++
	return p, p.hurry()
}

func (h *watches[T]) leave(id string, p *post[T]) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p.watchers--; p.watchers == 0 {
		delete(h.posts, id)
		close(p.abandoned)
	}
}

// post looks at one job for all who watch it.
type post[T any] struct {
	load  func(context.Context) (T, error)
	alike func(a, b T) bool
	show  func(context.Context, T) (T, error)

	watchers  int           // held by the mutex of watches
	abandoned chan struct{} // closed when the last watcher has left
	kick      chan struct{} // asks for a look before the next tick

	mu    sync.Mutex
	looks int64 // begun
	last  sighting[T]
}

// sighting is what one look showed.
type sighting[T any] struct {
	look    int64 // its number
	version int64 // rises with each change of the job
	row     T
	err     error
	// show completes the row with what is derived from it, once for all who ask.
	show func() (T, error)
	past chan struct{} // closed when there is a later sighting
}

func newPost[T any](load func(context.Context) (T, error), alike func(a, b T) bool, show func(context.Context, T) (T, error)) *post[T] {
	return &post[T]{load: load, alike: alike, show: show, abandoned: make(chan struct{}), kick: make(chan struct{}, 1),
		last: sighting[T]{past: make(chan struct{})}}
}

// stand looks until the post is abandoned.
func (p *post[T]) stand() {
	for tick := quickTick; ; {
		select {
		case <-p.abandoned:
			return
		case <-p.kick:
		case <-time.After(tick):
		}
		if p.look() {
			tick = quickTick
		} else {
			tick = min(tick*3/2, slowTick)
		}
	}
}

// hurry returns the number of the latest look, and asks for another.
func (p *post[T]) hurry() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case p.kick <- struct{}{}:
	default: // asked for already, and not begun
	}
	return p.looks
}

// look looks once, and reports whether the job has changed. A look ends by its own
// deadline and not with its watchers, because a query that is broken off costs
// its connection.
func (p *post[T]) look() bool {
	p.mu.Lock()
	p.looks++
	now := sighting[T]{look: p.looks, version: p.last.version, past: make(chan struct{})}
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), lookLimit)
	defer cancel()
	now.row, now.err = p.load(ctx)
	return p.report(now)
}

func (p *post[T]) report(now sighting[T]) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := p.last
	if now.err != nil {
		now.row = last.row
	}
	changed := !p.alike(now.row, last.row)
	if changed {
		now.version++
	}
	now.show = sync.OnceValues(func() (T, error) {
		if now.err != nil {
			return now.row, now.err
		}
		ctx, cancel := context.WithTimeout(context.Background(), lookLimit)
		defer cancel()
		return p.show(ctx, now.row)
	})
	p.last = now
	close(last.past)
	return changed
}

// alike compares all of two rows but what is about the bell.
func alike(a, b models.Job) bool {
	a.Ring, a.DueAt = b.Ring, b.DueAt
	return reflect.DeepEqual(a, b)
}

// await returns the latest sighting as soon as it is a wanted one, or with an
// error when ctx ends.
func (p *post[T]) await(ctx context.Context, wanted func(sighting[T]) bool) (sighting[T], error) {
	for {
		p.mu.Lock()
		now := p.last
		p.mu.Unlock()
		if wanted(now) {
			return now, nil
		}
		select {
		case <-now.past:
		case <-ctx.Done():
			return now, ctx.Err()
		}
	}
}
