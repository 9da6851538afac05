package api

import (
	"context"
	"time"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/models"
)

// NewAPIToken is the body of POST apiTokens/.
type NewAPIToken struct {
	Name          string      `json:"name,omitempty" maxLength:"255" doc:"What it is for, for people. Users see the name of a service beside the connections that it may use."`
	Role          models.Role `json:"role" enum:"user,admin,service" doc:"user; admin and service only where the operator allows it (GRANTD_TOKENS_BY_ADMINS)."`
	UserID        string      `json:"userId,omitempty" doc:"Whose it is: the caller's own name, as without it, or that of a machine, which begins with app-."`
	Providers     []string    `json:"providers,omitempty" maxItems:"100" doc:"The providers that it is limited to, by id or slug. A service needs one at least."`
	ReturnOrigins []string    `json:"returnOrigins,omitempty" maxItems:"100" doc:"The origins that connect links made with it may return to, such as https://app.example.com, or http://localhost:* for every port. They have to be among those of the API token of this request."`
	ExpiresAt     *time.Time  `json:"expiresAt,omitempty" doc:"When it ends: at the latest when the API token of this request does, as without it."`
}

// MadeAPIToken is an API token that was made just now.
type MadeAPIToken struct {
	models.APIToken
	Token string `json:"token" doc:"The API token. It is shown this once."`
}

func (s *Server) createAPIToken(ctx context.Context, c models.Caller, in *struct{ Body NewAPIToken }) (*private[MadeAPIToken], error) {
	b := in.Body
	t, token, err := s.service.MakeAPIToken(ctx, c, broker.NewAPIToken{
		Name: b.Name, Role: b.Role, UserID: b.UserID, Providers: b.Providers, ReturnOrigins: b.ReturnOrigins, ExpiresAt: b.ExpiresAt,
	})
	return privately(&MadeAPIToken{*apiToken(t), token.Reveal()}), err
}

type apiTokenList struct {
	UserID string `query:"userId" doc:"Only those of this user."`
	MadeBy string `query:"madeBy" doc:"Only those that were made with the API token of this id."`
	Paging
}

func (s *Server) listAPITokens(ctx context.Context, c models.Caller, in *apiTokenList) (*answer[List[models.APIToken]], error) {
	page, err := s.service.APITokensOf(ctx, c, broker.APITokenQuery{
		UserID: storable(in.UserID), MadeBy: storable(in.MadeBy), Limit: in.Limit, Cursor: storable(in.Cursor),
	})
	if err != nil {
		return nil, err
	}
	return list(ctx, s, page, apiToken), nil
}

func (s *Server) getAPIToken(ctx context.Context, c models.Caller, in *ByID) (*answer[models.APIToken], error) {
	t, err := s.service.APITokenOf(ctx, c, in.ID)
	return &answer[models.APIToken]{apiToken(t)}, err
}

type revokedAPIToken struct {
	ByID
	WithMade bool `query:"withMade" doc:"Also revoke the API tokens that were made with it, and with those."`
}

func (s *Server) revokeAPIToken(ctx context.Context, c models.Caller, in *revokedAPIToken) (*struct{}, error) {
	return nil, s.service.EndAPIToken(ctx, c, in.ID, in.WithMade)
}
