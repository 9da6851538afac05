package client

import (
	"context"
	"iter"
	"net/url"
	"time"

	"github.com/grantd/grantd/models"
)

// AuditQuery filters the audit trail. Empty means all.
type AuditQuery struct {
	UserID          string // who did it
	Actions         []models.Action
	ProviderID      string
	AuthorizationID string
	JobID           string
	From, To        time.Time // To is not in the range
}

// Audit goes through what happened in the organisation, the newest first, for admins.
func (c *Client) Audit(ctx context.Context, q AuditQuery) iter.Seq2[models.AuditEvent, error] {
	query := url.Values{"action": texts(q.Actions)}
	for name, value := range map[string]string{"userId": q.UserID, "providerId": q.ProviderID, "authorizationId": q.AuthorizationID, "jobId": q.JobID} {
		set(query, name, value)
	}
	for name, at := range map[string]time.Time{"from": q.From, "to": q.To} {
		if !at.IsZero() {
			query.Set(name, at.UTC().Format(time.RFC3339Nano))
		}
	}
	return list[models.AuditEvent](ctx, c, "audit/", query)
}
