package store

import (
	"context"

	"gorm.io/gorm"
)

// What failed in one job may be taken up by another, which settles it again. The
// first job's outcome stays as it was told (D4), so it is kept aside.

// RetryItems makes what failed in an earlier deletion of the provider pending
// again, and due what waited for its time, so that a resumed one takes all of it
// up (D5).
func (s *Store) RetryItems(ctx context.Context, provider string) error {
	err := s.db.WithContext(ctx).Exec(`UPDATE authorizations SET item_due_at = ?
		WHERE provider_id = ? AND outcome IS NULL AND item_lease IS NULL AND item_due_at > ?`, s.now(), provider, s.now()).Error
	if err != nil {
		return err
	}
	if err := s.keepFailed(ctx, "provider_id = ?", provider); err != nil {
		return err
	}
	return s.db.WithContext(ctx).Exec(`UPDATE authorizations SET outcome = NULL, outcome_reason = '', outcome_at = NULL,
		job_id = NULL, item_attempts = 0, item_due_at = ? WHERE provider_id = ? AND outcome = 'failed'`, s.now(), provider).Error
}

// UnlinkUser makes everything of a user unusable and gives it to the job to be
// revoked, together with what failed before. Providers that are being deleted
// keep theirs: their own job revokes them. It is RevokeUser and TakeItemsOfUser in one, for
// as long as processes of the release before may run, which know neither.
func (s *Store) UnlinkUser(ctx context.Context, org, user, job string) error {
	const theirs = `org_id = ? AND user_id = ? AND provider_id IN (SELECT id FROM providers WHERE org_id = ? AND delete_job_id IS NULL)`
	if err := s.keepFailed(ctx, theirs, org, user, org); err != nil {
		return err
	}
	return s.db.WithContext(ctx).Exec(`UPDATE authorizations SET unlinked_at = COALESCE(unlinked_at, ?), updated_at = ?, job_id = ?,
		outcome = NULL, outcome_reason = '', outcome_at = NULL, item_attempts = 0, item_due_at = ?
		WHERE (unlinked_at IS NULL OR outcome = 'failed') AND `+theirs,
		s.now(), s.now(), job, s.now(), org, user, org).Error
}

// keepFailed keeps the outcomes of what failed and is about to be taken up again.
func (s *Store) keepFailed(ctx context.Context, which string, args ...any) error {
	return s.db.WithContext(ctx).Exec(`INSERT INTO retried_items (job_id, authorization_id, user_id, provider_id, outcome, outcome_reason, outcome_at)
		SELECT job_id, id, user_id, provider_id, outcome, outcome_reason, outcome_at FROM authorizations
		WHERE outcome = 'failed' AND job_id IS NOT NULL AND `+which, args...).Error
}

// settled are the places where what a job settled is found: with the authorization;
// once another job took that up again, aside; and with the resets of a provider,
// which end no authorization. They are asked one by one, since PostgreSQL sorts the
// whole of their union for each page.
func (s *Store) settled(ctx context.Context, job string) []*gorm.DB {
	const reset = "(SELECT *, authorization_id AS id, reason AS outcome_reason, settled_at AS outcome_at FROM reset_items) AS reset"
	return []*gorm.DB{
		s.db.WithContext(ctx).Table("authorizations").Where("job_id = ? AND outcome IS NOT NULL", job),
		s.db.WithContext(ctx).Table("(SELECT *, authorization_id AS id FROM retried_items) AS kept").Where("job_id = ?", job),
		s.db.WithContext(ctx).Table(reset).Where("job_id = ? AND outcome IS NOT NULL", job),
	}
}
