package broker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/providers"
	"github.com/grantd/grantd/store"
)

// A refresh token is spent once. Callers in one process join one flight; across
// processes a lease on the row decides who calls the upstream; the process that holds it
// reads the row again, calls detached from everybody, and saves what came back
// over the generation it started from, however late (R1, R2).

// refresh brings an authorization's tokens up to date, and waits for that no
// longer than callers do. due says whether a row that was just read still needs it.
func (s *Service) refresh(ctx context.Context, id string, due func(models.Linked) bool) (models.Linked, error) {
	return s.await(ctx, s.beginRefresh(ctx, id, due))
}

// await waits for a flight, no longer than callers do (R2).
func (s *Service) await(ctx context.Context, flight <-chan singleflight.Result) (models.Linked, error) {
	timer := time.NewTimer(s.timing.CallerWait)
	defer timer.Stop()
	select {
	case r := <-flight:
		l, _ := r.Val.(models.Linked)
		return l, r.Err
	case <-timer.C:
	case <-ctx.Done():
	}
	return models.Linked{}, slowUpstream
}

// beginRefresh starts a refresh, or joins the one under way in this process.
func (s *Service) beginRefresh(ctx context.Context, id string, due func(models.Linked) bool) <-chan singleflight.Result {
	return s.flights.DoChan(id, func() (any, error) {
		s.inflight.begin()
		defer s.inflight.end()
		own, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timing.TokenCall+s.timing.LeaseMargin)
		defer cancel()
		return s.refreshOnce(own, id, due)
	})
}

// refreshOnce calls the upstream, or takes what another process's call brings.
func (s *Service) refreshOnce(ctx context.Context, id string, due func(models.Linked) bool) (models.Linked, error) {
	for {
		l, err := s.store.Linked(ctx, id)
		if err != nil {
			return l, err
		}
		if !due(l) {
			return l, nil
		}
		if err := waitsForProbe(l); err != nil {
			return l, err
		}
		gate, err := s.at(l.Provider).admit(ctx, s.timing.TokenCall, store.ClassToken)
		if err != nil {
			return l, err
		}
		c, attempt, asked := l.Credential, newID(), time.Now()
		won, err := s.store.LeaseForRefresh(ctx, l, attempt, s.timing.TokenCall+s.timing.LeaseMargin)
		if err != nil {
			return l, fmt.Errorf("leasing credential %s: %w", c.ID, err)
		}
		if won {
			if err := s.admitProbe(ctx, l); err != nil {
				return l, errors.Join(err, s.giveUpLease(ctx, l, attempt, c.AttemptID))
			}
			return s.callRefresh(ctx, l, attempt, c.AttemptID, gate, asked, due)
		}
		ended, err := s.awaitOther(ctx, l)
		if err != nil || ended {
			return s.takeOutcome(ctx, id, err)
		}
	}
}

// awaitOther waits until the holder of the lease has come to an end, failures
// included (R8). It returns false when nobody seems to be at it any more.
func (s *Service) awaitOther(ctx context.Context, before models.Linked) (bool, error) {
	defer s.metrics.LeaseWaited(time.Now())
	for pause := refreshPoll; ; pause = min(pause+pause/16, longestRefreshPoll) { // late by a sixteenth of the wait
		now, err := s.store.Linked(ctx, before.Authorization.ID)
		if err != nil {
			return false, err
		}
		c := now.Credential
		switch {
		case c.Generation != before.Credential.Generation, c.LastAttempt != before.Credential.LastAttempt:
			return true, nil
		case now.BackingOff():
			return true, nil
		case c.LeaseUntil == nil || !now.Now.Before(*c.LeaseUntil):
			return false, nil
		}
		select {
		case <-ctx.Done():
			return false, slowUpstream
		case <-time.After(pause):
		}
	}
}

// takeOutcome takes another attempt's outcome for ours.
func (s *Service) takeOutcome(ctx context.Context, id string, err error) (models.Linked, error) {
	if err != nil {
		return models.Linked{}, err
	}
	l, err := s.store.Linked(ctx, id)
	if err != nil {
		return l, err
	}
	return l, tokenUnavailable(l)
}

// callRefresh is the holder of the lease at work. before is an attempt whose
// outcome nobody knows, and which this one replays (R3). The call ends by the time that it
// may take from when the lease was asked for, however slow the database was since: it must
// not outlive the lease (R2).
func (s *Service) callRefresh(ctx context.Context, leased models.Linked, attempt string, before *string, gate store.Gate, asked time.Time, due func(models.Linked) bool) (models.Linked, error) {
	ctx = providers.WithAnswers(ctx)
	l, err := s.store.Linked(ctx, leased.Authorization.ID) // again: the row may have changed before the lease was ours
	if err != nil || !due(l) {
		return l, errors.Join(err, s.giveUpLease(ctx, leased, attempt, before))
	}
	at, old, err := s.opened(ctx, l)
	if err != nil {
		return l, errors.Join(err, s.giveUpLease(ctx, l, attempt, before))
	}
	sent := l.Now
	left := s.timing.TokenCall - time.Since(asked)
	if left <= 0 {
		return l, errors.Join(slowUpstream, s.giveUpLease(ctx, l, attempt, before))
	}
	call, cancel := awake(ctx, left)
	defer cancel()
	replace := at.Refresh
	if !l.Credential.HasRefreshToken { // only a reset gets here
		replace = at.Reset
	}
	began := time.Now()
	t, err := replace(call, grantedTokens(l, old))
	s.metrics.Refreshed(l.Provider.Type, refreshOutcome(err, !l.Credential.HasRefreshToken), time.Since(began))
	s.charge(ctx, at.refreshes(), 1)
	if err != nil {
		at.learnToken(ctx, gate, err)
		return l, s.refreshFailed(ctx, l, attempt, before != nil, err)
	}
	defer at.learnToken(ctx, gate, nil) // saved first, judged afterwards (R6)
	if s.isAnother(ctx, l, t.Account) {
		return l, s.mismatchedTokens(ctx, l, attempt, old, newExchanged(t, sent))
	}
	return s.saveRefreshed(ctx, l, attempt, old, newExchanged(t, sent))
}

func (s *Service) giveUpLease(ctx context.Context, l models.Linked, attempt string, before *string) error {
	if err := s.store.AbandonAttempt(ctx, l.Authorization.CredentialID, attempt, before); err != nil {
		s.log.Error("releasing a refresh lease failed", "authorization", l.Authorization.ID, "error", err)
	}
	return nil
}

// saveRefreshed saves new tokens over the generation they were made from. If that
// is no longer the newest, either an earlier try of this save went through and
// only its acknowledgement was lost, or somebody else's tokens won: then ours are
// revoked alone (R1, R9).
func (s *Service) saveRefreshed(ctx context.Context, l models.Linked, attempt string, old pair, e exchanged) (models.Linked, error) {
	if e.Refresh == "" {
		e.Refresh = old.Refresh // RFC 6749 section 6: none given means the old one stays
	}
	if e.ExpiresIn == 0 { // counted from the save, or each answer without a lifetime would shorten it
		e.ExpiresIn, e.SentAt = s.lastLifetime(l), time.Time{}
	}
	sealed, err := s.sealPair(l.Authorization, e.pair)
	if err != nil {
		return l, err
	}
	tries := 0
	err = s.untilSaved(ctx, func(ctx context.Context) error {
		tries++
		return s.store.Tx(ctx, func(tx *store.Store) error {
			now, err := tx.Now(ctx)
			if err != nil {
				return err
			}
			save := s.newSave(attempt, sealed, e, now)
			save.KeepsFormer = l.RefreshDue() && !l.Suspected() && !s.refreshKillsAccess(l)
			saved, err := tx.SaveTokens(ctx, l.Authorization.CredentialID, l.Credential.Generation, save)
			if err != nil {
				return err
			}
			if saved {
				action := models.ActionRefreshed
				if !l.Credential.HasRefreshToken {
					action = models.ActionReset
				}
				if err := tellRecovered(ctx, tx, l); err != nil {
					return err
				}
				return tx.Audit(ctx, ownEvent(l.Authorization.OrgID, action).
					provider(l.Provider.ID).authorization(l.Authorization.ID).done())
			}
			return s.lostRace(ctx, tx, l, attempt, e, tries > 1)
		})
	})
	if err != nil {
		return l, err
	}
	s.noteScopes(ctx, l.Authorization, e.Scopes, e.Missing, e.ScopesCut)
	now, err := s.store.Linked(context.WithoutCancel(ctx), l.Authorization.ID)
	if err == nil && now.Credential.SavedBy == attempt {
		s.accepted(ctx, now.Provider)
	}
	return now, err
}

// noteScopes keeps what an answer says about the scopes, if anything, and is
// something new. It comes after the tokens' save, which must not wait for it, and is
// no part of it: a renewed consent takes the same two rows in the other order.
func (s *Service) noteScopes(ctx context.Context, a models.Authorization, scopes, missing models.Strings, cut bool) {
	if scopes == nil || slices.Equal(a.Scopes, scopes) && slices.Equal(a.MissingScopes, missing) && a.ScopesCut == cut {
		return
	}
	if err := s.store.SetScopes(context.WithoutCancel(ctx), a, scopes, missing, cut); err != nil {
		s.log.Warn("recording the granted scopes failed", "authorization", a.ID, "error", err)
	}
}

// lostRace settles a save that found newer tokens. again says that an earlier try of it has
// an unknown outcome. Where that one went through and the tokens have been refreshed since,
// the newest tokens descend from these, and revoking these could take them along.
func (s *Service) lostRace(ctx context.Context, tx *store.Store, l models.Linked, attempt string, e exchanged, again bool) error {
	now, err := tx.Credential(ctx, l.Authorization.CredentialID)
	if err == nil && (now.SavedBy == attempt || again && now.Generation > l.Credential.Generation+1) {
		return nil
	}
	if err != nil && !store.IsNotFound(err) {
		return err
	}
	return s.keepOrphaned(ctx, tx, l.Authorization, e, models.Credential{})
}

// backoff doubles with every failure, up to a minute, with jitter so that
// credentials which failed together do not come back together.
func (s *Service) backoff(failures int) time.Duration {
	return s.jittered(min(s.timing.Backoff<<min(failures, 6), longestBackoff))
}

// longBackoff is for refusals, which mean more than a failure that passes.
func (s *Service) longBackoff(failures int) time.Duration {
	return s.jittered(min(s.timing.Backoff<<min(failures, 12), longestRefusalBackoff))
}

// jittered is at least half of d, and at most d.
func (s *Service) jittered(d time.Duration) time.Duration {
	if s.random != nil {
		return d/2 + time.Duration(s.random(int64(d/2+1)))
	}
	return d/2 + rand.N(d/2+1)
}

// RefreshDue refreshes an authorization before anybody asks for its token: one
// that is in use and due, one whose refresh token would lapse, or one whose last
// attempt has an unknown outcome (R3). It is safe to run twice.
func (s *Service) RefreshDue(ctx context.Context, id string) error {
	if lost, err := s.settleReset(ctx, id); lost || err != nil {
		return err
	}
	due := func(l models.Linked) bool {
		idle := l.Credential.KeepAliveAt != nil && !l.Now.Before(*l.Credential.KeepAliveAt)
		return l.RefreshDue() || l.MayRefresh() && (idle || l.Credential.AttemptID != nil)
	}
	if s.heldUp(ctx, id, due) {
		return nil
	}
	_, err := s.refresh(ctx, id, due)
	if models.CodeOf(err) == models.CodeInternal {
		return err
	}
	return nil // it is on the row, and the next sweep acts on that
}
