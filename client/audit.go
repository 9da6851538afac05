package client

import (
	"context"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"time"

	"github.com/grantd/grantd/models"
)

// AuditQuery filters the audit trail. Empty means all.
type AuditQuery struct {
	UserID          string // who did it, or for whom it was done
	Actor           string // who did it for another user
	Actions         []models.Action
	ProviderID      string
	AuthorizationID string
	JobID           string
	From, To        time.Time // To is not in the range
}

// Audit goes through what happened in the organisation, the newest first, for admins.
func (c *Client) Audit(ctx context.Context, q AuditQuery) iter.Seq2[models.AuditEvent, error] {
	return list[models.AuditEvent](ctx, c, "audit/", q.values())
}

// ExportAudit writes what Audit goes through as JSON lines, as they arrive. After an error what was written is a part. The
// HTTP client's Timeout bounds the whole of it.
func (c *Client) ExportAudit(ctx context.Context, q AuditQuery, to io.Writer) error {
	const path = "audit/export/"
	answer, err := c.send(ctx, http.MethodGet, path, q.values(), nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
		return refused(answer, body)
	}
	if _, err := io.Copy(to, answer.Body); err != nil {
		return fmt.Errorf("GET %s: the answer is not complete: %w", path, err)
	}
	return nil
}

func (q AuditQuery) values() url.Values {
	query := url.Values{"action": texts(q.Actions)}
	for name, value := range map[string]string{"userId": q.UserID, "actor": q.Actor, "providerId": q.ProviderID, "authorizationId": q.AuthorizationID, "jobId": q.JobID} {
		set(query, name, value)
	}
	for name, at := range map[string]time.Time{"from": q.From, "to": q.To} {
		if !at.IsZero() {
			query.Set(name, at.UTC().Format(time.RFC3339Nano))
		}
	}
	return query
}
