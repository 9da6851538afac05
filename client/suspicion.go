package client

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/grantd/grantd/models"
)

// Check is what the upstream says about an access token, which is not in it.
type Check struct {
	Valid         bool                       `json:"valid"`
	CheckedAt     time.Time                  `json:"checkedAt"`
	ExpiresAt     *time.Time                 `json:"expiresAt"` // nil when unknown
	Scopes        []string                   `json:"scopes"`
	MissingScopes []string                   `json:"missingScopes"`
	Status        models.AuthorizationStatus `json:"status"` // after what the upstream said
}

// CheckToken asks the upstream whether an authorization's access token is good. That it
// is not is no error.
func (c *Client) CheckToken(ctx context.Context, authorization string) (Check, error) {
	var k Check
	return k, c.call(ctx, http.MethodPost, at("authorizedProviders", authorization, "check/"), nil, nil, &k)
}

// Reset is an access token that was replaced.
type Reset struct {
	AccessToken     models.Secret        `json:"accessToken"`     // the new one; "" for an admin whose authorization it is not
	ExpiresAt       *time.Time           `json:"expiresAt"`       // nil when unknown
	OldTokenRevoked bool                 `json:"oldTokenRevoked"` // the upstream was seen to refuse the old one
	Authorization   models.Authorization `json:"authorizedOauthProvider"`
}

// ResetToken replaces an authorization's access token before it is due.
func (c *Client) ResetToken(ctx context.Context, authorization string) (Reset, error) {
	var r Reset
	return r, c.call(ctx, http.MethodPost, at("authorizedProviders", authorization, "reset/"), nil, nil, &r)
}

// RevokedToken is the outcome of an access token that was to be revoked.
type RevokedToken struct {
	Outcome models.Outcome             `json:"outcome"`
	Status  models.AuthorizationStatus `json:"status"` // active where the next fetch refreshes
}

// RevokeToken revokes an authorization's access token and keeps the grant, where the
// upstream can do that.
func (c *Client) RevokeToken(ctx context.Context, authorization string) (RevokedToken, error) {
	var r RevokedToken
	return r, c.call(ctx, http.MethodDelete, at("authorizedProviders", authorization, "token/"), nil, nil, &r)
}

// ResetProvider has the access token of every authorization of a provider replaced, and
// returns the location of the job that does so. It is for admins.
func (c *Client) ResetProvider(ctx context.Context, provider string) (location string, err error) {
	return c.accepted(ctx, http.MethodPost, at("providers", provider, "reset/"), nil, nil)
}

// RevokeUser makes everything that a user authorized unusable at once and has it revoked
// upstream, and returns the location of the job that does so. It is for admins.
func (c *Client) RevokeUser(ctx context.Context, user string) (location string, err error) {
	return c.accepted(ctx, http.MethodDelete, "authorizedProviders/", url.Values{"userId": {user}}, nil)
}

// ImportToken makes an authorization of the caller's out of a token, once the upstream
// has shown that the token was issued to the provider's client.
func (c *Client) ImportToken(ctx context.Context, token models.Import) (Completed, error) {
	var done Completed
	return done, c.call(ctx, http.MethodPost, "authorizedProviders/import/", nil, token, &done)
}
