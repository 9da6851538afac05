package api

import (
	"context"

	"github.com/grantd/grantd/models"
)

func (s *Server) me(ctx context.Context, c models.Caller, _ *struct{}) (*answer[models.Me], error) {
	m, err := s.service.Me(ctx, c)
	m.ExpiresAt = inUTC(m.ExpiresAt)
	return &answer[models.Me]{&m}, err
}
