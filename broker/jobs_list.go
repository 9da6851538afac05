package broker

import (
	"context"
	"slices"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// JobQuery filters and pages a list of jobs. Empty fields do not filter.
type JobQuery struct {
	Types, Statuses []string
	ProviderID      string
	Limit           int // 0 means 100
	Cursor          string
}

// Jobs returns a page of the organisation's jobs, the newest first, for admins.
// Each shows how far it is, but not the lists that a single job shows.
func (s *Service) Jobs(ctx context.Context, c models.Caller, q JobQuery) (Page[models.Job], error) {
	if err := onlyAdmins(c); err != nil {
		return Page[models.Job]{}, err
	}
	if err := oneOf("status", models.JobStatuses, q.Statuses...); err != nil {
		return Page[models.Job]{}, err
	}
	limit, after, err := paging(q.Limit, 100, q.Cursor)
	if err != nil {
		return Page[models.Job]{}, err
	}
	rows, err := s.store.Jobs(ctx, c.OrgID, store.JobFilter{
		Types: q.Types, Statuses: q.Statuses, ProviderID: q.ProviderID, Providers: c.Limits(), After: after, Limit: limit + 1,
	})
	return cut(rows, limit, after,
		func(j models.Job) store.Position { return store.Position{CreatedAt: j.CreatedAt, ID: j.ID} }, summary), err
}

// summary is a job as a list shows it.
func summary(j models.Job) models.Job {
	if j.Revokes() {
		j.Details = outcomeDetails(j)
		return j
	}
	return storedDetails(j)
}

// ItemQuery filters and pages what a job settled. Empty fields do not filter.
type ItemQuery struct {
	Outcomes []string
	Limit    int // 0 means 100
	Cursor   string
}

// JobItems returns a page of what a job did about each authorization, by its id.
// While the job goes on, what it settles behind the cursor is missed: the whole
// is there once it has ended.
func (s *Service) JobItems(ctx context.Context, c models.Caller, id string, q ItemQuery) (Page[models.JobItem], error) {
	j, err := s.visibleJob(ctx, c, id)
	if err != nil {
		return Page[models.JobItem]{}, err
	}
	if err := oneOf("outcome", slices.Concat(models.Outcomes, models.ResetOutcomes), q.Outcomes...); err != nil {
		return Page[models.JobItem]{}, err
	}
	limit, after, err := paging(q.Limit, 100, q.Cursor)
	if err != nil {
		return Page[models.JobItem]{}, err
	}
	rows, err := s.store.JobItems(ctx, j.ID, store.ItemFilter{Outcomes: q.Outcomes, After: after, Limit: limit + 1})
	return cut(rows, limit, after,
		// The order is that of the ids alone; the time only fills the cursor.
		func(i models.JobItem) store.Position {
			return store.Position{CreatedAt: i.SettledAt, ID: i.AuthorizationID}
		},
		asItIs), err
}
