package broker

import (
	"context"
	"fmt"
	"strconv"

	"github.com/grantd/grantd/jobs"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// detailsCap bounds every list in a job's details; the full count stands beside.
const detailsCap = 100

// Job returns a job of the caller's organisation, for admins: jobs list other
// users' ids (A6).
func (s *Service) Job(ctx context.Context, c models.Caller, id string) (models.Job, error) {
	j, err := s.store.Job(ctx, id)
	if err == nil && (j.OrgID != c.OrgID || !c.IsAdmin()) {
		err = store.ErrNotFound
	}
	if err == nil && j.Type == models.JobDeleteProvider {
		j.Details, err = s.deletionDetails(ctx, j)
	}
	return j, found(err, "Job")
}

// deletionDetails derives what a deletion shows from its counters.
func (s *Service) deletionDetails(ctx context.Context, j models.Job) (models.Details, error) {
	d := models.Details{
		{Name: "provider_id", Value: *j.ProviderID},
		{Name: "authorization_ids", Value: append([]string{}, j.SampleIDs...)},
		{Name: "total", Value: count(j.Total)},
	}
	for _, o := range models.Outcomes {
		d = append(d, models.Detail{Name: string(o), Value: count(j.Count(o))})
	}
	d = append(d, models.Detail{Name: "pending", Value: count(max(0, j.Total-j.Settled()))})
	if j.Resumes != nil {
		d = append(d, models.Detail{Name: "resumes", Value: *j.Resumes})
	}
	if j.Failure != "" {
		d = append(d, models.Detail{Name: "error", Value: j.Failure})
	}
	if j.Failed == 0 {
		return d, nil
	}
	failed, err := s.store.FailedItems(ctx, j.ID, detailsCap)
	for _, item := range failed {
		d = append(d, models.Detail{Name: "failure", Value: fmt.Sprintf("%s: %s", item.ID, item.OutcomeReason)})
	}
	return d, err
}

func count(n int64) string { return strconv.FormatInt(n, 10) }

// ringJob tells the workers of a job. A bell that is not heard costs only time:
// the row is the truth, and the sweeper rings again (O1).
func (s *Service) ringJob(ctx context.Context, r store.Rung) bool {
	var task jobs.Task
	switch r.Type {
	case models.JobDeleteProvider:
		task = jobs.NewDeleteProviderTask(jobs.DeleteProvider{JobID: r.ID, Ring: r.Ring})
	case models.JobRevokeUser:
		task = jobs.NewRevokeUserTask(jobs.RevokeUser{JobID: r.ID, Ring: r.Ring})
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
	if r.Type == models.JobStats {
		return s.RunStats(ctx, r.ID)
	}
	return s.RunRevocation(ctx, r.ID)
}
