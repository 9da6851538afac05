package models

import "time"

// FlowStatus is how far a consent has come:
// open → claimed → exchanged → done, or failed from any of them.
type FlowStatus string

// The statuses. Claimed means the code is about to be spent or was; exchanged
// means the tokens are saved in the flow and only their owner is missing.
const (
	FlowOpen      FlowStatus = "open"
	FlowClaimed   FlowStatus = "claimed"
	FlowExchanged FlowStatus = "exchanged"
	FlowDone      FlowStatus = "done"
	FlowFailed    FlowStatus = "failed"
)

// Channel is where a flow was begun; it completes only there.
type Channel string

// The channels.
const (
	ChannelAPI     Channel = "api"
	ChannelBrowser Channel = "browser"
	ChannelTrial   Channel = "trial" // an admin tries a provider in our own pages; nothing becomes an authorization unless it is kept
	ChannelDevice  Channel = "device"
	ChannelLink    Channel = "link"
	ChannelImport  Channel = "import" // no consent here: a token of one that was given elsewhere
)

// InPages reports whether a consent is begun and completed by a person in our own pages.
func (c Channel) InPages() bool { return c == ChannelBrowser || c == ChannelTrial }

// InBrowser reports whether it is grantd's own pages that the person returns to: then the state is our own, and a cookie
// has to come with it.
func (c Channel) InBrowser() bool { return c.InPages() || c == ChannelLink }

// FailureNoOwner is the reason of a flow whose time was over before its tokens had an owner.
const FailureNoOwner = "no_owner"

// FailureUserRevoked is the reason of a flow that had not come back when everything of its user was revoked.
const FailureUserRevoked = "user_revoked"

// Flow is one consent under way. A caller finds it by its own organisation and
// user, the provider, and the SHA-256 of the state; by nothing else.
type Flow struct {
	ID         string `gorm:"primaryKey"`
	OrgID      string
	UserID     string
	Actor      string `gorm:"-"` // the service that begins it for UserID; known only then
	ProviderID string
	Channel    Channel
	StateHash  []byte
	Status     FlowStatus

	RedirectURI string // stored, and reused byte for byte at the token endpoint
	SkipConsent bool
	Scopes      Strings
	Fingerprint string
	// Sealed holds the PKCE verifier and the nonce, or the upstream's device code.
	Sealed []byte
	// CodeHash is the SHA-256 of the code that was spent.
	CodeHash []byte
	// SealedTokens holds what the code was exchanged for, until it has an owner.
	SealedTokens []byte

	AuthorizationID *string
	Failure         string
	ClaimedAt       *time.Time
	ExchangedAt     *time.Time
	DeliveredAt     *time.Time
	ExpiresAt       time.Time
	CreatedAt       time.Time

	// Of tokens without an owner: when a sweep may try to settle them again, and how
	// often it failed. Failure says why, while the flow is still exchanged.
	SettleAt       *time.Time
	SettleFailures int

	// Of a device flow (RFC 8628): the upstream is asked when NextPollAt has come.
	PollInterval time.Duration
	NextPollAt   *time.Time
	PollFailures int // in a row, for the back-off
	// PollAttempt is the poll under way, or the last one whose outcome nobody knows;
	// "" when there is none.
	PollAttempt string

	// UserRevoked says that everything of UserID was revoked while the consent was under way. It becomes no authorization,
	// and tokens that it brings are revoked.
	UserRevoked bool
}
