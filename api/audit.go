package api

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humaecho"
	"github.com/labstack/echo/v4"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/models"
)

// AuditFilter says which events of the audit trail are asked for. Its actions are declared here and read by values. It is
// exported because Huma passes over embedded fields that are not.
type AuditFilter struct {
	UserID          string    `query:"userId" doc:"Only what this user did, or what was done for this user."`
	Actor           string    `query:"actor" doc:"Only what this service or admin did for other users."`
	Action          []string  `query:"action,explode" doc:"Only these actions, such as provider.changed; repeated or separated by commas."`
	ProviderID      string    `query:"providerId" doc:"Only what is about this provider."`
	AuthorizationID string    `query:"authorizationId" doc:"Only what is about this authorization."`
	JobID           string    `query:"jobId" doc:"Only what is about this job."`
	From            time.Time `query:"from" doc:"Only what happened at this time or later (RFC 3339)."`
	To              time.Time `query:"to" doc:"Only what happened before this time (RFC 3339)."`
}

func (f AuditFilter) query(ctx context.Context) broker.AuditQuery {
	return broker.AuditQuery{
		UserID: storable(f.UserID), Actor: storable(f.Actor), Actions: values(ctx, "action"), ProviderID: storable(f.ProviderID),
		AuthorizationID: storable(f.AuthorizationID), JobID: storable(f.JobID), From: f.From, To: f.To,
	}
}

type auditList struct {
	AuditFilter
	Paging
}

func (s *Server) listAudit(ctx context.Context, c models.Caller, in *auditList) (*answer[List[models.AuditEvent]], error) {
	q := in.query(ctx)
	q.Limit, q.Cursor = in.Limit, storable(in.Cursor)
	page, err := s.service.AuditTrail(ctx, c, q)
	if err != nil {
		return nil, err
	}
	return list(ctx, s, page, auditEvent), nil
}

const jsonLines = "application/x-ndjson"

func (s *Server) exportAudit(ctx context.Context, c models.Caller, in *AuditFilter) (*huma.StreamResponse, error) {
	q := in.query(ctx)
	first, err := s.firstOfAudit(ctx, c, &q)
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(out huma.Context) {
		e := humaecho.UnwrapV4(out)
		s.sendAudit(e, c, q, first, func() error {
			_, err := s.identify(e.Request())
			return err
		})
	}}, nil
}

// exportAuditTo sends an admin's browser the events that a query asks for, as a file to keep. still is asked before each
// page, and ends the answer with its error.
func (s *Server) exportAuditTo(e echo.Context, c models.Caller, q broker.AuditQuery, still func() error) error {
	first, err := s.firstOfAudit(e.Request().Context(), c, &q)
	if err == nil {
		s.sendAudit(e, c, q, first, still)
	}
	return err
}

// firstOfAudit is the first page of an export: what is wrong with the query is known before anything is answered.
func (s *Server) firstOfAudit(ctx context.Context, c models.Caller, q *broker.AuditQuery) (broker.Page[models.AuditEvent], error) {
	q.Limit = 1000 // events are in memory at a time
	return s.service.AuditTrail(ctx, c, *q)
}

// sendAudit writes one event after the other, each as a line of JSON, a page at a time. An answer that cannot be completed
// ends with its connection: a part must not look like the whole.
func (s *Server) sendAudit(e echo.Context, c models.Caller, q broker.AuditQuery, page broker.Page[models.AuditEvent], still func() error) {
	ctx, cancel := s.whileServing(e.Request().Context())
	defer cancel()
	h := e.Response().Header()
	h.Set("Content-Type", jsonLines)
	h.Set("Content-Disposition", `attachment; filename="audit.jsonl"`)
	h.Set("Cache-Control", noStore)
	e.Response().WriteHeader(http.StatusOK)
	for {
		err := s.writeAudit(e, page)
		if err == nil && page.Next == "" {
			return
		}
		if err == nil {
			err = still()
		}
		if err == nil {
			q.Cursor = page.Next
			page, err = s.service.AuditTrail(ctx, c, q)
		}
		if err != nil {
			_ = s.problem(ctx, err) // only for the log: the status has been sent
			panic(http.ErrAbortHandler)
		}
	}
}

func (s *Server) writeAudit(e echo.Context, page broker.Page[models.AuditEvent]) error {
	control := http.NewResponseController(e.Response())
	_ = control.SetWriteDeadline(time.Now().Add(writeTime)) // where the server has no limit there is none to move
	lines := json.NewEncoder(e.Response())
	for _, event := range page.Data {
		if err := lines.Encode(auditEvent(event)); err != nil {
			return err
		}
	}
	return control.Flush()
}

// documentAuditExport describes the lines as a list of events, since OpenAPI 3.1 has no words for JSON lines.
func (s *Server) documentAuditExport() {
	api := s.huma.OpenAPI()
	api.Paths[root+"audit/export/"].Get.Responses["200"].Content = map[string]*huma.MediaType{
		jsonLines: {Schema: &huma.Schema{Type: huma.TypeArray, Description: "The events, each a line of JSON.",
			Items: api.Components.Schemas.Schema(reflect.TypeFor[models.AuditEvent](), true, "")}},
	}
}
