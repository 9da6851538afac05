package models

// ProviderInput is an OAuth client to be registered: the body of POST providers/, and what
// the broker and the Go client take. All but the first four may be left out.
type ProviderInput struct {
	Name         string                `json:"name" minLength:"1" maxLength:"255" doc:"What people see. Need not be unique."`
	Type         string                `json:"type" doc:"Which kind of provider, such as github or oidc."`
	ClientID     string                `json:"clientId" doc:"The client id that the provider gave out."`
	ClientSecret Secret                `json:"clientSecret,omitempty" writeOnly:"true" doc:"The client secret. It is kept sealed and never comes back. Required unless the client is a public one: config.authStyle none, or an OpenID Connect client without a secret."`
	SkipConsent  bool                  `json:"skipConsent" required:"false" doc:"Whether the provider may leave out its consent page where it has consent already."`
	Metadata     ProviderMetadataInput `json:"metadata,omitzero"`
	Scopes       []string              `json:"scopes,omitzero" nullable:"true" doc:"The scopes to ask for; without, the type's own."`
	RedirectURIs []string              `json:"redirectUris,omitzero" nullable:"true" doc:"The only addresses that a consent may return to."`
	Slug         string                `json:"slug,omitempty" doc:"A name for addresses."`
	Config       map[string]any        `json:"config,omitzero" doc:"Settings of the type, such as issuer for oidc."`
}

// ProviderMetadataInput is what can be set of a provider's metadata.
type ProviderMetadataInput struct {
	Host string `json:"host,omitempty" doc:"The self-managed host, host[:port]; empty for the type's public one."`
}

// ProviderPatch is what to change of a provider: the body of PATCH providers/{id}/. What is
// nil stays as it is; lists and objects are replaced as a whole. On the wire null is nil.
type ProviderPatch struct {
	Name         *string                `json:"name,omitempty" nullable:"true" minLength:"1" maxLength:"255" doc:"What people see."`
	ClientSecret *Secret                `json:"clientSecret,omitempty" nullable:"true" writeOnly:"true" minLength:"1" doc:"The new client secret."`
	SkipConsent  *bool                  `json:"skipConsent,omitempty" nullable:"true" doc:"Whether the provider may leave out its consent page where it has consent already."`
	Status       *ProviderStatus        `json:"status,omitempty" nullable:"true" doc:"active, inactive or disabled. To delete a provider, use DELETE."`
	Metadata     *ProviderMetadataInput `json:"metadata,omitempty"`
	Scopes       *[]string              `json:"scopes,omitempty" nullable:"true" doc:"Replaces the whole list."`
	RedirectURIs *[]string              `json:"redirectUris,omitempty" nullable:"true" doc:"Replaces the whole list."`
	Slug         *string                `json:"slug,omitempty" nullable:"true" doc:"A short name, unique within the organisation."`
	Config       *map[string]any        `json:"config,omitempty" nullable:"true" doc:"Replaces all settings."`
	Type         *string                `json:"type,omitempty" nullable:"true" doc:"Cannot be changed: create another provider instead."`
	ClientID     *string                `json:"clientId,omitempty" nullable:"true" doc:"Cannot be changed: create another provider instead."`
}
