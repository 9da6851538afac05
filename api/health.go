package api

import (
	"context"

	"github.com/grantd/grantd/models"
)

// Health says that the process is alive.
type Health struct {
	Status string `json:"status" enum:"ok"`
}

func (s *Server) healthz(context.Context, *struct{}) (*answer[Health], error) {
	return &answer[Health]{&Health{Status: "ok"}}, nil
}

// Readiness names the parts that were asked.
type Readiness struct {
	Status string            `json:"status" enum:"ok,degraded" doc:"degraded: a part is away that the instance can do without for a while."`
	Parts  map[string]string `json:"parts" doc:"Each part, and ok or what is wrong with it."`
}

const away = "does not answer"

// readyz tells which part fails, and only the log why: addresses of databases
// are nobody's business.
func (s *Server) readyz(ctx context.Context, _ *struct{}) (*answer[Readiness], error) {
	if s.serving.Err() != nil {
		return nil, unready(models.FieldError{Name: "draining", Message: "this instance is shutting down"})
	}
	ready := &Readiness{Status: "ok", Parts: map[string]string{}}
	var failing []models.FieldError
	for _, part := range s.service.Ready(ctx) {
		ready.Parts[part.Name] = "ok"
		if part.Err == nil {
			continue
		}
		s.log.Warn("a part does not answer", "part", part.Name, "error", part.Err)
		ready.Status, ready.Parts[part.Name] = "degraded", away
		if part.Needed {
			failing = append(failing, models.FieldError{Name: part.Name, Message: away})
		}
	}
	if failing != nil {
		return nil, unready(failing...)
	}
	return &answer[Readiness]{ready}, nil
}

func unready(parts ...models.FieldError) error {
	return &models.Error{Code: models.CodeUnavailable, Message: "Not ready.", Fields: parts}
}
