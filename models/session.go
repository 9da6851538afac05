package models

import "time"

// BrowserSession is somebody who is signed in to the pages in one browser.
type BrowserSession struct {
	ID         string    `gorm:"primaryKey" json:"id"`
	TokenHash  []byte    `json:"-"` // SHA-256 of what the cookie holds
	OrgID      string    `json:"orgId"`
	UserID     string    `json:"userId"`
	Role       Role      `json:"role"`
	Issuer     string    `json:"issuer"`     // the name of the issuer that the person signed in with, "" where it was an API token
	APITokenID string    `json:"apiTokenId"` // the API token that the session ends with, "" where it was an issuer
	Name       string    `json:"name"`       // what the issuer calls the person, for display
	Address    string    `json:"address"`    // where the sign-in came from, "" where that is unknown
	CreatedAt  time.Time `json:"createdAt"`
	LastUsedAt time.Time `json:"lastUsedAt"` // to the minute
	ExpiresAt  time.Time `json:"expiresAt"`  // at the latest: an unused session ends earlier
}

// Caller returns who is signed in.
func (s BrowserSession) Caller() Caller {
	return Caller{OrgID: s.OrgID, UserID: s.UserID, Role: s.Role, TokenID: s.Origin()}
}

// SessionOrigin is what the names of sessions begin with, where callers are named by what they came with.
const SessionOrigin = "session:"

// Origin is how audit events name the session, and API tokens what they were made with.
func (s BrowserSession) Origin() string { return SessionOrigin + s.ID }
