package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"

	"github.com/grantd/grantd/models"
)

// NewProvider is an OAuth client to be registered with grantd. The last five
// fields may be left out.
type NewProvider struct {
	Name         string
	Type         string // such as github, oidc
	ClientID     string
	ClientSecret models.Secret // "" for a public client
	SkipConsent  bool

	Slug         string
	Host         string // the self-managed host; "" for the type's public one
	Scopes       []string
	RedirectURIs []string
	Config       map[string]any
}

// providerBody is what both POST and PATCH send. The secret is plain text here
// and only here, because a models.Secret encodes as "[redacted]".
type providerBody struct {
	Name         *string                `json:"name,omitempty"`
	Type         string                 `json:"type,omitempty"`
	ClientID     string                 `json:"clientId,omitempty"`
	ClientSecret *string                `json:"clientSecret,omitempty"`
	SkipConsent  *bool                  `json:"skipConsent,omitempty"`
	Status       *models.ProviderStatus `json:"status,omitempty"`
	Slug         *string                `json:"slug,omitempty"`
	Metadata     *metadata              `json:"metadata,omitempty"`
	Scopes       *[]string              `json:"scopes,omitempty"`
	RedirectURIs *[]string              `json:"redirectUris,omitempty"`
	Config       *map[string]any        `json:"config,omitempty"`
}

type metadata struct {
	Host string `json:"host"`
}

func (n NewProvider) body() providerBody {
	b := providerBody{
		Name: &n.Name, Type: n.Type, ClientID: n.ClientID, SkipConsent: &n.SkipConsent,
	}
	if n.ClientSecret != "" {
		secret := n.ClientSecret.Reveal()
		b.ClientSecret = &secret
	}
	if n.Slug != "" {
		b.Slug = &n.Slug
	}
	if n.Host != "" {
		b.Metadata = &metadata{n.Host}
	}
	if n.Scopes != nil {
		b.Scopes = &n.Scopes
	}
	if n.RedirectURIs != nil {
		b.RedirectURIs = &n.RedirectURIs
	}
	if n.Config != nil {
		b.Config = &n.Config
	}
	return b
}

// CreateProvider registers an OAuth client. The upstream is not asked.
func (c *Client) CreateProvider(ctx context.Context, n NewProvider) (models.Provider, error) {
	var p models.Provider
	return p, c.call(ctx, http.MethodPost, "providers/", nil, n.body(), &p)
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

// ProviderChange is what to change; nil leaves as it is. Lists and objects
// replace the whole.
type ProviderChange struct {
	Name         *string
	ClientSecret *models.Secret
	SkipConsent  *bool
	Status       *models.ProviderStatus
	Slug, Host   *string
	Scopes       *[]string
	RedirectURIs *[]string
	Config       *map[string]any
}

func (p ProviderChange) body() providerBody {
	b := providerBody{
		Name: p.Name, SkipConsent: p.SkipConsent, Status: p.Status, Slug: p.Slug,
		Scopes: p.Scopes, RedirectURIs: p.RedirectURIs, Config: p.Config,
	}
	if p.ClientSecret != nil {
		secret := p.ClientSecret.Reveal()
		b.ClientSecret = &secret
	}
	if p.Host != nil {
		b.Metadata = &metadata{*p.Host}
	}
	return b
}

// ChangeProvider changes a provider and returns what it has become.
func (c *Client) ChangeProvider(ctx context.Context, id string, change ProviderChange) (models.Provider, error) {
	var p models.Provider
	return p, c.call(ctx, http.MethodPatch, at("providers", id), nil, change.body(), &p)
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
