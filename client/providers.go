package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"

	"github.com/grantd/grantd/models"
)

// CreateProvider registers an OAuth client. The upstream is not asked.
func (c *Client) CreateProvider(ctx context.Context, in models.ProviderInput) (models.Provider, error) {
	var p models.Provider
	return p, c.call(ctx, http.MethodPost, "providers/", nil, in, &p)
}

// ProviderQuery filters and orders a list of providers. Empty means all.
type ProviderQuery struct {
	IDs, Types []string
	Host       string
	OrderBy    string // "createdAt" or "-createdAt"
}

// Providers goes through the organisation's providers.
func (c *Client) Providers(ctx context.Context, q ProviderQuery) iter.Seq2[models.Provider, error] {
	query := url.Values{"ids": q.IDs, "types": q.Types}
	set(query, "host", q.Host)
	set(query, "orderBy", q.OrderBy)
	return list[models.Provider](ctx, c, "providers/", query)
}

// Provider returns one provider.
func (c *Client) Provider(ctx context.Context, id string) (models.Provider, error) {
	var p models.Provider
	return p, c.call(ctx, http.MethodGet, at("providers", id), nil, nil, &p)
}

// ChangeProvider changes a provider and returns what it has become.
func (c *Client) ChangeProvider(ctx context.Context, id string, patch models.ProviderPatch) (models.Provider, error) {
	var p models.Provider
	return p, c.call(ctx, http.MethodPatch, at("providers", id), nil, patch, &p)
}

// DeleteProvider makes a provider unusable at once and has every authorization
// of it revoked upstream. It returns the location of the job that does so, for
// [Client.WaitJob]. Called again after the job ended in ERROR, it resumes.
func (c *Client) DeleteProvider(ctx context.Context, id string) (location string, err error) {
	return c.accepted(ctx, http.MethodDelete, at("providers", id), nil, nil)
}

// ForceDeleteProvider is DeleteProvider that gives up on the upstream: what
// could not be revoked there is reported as abandoned.
func (c *Client) ForceDeleteProvider(ctx context.Context, id string) (location string, err error) {
	return c.accepted(ctx, http.MethodDelete, at("providers", id), url.Values{"force": {"true"}}, nil)
}
