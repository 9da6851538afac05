package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"

	"github.com/grantd/grantd/models"
)

// Sessions goes through who is signed in to the pages, the newest first: one user, or ("") everybody of the organisation.
func (c *Client) Sessions(ctx context.Context, user string) iter.Seq2[models.BrowserSession, error] {
	query := url.Values{}
	set(query, "userId", user)
	return list[models.BrowserSession](ctx, c, "sessions/", query)
}

// EndSession signs a person out of one browser.
func (c *Client) EndSession(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, at("sessions", id), nil, nil, nil)
}

// EndSessions signs a user out of every browser.
func (c *Client) EndSessions(ctx context.Context, user string) error {
	return c.call(ctx, http.MethodDelete, "sessions/", url.Values{"userId": {user}}, nil, nil)
}
