package broker

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// DisconnectExternal disconnects everything that the caller has at a provider. The
// links are gone at once. It reports "" when the upstream took every token back
// before the answer, and otherwise a sentence that says why not; what can be
// tried again is, in the background.
func (s *Service) DisconnectExternal(ctx context.Context, c models.Caller, name string) (string, error) {
	p, err := s.namedProvider(ctx, c, name)
	if err != nil {
		return "", err
	}
	ids, err := s.store.LinkedIDs(ctx, c, p.ID)
	if err != nil {
		return "", err
	}
	if ids, err = s.unlinkAll(ctx, c, p.ID, ids); err != nil {
		return "", err
	}
	if len(ids) == 0 {
		return "", errNoExternal
	}
	return s.revokeNow(ctx, p, ids)
}

// unlinkAll returns those that were still linked.
func (s *Service) unlinkAll(ctx context.Context, c models.Caller, provider string, ids []string) ([]string, error) {
	var done []string
	for _, id := range ids {
		err := s.unlink(ctx, c, provider, id)
		switch {
		case store.IsNotFound(err):
		case err != nil:
			return done, err
		default:
			done = append(done, id)
		}
	}
	return done, nil
}

// inlineRevocations is how many of a user's authorizations at one provider are
// revoked before the answer; the sweeper revokes the rest.
const inlineRevocations = 50

// revokeNow revokes as long as a caller waits, and says what is in the way of
// calling it all revoked.
func (s *Service) revokeNow(ctx context.Context, p models.Provider, ids []string) (string, error) {
	now := ids[:min(len(ids), inlineRevocations)]
	_, err := detach(s, ctx, s.timing.InlineRevoke, s.timing.itemLease(), slowUpstream, func(ctx context.Context) (struct{}, error) {
		var all errgroup.Group
		all.SetLimit(8)
		for _, id := range now {
			all.Go(func() error { return s.revokedByAnyone(ctx, id) })
		}
		return struct{}{}, all.Wait()
	})
	if err != nil {
		s.log.Warn("a disconnect was not finished at once", "provider", p.ID, "error", err)
	}
	outcomes, err := s.store.Outcomes(context.WithoutCancel(ctx), now)
	if err != nil {
		return "", err
	}
	if len(now) < len(ids) {
		return againLater, nil
	}
	return notRevokedBecause(p, outcomes), nil
}

// revokedByAnyone revokes one, or waits for a process that is doing so already, or is at the
// same grant: the sweeper may be revoking a pair of tokens that was replaced.
func (s *Service) revokedByAnyone(ctx context.Context, id string) error {
	for {
		if err := s.revokeOne(ctx, id, true); err != nil {
			return err
		}
		rows, err := s.store.Outcomes(ctx, []string{id})
		if err != nil || len(rows) == 0 || !leasedElsewhere(rows[0]) {
			return err
		}
		select {
		case <-ctx.Done():
			return slowUpstream
		case <-time.After(leasePoll):
		}
	}
}

func leasedElsewhere(a models.Authorization) bool {
	leased := a.OutcomeReason == "grant_busy" || a.OutcomeReason == "refresh_running"
	return a.Outcome == nil && (a.ItemLease != nil || leased)
}

const againLater = "The provider has not taken everything back yet. It is tried again in the background."

// notRevokedBecause returns the reason of the first that is not revoked, with where the person can withdraw what was
// granted if it is final; "" when all are revoked.
func notRevokedBecause(p models.Provider, outcomes []models.Authorization) string {
	for _, a := range outcomes {
		switch why := whyNotRevoked(a); {
		case why == "":
		case a.Outcome == nil:
			return why
		default:
			return why + settingsHint(p)
		}
	}
	return ""
}

// whyNotRevoked says why the upstream has not revoked what was granted, "" once it has.
func whyNotRevoked(a models.Authorization) string {
	switch {
	case a.Outcome == nil && a.OutcomeReason == "client_refused":
		return "The provider refuses this OAuth client. The token is taken back once an admin has corrected the client secret."
	case a.Outcome == nil:
		return againLater
	}
	return notRevoked[*a.Outcome]
}

var notRevoked = map[models.Outcome]string{
	models.OutcomeSuperseded:  "The provider takes back only everything at once, and another consent of the same account is still in use.",
	models.OutcomeNoLiveToken: "No token was left that the provider would have accepted to take the access back.",
	models.OutcomeUnsupported: "The provider has no way to take a token back.",
	models.OutcomeFailed:      "The provider did not take the token back.",
	models.OutcomeAbandoned:   "The attempt to take the token back was given up.",
}
