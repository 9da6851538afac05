package store

import (
	"context"
	"time"

	"github.com/grantd/grantd/models"
)

// Audit writes events; within a transaction they stand or fall with the change.
func (s *Store) Audit(ctx context.Context, events ...models.AuditEvent) error {
	if len(events) == 0 {
		return nil
	}
	now, err := s.Now(ctx)
	if err != nil {
		return err
	}
	for i := range events {
		events[i].At = now
	}
	return s.db.WithContext(ctx).Create(&events).Error
}

// CountActions counts an organisation's events of the last while, by action.
func (s *Store) CountActions(ctx context.Context, org string, last time.Duration) (map[models.Action]int64, error) {
	return counted[models.Action](s.db.WithContext(ctx).Raw(`SELECT action AS name, count(*) AS n FROM audit_events
		WHERE org_id = ? AND at > ? GROUP BY action`, org, s.in(-last)))
}

// ForgetEvents deletes at most limit events older than the retention, and returns how many.
func (s *Store) ForgetEvents(ctx context.Context, retention time.Duration, limit int) (int64, error) {
	return s.forget(ctx, "audit_events", "at", "", retention, limit)
}

// AuditFilter says which events of an organisation are asked for. Empty fields do not
// filter.
type AuditFilter struct {
	UserID, Actor, ProviderID, AuthorizationID, JobID string

	Actions  []string
	From, To time.Time // To is not in the range
	After    *Position
	Limit    int
}

// AuditEvents returns a page of an organisation's events, the newest first.
func (s *Store) AuditEvents(ctx context.Context, org string, f AuditFilter) ([]models.AuditEvent, error) {
	q := s.db.WithContext(ctx).Where("org_id = ?", org)
	if f.UserID != "" {
		q = q.Where("user_id = ? AND user_id <> ''", f.UserID) // in the words of its index
	}
	if f.Actor != "" {
		q = q.Where("actor = ? AND actor <> ''", f.Actor)
	}
	if f.AuthorizationID != "" {
		q = q.Where("authorization_id = ? AND authorization_id <> ''", f.AuthorizationID)
	}
	if f.ProviderID != "" {
		q = q.Where("provider_id = ?", f.ProviderID)
	}
	if f.JobID != "" {
		q = q.Where("job_id = ?", f.JobID)
	}
	if f.Actions != nil {
		q = q.Where("action IN "+s.dialect.list, listed(f.Actions))
	}
	if !f.From.IsZero() {
		q = q.Where("at >= ?", f.From.UTC())
	}
	if !f.To.IsZero() {
		q = q.Where("at < ?", f.To.UTC())
	}
	return pageBy[models.AuditEvent](q, "at", f.After, true, f.Limit)
}
