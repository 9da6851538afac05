package broker

import (
	"context"
	"time"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// AuditQuery filters and pages the audit trail. Empty fields do not filter.
type AuditQuery struct {
	UserID          string // who did it, or for whom it was done
	Actor           string // who did it for another user
	Actions         []string
	ProviderID      string
	AuthorizationID string
	JobID           string
	From, To        time.Time // To is not in the range
	Limit           int       // 0 means 100
	Cursor          string
}

// AuditTrail returns a page of what happened in the caller's organisation, the newest
// first, for admins. Events older than the retention are gone.
func (s *Service) AuditTrail(ctx context.Context, c models.Caller, q AuditQuery) (Page[models.AuditEvent], error) {
	if err := onlyUnlimitedAdmins(c); err != nil {
		return Page[models.AuditEvent]{}, err
	}
	if err := oneOf("action", models.Actions, q.Actions...); err != nil {
		return Page[models.AuditEvent]{}, err
	}
	if !q.From.IsZero() && !q.To.IsZero() && !q.From.Before(q.To) {
		return Page[models.AuditEvent]{}, models.Invalid(models.FieldError{Name: "to", Message: "must be later than from"})
	}
	limit, after, err := paging(q.Limit, 100, q.Cursor)
	if err != nil {
		return Page[models.AuditEvent]{}, err
	}
	rows, err := s.store.AuditEvents(ctx, c.OrgID, store.AuditFilter{
		UserID: q.UserID, Actor: q.Actor, Actions: q.Actions, ProviderID: q.ProviderID, AuthorizationID: q.AuthorizationID, JobID: q.JobID,
		From: q.From, To: q.To, After: after, Limit: limit + 1,
	})
	return cut(rows, limit, after,
		func(e models.AuditEvent) store.Position { return store.Position{CreatedAt: e.At, ID: e.ID} },
		asItIs), err
}
