package store

import (
	"context"
	"time"

	"gorm.io/gorm"

	"github.com/grantd/grantd/models"
)

// ResetItem is an authorization whose token a RESET_PROVIDER job is to replace. Its
// lease says who does, like an item of revocation's; but what fences the tokens is
// the credential, so that two who are at it make one call.
type ResetItem struct {
	AuthorizationID string
	Generation      int64 // of the token that is to be replaced
	Attempts        int
}

// AddResetItems makes items of all that is linked to a provider now, and returns how
// many. Who consents later gets new tokens anyway.
func (s *Store) AddResetItems(ctx context.Context, job, provider string) (int64, error) {
	r := s.db.WithContext(ctx).Exec(`INSERT INTO reset_items
		(job_id, authorization_id, user_id, provider_id, generation, reason, due_at, attempts)
		SELECT CAST(? AS TEXT), a.id, a.user_id, a.provider_id, c.generation, '', ?, 0
		FROM authorizations a JOIN credentials c ON c.authorization_id = a.id
		WHERE a.provider_id = ? AND `+linked("a")+` AND a.outcome IS NULL`, job, s.now(), provider)
	return r.RowsAffected, r.Error
}

// ClaimResetItems leases up to limit items that are due, and that nobody else holds.
func (s *Store) ClaimResetItems(ctx context.Context, job, lease string, leaseFor time.Duration, limit int) ([]ResetItem, error) {
	var items []ResetItem
	return items, s.db.WithContext(ctx).Raw(`WITH due AS MATERIALIZED (SELECT authorization_id FROM reset_items
		WHERE job_id = ? AND outcome IS NULL AND due_at <= ? ORDER BY due_at LIMIT ?`+s.dialect.skipLocked+`)
		UPDATE reset_items SET lease = ?, due_at = ? WHERE job_id = ? AND authorization_id IN (SELECT authorization_id FROM due)
		RETURNING authorization_id, generation, attempts`,
		job, s.now(), limit, lease, s.in(leaseFor), job).Scan(&items).Error
}

func (s *Store) resetItem(ctx context.Context, job, authorization, lease string) *gorm.DB {
	return s.db.WithContext(ctx).Table("reset_items").
		Where("job_id = ? AND authorization_id = ? AND lease = ? AND outcome IS NULL", job, authorization, lease)
}

// SettleResetItem writes how an item ended, once.
func (s *Store) SettleResetItem(ctx context.Context, job, authorization, lease string, o models.Outcome, reason string) error {
	return s.resetItem(ctx, job, authorization, lease).
		Updates(map[string]any{"outcome": o, "reason": reason, "settled_at": s.now(), "lease": nil}).Error
}

// GiveBackResetItem lets an item be claimed again after the given time. A pause is no
// attempt (D4).
func (s *Store) GiveBackResetItem(ctx context.Context, job, authorization, lease, reason string, after time.Duration, attempt bool) error {
	row := map[string]any{"lease": nil, "due_at": s.in(after), "reason": reason}
	if attempt {
		row["attempts"] = gorm.Expr("attempts + 1")
	}
	return s.resetItem(ctx, job, authorization, lease).Updates(row).Error
}

// CountResetItems counts a job's items by outcome; those without one under "".
func (s *Store) CountResetItems(ctx context.Context, job string) (map[models.Outcome]int64, error) {
	return counted[models.Outcome](s.db.WithContext(ctx).Raw(`SELECT COALESCE(outcome, '') AS name, count(*) AS n
		FROM reset_items WHERE job_id = ? GROUP BY 1`, job))
}

// CountResetReason counts a job's items of one reason that are settled.
func (s *Store) CountResetReason(ctx context.Context, job, reason string) (int64, error) {
	var n int64
	return n, s.db.WithContext(ctx).Table("reset_items").
		Where("job_id = ? AND outcome IS NOT NULL AND reason = ?", job, reason).Count(&n).Error
}

// NextResetDue returns in how long the next item may be claimed, and false when there
// is none.
func (s *Store) NextResetDue(ctx context.Context, job string) (time.Duration, bool, error) {
	return s.untilFirst(ctx, s.db.WithContext(ctx).Table("reset_items").Where("job_id = ? AND outcome IS NULL", job), "due_at")
}
