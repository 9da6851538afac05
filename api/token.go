package api

import (
	"context"
	"time"

	"github.com/grantd/grantd/models"
)

// Token is an access token that works now. Its text is a plain string: this is
// the one answer that a secret leaves in.
type Token struct {
	AccessToken   string                `json:"accessToken" doc:"The provider's access token."`
	ExpiresAt     *time.Time            `json:"expiresAt,omitempty" doc:"When it stops working; left out when unknown."`
	Authorization *models.Authorization `json:"authorizedOauthProvider"`
}

func (s *Server) token(ctx context.Context, c models.Caller, in *ByID) (*private[Token], error) {
	t, err := s.service.Token(ctx, c, in.ID)
	if err != nil {
		return nil, err
	}
	return privately(&Token{t.Access.Reveal(), inUTC(t.ExpiresAt), authorization(t.Authorization)}), nil
}
