package store

import (
	"context"

	"github.com/grantd/grantd/models"
)

// What the console's overview asks for.

// TroubledProviders returns an organisation's providers that something is wrong with as a whole, those that have been in
// trouble longest first.
func (s *Store) TroubledProviders(ctx context.Context, org string) ([]models.Provider, error) {
	const most = 1000
	var all []models.Provider
	return all, s.db.WithContext(ctx).Where("org_id = ? AND status = ? AND "+inTrouble, org, models.ProviderActive).
		Order("trouble_since, id").Limit(most).Find(&all).Error
}

// PausesNow returns at most limit pauses that concern an organisation: those that its own providers met, and those that
// hold for everybody who calls an origin.
func (s *Store) PausesNow(ctx context.Context, org string, limit int) ([]Pause, error) {
	var all []Pause
	return all, s.db.WithContext(ctx).Where("(org_id = ? OR provider_id = '') AND until > ?", org, s.now()).
		Order("provider_id, host, class").Limit(limit).Find(&all).Error
}

// FailedJobs returns at most limit of an organisation's jobs that ended in ERROR and that no other has gone on with, the
// newest first: of the providers named, or where ids is nil all.
func (s *Store) FailedJobs(ctx context.Context, org string, ids []string, limit int) ([]models.Job, error) {
	q := s.db.WithContext(ctx).Omit("sample_ids").Where("org_id = ? AND status = ?", org, models.JobError).
		Where("NOT EXISTS (SELECT 1 FROM jobs later WHERE later.org_id = jobs.org_id AND later.created_at >= jobs.created_at AND later.resumes = jobs.id)")
	if ids != nil {
		q = q.Where("provider_id IN "+s.dialect.list, listed(ids))
	}
	var all []models.Job
	return all, q.Order("created_at DESC, id DESC").Limit(limit).Find(&all).Error
}
