package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"time"

	"github.com/grantd/grantd/models"
)

// NewAPIToken is what an API token is asked for with.
type NewAPIToken struct {
	Name      string      `json:"name,omitempty"`
	Role      models.Role `json:"role"`
	UserID    string      `json:"userId,omitempty"`    // "" for the caller's own; a machine's begins with app-
	Providers []string    `json:"providers,omitempty"` // ids or slugs of those that it is limited to
	// ReturnOrigins are where connect links may return to; they have to be among those of the caller's token.
	ReturnOrigins []string   `json:"returnOrigins,omitempty"`
	ExpiresAt     *time.Time `json:"expiresAt,omitempty"` // nil for the end of the caller's token
}

// MadeAPIToken is an API token that was made just now; grantd does not tell the token again.
type MadeAPIToken struct {
	models.APIToken
	Token models.Secret `json:"token"`
}

// CreateAPIToken makes an API token, for admins.
func (c *Client) CreateAPIToken(ctx context.Context, n NewAPIToken) (MadeAPIToken, error) {
	var t MadeAPIToken
	return t, c.call(ctx, http.MethodPost, "apiTokens/", nil, n, &t)
}

// APITokenQuery filters a list of API tokens. Empty means all.
type APITokenQuery struct {
	UserID string
	MadeBy string // the id of the API token that they were made with
}

// APITokens goes through the organisation's API tokens, the newest first, for admins.
func (c *Client) APITokens(ctx context.Context, q APITokenQuery) iter.Seq2[models.APIToken, error] {
	query := url.Values{}
	set(query, "userId", q.UserID)
	set(query, "madeBy", q.MadeBy)
	return list[models.APIToken](ctx, c, "apiTokens/", query)
}

// APIToken returns what is known about an API token, for admins.
func (c *Client) APIToken(ctx context.Context, id string) (models.APIToken, error) {
	var t models.APIToken
	return t, c.call(ctx, http.MethodGet, at("apiTokens", id), nil, nil, &t)
}

// RevokeAPIToken ends an API token, and withMade also those that were made with it, and with those.
func (c *Client) RevokeAPIToken(ctx context.Context, id string, withMade bool) error {
	query := url.Values{}
	if withMade {
		query.Set("withMade", "true")
	}
	return c.call(ctx, http.MethodDelete, at("apiTokens", id), query, nil, nil)
}
