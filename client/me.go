package client

import (
	"context"
	"net/http"

	"github.com/grantd/grantd/models"
)

// Me returns who the client is to grantd: organisation, user, role, limits, and when its token ends.
func (c *Client) Me(ctx context.Context) (models.Me, error) {
	var me models.Me
	return me, c.call(ctx, http.MethodGet, "me/", nil, nil, &me)
}
