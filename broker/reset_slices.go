package broker

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/providers"
	"github.com/grantd/grantd/store"
)

// Why a reset stops with items left. The sentences are the job's.
var (
	errResetRefused = models.Errorf(models.CodeUpstream, "The provider refuses this OAuth client, so nothing more can be reset. Correct clientSecret and send reset again.")
	errResetOff     = models.Errorf(models.CodeConflict, "The provider is not active any more.")
)

// resetLease is how long an item is claimed for: a caller's patience, and then there
// is its outcome to write. What the call brings is the credential's business.
func (t Timing) resetLease() time.Duration { return t.CallerWait + t.LeaseMargin }

// resetSlice claims and resets items until nothing is due, its time is over or the
// process stops. It returns how long to wait before the next one.
func (s *Service) resetSlice(ctx context.Context, j models.Job) (time.Duration, error) {
	if err := s.store.PostponeJob(ctx, j.ID, s.timing.resetLease()+s.timing.Resweep); err != nil {
		return 0, err
	}
	end, claimed := time.Now().Add(s.timing.Slice), 0
	for ctx.Err() == nil && !s.stopping.Load() && time.Now().Before(end) {
		size, wait, err := s.resetSize(ctx, j)
		if err != nil || size == 0 {
			return wait, err
		}
		n, err := s.resetBatch(ctx, j, size)
		if err != nil {
			return 0, err
		}
		if claimed += n; n == 0 {
			break
		}
	}
	if claimed == 0 { // what is left is leased: look again, but not at once
		return s.timing.Backoff, nil
	}
	return 0, nil
}

// resetSize is how many items to claim: none while the token endpoint is paused, and
// one after a pause, whose answer says whether it is over (S3).
func (s *Service) resetSize(ctx context.Context, j models.Job) (int, time.Duration, error) {
	p, err := s.store.Provider(ctx, *j.ProviderID)
	switch {
	case store.IsNotFound(err), err == nil && !p.Usable():
		return 0, 0, errResetOff
	case err != nil:
		return 0, 0, err
	}
	until, over, err := s.store.PauseOf(ctx, s.at(p).called(store.ClassToken), store.ClassToken)
	switch {
	case err != nil:
		return 0, 0, err
	case until == nil:
		return s.slots.limit, 0, nil
	case over:
		return 1, 0, nil
	}
	return 0, *until, nil
}

// resetBatch claims a batch, resets it and writes down each item as it ends. It
// returns how many there were, and errResetRefused when the upstream refuses the
// client: then the rest would fare no better.
func (s *Service) resetBatch(ctx context.Context, j models.Job, size int) (int, error) {
	lease := newID()
	items, err := s.store.ClaimResetItems(ctx, j.ID, lease, s.timing.resetLease(), size)
	if err != nil {
		return 0, err
	}
	failures := make([]error, len(items))
	var wg sync.WaitGroup
	for i, item := range items {
		release, _ := s.slots.take(context.WithoutCancel(ctx), j.OrgID)
		wg.Go(func() {
			defer release()
			r := s.resetItem(ctx, item)
			failures[i] = s.noteReset(context.WithoutCancel(ctx), j.ID, lease, item, r)
			if r.clientRefused {
				failures[i] = errors.Join(failures[i], errResetRefused)
			}
		})
	}
	wg.Wait()
	return len(items), errors.Join(failures...)
}

func (s *Service) noteReset(ctx context.Context, job, lease string, item store.ResetItem, r ruling) error {
	if r.outcome != "" {
		return s.store.SettleResetItem(ctx, job, item.AuthorizationID, lease, r.outcome, r.reason)
	}
	return s.store.GiveBackResetItem(ctx, job, item.AuthorizationID, lease, r.reason, r.after, r.attempt)
}

// oldTokenMayLive is the reason of an item whose token was replaced while nobody has
// observed that the old one is no longer valid: it may work until it expires.
const oldTokenMayLive = "old_token_may_live"

// resetItem replaces one token, if that is still the one that was to be replaced, and
// rules by what the row says afterwards: it does not matter who replaced it.
func (s *Service) resetItem(ctx context.Context, item store.ResetItem) ruling {
	l, r := s.itemAsItIs(ctx, item)
	if r != nil {
		return *r
	}
	if wait := s.at(l.Provider).aheadWait(ctx); wait > 0 { // people's own refreshes come first (S3)
		return ruling{reason: "paced", after: wait}
	}
	oldInvalid, err := s.replaceToken(ctx, l)
	now, r := s.itemAsItIs(ctx, item)
	if r != nil {
		if oldInvalid && err == nil && r.reason == oldTokenMayLive {
			r.reason = ""
		}
		return *r
	}
	if err == nil { // a newer token cannot become an older one
		return ruling{reason: "moved", after: s.timing.Backoff}
	}
	return s.notResetYet(now, item, err)
}

// itemAsItIs reads the item's row, and rules on it if there is nothing left to do.
func (s *Service) itemAsItIs(ctx context.Context, item store.ResetItem) (models.Linked, *ruling) {
	over := func(o models.Outcome, reason string) *ruling { r := settled(o, reason); return &r }
	l, err := s.store.Linked(ctx, item.AuthorizationID)
	switch {
	case store.IsNotFound(err), err == nil && (l.Authorization.UnlinkedAt != nil || l.Authorization.Outcome != nil):
		return l, over(models.OutcomeGone, "")
	case err != nil:
		return l, &ruling{reason: "database", after: s.timing.Backoff}
	case l.Credential.Generation != item.Generation && l.Credential.HasRefreshToken:
		return l, over(models.OutcomeRefreshed, oldTokenMayLive)
	case l.Credential.Generation != item.Generation:
		return l, over(models.OutcomeReset, oldTokenMayLive)
	case !l.Provider.Usable(): // the slice will see
		return l, &ruling{reason: "provider_off", after: s.timing.Backoff}
	case inForce(&l) != nil:
		return l, over(models.OutcomeImpossible, "provider_changed")
	}
	switch models.CodeOf(s.resettable(l)) {
	case models.CodeGone:
		return l, over(models.OutcomeExpired, l.Credential.VerdictReason)
	case models.CodeInvalid:
		return l, over(models.OutcomeImpossible, "no_refresh_token")
	}
	return l, nil
}

// notResetYet judges a failure. What the upstream asked to wait for, and a call that
// goes on, are no attempts (D4).
func (s *Service) notResetYet(l models.Linked, item store.ResetItem, err error) ruling {
	r := ruling{after: s.timing.Backoff}
	if known, ok := errors.AsType[*models.Error](err); ok {
		r.clientRefused = known.Detail == string(models.AuthorizationInvalidOAuthClient)
		r.after = max(r.after, known.RetryAfter)
	}
	if undecryptable(err) {
		return settled(models.OutcomeFailed, "undecryptable")
	}
	up, ok := errors.AsType[*providers.Error](err)
	switch {
	case r.clientRefused:
		r.reason = "client_refused"
		return r
	case !ok:
		r.reason = "waiting"
		return r
	}
	r.reason, r.attempt, r.refused = reasonOf(up), up.RetryAfter == 0, up.Kind != providers.KindTransient
	if next := l.Credential.NextAttemptAt; next != nil {
		r.after = max(r.after, next.Sub(l.Now))
	}
	if r.wasLast(item.Attempts + 1) {
		return settled(models.OutcomeFailed, r.reason)
	}
	return r
}
