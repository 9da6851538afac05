package models

import (
	"strings"
	"time"
)

// ProviderStatus is where a provider stands.
type ProviderStatus string

// The statuses. Deleted means a delete job has been accepted; disabled is also
// where a provider lands when that job ends in ERROR.
const (
	ProviderActive   ProviderStatus = "active"
	ProviderInactive ProviderStatus = "inactive"
	ProviderDisabled ProviderStatus = "disabled"
	ProviderDeleted  ProviderStatus = "deleted"
)

// ProviderMetadata is what a provider's type needs or tells beside its client.
type ProviderMetadata struct {
	Host            string `json:"host" doc:"The self-managed host; empty for the type's public one."`
	SettingsURL     string `gorm:"column:settings_url" json:"settingsUrl" doc:"Where a person sees and withdraws what they granted."`
	AdminConsentURL string `gorm:"-" json:"adminConsentUrl,omitempty" doc:"Where an admin of people's organisation consents for all of them; shown to admins, where there is such a page."`
}

// Provider is an OAuth client registered at an upstream, owned by an
// organisation. Its client secret lives in the SecureConfig row it points at.
type Provider struct {
	ID             string           `gorm:"primaryKey" json:"id"`
	OrgID          string           `json:"orgId" doc:"The organisation it belongs to."`
	Name           string           `json:"name"`
	Slug           string           `json:"slug" doc:"A short name, unique within the organisation; empty for none."`
	Type           string           `json:"type" doc:"The kind of provider, such as github or oidc."`
	Status         ProviderStatus   `json:"status" doc:"active; inactive or disabled when switched off; deleted while it is being deleted; disabled also when deleting it failed."`
	ClientID       string           `json:"clientId" doc:"The client id that was registered at the provider."`
	SecureConfigID string           `json:"secureConfigId" doc:"Where the client secret is kept, sealed."`
	SkipConsent    bool             `json:"skipConsent" doc:"Whether the provider may leave out its consent page where it has consent already."`
	Metadata       ProviderMetadata `gorm:"embedded" json:"metadata"`
	Scopes         Strings          `json:"scopes" doc:"The scopes that are asked for; empty for the type's own."`
	RedirectURIs   Strings          `gorm:"column:redirect_uris" json:"redirectUris" doc:"The only addresses that a consent may return to; empty for the instance's rule."`
	Config         Settings         `json:"config" doc:"Settings of the type."`
	Description    string           `json:"description,omitempty" doc:"What an admin tells people about it; left out where there is nothing, and with an authorization."`
	ManagedBy      string           `json:"managedBy,omitempty" doc:"The name of the file of providers that it was made by (grantd providers apply); left out where there is none, and with an authorization."`
	// Fingerprint and FingerprintV2 name the client and the endpoints that tokens
	// minted now are for, in the first version and in the second. FingerprintV2 is ""
	// in rows of the release before, until the sweep writes it.
	Fingerprint   string `json:"-"`
	FingerprintV2 string `gorm:"column:fingerprint_v2" json:"-"`
	// SecretVersion rises with every change of the client secret, and voids the
	// verdicts that were reached with the old one.
	SecretVersion int64 `json:"-"`
	// Trouble is what is wrong with the client or the token endpoint as a whole, as the
	// answers since TroubleSince show; "" for nothing. See InTrouble.
	Trouble        Trouble    `json:"-"`
	TroubleCode    string     `json:"-"` // what the upstream said, such as client:401:invalid_client
	TroubleVersion int64      `json:"-"` // of the client secret
	TroubleSince   *time.Time `json:"-"`
	ProbeAt        *time.Time `json:"-"` // from then on one authorization may ask
	ProbedBy       string     `json:"-"` // the authorization that asked last, or ProbedByNobody
	// DeleteJobID is the job that is deleting the provider, or last tried to.
	DeleteJobID *string `json:"-"`
	// FormerSecret is told to admins, with a single provider.
	FormerSecret *FormerSecret `gorm:"-" json:"formerSecret,omitempty" doc:"The client secret that was replaced, while it is still tried; told to admins, with a single provider."`
	CreatedAt    time.Time     `json:"createdAt"`
	UpdatedAt    time.Time     `json:"updatedAt"`
}

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
	Description  string                `json:"description,omitempty" maxLength:"1000" doc:"What to tell people before they consent: plain text, with line breaks."`
	ManagedBy    string                `json:"managedBy,omitempty" maxLength:"63" doc:"The name of the file of providers that it is made by. It cannot be changed."`
}

// ProviderMetadataInput is what can be set of a provider's metadata.
type ProviderMetadataInput struct {
	Host string `json:"host,omitempty" doc:"The self-managed host, host[:port]; empty for the type's public one."`
}

// ProviderPatch is what to change of a provider: the body of PATCH providers/{id}/. What is
// nil stays as it is; lists and objects are replaced as a whole. On the wire null is nil.
type ProviderPatch struct {
	Name                  *string                `json:"name,omitempty" nullable:"true" minLength:"1" maxLength:"255" doc:"What people see."`
	ClientSecret          *Secret                `json:"clientSecret,omitempty" nullable:"true" writeOnly:"true" minLength:"1" doc:"The new client secret."`
	FormerSecretExpiresIn *int64                 `json:"formerSecretExpiresIn,omitempty" nullable:"true" minimum:"0" maximum:"604800" doc:"With clientSecret: for how many seconds the secret that it replaces is kept, and tried where the provider refuses the new one (invalid_client); without, it is deleted at once. Alone only 0, which deletes a former secret now."`
	KeepSameSecret        *bool                  `json:"keepSameSecret,omitempty" nullable:"true" doc:"With clientSecret: if it is the secret that is kept already and neither host nor endpoints change, it counts as not given. Without this, giving the same secret again is a change, and what was concluded with it is void."`
	SkipConsent           *bool                  `json:"skipConsent,omitempty" nullable:"true" doc:"Whether the provider may leave out its consent page where it has consent already."`
	Status                *ProviderStatus        `json:"status,omitempty" nullable:"true" doc:"active, inactive or disabled. To delete a provider, use DELETE."`
	Metadata              *ProviderMetadataInput `json:"metadata,omitempty"`
	Scopes                *[]string              `json:"scopes,omitempty" nullable:"true" doc:"Replaces the whole list."`
	RedirectURIs          *[]string              `json:"redirectUris,omitempty" nullable:"true" doc:"Replaces the whole list."`
	Slug                  *string                `json:"slug,omitempty" nullable:"true" doc:"A short name, unique within the organisation."`
	Config                *map[string]any        `json:"config,omitempty" nullable:"true" doc:"Replaces all settings."`
	Description           *string                `json:"description,omitempty" nullable:"true" maxLength:"1000" doc:"What to tell people before they consent; empty for nothing."`
	Type                  *string                `json:"type,omitempty" nullable:"true" doc:"Cannot be changed: create another provider instead."`
	ClientID              *string                `json:"clientId,omitempty" nullable:"true" doc:"Cannot be changed: create another provider instead."`
}

// Trouble is what is wrong with a provider as a whole.
type Trouble string

// The troubles.
const (
	TroubleClient     Trouble = "client"     // the upstream refuses one person's grant after the other
	TroubleRefused    Trouble = "refused"    // it refuses several people's alike, in words that say nothing of a grant
	TroubleUnreadable Trouble = "unreadable" // its successes cannot be read
)

// ProbedByNobody stands for the authorization that asked last while a provider in trouble has
// none that could.
const ProbedByNobody = "nobody"

// Troubles lists every trouble.
var Troubles = []Trouble{TroubleClient, TroubleRefused, TroubleUnreadable}

// InTrouble returns what is wrong with the provider. Trouble ends with the client secret
// that it was met with.
func (p Provider) InTrouble() Trouble {
	if p.TroubleVersion != p.SecretVersion {
		return ""
	}
	return p.Trouble
}

// Answered is what an upstream answered, in codes alone.
type Answered struct {
	Status string // of HTTP, "" where it is not known
	Code   string // of the error, may be empty
}

// TroubleAnswer returns the last answer that showed what is wrong with the provider.
func (p Provider) TroubleAnswer() Answered {
	parts := strings.SplitN(p.TroubleCode, ":", 3)
	if len(parts) < 3 {
		return Answered{Code: p.TroubleCode}
	}
	return Answered{Status: parts[1], Code: parts[2]}
}

// EndTrouble forgets what was wrong.
func (p *Provider) EndTrouble() {
	p.Trouble, p.TroubleCode, p.TroubleVersion, p.TroubleSince, p.ProbeAt, p.ProbedBy = "", "", 0, nil, nil, ""
}

// Usable reports whether consent and tokens may be asked of the provider.
func (p Provider) Usable() bool { return p.Status == ProviderActive }

// DeletionAsked reports whether the provider's deletion was accepted: it is
// running, or it failed and may be resumed. It is never undone.
func (p Provider) DeletionAsked() bool { return p.DeleteJobID != nil }

// SecureConfig holds a provider's client secret, sealed to its owner.
type SecureConfig struct {
	ID         string `gorm:"primaryKey"`
	ProviderID string
	Sealed     []byte
	// Binding is the version of what the secret is sealed to: 2, or 1 for the origins
	// alone. The release before writes secrets without changing it.
	Binding   int
	CreatedAt time.Time
	UpdatedAt time.Time
	// EndsAt is set for a secret that was replaced: until then it is tried where the new one is refused. UsedAt is when it was
	// accepted last.
	EndsAt *time.Time
	UsedAt *time.Time
}

// FormerSecret is what is told of a client secret that was replaced, and is still tried where the new one is refused.
type FormerSecret struct {
	ExpiresAt time.Time  `json:"expiresAt" doc:"When it is deleted."`
	UsedAt    *time.Time `json:"usedAt" doc:"When the provider accepted it last, after it had refused the new one; null where that was not so. Then the new secret is probably wrong."`
}
