package api

import (
	"context"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/models"
)

type sessionList struct {
	UserID string `query:"userId" doc:"Only those of this user."`
	Paging
}

func (s *Server) listSessions(ctx context.Context, c models.Caller, in *sessionList) (*answer[List[models.BrowserSession]], error) {
	page, err := s.service.Sessions(ctx, c, broker.SessionQuery{UserID: storable(in.UserID), Limit: in.Limit, Cursor: storable(in.Cursor)})
	if err != nil {
		return nil, err
	}
	return list(ctx, s, page, browserSession), nil
}

func (s *Server) endSession(ctx context.Context, c models.Caller, in *ByID) (*struct{}, error) {
	return nil, s.service.EndSessionOf(ctx, c, in.ID)
}

type signedInUser struct {
	UserID string `query:"userId" required:"true" example:"corp:248289761001" doc:"Whose sessions to end, all of them."`
}

func (s *Server) endSessions(ctx context.Context, c models.Caller, in *signedInUser) (*struct{}, error) {
	return nil, s.service.EndSessionsOfUser(ctx, c, storable(in.UserID))
}
