package store

import (
	"context"
	"time"
)

// AuditEvent says who did what to which thing: ids and codes only (H2).
type AuditEvent struct {
	ID              string `gorm:"primaryKey"`
	OrgID           string
	At              time.Time
	UserID          string
	TokenID         string
	Action          Action
	ProviderID      string
	AuthorizationID string
	JobID           string
	Code            string
}

// Action is what happened.
type Action string

// The actions.
const (
	ActionProviderCreated      Action = "provider.created"
	ActionProviderChanged      Action = "provider.changed"
	ActionProviderDeleteAsked  Action = "provider.delete_asked"
	ActionProviderDeleted      Action = "provider.deleted"
	ActionFlowFailed           Action = "flow.failed"
	ActionAuthorizationMade    Action = "authorization.made"
	ActionAuthorizationRenewed Action = "authorization.renewed"
	ActionAuthorizationUnlink  Action = "authorization.unlinked"
	ActionRefreshed            Action = "token.refreshed"
	ActionRefreshFailed        Action = "token.refresh_failed"
	ActionTokenDead            Action = "token.dead"
	ActionTroubleBegun         Action = "provider.trouble_begun"
	ActionTroubleEnded         Action = "provider.trouble_ended"
	ActionIdentityMismatch     Action = "authorization.identity_mismatch"
	ActionResetAsked           Action = "token.reset_asked"
	ActionReset                Action = "token.reset"
	ActionTokenRevokeAsked     Action = "token.revoke_asked"
	ActionTokenRevoked         Action = "token.revoked"
	ActionRevoked              Action = "authorization.revoked"
	ActionJobCreated           Action = "job.created"
	ActionTokenCreated         Action = "api_token.created"
	ActionTokenEnded           Action = "api_token.revoked"
	ActionSignedIn             Action = "session.begun"
	ActionSignedOut            Action = "session.ended"
	ActionKeyAdded             Action = "keyset.key_added"
	ActionKeyPromoted          Action = "keyset.key_promoted"
	ActionKeyRemoved           Action = "keyset.key_removed"
	ActionResealed             Action = "keyset.resealed"
)

// Audit writes events; within a transaction they stand or fall with the change.
func (s *Store) Audit(ctx context.Context, events ...AuditEvent) error {
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
func (s *Store) CountActions(ctx context.Context, org string, last time.Duration) (map[Action]int64, error) {
	return counted[Action](s.db.WithContext(ctx).Raw(`SELECT action AS name, count(*) AS n FROM audit_events
		WHERE org_id = ? AND at > ? GROUP BY action`, org, s.in(-last)))
}

// ForgetEvents deletes at most limit events older than the retention, and returns how many.
func (s *Store) ForgetEvents(ctx context.Context, retention time.Duration, limit int) (int64, error) {
	return s.forget(ctx, "audit_events", "at", "", retention, limit)
}
