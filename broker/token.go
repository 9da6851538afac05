package broker

import (
	"context"
	"time"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// Token is an access token on its way to its owner.
type Token struct {
	Access        models.Secret
	ExpiresAt     *time.Time // nil when unknown
	Authorization models.Authorization
}

// Token returns a usable access token of an authorization of the caller's. A
// token that is fresh costs one query: no lock, no write, no Redis, no upstream.
// One that still lives is served when its refresh fails, is slow, or is somebody
// else's turn. minTTL asks for a token that lives at least so long, as far as that
// can be had; 0 asks for nothing.
func (s *Service) Token(ctx context.Context, c models.Caller, id string, minTTL time.Duration) (Token, error) {
	l, err := s.freshest(ctx, c, id, minTTL)
	if err != nil {
		return Token{}, err
	}
	return s.handOut(c, l)
}

// handOut gives a token to its owner, and counts that.
func (s *Service) handOut(c models.Caller, l store.Linked) (Token, error) {
	p, err := s.openPair(l)
	if err != nil {
		return Token{}, err
	}
	s.fetches.add(l.Authorization.ID, c, l.Now)
	return Token{Access: models.Secret(p.Access), ExpiresAt: l.Credential.ExpiresAt, Authorization: show(l)}, nil
}

// freshest returns an authorization whose access token lives, refreshed if that
// was due.
func (s *Service) freshest(ctx context.Context, c models.Caller, id string, minTTL time.Duration) (store.Linked, error) {
	l, err := s.usable(ctx, c, id)
	if err != nil {
		return l, err
	}
	due := func(l store.Linked) bool { return refreshDue(l) || tooShort(l, minTTL) }
	if !due(l) {
		return l, dead(l)
	}
	if served(l) && !tooShort(l, minTTL) && !s.refreshKillsAccess(l) {
		s.beginRefresh(ctx, id, due)
		return l, nil
	}
	// What may be seen is decided by what the row says after the save (R9). It was
	// read then, once for all who waited in this process.
	l, refreshErr := s.refresh(ctx, id, due)
	if refreshErr == nil {
		err = found(usable(c, l), "OAuth provider authorization")
	} else {
		l, err = s.usable(ctx, c, id)
	}
	if err != nil {
		return l, err
	}
	if served(l) {
		return l, nil
	}
	if refreshErr != nil {
		return l, refreshErr
	}
	return l, dead(l)
}

// usable returns an authorization whose tokens the caller may have now.
func (s *Service) usable(ctx context.Context, c models.Caller, id string) (store.Linked, error) {
	l, err := s.store.Fetchable(ctx, id)
	if err == nil {
		err = usable(c, l)
	}
	return l, found(err, "OAuth provider authorization")
}

// usable is nil when the caller may have the authorization's tokens now.
func usable(c models.Caller, l store.Linked) error {
	err := mayHave(c, l.Authorization)
	if err == nil {
		err = inForce(l)
	}
	return err
}

// inForce refuses an authorization of a provider that is off, or that is no longer
// the client which the tokens were minted for: they are sent nowhere (A4).
func inForce(l store.Linked) error {
	switch {
	case statusOf(l) != models.AuthorizationInvalidProviderState:
		return nil
	case l.Provider.Usable():
		return models.Errorf(models.CodeForbidden, "The OAuth provider is no longer the client this authorization was given to. The user must authorize again.")
	}
	return models.Errorf(models.CodeForbidden, "The OAuth provider is %s; it gives no tokens.", l.Provider.Status)
}

// dead says why the access token cannot be had, nil while it lives.
func dead(l store.Linked) error {
	switch {
	case served(l):
		return nil
	case mismatched(l):
		return strangers()
	case hasVerdict(l, models.VerdictExpired):
		return expired(nil)
	case !l.Credential.HasRefreshToken && suspected(l):
		return models.Errorf(models.CodeGone, "The access token is not handed out any more, since it was to be revoked. The user must authorize again.")
	case !l.Credential.HasRefreshToken:
		return models.Errorf(models.CodeGone, "The access token has expired and the provider granted no refresh token. The user must authorize again.")
	}
	if l.Provider.InTrouble() != "" {
		return inTrouble(l.Provider, l.Now)
	}
	wait := max(time.Second, untilAsked(l))
	if clientNotAccepted(l) {
		e := clientRefusedHere(nil)
		e.RetryAfter = wait
		return e
	}
	return &models.Error{Code: models.CodeUpstream, RetryAfter: wait,
		Message: "The access token has expired and the provider could not be asked for a new one. Try again shortly."}
}

// refreshDue reports whether a read should refresh: the time has come, there is
// something to refresh with, and the upstream has not ruled it out.
func refreshDue(l store.Linked) bool {
	c := l.Credential
	due := c.RefreshAfter != nil && !l.Now.Before(*c.RefreshAfter)
	return due && mayRefresh(l)
}

// mayRefresh reports whether there is something to refresh with, and neither a
// verdict nor a back-off in the way.
func mayRefresh(l store.Linked) bool {
	return l.Credential.HasRefreshToken && !gated(l) && !hasVerdict(l, models.VerdictExpired)
}

// gated reports whether a back-off is running, or a wait for a new client secret.
func gated(l store.Linked) bool {
	next, of := l.Credential.NextAttemptAt, l.Credential.GateVersion
	return next != nil && l.Now.Before(*next) && (of == 0 || of == l.Provider.SecretVersion)
}

// tooShort reports whether a token that lives should be replaced because its
// caller wants one that lives longer (R7). What can be had is bounded: a quarter
// of an hour, half a life, and no token younger than a minute is replaced.
func tooShort(l store.Linked, minTTL time.Duration) bool {
	end := l.Credential.ExpiresAt
	if end == nil || minTTL <= 0 || l.Now.Sub(l.Credential.SavedAt) < time.Minute || !mayRefresh(l) {
		return false
	}
	return end.Sub(l.Now) < min(minTTL, 15*time.Minute, end.Sub(l.Credential.SavedAt)/2)
}

func (s *Service) refreshKillsAccess(l store.Linked) bool {
	t, ok := s.traits(l.Provider)
	return !ok || t.RefreshKillsAccess
}
