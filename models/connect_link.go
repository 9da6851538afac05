package models

import "time"

// ConnectLink is an address that an app sends a person to, who connects an account of theirs there. One person must not
// connect an account to another one's user with it: the app confirms in the person's own session, or the page wants the
// person signed in, or both.
type ConnectLink struct {
	ID         string  `gorm:"primaryKey" json:"id" doc:"As link in the query of returnUrl."`
	KeyHash    []byte  `json:"-"` // SHA-256 of what the address ends with
	OrgID      string  `json:"orgId" doc:"The organisation of the provider and the user."`
	UserID     string  `json:"userId" doc:"Whose connection it is to become."`
	ProviderID string  `json:"providerId" doc:"Where an account is connected."`
	TokenID    string  `json:"-"` // the API token that it was made with
	MadeBy     string  `json:"-"` // whose API token that is
	AppName    string  `json:"appName" doc:"What the page calls the app: the name of the API token that the link was made with."`
	ReturnURL  string  `json:"returnUrl" doc:"Where the browser returns to; empty where it stays here."`
	Scopes     Strings `json:"scopes" doc:"What is asked for; empty for what the provider is set to."`
	Confirm    bool    `json:"confirm" doc:"The connection is made once the app has confirmed it."`
	SignIn     bool    `json:"signIn" doc:"The person has to be signed in to the pages as userId."`
	Popup      bool    `json:"popup" doc:"The link is opened in a window of its own, which tells the one that opened it."`
	FlowID     *string `json:"-"` // the consent that it was opened with, nil before
	Ended      LinkEnd `json:"-"`
	Replaces   *string `json:"replaces" doc:"The authorization, of another account, that was the user's default at the provider until then. It stays connected until it is deleted. null where there was none, and before."`
	// TokenEndsAt is when the bearer token ends that it was made with, nil for an API token. The link ends with it.
	TokenEndsAt *time.Time `json:"-"`
	ExpiresAt   time.Time  `json:"expiresAt" doc:"Until when it can be opened; from then on, until when the consent and the confirmation have to come."`
	CreatedAt   time.Time  `json:"createdAt" doc:"When it was made."`
	Status      LinkStatus `gorm:"-" json:"status" enum:"open,begun,returned,connected,failed" doc:"open: nobody has opened it; begun: somebody is on the way to the provider; returned: the consent waits for confirm/; connected; failed: error tells why."`
	Error       LinkEnd    `gorm:"-" json:"error" doc:"Why it failed: access_denied (the person said no), expired, withdrawn, another_user (confirm/ named another user), user_revoked (everything of the user was revoked), signed_out, or how else the consent failed, such as an error code of the provider. Empty where it has not."`
	// AuthorizationID is what became of it, nil before.
	AuthorizationID *string `gorm:"-" json:"authorizationId" doc:"The authorization that it was connected with; null before."`
}

// LinkStatus is how far a connect link has come.
type LinkStatus string

// The statuses.
const (
	LinkOpen      LinkStatus = "open"
	LinkBegun     LinkStatus = "begun"
	LinkReturned  LinkStatus = "returned"
	LinkConnected LinkStatus = "connected"
	LinkFailed    LinkStatus = "failed"
)

// LinkEnd is how a connect link ended: one of these, or the code with which its consent failed.
type LinkEnd string

// The ends. LinkDone is the only good one.
const (
	LinkDone        LinkEnd = "connected"
	LinkDenied      LinkEnd = "access_denied"
	LinkExpired     LinkEnd = "expired"
	LinkWithdrawn   LinkEnd = "withdrawn"
	LinkAnotherUser LinkEnd = "another_user"
	LinkUserRevoked LinkEnd = FailureUserRevoked
)

// Caller is who a consent that the link opens belongs to: the user, for whom the maker of the link acts.
func (l ConnectLink) Caller() Caller {
	c := Caller{OrgID: l.OrgID, UserID: l.UserID, Role: RoleUser, TokenID: l.TokenID}
	if l.MadeBy != l.UserID {
		c.Actor = l.MadeBy
	}
	return c
}

// At returns the link with its status, as its flow tells at a time. The flow is nil where there is none, or none any more.
func (l ConnectLink) At(now time.Time, f *Flow) ConnectLink {
	over := !now.Before(l.ExpiresAt)
	if f != nil {
		over = !now.Before(f.ExpiresAt)
		l.ExpiresAt = f.ExpiresAt
	}
	if end := l.TokenEndsAt; end != nil && end.Before(l.ExpiresAt) {
		l.ExpiresAt, over = *end, over || !now.Before(*end)
	}
	failed := func(why LinkEnd) { l.Status, l.Error = LinkFailed, why }
	switch {
	case l.Ended == LinkDone:
		l.Status = LinkConnected
		if f != nil {
			l.AuthorizationID = f.AuthorizationID
		}
	case l.Ended != "":
		failed(l.Ended)
	case f != nil && f.Status == FlowFailed && f.Failure != FailureNoOwner:
		failed(LinkEnd(f.Failure))
	case over && (f == nil || f.Status != FlowClaimed) || f == nil && l.FlowID != nil || f != nil && f.Status == FlowFailed:
		failed(LinkExpired)
	case f == nil:
		l.Status = LinkOpen
	case f.Status == FlowExchanged && l.Confirm:
		l.Status = LinkReturned
	default:
		l.Status = LinkBegun
	}
	return l
}
