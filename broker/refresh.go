package broker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/providers"
	"github.com/grantd/grantd/store"
)

// A refresh token is spent once. Callers in one process join one flight; across
// processes a lease on the row decides who calls the upstream; the process that holds it
// reads the row again, calls detached from everybody, and saves what came back
// over the generation it started from, however late (R1, R2).

// refresh brings an authorization's tokens up to date for a caller who cannot do without,
// and waits for that until ctx ends: for a slot, and then for the refresh. l is what the
// caller has read; due says whether a row that was read still needs it.
func (s *Service) refresh(ctx context.Context, c models.Caller, l models.Linked, due func(models.Linked) bool) (models.Linked, error) {
	for {
		now, err := s.waitInLine(ctx, c, l, due)
		if !errors.Is(err, errLeaseOver) {
			return now, err
		}
		l, err = s.store.Fetchable(ctx, l.Authorization.ID) // the lease in what was read before is over
		switch {
		case ctx.Err() != nil:
			return l, slowUpstream
		case err != nil:
			return l, err
		}
	}
}

// waitInLine waits for the flight of an authorization. How many callers wait for a slot is
// limited (T2).
func (s *Service) waitInLine(ctx context.Context, c models.Caller, l models.Linked, due func(models.Linked) bool) (models.Linked, error) {
	one, inLine := s.flights.queue(l, s.flightOf(ctx, l, due, share{}))
	var err error
	if inLine {
		var leave func()
		if leave, err = s.beginQueueing(c); err == nil {
			defer leave()
		}
	}
	var now models.Linked
	if err == nil {
		now, err = await(ctx, one)
	}
	if begun := s.flights.leave(one); !begun && errors.Is(err, slowUpstream) {
		err = noSlot
	}
	return now, err
}

// await waits for a flight until ctx ends.
func await(ctx context.Context, one *flight) (models.Linked, error) {
	select {
	case <-one.done:
		return one.l, one.err
	case <-ctx.Done():
		return models.Linked{}, slowUpstream
	}
}

// flightOf is what the flight of an authorization does. It keeps little of the row: there may
// be many in line. paid is what a call was taken out of, see refreshOnce.
func (s *Service) flightOf(ctx context.Context, l models.Linked, due func(models.Linked) bool, paid share) func() (models.Linked, error) {
	seen, leased := s.seenIn(l), l.Leased()
	return func() (models.Linked, error) {
		own, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timing.TokenCall+s.timing.LeaseMargin)
		defer cancel()
		if leased {
			return s.follow(own, seen.AuthorizationID, due)
		}
		return s.refreshOnce(own, seen, due, paid)
	}
}

func (s *Service) seenIn(l models.Linked) store.Seen {
	return store.SeenIn(l, s.at(l.Provider).called(store.ClassToken).Origins)
}

// errLeaseOver says that another process held the lease of a refresh until it was over, and
// that nobody knows how the refresh ended. Who still needs one begins it.
var errLeaseOver = errors.New("the lease of another process's refresh is over")

// follow waits for the refresh of another process.
func (s *Service) follow(ctx context.Context, id string, due func(models.Linked) bool) (models.Linked, error) {
	l, err := s.store.Linked(ctx, id)
	if err != nil || !due(l) {
		return l, err
	}
	ended, err := s.awaitOther(ctx, l)
	if err != nil || ended {
		return s.takeOutcome(ctx, id, err)
	}
	return models.Linked{}, errLeaseOver
}

// refreshOnce calls the upstream, or takes what another process's call brings. Where the row is
// still as it was seen and nothing is in the way, it takes the lease at once; otherwise it reads
// the row first. paid is the share that a call was taken out of beforehand, which gets it back if
// there is none; other calls are counted when they are made.
func (s *Service) refreshOnce(ctx context.Context, seen store.Seen, due func(models.Linked) bool, paid share) (models.Linked, error) {
	defer func() { s.charge(ctx, paid, -1) }()
	if !seen.InTrouble {
		if l, won, err := s.leaseAndCall(ctx, seen, store.Gate{}, due, &paid); won || err != nil {
			return l, err
		}
	}
	for {
		l, err := s.store.Linked(ctx, seen.AuthorizationID)
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
		now := s.seenIn(l)
		now.Passed = true
		if refreshed, won, err := s.leaseAndCall(ctx, now, gate, due, &paid); won || err != nil {
			return refreshed, err
		}
		ended, err := s.awaitOther(ctx, l)
		if err != nil || ended {
			return s.takeOutcome(ctx, seen.AuthorizationID, err)
		}
	}
}

// leaseAndCall refreshes an authorization if it gets the lease.
func (s *Service) leaseAndCall(ctx context.Context, seen store.Seen, gate store.Gate, due func(models.Linked) bool, paid *share) (models.Linked, bool, error) {
	attempt, asked := newID(), time.Now()
	leased, won, err := s.store.LeaseForRefresh(ctx, seen, attempt, s.timing.TokenCall+s.timing.LeaseMargin)
	if err != nil || !won {
		if err != nil {
			err = fmt.Errorf("leasing the credential of authorization %s: %w", seen.AuthorizationID, err)
		}
		return models.Linked{}, false, err
	}
	l := leased.Linked
	if err := s.admitProbe(ctx, l); err != nil {
		return l, true, errors.Join(err, s.giveUpLease(ctx, l, attempt, seen.Attempt))
	}
	l, err = s.callRefresh(ctx, leased, attempt, seen.Attempt, gate, asked, due, paid)
	return l, true, err
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
	return l, tokenUnavailable(&l)
}

// callRefresh is the holder of the lease at work. before is an attempt whose
// outcome nobody knows, and which this one replays (R3). The call ends by the time that it
// may take from when the lease was asked for, however slow the database was since: it must
// not outlive the lease (R2). Where little of that is left the lease is given up, as where the
// row was changed before the lease was taken. paid is that of refreshOnce.
func (s *Service) callRefresh(ctx context.Context, leased store.Leased, attempt string, before *string, gate store.Gate, asked time.Time, due func(models.Linked) bool, paid *share) (models.Linked, error) {
	ctx = providers.WithAnswers(ctx)
	l := leased.Linked
	if !due(l) {
		return l, s.giveUpLease(ctx, l, attempt, before)
	}
	at, old, err := s.openedWith(l, leased.Secret)
	if err != nil {
		return l, errors.Join(err, s.giveUpLease(ctx, l, attempt, before))
	}
	sent := l.Now
	left := s.timing.TokenCall - time.Since(asked)
	if left < s.timing.TokenCall/callPart { // its answer, with the only new tokens, could be cut off
		return l, errors.Join(slowUpstream, s.giveUpLease(ctx, l, attempt, before))
	}
	call, cancel := awake(ctx, left)
	defer cancel()
	replace := at.Refresh
	if !l.Credential.HasRefreshToken { // only a reset gets here
		replace = at.Reset
	}
	if paid.perHour == 0 {
		s.charge(ctx, at.refreshes(), 1)
	}
	*paid = share{}
	began := time.Now()
	t, err := replace(call, grantedTokens(l, old))
	s.metrics.Refreshed(l.Provider.Type, refreshOutcome(err, !l.Credential.HasRefreshToken), time.Since(began))
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
	save := s.newSave(attempt, sealed, e, e.SentAt)
	save.Since = e.SentAt
	save.KeepsFormer = l.RefreshDue() && !l.Suspected() && !s.refreshKillsAccess(l)
	var now models.Linked
	var saved bool
	tries := 0
	err = s.untilSaved(ctx, func(ctx context.Context) error {
		tries++
		if now, saved, err = s.saveOver(ctx, l, save); err != nil || saved {
			return err
		}
		return s.store.Tx(ctx, func(tx *store.Store) error {
			return s.lostRace(ctx, tx, l, attempt, e, tries > 1)
		})
	})
	if err != nil {
		return l, err
	}
	if s.noteScopes(ctx, l.Authorization, e.Scopes, e.Missing, e.ScopesCut) || !saved {
		now, err = s.store.Linked(context.WithoutCancel(ctx), l.Authorization.ID)
	}
	if err == nil && now.Credential.SavedBy == attempt {
		s.accepted(ctx, now.Provider)
	}
	return now, err
}

// saveOver saves refreshed tokens over l's generation, if that is still the newest, and returns the authorization as it is
// then.
func (s *Service) saveOver(ctx context.Context, l models.Linked, save store.Save) (now models.Linked, saved bool, err error) {
	action := models.ActionRefreshed
	if !l.Credential.HasRefreshToken {
		action = models.ActionReset
	}
	e := ownEvent(l.Authorization.OrgID, action).provider(l.Provider.ID).authorization(l.Authorization.ID).done()
	if !recovers(l) {
		return s.store.SaveRefreshed(ctx, l, save, e)
	}
	err = s.store.Tx(ctx, func(tx *store.Store) error {
		if now, saved, err = tx.SaveRefreshed(ctx, l, save, e); err != nil || !saved {
			return err
		}
		return tellRecovered(ctx, tx, l)
	})
	return now, saved && err == nil, err
}

// noteScopes keeps what an answer says about the scopes, if anything, and is
// something new. It comes after the tokens' save, which must not wait for it, and is
// no part of it: a renewed consent takes the same two rows in the other order. It reports
// whether there was anything to keep.
func (s *Service) noteScopes(ctx context.Context, a models.Authorization, scopes, missing models.Strings, cut bool) bool {
	if scopes == nil || slices.Equal(a.Scopes, scopes) && slices.Equal(a.MissingScopes, missing) && a.ScopesCut == cut {
		return false
	}
	if err := s.store.SetScopes(context.WithoutCancel(ctx), a, scopes, missing, cut); err != nil {
		s.log.Warn("recording the granted scopes failed", "authorization", a.ID, "error", err)
	}
	return true
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
	// What an earlier try saved may have been refreshed before its authorization went.
	return s.keepOrphaned(ctx, tx, l.Authorization, e, former{spent: again})
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
func (s *Service) jittered(d time.Duration) time.Duration { return d/2 + s.upTo(d/2) }

// upTo is a random duration, d at most.
func (s *Service) upTo(d time.Duration) time.Duration {
	if s.random != nil {
		return time.Duration(s.random(int64(d + 1)))
	}
	return rand.N(d + 1)
}
