package client

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/grantd/grantd/models"
)

// The external-auth API: providers and authorizations as one user sees them, in the format of Coder's API of that name.

const externalPath = version2 + "/external-auth"

// ExternalAuths is what a user can connect, and what is connected.
type ExternalAuths struct {
	Providers []ExternalProvider `json:"providers"`
	Links     []ExternalLink     `json:"links"`
}

// ExternalProvider is a provider that can be connected.
type ExternalProvider struct {
	ID                 string   `json:"id"`
	Type               string   `json:"type"`
	Device             bool     `json:"device"` // whether the device flow is offered
	DisplayName        string   `json:"display_name"`
	DisplayIcon        string   `json:"display_icon"` // an https address or a path; "" for none
	AllowRefresh       bool     `json:"allow_refresh"`
	AllowValidate      bool     `json:"allow_validate"`      // whether the upstream tells whose a token is
	SupportsRevocation bool     `json:"supports_revocation"` // whether the upstream takes tokens back
	ChallengeMethods   []string `json:"code_challenge_methods_supported"`
}

// ExternalLink is what a user has connected at a provider.
type ExternalLink struct {
	ProviderID      string     `json:"provider_id"`
	CreatedAt       time.Time  `json:"created_at"`
	UpdatedAt       time.Time  `json:"updated_at"` // when the tokens were saved last
	HasRefreshToken bool       `json:"has_refresh_token"`
	Expires         *time.Time `json:"expires"` // of the access token; nil when unknown
	Authenticated   bool       `json:"authenticated"`
	ValidateError   string     `json:"validate_error"` // why it does not work
}

// ExternalAuth is a provider, and who the user is there.
type ExternalAuth struct {
	Authenticated      bool                  `json:"authenticated"`
	Device             bool                  `json:"device"`
	DisplayName        string                `json:"display_name"`
	SupportsRevocation bool                  `json:"supports_revocation"`
	User               *models.Account       `json:"user"` // nil when nothing is connected
	AppInstallable     bool                  `json:"app_installable"`
	Installations      []models.Installation `json:"installations"`
	AppInstallURL      string                `json:"app_install_url"`
}

// ExternalAuths lists what the user can connect, and what is connected.
func (c *Client) ExternalAuths(ctx context.Context) (ExternalAuths, error) {
	var all ExternalAuths
	return all, c.call(ctx, http.MethodGet, externalPath, nil, nil, &all)
}

// ExternalAuth tells who the user is at a provider, which is named by its id or slug.
func (c *Client) ExternalAuth(ctx context.Context, provider string) (ExternalAuth, error) {
	var a ExternalAuth
	return a, c.call(ctx, http.MethodGet, externalAt(provider), nil, nil, &a)
}

// ExternalDeletion is the outcome of the tokens of what was disconnected.
type ExternalDeletion struct {
	TokenRevoked bool   `json:"token_revoked"`          // the upstream took every token back before the answer
	Problem      string `json:"token_revocation_error"` // why it did not; it is tried again where that may help
}

// DeleteExternalAuth disconnects what the user has connected at a provider.
func (c *Client) DeleteExternalAuth(ctx context.Context, provider string) (ExternalDeletion, error) {
	var d ExternalDeletion
	return d, c.call(ctx, http.MethodDelete, externalAt(provider), nil, nil, &d)
}

// ExternalDevice is what to show to a person who consents on another device.
type ExternalDevice struct {
	DeviceCode      models.Secret `json:"device_code"` // for PollExternalDevice alone
	UserCode        string        `json:"user_code"`
	VerificationURI string        `json:"verification_uri"`
	ExpiresIn       int64         `json:"expires_in"` // seconds
	Interval        int64         `json:"interval"`   // seconds between polls
}

// BeginExternalDevice begins the user's consent to a provider on another device.
func (c *Client) BeginExternalDevice(ctx context.Context, provider string) (ExternalDevice, error) {
	var d ExternalDevice
	return d, c.call(ctx, http.MethodGet, externalAt(provider)+"/device", nil, nil, &d)
}

// PollExternalDevice completes a consent on another device once the person has given it. Until then it fails with an
// [Error] whose Detail is authorization_pending or slow_down.
func (c *Client) PollExternalDevice(ctx context.Context, provider string, code models.Secret) error {
	body := struct {
		DeviceCode models.Secret `json:"device_code"`
	}{code}
	return c.call(ctx, http.MethodPost, externalAt(provider)+"/device", nil, body, nil)
}

// GitTokenQuery names a provider: by exactly one of its id or slug, and the https URL of a git repository.
type GitTokenQuery struct {
	Provider   string
	Repository string
	Listen     bool // wait up to a minute until something is connected; then the error is ErrNotFound with the Detail authorization_pending
}

// GitToken is a token as git takes it.
type GitToken struct {
	AccessToken models.Secret `json:"access_token"`
	Type        string        `json:"type"` // of the provider
	Username    models.Secret `json:"username"`
	Password    models.Secret `json:"password"` // "" where the token is the user name
	ExpiresAt   *time.Time    `json:"expires_at"`
}

// GitToken returns the user's token for git. Where nothing is connected, the error is [ErrConsentNeeded], and
// [Error.ConnectURL] tells where to send the person.
func (c *Client) GitToken(ctx context.Context, q GitTokenQuery) (GitToken, error) {
	query := url.Values{}
	set(query, "id", q.Provider)
	set(query, "match", q.Repository)
	if q.Listen {
		query.Set("listen", "true")
	}
	var answer struct {
		GitToken
		URL string `json:"url"`
	}
	err := c.call(ctx, http.MethodGet, version2+"/workspaceagents/me/external-auth", query, nil, &answer)
	if err == nil && answer.URL != "" {
		err = &Error{Status: http.StatusOK, Message: "nothing is connected: the person connects an account at " + answer.URL, Detail: "interaction_required", ConnectURL: answer.URL}
	}
	return answer.GitToken, err
}

// Alive tells whether the process of grantd serves HTTP.
func (c *Client) Alive(ctx context.Context) error {
	return c.call(ctx, http.MethodGet, "/healthz", nil, nil, nil)
}

// Ready tells whether grantd can serve requests: its database answers.
func (c *Client) Ready(ctx context.Context) error {
	return c.call(ctx, http.MethodGet, "/readyz", nil, nil, nil)
}

func externalAt(provider string) string { return externalPath + "/" + url.PathEscape(provider) }
