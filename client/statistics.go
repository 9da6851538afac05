package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/grantd/grantd/models"
)

// Statistics returns what was counted of each of the last days, 0 for 90 of them, the oldest first, for admins.
func (c *Client) Statistics(ctx context.Context, days int) ([]models.Day, error) {
	query := url.Values{}
	if days != 0 {
		query.Set("days", strconv.Itoa(days))
	}
	var counted struct{ Data []models.Day }
	err := c.call(ctx, http.MethodGet, "statistics/", query, nil, &counted)
	return counted.Data, err
}
