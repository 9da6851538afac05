package models

import "time"

// AuthorizationStatus is what an authorization is worth now. It is derived when
// read, from the provider and from the credential's verdict.
type AuthorizationStatus string

// The statuses.
const (
	AuthorizationActive               AuthorizationStatus = "active"
	AuthorizationExpired              AuthorizationStatus = "expired"              // the person must authorize again
	AuthorizationInvalidOAuthClient   AuthorizationStatus = "invalidOAuthClient"   // the upstream refused our client
	AuthorizationInvalidProviderState AuthorizationStatus = "invalidProviderState" // the provider is off, or no longer the client it was minted for
)

// AuthorizationStatuses lists every status of an authorization.
var AuthorizationStatuses = []AuthorizationStatus{AuthorizationActive, AuthorizationExpired,
	AuthorizationInvalidOAuthClient, AuthorizationInvalidProviderState}

// Outcome is how the revocation of one authorization ended.
type Outcome string

// The outcomes. Only OutcomeFailed ends a deletion in ERROR.
const (
	OutcomeRevoked        Outcome = "revoked"
	OutcomeAlreadyRevoked Outcome = "already_revoked" // the upstream says it was invalid before
	OutcomeSuperseded     Outcome = "superseded"      // a newer consent of the same grant must live, and only the whole grant can be revoked
	OutcomeNoLiveToken    Outcome = "no_live_token"   // nothing is left that the upstream would accept as proof
	OutcomeUnsupported    Outcome = "unsupported"     // the upstream has no revocation
	OutcomeFailed         Outcome = "failed"
	OutcomeAbandoned      Outcome = "abandoned" // given up on by ?force=true, or after the retention
)

// Outcomes lists every outcome, in the order in which they are reported.
var Outcomes = []Outcome{OutcomeRevoked, OutcomeAlreadyRevoked, OutcomeSuperseded,
	OutcomeNoLiveToken, OutcomeUnsupported, OutcomeFailed, OutcomeAbandoned}

// How the reset of one authorization's token ended, beside OutcomeFailed, which alone
// ends a job in ERROR.
const (
	OutcomeReset      Outcome = "reset"      // in place
	OutcomeRefreshed  Outcome = "refreshed"  // with its refresh token, or by a renewed consent
	OutcomeExpired    Outcome = "expired"    // it was invalid: the person must authorize again
	OutcomeImpossible Outcome = "impossible" // neither a refresh token nor a way to reset in place
	OutcomeGone       Outcome = "gone"       // the authorization was deleted meanwhile
)

// ResetOutcomes lists them, in the order in which they are reported.
var ResetOutcomes = []Outcome{OutcomeReset, OutcomeRefreshed, OutcomeExpired, OutcomeImpossible, OutcomeGone, OutcomeFailed}

// RevokeScope says how much of a grant a revocation may take.
type RevokeScope string

// The scopes: the whole grant of that person to that client, or one token alone.
const (
	RevokeGrant RevokeScope = "grant"
	RevokeToken RevokeScope = "token"
)

// Authorization is what a person granted to a provider's client: one per
// (provider, user, sub). Once unlinked it is unusable and is kept only as an
// item of revocation, until its outcome is known.
type Authorization struct {
	ID            string `gorm:"primaryKey" json:"id"`
	OrgID         string `json:"orgId"`
	UserID        string `json:"userId"`
	ProviderID    string `json:"-"`
	CredentialID  string `json:"credentialId"`
	OAuthClientID string `gorm:"column:oauth_client_id" json:"oauthClientId"`

	// Sub is the upstream's stable name for the account; the rest is for people.
	Sub     string `json:"-"`
	Login   string `json:"-"`
	Email   string `json:"-"`
	Picture string `json:"-"`

	// What other sources named the account, as hashes; "" until they said (R12).
	IDTokenAccount       string `gorm:"column:id_token_account" json:"-"`
	IntrospectionAccount string `json:"-"`

	// Scopes were granted, MissingScopes were asked for and were not. An upstream
	// that does not say which has granted what was asked for (RFC 6749 section 5.1).
	Scopes        Strings `json:"scopes"`
	MissingScopes Strings `json:"missingScopes"`
	// ScopesCut says that more was granted than Scopes holds.
	ScopesCut bool `json:"scopesCut,omitempty"`

	// Fingerprint and FingerprintV2 name the client and endpoints the tokens were
	// minted for, as the provider's do: they are sent nowhere else.
	Fingerprint   string `json:"-"`
	FingerprintV2 string `gorm:"column:fingerprint_v2" json:"-"`
	// GrantKey names the grant upstream, across providers, and across organisations
	// where the type fixes the endpoints. GrantKeyV1 is what processes of the release
	// before know the grant by, "" once there are none (D1).
	GrantKey   string `gorm:"column:grant_key_v2" json:"-"`
	GrantKeyV1 string `gorm:"column:grant_key" json:"-"`

	// UnlinkedAt is set once the authorization is only there to be revoked.
	UnlinkedAt *time.Time  `json:"-"`
	Revoke     RevokeScope `gorm:"column:revoke_scope" json:"-"`

	// The item of revocation.
	JobID         *string    `json:"-"`
	Outcome       *Outcome   `json:"-"`
	OutcomeReason string     `json:"-"`
	OutcomeAt     *time.Time `json:"-"`
	ItemLease     *string    `json:"-"`
	ItemDueAt     time.Time  `json:"-"` // when it may next be claimed; while claimed, when the lease ends
	ItemAttempts  int        `json:"-"`

	CreatedAt time.Time `json:"createdAt"`
	UpdatedAt time.Time `json:"-"`

	// What is derived when it is read.
	Status                AuthorizationStatus `gorm:"-" json:"status"`
	Provider              *Provider           `gorm:"-" json:"provider"`
	Reason                Reason              `gorm:"-" json:"reason,omitempty"`
	ReasonMessage         string              `gorm:"-" json:"reasonMessage,omitempty"`
	RefreshTokenExpiresAt *time.Time          `gorm:"-" json:"refreshTokenExpiresAt,omitempty"`

	// What only lists and a single authorization tell: the answer with a token is asked
	// for too often.
	Account       *AuthorizedAccount `gorm:"-" json:"account,omitempty"`
	ExpiresAt     *time.Time         `gorm:"-" json:"expiresAt,omitempty"`
	RefreshedAt   *time.Time         `gorm:"-" json:"refreshedAt,omitempty"`
	LastFetchedAt *time.Time         `gorm:"-" json:"lastFetchedAt,omitempty"`
}

// AuthorizedAccount is the account at the upstream that an authorization is for.
type AuthorizedAccount struct {
	Sub   string `json:"sub"`
	Login string `json:"login"`
	Email string `json:"email"`
}

// SameClient reports whether a's tokens were minted for p as it is now (A4): the
// fingerprints of either version are equal.
func (a Authorization) SameClient(p Provider) bool {
	return a.Fingerprint == p.Fingerprint || a.FingerprintV2 != "" && a.FingerprintV2 == p.FingerprintV2
}

// SupersededPair is a pair of tokens that was superseded: its provider is gone, and
// another authorization of the same organisation depends on the grant, so that nothing
// was sent. It is revoked when the last authorization of the grant is (D7).
type SupersededPair struct {
	ID              string `gorm:"primaryKey"`
	OrgID           string
	UserID          string
	GrantKey        string
	JobID           *string // that counts it as superseded
	Sealed          []byte
	HasRefreshToken bool
	ExpiresAt       *time.Time // of the access token
	KeptAt          time.Time
}

// Verdict is what the upstream last said against a credential.
type Verdict string

// VerdictExpired is the only one: the upstream is not asked again.
const VerdictExpired Verdict = "expired"

// Credential holds the tokens of one authorization, sealed in one blob.
type Credential struct {
	ID              string `gorm:"primaryKey"`
	AuthorizationID string
	Sealed          []byte
	// Generation fences every save: it rises by one with each pair of tokens.
	Generation int64
	// SavedBy is the attempt that saved this generation.
	SavedBy string

	HasRefreshToken  bool
	ExpiresAt        *time.Time // nil when unknown
	RefreshAfter     *time.Time // from here on a read refreshes; nil for never
	RefreshExpiresAt *time.Time
	KeepAliveAt      *time.Time // from here on an idle refresh token is usedso that it does not expire
	SavedAt          time.Time

	// The lease decides who calls the upstream, nothing else.
	LeaseOwner *string
	LeaseUntil *time.Time
	// AttemptID is set while an attempt's outcome is unknown.
	AttemptID     *string
	LostAnswers   int // attempts in a row whose outcome is unknown
	NextAttemptAt *time.Time
	GateVersion   int64 // of the client secret that NextAttemptAt depends on; 0 for none
	Failures      int
	LastAttempt   string // the attempt that ended last
	LastError     string // its failure, "" when it succeeded

	Verdict              *Verdict
	VerdictReason        string
	VerdictGeneration    int64
	VerdictSecretVersion int64

	// The refusal that was met last and ended nothing.
	Refusal      string     // its status and code
	Refusals     int        // how often in a row
	RefusalSince *time.Time // when it was met first
	RefusedSince *time.Time // since when there was nothing but refusals

	// Suspected is the generation whose access token is not handed out any more.
	Suspected int64
	// What the upstream last said about an access token, and of which generation.
	CheckedAt       *time.Time
	CheckGeneration int64
	CheckValid      bool
}
