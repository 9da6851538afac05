package broker

import (
	"context"
	"errors"
	"time"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/providers"
	"github.com/grantd/grantd/store"
)

// ruling is what became of one attempt to revoke one item.
type ruling struct {
	outcome models.Outcome // "" means: again later
	reason  string
	// For "again later":
	after         time.Duration
	attempt       bool // counts against the item; a pause or a refused client does not (D4)
	clientRefused bool
}

func settled(o models.Outcome, reason string) ruling { return ruling{outcome: o, reason: reason} }

// maxAttempts is how often an item is tried before it has failed.
const maxAttempts = 6

// revokeItem takes one item back upstream. The caller holds the lease of the item
// and of its credential, so that no refresh runs meanwhile (R9).
func (s *Service) revokeItem(ctx context.Context, l store.Linked, client providers.Client) ruling {
	p, err := s.openPair(l)
	if err != nil {
		return settled(models.OutcomeFailed, "undecryptable")
	}
	scope, r := s.scopeOf(ctx, l)
	if r != nil {
		return *r
	}
	if r := s.noProof(l); r != nil {
		return *r
	}
	call, cancel := context.WithTimeout(ctx, s.timing.RevokeCall)
	defer cancel()
	outcome, err := s.upstream.Revoke(call, client, p.tokens(), scope)
	if err != nil {
		return s.notRevoked(l, err)
	}
	if outcome == models.OutcomeAlreadyRevoked && (!alive(l) || hasVerdict(l, models.VerdictExpired) || l.Credential.AttemptID != nil) {
		// By our own record the token was dead: its rejection proves nothing.
		return settled(models.OutcomeNoLiveToken, "")
	}
	return settled(outcome, "")
}

// scopeOf decides, when sending, how much to revoke: never more than this token
// while a newer consent of the same grant lives (D1). Where only whole grants can
// be revoked, nothing is sent.
func (s *Service) scopeOf(ctx context.Context, l store.Linked) (models.RevokeScope, *ruling) {
	scope := l.Authorization.Revoke
	if l.Provider.DeletionAsked() {
		scope = models.RevokeGrant
	}
	if scope == models.RevokeGrant && l.Authorization.GrantKey != "" {
		live, err := s.store.GrantIsLive(ctx, l.Authorization.GrantKey)
		if err != nil {
			return scope, &ruling{reason: "database", after: s.timing.Backoff}
		}
		if live {
			scope = models.RevokeToken
		}
	}
	if t, ok := s.upstream.Type(l.Provider.Type); scope == models.RevokeToken && ok && !t.RevokesSingly {
		r := settled(models.OutcomeSuperseded, "only_whole_grants")
		return scope, &r
	}
	return scope, nil
}

// noProof reports that nothing is left which the upstream would accept.
func (s *Service) noProof(l store.Linked) *ruling {
	t, ok := s.upstream.Type(l.Provider.Type)
	if !ok {
		r := settled(models.OutcomeFailed, "unknown_type")
		return &r
	}
	if t.RevokeNeedsAccess && !alive(l) {
		r := settled(models.OutcomeNoLiveToken, "expired")
		return &r
	}
	return nil
}

// notRevoked judges a refusal. A pause the upstream asked for is no attempt; a
// refusal of the client concerns every item alike.
func (s *Service) notRevoked(l store.Linked, err error) ruling {
	up := failure(err)
	switch {
	case up.Kind == providers.KindClient:
		return ruling{reason: "client_refused", after: s.timing.ClientProbe, clientRefused: true}
	case up.Kind == providers.KindTransient && up.RetryAfter > 0:
		return ruling{reason: "paused", after: up.RetryAfter}
	case errors.Is(err, context.Canceled):
		return ruling{reason: "stopped"}
	case l.Authorization.ItemAttempts+1 >= maxAttempts:
		return settled(models.OutcomeFailed, reasonOf(up))
	}
	return ruling{reason: reasonOf(up), after: s.backoff(l.Authorization.ItemAttempts), attempt: true}
}

// reasonOf names an upstream failure by codes alone; its text is untrusted.
func reasonOf(up *providers.Error) string {
	if up.Code != "" {
		return string(up.Kind) + ":" + up.Code
	}
	return string(up.Kind)
}

// readyItem prepares an item whose lease is held: where only a living access
// token proves anything, a refresh comes first. It returns false, and when to try
// again, when the credential is in somebody else's hands.
func (s *Service) readyItem(ctx context.Context, l store.Linked, lease string) (store.Linked, bool, *ruling) {
	t, known := s.upstream.Type(l.Provider.Type)
	if known && t.RevokeNeedsAccess && wantsProof(l) {
		if err := s.store.ReleaseLease(ctx, l.Credential.ID, lease); err != nil {
			return l, false, &ruling{reason: "database", after: s.timing.Backoff}
		}
		if _, err := s.refreshOnce(ctx, l.Authorization.ID, wantsProof); err != nil {
			if up := failure(err); up.Kind == providers.KindClient {
				r := s.notRevoked(l, err)
				return l, false, &r
			}
		}
		if r := s.leaseAgain(ctx, l, lease); r != nil {
			return l, false, r
		}
		now, err := s.store.Linked(ctx, l.Authorization.ID)
		if err != nil {
			return l, false, &ruling{reason: "database", after: s.timing.Backoff}
		}
		return now, true, nil
	}
	if l.Credential.LeaseOwner == nil || *l.Credential.LeaseOwner != lease {
		return l, false, &ruling{reason: "refresh_running", after: s.timing.RefreshWait}
	}
	return l, true, nil
}

func (s *Service) leaseAgain(ctx context.Context, l store.Linked, lease string) *ruling {
	ok, err := s.store.LeaseForRevocation(ctx, l.Credential.ID, lease, s.timing.itemLease())
	if err != nil || !ok {
		return &ruling{reason: "refresh_running", after: s.timing.RefreshWait}
	}
	return nil
}

// wantsProof reports that the access token is dead and a refresh may bring one.
func wantsProof(l store.Linked) bool {
	return !alive(l) && mayRefresh(l)
}

// RevokeOne takes one unlinked authorization back upstream, unless somebody is at
// it. It is safe to run twice.
func (s *Service) RevokeOne(ctx context.Context, id string) error {
	lease := newID()
	ok, err := s.store.ClaimItem(ctx, id, lease, s.timing.itemLease())
	if err != nil {
		return unavailable(err)
	}
	if !ok {
		return nil
	}
	l, err := s.store.Linked(ctx, id)
	if err != nil {
		return found(err, "OAuth provider authorization")
	}
	if err := s.awaitCredential(ctx, l, lease); err != nil {
		return err
	}
	items, err := s.store.ItemsUnder(ctx, lease)
	if err != nil {
		return unavailable(err)
	}
	_, err = s.revokeItems(ctx, lease, nil, items, nil)
	return err
}

// awaitCredential waits a short while for a running refresh to end (R9).
func (s *Service) awaitCredential(ctx context.Context, l store.Linked, lease string) error {
	ctx, cancel := context.WithTimeout(ctx, s.timing.RefreshWait)
	defer cancel()
	for {
		ok, err := s.store.LeaseForRevocation(ctx, l.Credential.ID, lease, s.timing.itemLease())
		if err != nil && ctx.Err() == nil {
			return unavailable(err)
		}
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil // the item is given back with "refresh_running"
		case <-time.After(50 * time.Millisecond):
		}
	}
}
