package api

import (
	"context"
	"time"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/models"
)

// Import is the body of POST authorizedProviders/import/. Its tokens print nothing.
type Import struct {
	ProviderID   string  `json:"providerId" doc:"The provider whose client the token is for."`
	RefreshToken notNull `json:"refreshToken,omitempty" doc:"A refresh token. Exactly one of refreshToken and accessToken is given."`
	AccessToken  notNull `json:"accessToken,omitempty" doc:"An access token that has no refresh token."`
	ExpiresIn    int64   `json:"expiresIn,omitempty" minimum:"1" doc:"How many seconds the access token still lives, where the provider does not say; left out when it has no end."`
}

func (s *Server) importToken(ctx context.Context, c models.Caller, in *struct{ Body Import }) (*private[Completion], error) {
	b := in.Body
	if err := noNulls(named{"refreshToken", b.RefreshToken}, named{"accessToken", b.AccessToken}); err != nil {
		return nil, err
	}
	if !models.ValidID(b.ProviderID) {
		return nil, models.Errorf(models.CodeNotFound, "There is no provider with this providerId.")
	}
	const century = 100 * 365 * 24 * 3600 // far beyond what is accepted, and within a time.Duration
	done, err := s.service.Import(ctx, c, broker.Import{ProviderID: b.ProviderID, Refresh: b.RefreshToken.value,
		Access: b.AccessToken.value, ExpiresIn: time.Duration(min(b.ExpiresIn, century)) * time.Second})
	return privately(&Completion{authorization(done.Authorization), user(done.User)}), err
}
