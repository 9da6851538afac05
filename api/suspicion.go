package api

import (
	"context"
	"time"

	"github.com/grantd/grantd/models"
)

// Check is what the provider says about an access token, which is not in it.
type Check struct {
	Valid         bool                       `json:"valid" doc:"Whether the provider takes the token."`
	CheckedAt     time.Time                  `json:"checkedAt" doc:"When it was asked; an answer is remembered for ten seconds."`
	ExpiresAt     *time.Time                 `json:"expiresAt,omitempty" doc:"When the token stops working; left out when unknown."`
	Scopes        models.Strings             `json:"scopes" doc:"What was granted."`
	MissingScopes models.Strings             `json:"missingScopes" doc:"Scopes that were requested but not granted."`
	Status        models.AuthorizationStatus `json:"status" doc:"The authorization's, after what the provider said."`
}

func (s *Server) checkToken(ctx context.Context, c models.Caller, in *ByID) (*answer[Check], error) {
	k, err := s.service.Check(ctx, c, in.ID)
	a := k.Authorization
	return &answer[Check]{&Check{k.Valid, k.CheckedAt.UTC(), inUTC(k.ExpiresAt), a.Scopes, a.MissingScopes, a.Status}}, err
}

// Reset is a token that was replaced. Its text is a plain string, and only in the
// owner's answer.
type Reset struct {
	AccessToken     string                `json:"accessToken,omitempty" doc:"The new access token; left out for an admin whose authorization it is not."`
	ExpiresAt       *time.Time            `json:"expiresAt,omitempty" doc:"When it stops working; left out when unknown."`
	OldTokenRevoked bool                  `json:"oldTokenRevoked" doc:"True where the old access token was revoked, or the provider said that it is no longer valid. Otherwise it may work until it expires."`
	Authorization   *models.Authorization `json:"authorizedOauthProvider"`
}

func (s *Server) resetToken(ctx context.Context, c models.Caller, in *ByID) (*private[Reset], error) {
	r, err := s.service.Reset(ctx, c, in.ID)
	if err != nil {
		return nil, err
	}
	return privately(&Reset{r.Access.Reveal(), inUTC(r.ExpiresAt), r.OldRevoked, authorization(r.Authorization)}), nil
}

// RevokedToken is the outcome of an access token.
type RevokedToken struct {
	Outcome models.Outcome             `json:"outcome" doc:"revoked, or already_revoked where the provider says that it was invalid before."`
	Status  models.AuthorizationStatus `json:"status" doc:"The authorization's: active where the next fetch refreshes, else expired."`
}

func (s *Server) revokeToken(ctx context.Context, c models.Caller, in *ByID) (*answer[RevokedToken], error) {
	r, err := s.service.RevokeToken(ctx, c, in.ID)
	return &answer[RevokedToken]{&RevokedToken{r.Outcome, r.Authorization.Status}}, err
}

func (s *Server) resetProvider(ctx context.Context, c models.Caller, in *ByID) (*accepted, error) {
	j, err := s.service.ResetProvider(ctx, c, in.ID)
	return s.accept(j), err
}
