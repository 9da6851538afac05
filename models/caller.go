package models

import (
	"regexp"
	"time"
)

// Role is what a caller may do within its organisation.
type Role string

// The roles: an admin manages providers and sees every authorization of the
// organisation; a user authorizes and uses only what is theirs.
const (
	RoleAdmin Role = "admin"
	RoleUser  Role = "user"
)

// Caller is who is asking: the identity behind an API token.
type Caller struct {
	OrgID   string
	UserID  string
	Role    Role
	TokenID string // which token was used, for the audit trail
}

// IsAdmin reports whether the caller manages its organisation.
func (c Caller) IsAdmin() bool { return c.Role == RoleAdmin }

var identity = regexp.MustCompile(`^[A-Za-z0-9._@+-]{1,128}$`)

// ValidIdentity reports whether s can name an organisation or a user. The colon
// is kept for identities of other issuers.
func ValidIdentity(s string) bool { return identity.MatchString(s) }

// APIToken is a bearer token that grantd issued. Only the SHA-256 of the token
// is kept; the token itself is shown once, when it is made.
type APIToken struct {
	ID        string     `gorm:"primaryKey" json:"id"`
	OrgID     string     `json:"orgId"`
	UserID    string     `json:"userId"`
	Role      Role       `json:"role"`
	Name      string     `json:"name"`
	Hash      []byte     `json:"-"`
	CreatedAt time.Time  `json:"createdAt"`
	ExpiresAt *time.Time `json:"expiresAt"`
	RevokedAt *time.Time `json:"revokedAt"`
}

// Caller returns the identity the token stands for.
func (t APIToken) Caller() Caller {
	return Caller{OrgID: t.OrgID, UserID: t.UserID, Role: t.Role, TokenID: t.ID}
}

// Usable reports whether the token is neither revoked nor expired at now.
func (t APIToken) Usable(now time.Time) bool {
	return t.RevokedAt == nil && (t.ExpiresAt == nil || now.Before(*t.ExpiresAt))
}
