package broker

import (
	"context"
	"errors"
	"time"

	"github.com/grantd/grantd/models"
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
	s.metrics.TokenFetched(&l, err)
	if err != nil {
		return Token{}, err
	}
	return s.handOut(c, &l)
}

// handOut gives a token to its owner, and counts that.
func (s *Service) handOut(c models.Caller, l *models.Linked) (Token, error) {
	p, err := s.openPair(l)
	if err != nil {
		return Token{}, err
	}
	s.fetches.add(l.Authorization.ID, c, l.Now)
	return Token{Access: models.Secret(p.Access), ExpiresAt: l.Credential.ExpiresAt, Authorization: l.Shown()}, nil
}

// freshest returns an authorization whose access token lives, refreshed if that
// was due.
func (s *Service) freshest(ctx context.Context, c models.Caller, id string, minTTL time.Duration) (models.Linked, error) {
	l, err := s.usable(ctx, c, id)
	if err != nil {
		return l, err
	}
	if !isDue(&l, minTTL) {
		return l, tokenUnavailable(&l)
	}
	due := func(l models.Linked) bool { return isDue(&l, minTTL) }
	patience, cancel := context.WithTimeout(ctx, s.timing.CallerWait) // R2
	defer cancel()
	for {
		var asked models.Linked
		var refreshErr error
		if l.Served() {
			one := s.refreshBeside(ctx, l, due, minTTL)
			if one == nil {
				return l, nil
			}
			asked, refreshErr = await(patience, one)
		} else {
			asked, refreshErr = s.refresh(patience, c, l, due)
		}
		// What may be seen is decided by what the row says after the save (R9). It was
		// read then, once for all who waited in this process.
		if refreshErr == nil {
			l = asked
			err = usable(c, &l)
		} else {
			l, err = s.usable(ctx, c, id)
		}
		switch {
		case err != nil:
			return l, err
		case refreshErr != nil && l.Served() && l.Leased() && due(l) && s.refreshKillsAccess(l) && patience.Err() == nil: // another one runs (R7)
		case l.Served():
			return l, nil
		case refreshErr == nil:
			return l, tokenUnavailable(&l)
		case errors.Is(refreshErr, errLeaseOver): // of a refresh beside a token whose time is over now
		case !withFormerSecret(asked, l) || !due(l):
			return l, refreshErr
		}
	}
}

// isDue reports whether a caller who asks for a token that lives at least minTTL has it refreshed.
func isDue(l *models.Linked, minTTL time.Duration) bool {
	return l.RefreshDue() || l.EndsWithin(minTTL)
}

// withFormerSecret reports whether the client secret was changed since a refresh that failed
// was begun, by whomever: its failure says nothing of the secret that there is now (R5).
func withFormerSecret(asked, now models.Linked) bool {
	version := asked.Provider.SecretVersion // 0 where nothing was asked
	return version != 0 && version < now.Provider.SecretVersion
}

// refreshBeside begins the refresh of a token that is due and still valid. It returns the
// flight that the caller waits for, or nil where the token is served at once: the refresh
// does not invalidate it, or has not begun, since no slot is free (R7). A refresh for which
// another process holds the lease has begun.
func (s *Service) refreshBeside(ctx context.Context, l models.Linked, due func(models.Linked) bool, minTTL time.Duration) *flight {
	waits := l.EndsWithin(minTTL) || s.refreshKillsAccess(l)
	if l.Leased() && !waits {
		return nil
	}
	one := s.flights.begin(l, s.flightOf(ctx, l, due, share{}))
	if !waits {
		return nil
	}
	return one
}

// usable returns an authorization whose tokens the caller may have now.
func (s *Service) usable(ctx context.Context, c models.Caller, id string) (models.Linked, error) {
	l, err := s.store.Fetchable(ctx, id)
	if err == nil {
		err = usable(c, &l)
	}
	return l, err
}

// usable is nil when the caller may have the authorization's tokens now.
func usable(c models.Caller, l *models.Linked) error {
	err := mayHave(c, &l.Authorization)
	if err == nil {
		err = inForce(l)
	}
	return err
}

// inForce refuses an authorization of a provider that is off, or that is no longer
// the client which the tokens were minted for: they are sent nowhere (A4).
func inForce(l *models.Linked) error {
	switch {
	case l.Status() != models.AuthorizationInvalidProviderState:
		return nil
	case l.Provider.Usable():
		return models.Errorf(models.CodeForbidden, "The OAuth provider is no longer the client this authorization was given to. The user must authorize again.")
	}
	return models.Errorf(models.CodeForbidden, "The OAuth provider is %s; it gives no tokens.", l.Provider.Status)
}

// tokenUnavailable says why the access token cannot be had, nil while it lives.
func tokenUnavailable(l *models.Linked) error {
	switch {
	case l.Served():
		return nil
	case l.Mismatched():
		return mismatched()
	case l.HasVerdict(models.VerdictExpired):
		return expired(nil)
	case !l.Credential.HasRefreshToken && l.Suspected():
		return models.Errorf(models.CodeGone, "The access token is no longer handed out, because somebody asked to revoke it. The user must authorize again.")
	case !l.Credential.HasRefreshToken:
		return models.Errorf(models.CodeGone, "The access token has expired and the provider granted no refresh token. The user must authorize again.")
	}
	if l.Provider.InTrouble() != "" {
		return inTrouble(l.Provider, l.Now)
	}
	wait := max(retrySoon, l.BackOff())
	if clientNotAccepted(l) {
		e := clientRefusedHere(nil)
		e.RetryAfter = wait
		return e
	}
	return &models.Error{Code: models.CodeUpstream, RetryAfter: wait,
		Message: "The access token has expired and the provider could not be asked for a new one. Try again shortly."}
}

func (s *Service) refreshKillsAccess(l models.Linked) bool {
	t, ok := s.at(l.Provider).Traits()
	return !ok || t.RefreshKillsAccess
}
