package broker

import (
	"context"
	"fmt"

	"github.com/grantd/grantd/jobs"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// Job returns a job of the caller's organisation, for admins: jobs list other
// users' ids (A6).
func (s *Service) Job(ctx context.Context, c models.Caller, id string) (models.Job, error) {
	j, err := s.visibleJob(ctx, c, id)
	if err != nil {
		return j, err
	}
	j, err = s.withDetails(ctx, j)
	return j, found(err, "Job")
}

// visibleJob returns the row of a job that the caller may see.
func (s *Service) visibleJob(ctx context.Context, c models.Caller, id string) (models.Job, error) {
	j, err := s.store.Job(ctx, id)
	if err == nil && !maySeeJob(c, j) {
		err = store.ErrNotFound
	}
	return j, found(err, "Job")
}

func maySeeJob(c models.Caller, j models.Job) bool { return j.OrgID == c.OrgID && c.IsAdmin() }

// withDetails completes a row with what is derived when it is read.
func (s *Service) withDetails(ctx context.Context, j models.Job) (models.Job, error) {
	var err error
	if j.Revokes() {
		j.Details, err = s.revocationDetails(ctx, j)
		return j, err
	}
	return storedDetails(j), nil
}

// ringJob tells the workers of a job. A bell that is not heard costs only time:
// the row is the truth, and the sweeper rings again (O1).
func (s *Service) ringJob(ctx context.Context, r store.Rung) bool {
	var task jobs.Task
	switch r.Type {
	case models.JobDeleteProvider:
		task = jobs.NewDeleteProviderTask(jobs.DeleteProvider{JobID: r.ID, Ring: r.Ring})
	case models.JobRevokeUser:
		task = jobs.NewRevokeUserTask(jobs.RevokeUser{JobID: r.ID, Ring: r.Ring})
	case models.JobResetProvider:
		task = jobs.NewResetProviderTask(jobs.ResetProvider{JobID: r.ID, Ring: r.Ring})
	case models.JobStats:
		task = jobs.NewStatsTask(jobs.Stats{JobID: r.ID, Ring: r.Ring})
	default:
		s.log.Error("a job of unknown type is due", "job", r.ID, "type", r.Type)
		return true
	}
	if err := s.bell.Ring(ctx, task); err != nil {
		s.log.Warn("the bell cannot be rung; the sweeper will see to the job", "job", r.ID, "error", err)
		return false
	}
	return true
}

// run does a job's work here and now, as a worker that heard the bell would.
func (s *Service) run(ctx context.Context, r store.Rung) error {
	switch r.Type {
	case models.JobStats:
		return s.RunStats(ctx, r.ID)
	case models.JobResetProvider:
		return s.RunReset(ctx, r.ID)
	case models.JobDeleteProvider, models.JobRevokeUser:
		return s.RunRevocation(ctx, r.ID)
	}
	return fmt.Errorf("job %s has a type that this version does not know: %q", r.ID, r.Type)
}
