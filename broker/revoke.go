package broker

import (
	"context"
	"errors"
	"time"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/providers"
	"github.com/grantd/grantd/store"
)

// ruling is the outcome of one attempt to revoke one item.
type ruling struct {
	outcome models.Outcome // "" means: again later
	reason  string
	// For "again later":
	after         time.Duration
	asked         bool          // the upstream was called to revoke
	attempt       bool          // counts against the item; a pause does not (D4)
	refused       bool          // an attempt that was answered, with a no that may be meant
	pause         time.Duration // what the upstream asked everybody to wait for (S3)
	clientRefused bool          // of this item; what it says of the others, noteAnswer decides
	suspected     bool          // the provider's client is under suspicion already (R5)
	// spared: the grant was not revoked whole because another organisation's
	// authorization depends on it (D1).
	spared bool
	keep   *models.SupersededPair // of a superseded item: what is kept of it (D7)
}

func settled(o models.Outcome, reason string) ruling { return ruling{outcome: o, reason: reason} }

// revoke takes one item back upstream. The lease of the item, of its credential
// and of its grant are the batch's, so that no refresh runs meanwhile (R9) and no
// newer consent becomes live (D1).
func (b *batch) revoke(ctx context.Context, l models.Linked, at upstream) ruling {
	p, err := b.s.openPair(&l)
	if err != nil {
		return settled(models.OutcomeFailed, "undecryptable")
	}
	scope, spared, r := b.scopeOf(l)
	if r == nil && scope == models.RevokeToken && !b.s.singly(l) {
		r, err = b.superseded(ctx, l, at, p)
	}
	if err != nil {
		return ruling{reason: "database", after: b.s.timing.Backoff}
	}
	if r == nil {
		r = b.s.noProof(l)
	}
	if r != nil {
		r.spared = spared
		return *r
	}
	// A refresh for the proof may have taken longer than the leases last. What was decided
	// under them counts no more: a newer consent may live on the grant by now (D1).
	if time.Until(b.until) < b.s.timing.RevokeCall {
		return ruling{reason: "lease_over"}
	}
	if scope == models.RevokeGrant {
		b.mu.Lock()
		b.revoked = append(b.revoked, b.s.grantKeys(l.Authorization)...)
		b.mu.Unlock()
	}
	call, cancel := context.WithTimeout(ctx, b.s.timing.RevokeCall)
	defer cancel()
	outcome, err := at.Revoke(call, p.tokens(), scope)
	ruled := b.judge(ctx, l, outcome, err)
	ruled.asked, ruled.spared = true, spared
	return ruled
}

// judge rules on what the upstream said.
func (b *batch) judge(ctx context.Context, l models.Linked, outcome models.Outcome, err error) ruling {
	if err != nil {
		return b.notRevoked(ctx, l, err)
	}
	if outcome == models.OutcomeAlreadyRevoked && (!surelyAlive(l) || l.HasVerdict(models.VerdictExpired) || l.Credential.AttemptID != nil) {
		// By our own record the token was invalid, or may have been: its rejection proves nothing.
		return settled(models.OutcomeNoLiveToken, "")
	}
	return settled(outcome, "")
}

// scopeOf decides, when sending, how much to revoke: never more than this token
// while a newer consent of the same grant lives, or may live because nobody knows
// whose token it is (D1). It reports whether only another organisation's authorization
// depends on the grant.
func (b *batch) scopeOf(l models.Linked) (models.RevokeScope, bool, *ruling) {
	scope, keys := l.Authorization.Revoke, b.s.grantKeys(l.Authorization)
	known := l.Authorization.GrantKey != "" || l.Authorization.GrantKeyV1 != ""
	if known && (l.Provider.DeletionAsked() || !b.s.singly(l)) {
		scope = models.RevokeGrant
	}
	if scope == models.RevokeToken || !known {
		return scope, false, nil
	}
	if l.Authorization.GrantKey == "" { // written by the release before since the leases were taken
		keys = []string{""}
	}
	for _, key := range keys {
		if !b.leased[key] {
			return scope, false, &ruling{reason: "grant_busy", after: b.s.timing.Backoff / 2}
		}
	}
	own, other := b.live.Of(l.Authorization.GrantKey, l.Authorization.OrgID)
	if own || other {
		scope = models.RevokeToken
	}
	return scope, other && !own, nil
}

// singly reports whether an item's pair can be revoked without taking the others of
// its grant along.
func (s *Service) singly(l models.Linked) bool {
	t, ok := s.at(l.Provider).Traits()
	return !ok || t.RevokesSingly
}

// noProof reports that nothing is left which the upstream would accept.
func (s *Service) noProof(l models.Linked) *ruling {
	t, ok := s.at(l.Provider).Traits()
	if !ok {
		r := settled(models.OutcomeFailed, "unknown_type")
		return &r
	}
	if t.RevokeNeedsAccess && !l.Alive() {
		r := settled(models.OutcomeNoLiveToken, "expired")
		return &r
	}
	return nil
}

// notRevoked judges a refusal. A pause the upstream asked for is no attempt.
func (b *batch) notRevoked(ctx context.Context, l models.Linked, err error) ruling {
	up := failure(err)
	switch {
	case ctx.Err() != nil:
		return ruling{reason: "stopped"}
	case up.Kind == providers.KindClient:
		return b.clientRefused(l, reasonOf(up))
	case up.Kind == providers.KindTransient && up.RetryAfter > 0:
		return ruling{reason: "paused", after: up.RetryAfter, pause: up.RetryAfter}
	}
	tried := l.Authorization.ItemAttempts + 1
	again := ruling{reason: reasonOf(up), after: b.s.backoff(tried), attempt: true, refused: up.Kind != providers.KindTransient}
	return b.limited(l, again)
}

// clientRefused rules on an item whose revocation was refused to the client: it is tried
// again, like after any refusal. A single disconnect waits until the secret is right.
func (b *batch) clientRefused(l models.Linked, reason string) ruling {
	if b.job == nil {
		return ruling{reason: "client_refused", after: b.s.timing.ClientProbe, clientRefused: true}
	}
	r := b.limited(l, ruling{reason: reason, after: b.s.backoff(l.Authorization.ItemAttempts + 1), attempt: true, refused: true})
	r.clientRefused = true
	return r
}

// limited ends an item of a job that was tried often enough; one that stands alone is
// tried ever more rarely.
func (b *batch) limited(l models.Linked, again ruling) ruling {
	tried := l.Authorization.ItemAttempts + 1
	switch {
	case !again.attempt:
	case b.job == nil:
		again.after = min(again.after<<min(max(tried-6, 0), 12), longestPause)
	case again.wasLast(tried):
		return settled(models.OutcomeFailed, again.reason)
	}
	return again
}

// wasLast reports whether a job's item has failed with this try.
func (r ruling) wasLast(tried int) bool {
	return r.attempt && (tried >= maxAttempts || r.refused && tried >= maxRefusals)
}

// reasonOf names an upstream failure by codes alone; its text is untrusted.
func reasonOf(up *providers.Error) string {
	if up.Code != "" {
		return string(up.Kind) + ":" + up.Code
	}
	return string(up.Kind)
}

// readyItem prepares an item that is leased: where only a living access
// token proves anything, a refresh comes first. It returns a ruling, and when to
// try again, when the credential is in somebody else's hands.
func (s *Service) readyItem(ctx context.Context, l models.Linked, lease string) (models.Linked, *ruling) {
	if s.needsProof(l) {
		return s.fetchProof(ctx, l, lease)
	}
	if l.Credential.LeaseOwner == nil || *l.Credential.LeaseOwner != lease {
		return l, &ruling{reason: "refresh_running", after: s.timing.RefreshWait}
	}
	return l, nil
}

// fetchProof refreshes an invalid access token so that its grant can be revoked. The
// refresh takes the credential's lease itself, like any other.
func (s *Service) fetchProof(ctx context.Context, l models.Linked, lease string) (models.Linked, *ruling) {
	database := &ruling{reason: "database", after: s.timing.Backoff}
	if l.BackingOff() {
		if clientNotAccepted(&l) {
			return l, &ruling{reason: "client_refused", after: l.BackOff(), attempt: true, refused: true, clientRefused: true}
		}
		return l, &ruling{reason: "no_proof_yet", after: l.BackOff()}
	}
	if err := s.store.ReleaseLease(ctx, l.Credential.ID, lease); err != nil {
		return l, database
	}
	_, refreshErr := s.refreshOnce(ctx, s.seenIn(l), wantsProof, share{})
	if known, ok := errors.AsType[*models.Error](refreshErr); ok && known.Detail == string(models.AuthorizationInvalidOAuthClient) {
		return l, &ruling{reason: "client_refused", after: max(s.timing.Backoff, known.RetryAfter), suspected: true}
	}
	if failure(refreshErr).Kind == providers.KindClient {
		return l, &ruling{reason: "client_refused", after: s.timing.ClientProbe, attempt: true, refused: true, clientRefused: true}
	}
	ok, err := s.store.LeaseForRevocation(ctx, l.Credential.ID, lease, s.timing.itemLease())
	if err != nil || !ok {
		return l, &ruling{reason: "refresh_running", after: s.timing.RefreshWait}
	}
	now, err := s.store.Linked(ctx, l.Authorization.ID)
	if err != nil {
		return l, database
	}
	// Linked leaves the attempts out, and without them an item never fails.
	now.Authorization.ItemAttempts = l.Authorization.ItemAttempts
	if wantsProof(now) || now.BackingOff() && !now.Alive() && now.Credential.HasRefreshToken { // the refresh failed, but not for good
		return now, s.noProofYet(now, refreshErr)
	}
	return now, nil
}

// noProofYet rules on an item whose access token could not be refreshed this time.
// What the upstream asked to wait for is no attempt (D4).
func (s *Service) noProofYet(l models.Linked, err error) *ruling {
	r := &ruling{reason: "no_proof_yet", after: s.backoff(l.Authorization.ItemAttempts), attempt: true}
	wait := time.Duration(0)
	if up, asked := errors.AsType[*providers.Error](err); asked {
		r.refused, wait = up.Kind != providers.KindTransient, up.RetryAfter
	} else if paused, ok := errors.AsType[*models.Error](err); ok { // a pause
		wait = paused.RetryAfter
	}
	if wait > 0 {
		r.attempt, r.after = false, max(r.after, wait)
	}
	return r
}

// surelyAlive reports whether the upstream's clock, too, must say that the access token is not
// over, as far as is known.
func surelyAlive(l models.Linked) bool {
	e := l.Credential.ExpiresAt
	return e == nil || e.Sub(l.Now) >= min(proofMargin, e.Sub(l.Credential.SavedAt)/2)
}

// almostOver reports whether the access token is no longer valid, or almost so and a refresh may
// bring one.
func almostOver(l models.Linked) bool { return !l.Alive() || l.EndsWithin(proofMargin) }

// wantsProof reports that the access token is almost over and a refresh may bring one.
func wantsProof(l models.Linked) bool { return almostOver(l) && l.MayRefresh() }

// needsProof reports that a refresh comes before the revocation.
func (s *Service) needsProof(l models.Linked) bool {
	t, ok := s.at(l.Provider).Traits()
	return ok && t.RevokeNeedsAccess && almostOver(l) && l.Credential.HasRefreshToken && !l.HasVerdict(models.VerdictExpired)
}

// RevokeOne takes one unlinked authorization back upstream, unless somebody is at
// it, within the pace of work in the background. It does nothing while the organisation has
// its share of this process's places: the next sweeps enqueue it again. It is safe to run twice.
func (s *Service) RevokeOne(ctx context.Context, id string) error {
	l, err := s.store.Linked(ctx, id)
	if store.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	release, ok := s.singles.try(l.Authorization.OrgID)
	if !ok {
		return nil
	}
	defer release()
	return s.revokeOne(ctx, id, false)
}

// revokeOne is urgent where somebody waits for it.
func (s *Service) revokeOne(ctx context.Context, id string, urgent bool) error {
	lease := newID()
	ok, err := s.store.ClaimItem(ctx, id, lease, s.timing.itemLease())
	if err != nil {
		return err
	}
	if !ok {
		return nil
	}
	l, err := s.store.Linked(ctx, id)
	if err != nil {
		return err
	}
	if _, err := s.awaitCredential(ctx, l, lease); err != nil { // without it the item is given back with "refresh_running"
		return err
	}
	b, err := s.openBatch(ctx, lease, nil)
	if err != nil {
		return err
	}
	b.urgent = urgent
	_, err = b.run(ctx)
	return err
}

// awaitCredential waits a short while for a running refresh to end (R9), and reports
// whether the credential is the lease's then.
func (s *Service) awaitCredential(ctx context.Context, l models.Linked, lease string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timing.RefreshWait)
	defer cancel()
	for {
		ok, err := s.store.LeaseForRevocation(ctx, l.Credential.ID, lease, s.timing.itemLease())
		if err != nil && ctx.Err() == nil {
			return false, err
		}
		if ok {
			return true, nil
		}
		select {
		case <-ctx.Done():
			return false, nil
		case <-time.After(leasePoll):
		}
	}
}
