package models

import "time"

// Linked is an authorization together with what decides about its use.
type Linked struct {
	Authorization Authorization
	Provider      Provider
	Credential    Credential
	Now           time.Time // the database's, when it was read
}

// Shown returns the authorization with what is derived when it is read.
func (l *Linked) Shown() Authorization {
	a, p := l.Authorization, l.Provider
	p.Description = "" // the hot query does not read it, and lists would repeat it
	a.Status, a.Provider, a.RefreshTokenExpiresAt = l.Status(), &p, l.Credential.RefreshExpiresAt
	if a.Status == AuthorizationExpired {
		a.Reason = l.whyExpired()
		a.ReasonMessage = a.Reason.Message()
	}
	return a
}

// Detailed is Shown with the account and the times of the token.
func (l *Linked) Detailed() Authorization {
	a := l.Shown()
	a.Account = &AuthorizedAccount{Sub: a.Sub, Login: a.Login, Email: a.Email}
	a.ExpiresAt, a.RefreshedAt = l.Credential.ExpiresAt, &l.Credential.SavedAt
	return a
}

// whyExpired tells why an authorization has expired. Without a verdict its only token has
// ended, or has been revoked.
func (l *Linked) whyExpired() Reason {
	switch {
	case l.HasVerdict(VerdictExpired):
		return Reason(l.Credential.VerdictReason)
	case l.Suspected():
		return ReasonTokenRevoked
	}
	return ReasonNoRefreshToken
}

// Status derives the status, as the store does for filters and counts. A provider that is
// off, or that is no longer the client the tokens were minted for, comes before any verdict.
func (l *Linked) Status() AuthorizationStatus {
	switch {
	case !l.Provider.Usable() || !l.Authorization.SameClient(l.Provider):
		return AuthorizationInvalidProviderState
	case l.HasVerdict(VerdictExpired):
		return AuthorizationExpired
	case l.Provider.InTrouble() == TroubleClient && l.Credential.HasRefreshToken:
		return AuthorizationInvalidOAuthClient
	case !l.Served() && !l.Credential.HasRefreshToken:
		return AuthorizationExpired
	}
	return AuthorizationActive
}

// HasVerdict reports whether v holds: a verdict is void as soon as the tokens or
// the client secret it was reached with have changed (R5). Version 0 is that of no
// secret: such a verdict does not depend on it (R12).
func (l *Linked) HasVerdict(v Verdict) bool {
	c := &l.Credential
	return c.Verdict != nil && *c.Verdict == v &&
		c.VerdictGeneration == c.Generation && (c.VerdictSecretVersion == l.Provider.SecretVersion || c.VerdictSecretVersion == 0)
}

// Served reports whether the access token may be handed out: it lives, nobody
// suspects it, and it is the account's.
func (l *Linked) Served() bool { return l.Alive() && !l.Suspected() && !l.Mismatched() }

// Suspected reports whether somebody asked for this very access token to be revoked.
func (l *Linked) Suspected() bool {
	return l.Credential.Suspected != 0 && l.Credential.Suspected == l.Credential.Generation
}

// Mismatched reports whether an authorization has ended since its upstream answered
// with another account's tokens. That ends only with a new consent.
func (l *Linked) Mismatched() bool {
	return l.HasVerdict(VerdictExpired) && l.Credential.VerdictSecretVersion == 0
}

// Alive reports whether the access token can still be used, as far as is known.
func (l *Linked) Alive() bool {
	e := l.Credential.ExpiresAt
	return e == nil || l.Now.Before(*e)
}

// Authenticated reports whether a link works as far as is known: a token that
// still lives is served whatever the last refresh said.
func (l *Linked) Authenticated() bool {
	status := l.Status()
	return status == AuthorizationActive || status != AuthorizationInvalidProviderState && l.Served()
}

// RefreshDue reports whether a read should refresh: the time has come, there is
// something to refresh with, and the upstream has not ruled it out.
func (l *Linked) RefreshDue() bool {
	c := &l.Credential
	due := c.RefreshAfter != nil && !l.Now.Before(*c.RefreshAfter)
	return due && l.MayRefresh()
}

// MayRefresh reports whether there is something to refresh with, and neither a
// verdict nor a back-off in the way.
func (l *Linked) MayRefresh() bool { return l.Credential.HasRefreshToken && l.MayAsk() }

// MayAsk reports whether neither a verdict nor a back-off is in the way of the next
// attempt.
func (l *Linked) MayAsk() bool { return !l.BackingOff() && !l.HasVerdict(VerdictExpired) }

// Leased reports whether somebody holds the lease on the credential: a refresh or a
// revocation is running, in whatever process.
func (l *Linked) Leased() bool {
	until := l.Credential.LeaseUntil
	return until != nil && l.Now.Before(*until)
}

// BackingOff reports whether a back-off is running, or a wait for a new client secret.
func (l *Linked) BackingOff() bool {
	next, of := l.Credential.NextAttemptAt, l.Credential.GateVersion
	return next != nil && l.Now.Before(*next) && (of == 0 || of == l.Provider.SecretVersion)
}

// BackOff is how long the upstream is not asked about this authorization, 0 where it may
// be asked now.
func (l *Linked) BackOff() time.Duration {
	if !l.BackingOff() {
		return 0
	}
	return l.Credential.NextAttemptAt.Sub(l.Now)
}

// EndsWithin reports whether a token that lives should be replaced because its
// caller wants one that lives longer (R7). What can be had is bounded: a quarter
// of an hour, half a life, and no token younger than a minute is replaced.
func (l *Linked) EndsWithin(minTTL time.Duration) bool {
	end := l.Credential.ExpiresAt
	if end == nil || minTTL <= 0 || l.Now.Sub(l.Credential.SavedAt) < time.Minute || !l.MayRefresh() {
		return false
	}
	return end.Sub(l.Now) < min(minTTL, 15*time.Minute, end.Sub(l.Credential.SavedAt)/2)
}

// CheckedWithin reports whether the upstream said within the time what it thinks of this
// very token, and nothing has happened to it since.
func (l *Linked) CheckedWithin(d time.Duration) bool {
	c := &l.Credential
	return c.AttemptID == nil && c.CheckedAt != nil && c.CheckGeneration == c.Generation && l.Now.Sub(*c.CheckedAt) < d
}

// ResetLost reports whether nobody knows how the last reset in place ended. A token
// without a refresh token has no other attempts.
func (l *Linked) ResetLost() bool {
	return l.Credential.AttemptID != nil && !l.Credential.HasRefreshToken
}

// MayAskAgain reports whether an authorization has expired by refusals that said nothing
// of its grant, so that it may be asked once more.
func (l *Linked) MayAskAgain() bool {
	reason := Reason(l.Credential.VerdictReason)
	return l.HasVerdict(VerdictExpired) && (reason == ReasonRefusedRepeatedly || reason == ReasonRefusedForDays)
}
