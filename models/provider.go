package models

import "time"

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
	// Host is the self-managed host, "" for the type's public one.
	Host string `json:"host"`
	// SettingsURL is where a person can see and withdraw what they granted.
	SettingsURL string `gorm:"column:settings_url" json:"settingsUrl"`
	// AdminConsentURL is where an admin of people's organisation consents for all of
	// them; shown to admins, "" where there is no such page.
	AdminConsentURL string `gorm:"-" json:"adminConsentUrl,omitempty"`
}

// Provider is an OAuth client registered at an upstream, owned by an
// organisation. Its client secret lives in the SecureConfig row it points at.
type Provider struct {
	ID             string           `gorm:"primaryKey" json:"id"`
	OrgID          string           `json:"orgId"`
	Name           string           `json:"name"`
	Slug           string           `json:"slug"`
	Type           string           `json:"type"`
	Status         ProviderStatus   `json:"status"`
	ClientID       string           `json:"clientId"`
	SecureConfigID string           `json:"secureConfigId"`
	SkipConsent    bool             `json:"skipConsent"`
	Metadata       ProviderMetadata `gorm:"embedded" json:"metadata"`
	Scopes         Strings          `json:"scopes"`
	RedirectURIs   Strings          `gorm:"column:redirect_uris" json:"redirectUris"`
	Config         Settings         `json:"config"`
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
	TroubleCode    string     `json:"-"` // what the upstream said, a code
	TroubleVersion int64      `json:"-"` // of the client secret
	TroubleSince   *time.Time `json:"-"`
	ProbeAt        *time.Time `json:"-"` // from then on one authorization may ask
	ProbedBy       string     `json:"-"` // the authorization that asked last
	// DeleteJobID is the job that is deleting the provider, or last tried to.
	DeleteJobID *string   `json:"-"`
	CreatedAt   time.Time `json:"createdAt"`
	UpdatedAt   time.Time `json:"updatedAt"`
}

// Trouble is what is wrong with a provider as a whole.
type Trouble string

// The troubles.
const (
	TroubleClient     Trouble = "client"     // the upstream refuses one person's grant after the other
	TroubleRefused    Trouble = "refused"    // it refuses several people's alike, in words that say nothing of a grant
	TroubleUnreadable Trouble = "unreadable" // its successes cannot be read
)

// InTrouble returns what is wrong with the provider. Trouble ends with the client secret
// that it was met with.
func (p Provider) InTrouble() Trouble {
	if p.TroubleVersion != p.SecretVersion {
		return ""
	}
	return p.Trouble
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
}
