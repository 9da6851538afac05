package api

import (
	"context"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/models"
)

// providerList's filters are declared here and read by values.
type providerList struct {
	IDs     []string `query:"ids,explode" doc:"Only these ids; repeated or separated by commas. Also finds providers that are being deleted."`
	Types   []string `query:"types,explode" doc:"Only these types; repeated or separated by commas."`
	Host    []string `query:"host,explode" doc:"Only these self-managed hosts; repeated or separated by commas."`
	OrderBy string   `query:"orderBy" enum:"createdAt,-createdAt" doc:"createdAt for the oldest first (the default), -createdAt for the newest."`
	Paging
}

func (s *Server) listProviders(ctx context.Context, c models.Caller, in *providerList) (*answer[List[models.Provider]], error) {
	page, err := s.service.Providers(ctx, c, broker.ProviderQuery{
		IDs: values(ctx, "ids"), Types: values(ctx, "types"), Hosts: values(ctx, "host"),
		OrderBy: in.OrderBy, Limit: in.Limit, Cursor: storable(in.Cursor),
	})
	if err != nil {
		return nil, err
	}
	return list(ctx, s, page, provider), nil
}

// NewProvider is the body of POST providers/.
type NewProvider struct {
	Name         string         `json:"name" minLength:"1" maxLength:"255" doc:"What people see. Need not be unique."`
	Type         string         `json:"type" doc:"Which kind of provider, such as github or oidc."`
	ClientID     string         `json:"clientId" doc:"The client id that the provider gave out."`
	ClientSecret models.Secret  `json:"clientSecret,omitempty" writeOnly:"true" doc:"The client secret. It is kept sealed and never comes back. Required unless the client is a public one: config.authStyle none, or an OpenID Connect client without a secret."`
	SkipConsent  bool           `json:"skipConsent,omitempty" doc:"Whether the provider may leave out its consent page where it has consent already."`
	Metadata     NewMetadata    `json:"metadata,omitempty"`
	Scopes       []string       `json:"scopes,omitempty" nullable:"true" doc:"The scopes to ask for; without, the type's own."`
	RedirectURIs []string       `json:"redirectUris,omitempty" nullable:"true" doc:"The only addresses that a consent may return to."`
	Slug         string         `json:"slug,omitempty" doc:"A name for addresses."`
	Config       map[string]any `json:"config,omitempty" doc:"Settings of the type, such as issuer for oidc."`
}

// NewMetadata is what can be set of a provider's metadata.
type NewMetadata struct {
	Host string `json:"host,omitempty" doc:"The self-managed host, host[:port]; empty for the type's public one."`
}

func (s *Server) createProvider(ctx context.Context, c models.Caller, in *struct{ Body NewProvider }) (*answer[models.Provider], error) {
	b := in.Body
	p, err := s.service.CreateProvider(ctx, c, broker.NewProvider{
		Name: b.Name, Type: b.Type, ClientID: b.ClientID, ClientSecret: b.ClientSecret, SkipConsent: b.SkipConsent,
		Slug: b.Slug, Host: b.Metadata.Host, Scopes: b.Scopes, RedirectURIs: b.RedirectURIs, Config: b.Config,
	})
	return &answer[models.Provider]{provider(p)}, err
}

func (s *Server) getProvider(ctx context.Context, c models.Caller, in *ByID) (*answer[models.Provider], error) {
	if in.ID == "callback" { // an id has digits
		return nil, models.Errorf(models.CodeNotFound, "There is no provider with the id callback. To complete a consent, send POST %sproviders/callback/ "+
			"with the JSON body {providerId, state, code}, not GET with a query. "+
			"A browser returns to /external-auth/{provider id or slug}/callback, which completes the consents that were begun there.", root)
	}
	p, err := s.service.Provider(ctx, c, in.ID)
	return &answer[models.Provider]{provider(p)}, err
}

// ProviderChange is the body of PATCH providers/{id}/.
type ProviderChange struct {
	Name         *string                `json:"name" required:"false" minLength:"1" maxLength:"255" doc:"What people see."`
	ClientSecret *models.Secret         `json:"clientSecret" required:"false" writeOnly:"true" minLength:"1" doc:"The new client secret."`
	SkipConsent  *bool                  `json:"skipConsent" required:"false"`
	Status       *models.ProviderStatus `json:"status" required:"false" doc:"active, inactive or disabled. To delete a provider, use DELETE."`
	Metadata     *NewMetadata           `json:"metadata" required:"false"`
	Scopes       *[]string              `json:"scopes" required:"false" nullable:"true" doc:"Replaces the whole list."`
	RedirectURIs *[]string              `json:"redirectUris" required:"false" nullable:"true" doc:"Replaces the whole list."`
	Slug         *string                `json:"slug" required:"false"`
	Config       *map[string]any        `json:"config" required:"false" nullable:"true" doc:"Replaces all settings."`
	Type         *string                `json:"type" required:"false" doc:"Cannot be changed: create another provider instead."`
	ClientID     *string                `json:"clientId" required:"false" doc:"Cannot be changed: create another provider instead."`
}

type providerUpdate struct {
	ByID
	Body ProviderChange
}

func (s *Server) updateProvider(ctx context.Context, c models.Caller, in *providerUpdate) (*answer[models.Provider], error) {
	b := in.Body
	change := broker.ProviderChange{
		Name: b.Name, ClientSecret: b.ClientSecret, SkipConsent: b.SkipConsent, Status: b.Status, Slug: b.Slug,
		Scopes: b.Scopes, RedirectURIs: b.RedirectURIs, Config: b.Config, Type: b.Type, ClientID: b.ClientID,
	}
	if b.Metadata != nil { // replaces as a whole: {} is no host
		change.Host = &b.Metadata.Host
	}
	p, err := s.service.ChangeProvider(ctx, c, in.ID, change)
	return &answer[models.Provider]{provider(p)}, err
}

type providerDeletion struct {
	ByID
	Force bool `query:"force" doc:"Give up on revoking at the provider: what cannot be revoked is reported as abandoned."`
}

func (s *Server) deleteProvider(ctx context.Context, c models.Caller, in *providerDeletion) (*accepted, error) {
	j, err := s.service.DeleteProvider(ctx, c, in.ID, in.Force)
	return s.accept(j), err
}
