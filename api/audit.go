package api

import (
	"context"
	"time"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/models"
)

// auditList's actions are declared here and read by values.
type auditList struct {
	UserID          string    `query:"userId" doc:"Only what this user did."`
	Action          []string  `query:"action,explode" doc:"Only these actions, such as provider.changed; repeated or separated by commas."`
	ProviderID      string    `query:"providerId" doc:"Only what is about this provider."`
	AuthorizationID string    `query:"authorizationId" doc:"Only what is about this authorization."`
	JobID           string    `query:"jobId" doc:"Only what is about this job."`
	From            time.Time `query:"from" doc:"Only what happened at this time or later (RFC 3339)."`
	To              time.Time `query:"to" doc:"Only what happened before this time (RFC 3339)."`
	Paging
}

func (s *Server) listAudit(ctx context.Context, c models.Caller, in *auditList) (*answer[List[models.AuditEvent]], error) {
	page, err := s.service.AuditTrail(ctx, c, broker.AuditQuery{
		UserID: storable(in.UserID), Actions: values(ctx, "action"), ProviderID: storable(in.ProviderID),
		AuthorizationID: storable(in.AuthorizationID), JobID: storable(in.JobID), From: in.From, To: in.To,
		Limit: in.Limit, Cursor: storable(in.Cursor),
	})
	if err != nil {
		return nil, err
	}
	return list(ctx, s, page, auditEvent), nil
}
