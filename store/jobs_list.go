package store

import (
	"context"
	"slices"
	"strings"

	"github.com/grantd/grantd/models"
)

// JobFilter says which of an organisation's jobs are asked for. Empty fields do
// not filter.
type JobFilter struct {
	Types      []string
	Statuses   []string
	ProviderID string
	Providers  []string // ids; nil does not filter
	After      *Position
	Limit      int
}

// Jobs returns a page of an organisation's jobs, the newest first, without the
// lists of ids they hold: those would be most of a page.
func (s *Store) Jobs(ctx context.Context, org string, f JobFilter) ([]models.Job, error) {
	q := s.db.WithContext(ctx).Omit("sample_ids").Where("org_id = ?", org)
	if f.Types != nil {
		q = q.Where("type IN "+s.dialect.list, listed(f.Types))
	}
	if f.Statuses != nil {
		q = q.Where("status IN "+s.dialect.list, listed(f.Statuses))
	}
	if f.ProviderID != "" {
		q = q.Where("provider_id = ?", f.ProviderID)
	}
	if f.Providers != nil {
		q = q.Where("provider_id IN "+s.dialect.list, listed(f.Providers))
	}
	return page[models.Job](q, f.After, true, f.Limit)
}

// ItemFilter says which of a job's settled items are asked for. Empty fields do
// not filter.
type ItemFilter struct {
	Outcomes []string
	After    *Position // of which only the id counts
	Limit    int
}

var onlyFailed = []string{string(models.OutcomeFailed)}

// JobItems returns a page of what a job has settled, by the authorizations' ids.
// They do not change, so that a page is not read twice while the job goes on.
func (s *Store) JobItems(ctx context.Context, job string, f ItemFilter) ([]models.JobItem, error) {
	back := f.After != nil && f.After.Back
	order, beyond, sign := "id", "id > ?", 1
	if back {
		order, beyond, sign = "id DESC", "id < ?", -1
	}
	var all []models.JobItem
	for _, q := range s.settled(ctx, job) {
		switch {
		case slices.Equal(f.Outcomes, onlyFailed):
			q = q.Where("outcome = 'failed'") // in the words of their index
		case f.Outcomes != nil:
			q = q.Where("outcome IN "+s.dialect.list, listed(f.Outcomes))
		}
		if f.After != nil {
			q = q.Where(beyond, f.After.ID)
		}
		var items []models.JobItem
		err := q.Select("id AS authorization_id", "user_id", "provider_id", "outcome", "outcome_reason AS reason", "outcome_at AS settled_at").
			Order(order).Limit(f.Limit).Scan(&items).Error
		if err != nil {
			return nil, err
		}
		all = append(all, items...)
	}
	slices.SortFunc(all, func(a, b models.JobItem) int { return sign * strings.Compare(a.AuthorizationID, b.AuthorizationID) })
	all = all[:min(len(all), f.Limit)]
	if back {
		slices.Reverse(all)
	}
	return all, nil
}
