package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"time"

	"github.com/grantd/grantd/models"
)

// NewConnectLink is what a connect link is asked for with.
type NewConnectLink struct {
	UserID     string   `json:"userId"`               // whose connection it is to become
	ProviderID string   `json:"providerId,omitempty"` // exactly one of ProviderID and Slug
	Slug       string   `json:"slug,omitempty"`
	ReturnURL  string   `json:"returnUrl,omitempty"` // where the browser returns to; it may be "" where nothing is to be confirmed
	Scopes     []string `json:"scopes,omitempty"`    // none for those of the provider
	ExpiresIn  int      `json:"expiresIn,omitempty"` // seconds that the link can be opened for, 3600 at most; 0 for 600
	Confirm    *bool    `json:"confirm,omitempty"`   // whether the connection waits for ConfirmConnectLink; nil for yes, unless SignIn is true
	SignIn     bool     `json:"signIn,omitempty"`    // whether the person has to be signed in to the pages as UserID
	Popup      bool     `json:"popup,omitempty"`     // whether the link is opened in a window of its own
}

// MadeConnectLink is a connect link that was made just now; grantd does not tell its address again.
type MadeConnectLink struct {
	ID        string    `json:"id"`
	URL       string    `json:"url"` // where to send the person
	ExpiresAt time.Time `json:"expiresAt"`
}

// CreateConnectLink makes a link for a person to connect an account, for services and admins.
func (c *Client) CreateConnectLink(ctx context.Context, n NewConnectLink) (MadeConnectLink, error) {
	var l MadeConnectLink
	return l, c.call(ctx, http.MethodPost, "connectLinks/", nil, n, &l)
}

// ConnectLink tells how far a connect link has come.
func (c *Client) ConnectLink(ctx context.Context, id string) (models.ConnectLink, error) {
	var l models.ConnectLink
	return l, c.call(ctx, http.MethodGet, at("connectLinks", id), nil, nil, &l)
}

// ConnectLinkFilter says which connect links to list. Empty fields do not filter.
type ConnectLinkFilter struct {
	UserID, ProviderID string
	Open               bool // only those that may still connect
}

// ConnectLinks lists connect links, the newest first: a service's own, and for an admin those of the organisation.
func (c *Client) ConnectLinks(ctx context.Context, f ConnectLinkFilter) iter.Seq2[models.ConnectLink, error] {
	query := url.Values{}
	set(query, "userId", f.UserID)
	set(query, "providerId", f.ProviderID)
	if f.Open {
		query.Set("open", "true")
	}
	return list[models.ConnectLink](ctx, c, "connectLinks/", query)
}

// WithdrawConnectLink takes a connect link back; what was consented to with it is revoked.
func (c *Client) WithdrawConnectLink(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, at("connectLinks", id), nil, nil, nil)
}

// ConfirmedLink is a connection that was confirmed.
type ConfirmedLink struct {
	Authorization models.Authorization `json:"authorizedProvider"`
	Replaces      *string              `json:"replaces"` // the authorization of another account that was the user's default until now, nil for none
}

// ConfirmConnectLink confirms that the person who came back with a result is user. Take user from the session that the
// browser has with you, never from the link: the person may have been sent somebody else's.
func (c *Client) ConfirmConnectLink(ctx context.Context, id string, result models.Secret, user string) (ConfirmedLink, error) {
	body := struct {
		Result models.Secret `json:"result"`
		UserID string        `json:"userId"`
	}{result, user}
	var done ConfirmedLink
	return done, c.call(ctx, http.MethodPost, at("connectLinks", id, "confirm/"), nil, body, &done)
}
