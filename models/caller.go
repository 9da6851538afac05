package models

import (
	"regexp"
	"slices"
	"strings"
	"time"
)

// Role is what a caller may do within its organisation.
type Role string

// The roles: an admin manages providers and sees every authorization of the
// organisation; a user authorizes and uses only what is theirs; a service does what a
// user does, for the user that each of its requests names, at the providers of its token.
const (
	RoleAdmin   Role = "admin"
	RoleUser    Role = "user"
	RoleService Role = "service"
)

// Caller is who is asking: the identity behind an API token.
type Caller struct {
	OrgID   string
	UserID  string // whose connections it is about: the caller's own, or of whom a service acts for
	Role    Role
	TokenID string // which token was used, for the audit trail
	// Actor is the service that acts for UserID, "" where users act for themselves.
	Actor string
	// Providers are the ids of those that the API token is limited to. An admin or a user without any is not limited.
	Providers []string
	// EndsAt is when the bearer token of a trusted issuer expires that the caller came with; zero for others. What the
	// caller makes does not outlive it.
	EndsAt time.Time
}

// IsAdmin reports whether the caller manages its organisation.
func (c Caller) IsAdmin() bool { return c.Role == RoleAdmin }

// IsService reports whether the caller acts for users that it names.
func (c Caller) IsService() bool { return c.Role == RoleService }

// IsLimited reports whether there are providers of its organisation that the caller may not use.
func (c Caller) IsLimited() bool { return len(c.Providers) > 0 || c.IsService() }

// MayUse reports whether a provider of the caller's organisation is within the limits of its token.
func (c Caller) MayUse(provider string) bool {
	return !c.IsLimited() || slices.Contains(c.Providers, provider)
}

// Limits are the ids of the providers that the caller may use, nil where it may use all of its organisation's.
func (c Caller) Limits() []string {
	if c.IsLimited() && c.Providers == nil {
		return []string{}
	}
	return c.Providers
}

// For returns the service as it acts for a user.
func (c Caller) For(user string) Caller {
	c.Actor, c.UserID = c.UserID, user
	return c
}

var identity = regexp.MustCompile(`^[A-Za-z0-9._@+-]{1,128}$`)

// ValidIdentity reports whether s can name an organisation or a user. The colon
// is kept for identities of other issuers.
func ValidIdentity(s string) bool { return identity.MatchString(s) }

// IsMachine reports whether a user has a name that admins make API tokens for, and that no sign-in makes of anybody.
func IsMachine(user string) bool { return strings.HasPrefix(user, "app-") && ValidIdentity(user) }

// APIToken is a bearer token that grantd issued. Only the SHA-256 of the token
// is kept; the token itself is shown once, when it is made.
type APIToken struct {
	ID        string     `gorm:"primaryKey" json:"id"`
	OrgID     string     `json:"orgId"`
	UserID    string     `json:"userId" doc:"Whose it is: authorizations belong to users. Of a service it is its own name; whom it acts for is named in each request."`
	Role      Role       `json:"role" doc:"admin, user or service."`
	Name      string     `json:"name" doc:"What it is for; may be empty."`
	Hash      []byte     `json:"-"`
	CreatedAt time.Time  `json:"createdAt"`
	ExpiresAt *time.Time `json:"expiresAt" doc:"null where it does not expire."`
	RevokedAt *time.Time `json:"revokedAt" doc:"null where it was not revoked."`
	// Providers are the ids of those that it is limited to, none where it is not.
	Providers Strings `gorm:"column:provider_ids" json:"providers" doc:"The ids of the providers that it is limited to; empty where it is not."`
	// ReturnOrigins are where connect links that are made with it may send people back to, in addition to those that the
	// operator allows.
	ReturnOrigins Strings `json:"returnOrigins" doc:"The origins that connect links made with it may return to, in addition to those that the operator allows."`
	// MadeBy is the API token or the session that an admin made it with, "" where it was made on the command line.
	MadeBy     string     `json:"madeBy" doc:"The id of the API token that it was made with, or session:<id> of an admin who had signed in at the issuer; empty where it was made on the command line."`
	LastUsedAt *time.Time `json:"lastUsedAt" doc:"When it was used last, to the hour; null where it never was."`
}

// Caller returns the identity the token stands for.
func (t APIToken) Caller() Caller {
	return Caller{OrgID: t.OrgID, UserID: t.UserID, Role: t.Role, TokenID: t.ID, Providers: t.Providers}
}

// Usable reports whether the token is neither revoked nor expired at now.
func (t APIToken) Usable(now time.Time) bool {
	return t.RevokedAt == nil && (t.ExpiresAt == nil || now.Before(*t.ExpiresAt))
}
