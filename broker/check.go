package broker

import (
	"context"
	"errors"
	"time"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/providers"
	"github.com/grantd/grantd/store"
)

// Checked is what the upstream says about an access token.
type Checked struct {
	Valid         bool
	CheckedAt     time.Time
	ExpiresAt     *time.Time // nil when unknown
	Authorization models.Authorization
}

// Reasons of verdicts.
const (
	revokedUpstream = string(models.ReasonRevokedUpstream)
	lostResponse    = string(models.ReasonLostResponse)
	tokenRevoked    = string(models.ReasonTokenRevoked)
)

// Check asks the upstream whether the access token is good, for its owner or an
// admin: the answer holds no token (A6). A token that is no longer valid is not handed out any
// more: the next fetch refreshes, or the authorization is expired. A rate limit or
// an upstream that is down says nothing about the token, and is an error.
func (s *Service) Check(ctx context.Context, c models.Caller, id string) (Checked, error) {
	l, err := s.manageable(ctx, c, id)
	if err == nil && l.MayAskAgain() && !l.BackingOff() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.timing.CallerWait)
		defer cancel()
		l, err = s.askOnceMore(ctx, c, l)
	}
	if err != nil || l.CheckedWithin(checkLife) || l.Mismatched() {
		return checkedAs(l), err
	}
	if err := s.countCheck(c); err != nil {
		return Checked{}, err
	}
	checking := s.checking.DoChan(id, func() (any, error) {
		own, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timing.TokenCall)
		defer cancel()
		return s.checkNewest(own, id)
	})
	timer := time.NewTimer(s.timing.CallerWait)
	defer timer.Stop()
	select {
	case r := <-checking:
		if r.Err != nil {
			return Checked{}, r.Err
		}
		return checkedAs(r.Val.(models.Linked)), nil
	case <-timer.C:
	case <-ctx.Done():
	}
	return Checked{}, slowUpstream
}

// askOnceMore tries the refresh of an authorization that has expired by refusals which
// said nothing of its grant (R15). Refused again, it stays as it is.
func (s *Service) askOnceMore(ctx context.Context, c models.Caller, l models.Linked) (models.Linked, error) {
	_, refreshErr := s.refresh(ctx, c, l, func(l models.Linked) bool { return l.MayAskAgain() && !l.BackingOff() })
	if errors.Is(refreshErr, slowUpstream) || errors.Is(refreshErr, noSlot) || models.CodeOf(refreshErr) == models.CodeRateLimited {
		return models.Linked{}, refreshErr
	}
	return s.manageable(ctx, c, l.Authorization.ID)
}

// manageable returns an authorization of a working provider that the caller may see,
// with all of its credential. What is done to it concerns the caller; its tokens may
// not (A6).
func (s *Service) manageable(ctx context.Context, c models.Caller, id string) (models.Linked, error) {
	l, err := s.visibleLinked(ctx, c, id)
	if err != nil {
		return l, err
	}
	return l, inForce(&l)
}

func checkedAs(l models.Linked) Checked {
	k := Checked{Valid: l.Credential.CheckValid, ExpiresAt: l.Credential.ExpiresAt, Authorization: l.Shown()}
	if at := l.Credential.CheckedAt; at != nil {
		k.CheckedAt = *at
	}
	return k
}

// checkNewest asks about the newest token: one that was replaced while the upstream
// was asked says nothing about its successor.
func (s *Service) checkNewest(ctx context.Context, id string) (models.Linked, error) {
	for range 3 {
		l, err := s.store.Linked(ctx, id)
		if err != nil || l.CheckedWithin(checkLife) || l.Mismatched() {
			return l, err
		}
		said, err := s.askCheck(ctx, l)
		if err != nil {
			return l, s.at(l.Provider).failed(err)
		}
		newest, err := s.noteCheck(ctx, l, said)
		if err != nil {
			return l, err
		}
		if newest {
			l, err = s.store.Linked(ctx, id)
			return l, err
		}
	}
	return models.Linked{}, slowUpstream
}

// askCheck asks the upstream, unless it is rate limiting (S3).
func (s *Service) askCheck(ctx context.Context, l models.Linked) (providers.Check, error) {
	ctx = providers.WithAnswers(ctx)
	gate, err := s.at(l.Provider).admitAPI(ctx)
	if err != nil {
		return providers.Check{}, err
	}
	at, p, err := s.opened(ctx, l)
	if err != nil {
		return providers.Check{}, err
	}
	said, err := patiently(ctx, s, l.Provider, l.Credential.SavedAt, func() (providers.Check, bool, error) {
		said, err := at.Check(ctx, p.tokens())
		return said, err == nil && !said.Valid, err
	})
	at.learnAPI(ctx, gate, err)
	return said, err
}

// noteCheck writes down what the upstream said of l's generation, and reports
// whether that is the newest still.
func (s *Service) noteCheck(ctx context.Context, l models.Linked, said providers.Check) (bool, error) {
	ctx = context.WithoutCancel(ctx)
	switch {
	case !said.Valid && l.ResetLost():
		return s.noteRejected(ctx, l, lostResponse)
	case !said.Valid:
		return s.noteRejected(ctx, l, revokedUpstream)
	}
	if s.isAnother(ctx, l, said.Account) {
		err := s.mismatchedPair(ctx, l)
		if models.CodeOf(err) == models.CodeGone { // it is on the row
			err = nil
		}
		return true, err
	}
	var left *time.Duration
	if said.ExpiresAt != nil {
		d := said.ExpiresAt.Sub(l.Now)
		left = &d
	}
	newest, err := s.store.NoteValid(ctx, l, left)
	if err != nil || !newest {
		return newest, err
	}
	if l.HasVerdict(models.VerdictExpired) && l.Credential.VerdictReason == revokedUpstream {
		if err := s.store.Tx(ctx, func(tx *store.Store) error {
			return errors.Join(tx.Acquit(ctx, l, revokedUpstream, left), tellRecovered(ctx, tx, l))
		}); err != nil {
			return true, err
		}
	}
	s.noteScopes(ctx, l.Authorization, said.Scopes, said.Missing, said.ScopesCut)
	return true, s.endReset(ctx, l)
}

// noteRejected writes down that the access token is no longer valid. Where nothing can replace it,
// the person must authorize again (R5).
func (s *Service) noteRejected(ctx context.Context, l models.Linked, reason string) (bool, error) {
	if l.Credential.HasRefreshToken || l.HasVerdict(models.VerdictExpired) {
		reason = ""
	}
	var newest bool
	err := s.store.Tx(ctx, func(tx *store.Store) error {
		var err error
		if newest, err = tx.NoteRejected(ctx, l, reason); err != nil || !newest {
			return err
		}
		if err := tellBroken(ctx, tx, l, reason); err != nil {
			return err
		}
		return tx.Audit(ctx, ownEvent(l.Authorization.OrgID, models.ActionTokenRejected).
			provider(l.Provider.ID).authorization(l.Authorization.ID).code(reason).done())
	})
	if err != nil || !newest {
		return newest, err
	}
	return true, s.endReset(ctx, l)
}

// endReset ends a reset whose answer was lost, once the upstream has said whether the
// token that it was to replace is still good.
func (s *Service) endReset(ctx context.Context, l models.Linked) error {
	if !l.ResetLost() {
		return nil
	}
	return s.store.EndAttempt(ctx, l)
}
