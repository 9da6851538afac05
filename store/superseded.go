package store

import (
	"context"
	"time"

	"github.com/grantd/grantd/models"
)

// SupersededPairs returns the pairs of tokens that an organisation keeps of any of the grants.
func (s *Store) SupersededPairs(ctx context.Context, org string, grantKeys []string) ([]models.SupersededPair, error) {
	var all []models.SupersededPair
	return all, s.db.WithContext(ctx).Where("org_id = ?", org).Where("grant_key IN "+s.dialect.list, listed(grantKeys)).Order("id").Find(&all).Error
}

// DropSuperseded forgets one pair, and reports whether it was there.
func (s *Store) DropSuperseded(ctx context.Context, id string) (bool, error) {
	return changed(s.db.WithContext(ctx).Where("id = ?", id).Delete(&models.SupersededPair{}))
}

// GiveToJob gives an item to a job that works on items of its own, and counts it.
func (s *Store) GiveToJob(ctx context.Context, id, job string) error {
	err := s.db.WithContext(ctx).Model(&models.Authorization{}).Where("id = ?", id).Update("job_id", job).Error
	if err != nil {
		return err
	}
	return s.AddToTotal(ctx, job, 1)
}

// DropSupersededOfUser forgets all pairs that are kept of a user, and returns them.
func (s *Store) DropSupersededOfUser(ctx context.Context, org, user string) ([]models.SupersededPair, error) {
	return s.dropSuperseded(ctx, "org_id = ? AND user_id = ?", org, user)
}

// DropSupersededOfItems forgets the pairs that deletions of the provider kept, and
// those that could only be revoked with the items under a lease, and returns them.
func (s *Store) DropSupersededOfItems(ctx context.Context, provider, lease string) ([]models.SupersededPair, error) {
	return s.dropSuperseded(ctx, `job_id IN (SELECT id FROM jobs WHERE provider_id = ? AND type = ?)
		OR EXISTS (SELECT 1 FROM authorizations i WHERE i.item_lease = ? AND i.outcome IS NULL
			AND i.org_id = superseded_pairs.org_id AND i.grant_key_v2 = superseded_pairs.grant_key)
		AND NOT EXISTS (SELECT 1 FROM authorizations a JOIN providers p ON p.id = a.provider_id
			WHERE a.org_id = superseded_pairs.org_id AND a.grant_key_v2 = superseded_pairs.grant_key
			AND a.outcome IS NULL AND `+linked("a")+` AND p.delete_job_id IS NULL)`,
		provider, models.JobDeleteProvider, lease)
}

// ExpireSuperseded forgets pairs that were kept for longer than the retention, and
// returns them.
func (s *Store) ExpireSuperseded(ctx context.Context, retention time.Duration, limit int) ([]models.SupersededPair, error) {
	return s.dropSuperseded(ctx, s.dialect.rowsOf("superseded_pairs WHERE kept_at <= ? ORDER BY kept_at LIMIT ?"), s.in(-retention), limit)
}

func (s *Store) dropSuperseded(ctx context.Context, which string, args ...any) ([]models.SupersededPair, error) {
	var gone []models.SupersededPair
	return gone, s.db.WithContext(ctx).Raw("DELETE FROM superseded_pairs WHERE "+which+" RETURNING "+s.columns("superseded_pairs", models.SupersededPair{}), args...).Scan(&gone).Error
}

// keepSuperseded keeps what settled items leave.
func (s *Store) keepSuperseded(done []Settled) error {
	var kept []models.SupersededPair
	for _, i := range done {
		if i.Keep != nil {
			kept = append(kept, *i.Keep)
		}
	}
	if len(kept) == 0 {
		return nil
	}
	return s.db.Create(&kept).Error
}
