package api

import (
	"context"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/models"
)

type authorizationList struct {
	ProviderID string `query:"providerId" doc:"Only those of this provider."`
	Status     string `query:"status" doc:"Only those that are active, expired, invalidOAuthClient or invalidProviderState."`
	Account    string `query:"account" doc:"Only those of this account: its sub, login or e-mail address, exactly."`
	UserID     string `query:"userId" doc:"Only those of this user: for admins, and for services, which have to name one."`
	Paging
}

func (s *Server) listAuthorizations(ctx context.Context, c models.Caller, in *authorizationList) (*answer[List[models.Authorization]], error) {
	page, err := s.service.Authorizations(ctx, c, broker.AuthorizationQuery{
		ProviderID: storable(in.ProviderID), Status: storable(in.Status), UserID: storable(in.UserID), Account: storable(in.Account),
		Limit: in.Limit, Cursor: storable(in.Cursor),
	})
	if err != nil {
		return nil, err
	}
	return list(ctx, s, page, authorization), nil
}

func (s *Server) getAuthorization(ctx context.Context, c models.Caller, in *ByID) (*answer[models.Authorization], error) {
	a, err := s.service.Authorization(ctx, c, in.ID)
	return &answer[models.Authorization]{authorization(a)}, err
}

func (s *Server) deleteAuthorization(ctx context.Context, c models.Caller, in *ByID) (*struct{}, error) {
	return nil, s.service.Disconnect(ctx, c, in.ID)
}

type leavingUser struct {
	UserID string `query:"userId" required:"true" example:"ada" doc:"Whose authorizations to revoke, all of them."`
}

func (s *Server) revokeUser(ctx context.Context, c models.Caller, in *leavingUser) (*accepted, error) {
	j, err := s.service.RevokeUser(ctx, c, storable(in.UserID))
	return s.accept(j), err
}
