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
