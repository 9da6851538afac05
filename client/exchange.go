package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/grantd/grantd/models"
)

const (
	exchangePath   = "/oauth2/token"
	introspectPath = "/oauth2/introspect"

	grantExchange   = "urn:ietf:params:oauth:grant-type:token-exchange"
	typeAccessToken = "urn:ietf:params:oauth:token-type:access_token"
)

// ExchangeRequest asks for a person's access token by showing a token of that person's (RFC 8693).
type ExchangeRequest struct {
	Subject  models.Secret // the person's: an API token of the role user, or a token of a trusted issuer; "" for the client's own
	Actor    models.Secret // who acts for the person, if somebody else than the client
	Audience string        // the id or slug of the provider; one of Audience and Resource at least
	Resource string        // an https URL that the provider's tokens are for
	Scopes   []string      // that the token must have; none for any
	Account  string        // of several: the id of the authorization, or the account's sub, login or e-mail address
}

// Exchanged is the access token of an exchange.
type Exchanged struct {
	AccessToken models.Secret
	ExpiresAt   *time.Time // nil when unknown; by this machine's clock
	Scopes      []string   // all that the token has
}

// Exchange exchanges a token of a person's for the access token of what the person has connected. Where that is nothing,
// the error is [ErrConsentNeeded], and [Error.ConnectURL] tells where to send the person.
func (c *Client) Exchange(ctx context.Context, x ExchangeRequest) (Exchanged, error) {
	form := url.Values{"grant_type": {grantExchange}, "subject_token": {x.Subject.Reveal()}, "subject_token_type": {typeAccessToken}}
	if x.Subject == "" {
		own, err := c.credentials(ctx)
		if err != nil {
			return Exchanged{}, fmt.Errorf("the credentials: %w", err)
		}
		form.Set("subject_token", own.Reveal())
	}
	if x.Actor != "" {
		form.Set("actor_token", x.Actor.Reveal())
		form.Set("actor_token_type", typeAccessToken)
	}
	set(form, "audience", x.Audience)
	set(form, "resource", x.Resource)
	set(form, "scope", strings.Join(x.Scopes, " "))
	set(form, "account", x.Account)
	var answer struct {
		AccessToken models.Secret `json:"access_token"`
		ExpiresIn   int64         `json:"expires_in"`
		Scope       string        `json:"scope"`
	}
	asked := time.Now()
	if err := c.form(ctx, exchangePath, form, &answer); err != nil {
		return Exchanged{}, err
	}
	got := Exchanged{AccessToken: answer.AccessToken, Scopes: strings.Fields(answer.Scope)}
	if answer.ExpiresIn > 0 {
		expires := asked.Add(time.Duration(answer.ExpiresIn) * time.Second)
		got.ExpiresAt = &expires
	}
	return got, nil
}

// Introspection is what grantd knows of an access token of an upstream (RFC 7662). All but Active is empty where it is not
// active.
type Introspection struct {
	Active     bool   `json:"active"` // grantd would hand it out now
	ExpiresAt  int64  `json:"exp"`    // seconds since 1970, 0 when unknown
	Scope      string `json:"scope"`
	UserID     string `json:"sub"`
	ProviderID string `json:"aud"`
}

// Introspect tells whose an access token of an upstream is, for services.
func (c *Client) Introspect(ctx context.Context, token models.Secret) (Introspection, error) {
	var i Introspection
	return i, c.form(ctx, introspectPath, url.Values{"token": {token.Reveal()}}, &i)
}

// form sends a form, as the routes of the standard take it, and decodes the answer.
func (c *Client) form(ctx context.Context, path string, form url.Values, out any) error {
	answer, err := c.repeat(ctx, func() (*http.Request, error) {
		return c.prepare(ctx, http.MethodPost, path, "application/x-www-form-urlencoded", strings.NewReader(form.Encode()))
	})
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("POST %s: %w: reading the answer: %w", path, ErrUnavailable, err)
	}
	if answer.StatusCode != http.StatusOK {
		return refused(answer, body)
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("POST %s: the answer is not what grantd sends: %w", path, err)
	}
	return nil
}
