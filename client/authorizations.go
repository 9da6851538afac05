package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/grantd/grantd/models"
)

// AuthorizeRequest begins a consent. Empty fields are grantd's to choose.
type AuthorizeRequest struct {
	State       string // given back unchanged; "" has one made
	RedirectURI string // where the person returns to; "" for grantd's own page
	SkipConsent *bool  // whether the upstream may leave its question out
}

// Consent is where to send the person, and the state they will bring back.
type Consent struct {
	RedirectURL string `json:"redirectUrl"`
	State       string `json:"state"`
}

// Authorize begins the caller's consent to a provider.
func (c *Client) Authorize(ctx context.Context, provider string, r AuthorizeRequest) (Consent, error) {
	query := url.Values{}
	set(query, "state", r.State)
	set(query, "redirect_uri", r.RedirectURI)
	if r.SkipConsent != nil {
		query.Set("skip_consent", strconv.FormatBool(*r.SkipConsent))
	}
	var answer Consent
	return answer, c.call(ctx, http.MethodPost, at("providers", provider, "authorize/"), query, nil, &answer)
}

// ReturnTo reads a callback from the query the person returned with.
func ReturnTo(provider string, query url.Values) models.Callback {
	return models.Callback{
		ProviderID: provider, State: models.Secret(query.Get("state")), Code: models.Secret(query.Get("code")),
		Error: query.Get("error"), ErrorDescription: query.Get("error_description"), Iss: query.Get("iss"),
	}
}

// Completed is a consent that became an authorization.
type Completed struct {
	Authorization models.Authorization `json:"authorizedProvider"`
	User          models.User          `json:"userInfo"`
}

// Complete ends a consent. It must be called once, by the user who began it.
func (c *Client) Complete(ctx context.Context, cb models.Callback) (Completed, error) {
	var done Completed
	return done, c.call(ctx, http.MethodPost, "providers/callback/", nil, cb, &done)
}

// AuthorizationQuery filters a list of authorizations. Empty means all that the
// caller may see: a user's own, an admin's whole organisation.
type AuthorizationQuery struct {
	ProviderID string
	Status     models.AuthorizationStatus
	UserID     string // for admins
	Account    string // its sub, login or e-mail address
}

// Authorizations goes through the authorizations that the caller may see.
func (c *Client) Authorizations(ctx context.Context, q AuthorizationQuery) iter.Seq2[models.Authorization, error] {
	query := url.Values{}
	set(query, "providerId", q.ProviderID)
	set(query, "status", string(q.Status))
	set(query, "userId", q.UserID)
	set(query, "account", q.Account)
	return list[models.Authorization](ctx, c, "authorizedProviders/", query)
}

// Authorization returns one authorization, with its account and its times.
func (c *Client) Authorization(ctx context.Context, id string) (models.Authorization, error) {
	var a models.Authorization
	err := c.call(ctx, http.MethodGet, at("authorizedProviders", id), nil, nil, &a)
	return a, err
}

// Disconnect ends one authorization; the upstream is told now or later.
func (c *Client) Disconnect(ctx context.Context, authorization string) error {
	return c.call(ctx, http.MethodDelete, at("authorizedProviders", authorization), nil, nil, nil)
}

// Token is an access token of the upstream.
type Token struct {
	AccessToken   models.Secret        `json:"accessToken"`
	ExpiresAt     *time.Time           `json:"expiresAt"` // nil when unknown
	Authorization models.Authorization `json:"authorizedOauthProvider"`
}

// Token returns an access token that can be used now, refreshed if need be. It
// is meant to be asked for before every use, not kept.
func (c *Client) Token(ctx context.Context, authorization string) (Token, error) {
	var t Token
	return t, c.call(ctx, http.MethodPost, at("authorizedProviders", authorization, "token/"), nil, nil, &t)
}

// TokenFor is Token for a token that lives for at least minTTL. Of that, 15 minutes or half of a token's life are taken into
// account at most.
func (c *Client) TokenFor(ctx context.Context, authorization string, minTTL time.Duration) (Token, error) {
	var t Token
	query := url.Values{"minTtl": {strconv.Itoa(int(minTTL.Seconds()))}}
	return t, c.call(ctx, http.MethodPost, at("authorizedProviders", authorization, "token/"), query, nil, &t)
}

// UserInfo asks the upstream who the authorization belongs to.
func (c *Client) UserInfo(ctx context.Context, authorization string) (models.User, error) {
	var u models.User
	return u, c.call(ctx, http.MethodGet, at("authorizedProviders", authorization, "userinfo/"), nil, nil, &u)
}
