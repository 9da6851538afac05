package broker

import (
	"context"
	"fmt"

	"github.com/grantd/grantd/jobs"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// jobKind is what a type of job is worked on with: the task that announces it, and
// what does a slice of its work.
type jobKind struct {
	announced jobs.Kind[jobs.JobRing]
	run       func(ctx context.Context, id string) error
}

// kindOf returns what a type of job is worked on with, and false for a type that this
// version does not know. The linter refuses a type without a case.
func (s *Service) kindOf(t models.JobType) (jobKind, bool) {
	switch t {
	case models.JobDeleteProvider:
		return jobKind{jobs.DeleteProvider, s.RunRevocation}, true
	case models.JobRevokeUser:
		return jobKind{jobs.RevokeUser, s.RunRevocation}, true
	case models.JobResetProvider:
		return jobKind{jobs.ResetProvider, s.RunReset}, true
	case models.JobStats:
		return jobKind{jobs.Stats, s.RunStats}, true
	}
	return jobKind{}, false
}

// Tasks returns what a worker does: a handler for each kind of task.
func (s *Service) Tasks() []jobs.Handler {
	all := []jobs.Handler{jobs.Revoke.Handle(s.RevokeOne)}
	for _, t := range models.JobTypes {
		k, _ := s.kindOf(t)
		all = append(all, k.announced.Handle(k.run))
	}
	return all
}

// ringJob tells the workers of a job, and reports whether its task was enqueued. If not,
// that costs only time: the row is the truth, and the sweeper rings again (O1).
func (s *Service) ringJob(ctx context.Context, r store.Rung) bool {
	kind, ok := s.kindOf(r.Type)
	if !ok { // run says so
		return false
	}
	if err := s.bell.Ring(ctx, kind.announced.Task(jobs.JobRing{JobID: r.ID, Ring: r.Ring})); err != nil {
		s.log.Warn("enqueueing the task failed; the sweeper will pick the job up", "job", r.ID, "error", err)
		return false
	}
	return true
}

// run does a slice of a job's work here and now, as a worker that heard the bell would.
func (s *Service) run(ctx context.Context, r store.Rung) error {
	kind, ok := s.kindOf(r.Type)
	if !ok {
		return fmt.Errorf("job %s has a type that this version does not know: %q", r.ID, r.Type)
	}
	return kind.run(ctx, r.ID)
}
