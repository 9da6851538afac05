package broker

import (
	"context"
	"reflect"
	"time"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

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

// JobWatch follows a job for one caller. It is used by one goroutine, and has to be
// closed.
type JobWatch struct {
	pollers *pollers[models.Job]
	id      string
	poller  *poller[models.Job]
	seen    snapshot[models.Job]
	// leave gives the place among those who wait back; nil where there is nothing to
	// wait for.
	leave func()
}

// WatchJob begins to follow a job of the caller's organisation, for admins (A6). A job
// that has ended is shown whatever the limits (T2).
func (s *Service) WatchJob(ctx context.Context, c models.Caller, id string) (*JobWatch, error) {
	p, before := s.jobs.join(id, func() *poller[models.Job] {
		return newPoller(func(ctx context.Context) (models.Job, error) { return s.store.Job(ctx, id) }, sameJob, s.withDetails)
	})
	w := &JobWatch{pollers: &s.jobs, id: id, poller: p}
	var err error
	// A poll that had begun before may show less than the caller knows already.
	w.seen, err = p.await(ctx, func(now snapshot[models.Job]) bool { return now.poll > before })
	if err == nil {
		err = w.seen.err
	}
	if err == nil && !maySeeJob(c, w.seen.row) {
		err = store.NotFound("Job")
	}
	if err == nil && !w.seen.row.Status.Final() {
		w.leave, err = s.beginWaiting(c)
	}
	if err != nil {
		w.Close()
		return nil, err
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
	now, err := w.poller.await(ctx, func(now snapshot[models.Job]) bool { return now.err != nil || now.version != last })
	w.seen = now
	return err == nil
}

// Job returns the job as it was seen last.
func (w *JobWatch) Job() (models.Job, error) {
	j, err := w.seen.show()
	return j, err
}

// Close ends the watch.
func (w *JobWatch) Close() {
	w.pollers.leave(w.id, w.poller)
	if w.leave != nil {
		w.leave()
	}
}

// sameJob compares all of two rows but what is about their tasks.
func sameJob(a, b models.Job) bool {
	a.Ring, a.DueAt = b.Ring, b.DueAt
	return reflect.DeepEqual(a, b)
}
