package broker

import (
	"context"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/providers"
	"github.com/grantd/grantd/store"
)

// RevokedToken is the outcome of an access token, and what is left of its
// authorization.
type RevokedToken struct {
	Outcome       models.Outcome
	Authorization models.Authorization
}

// RevokeToken takes one access token back upstream, for its owner or an admin, and
// keeps the grant where the upstream can: then the next fetch refreshes. Elsewhere
// the whole pair goes, and the person must authorize again. From the moment it is
// asked for the token is not handed out any more, whatever the upstream says; after a
// failure it may be asked for again.
func (s *Service) RevokeToken(ctx context.Context, c models.Caller, id string) (RevokedToken, error) {
	l, err := s.manageable(ctx, c, id)
	if err != nil {
		return RevokedToken{}, err
	}
	at, err := s.open(ctx, l.Provider)
	if err != nil {
		return RevokedToken{}, err
	}
	can, err := at.CanRevoke(ctx)
	if err != nil {
		return RevokedToken{}, at.failed(err)
	}
	if !can {
		return RevokedToken{}, irrevocable(l)
	}
	r := &tokenRevocation{s: s, caller: c, at: at, lease: newID()}
	return detach(s, ctx, s.timing.CallerWait, s.timing.itemLease(), slowUpstream, func(ctx context.Context) (RevokedToken, error) {
		return r.run(ctx, l)
	})
}

func irrevocable(l models.Linked) error {
	return models.Errorf(models.CodeInvalid, "The provider has no way to revoke a token; the token stays valid until it expires.%s", settingsHint(l.Provider))
}

// tokenRevocation is one access token on its way upstream.
type tokenRevocation struct {
	s      *Service
	caller models.Caller
	at     upstream
	lease  string // of the grant, then of the credential: always in this order (D1)
}

// run takes the leases, the token out of service, and then back upstream.
func (r *tokenRevocation) run(ctx context.Context, l models.Linked) (RevokedToken, error) {
	if r.takesGrant(l) {
		return r.runOnGrant(ctx, l)
	}
	return r.runLeased(ctx, l)
}

// takesGrant reports whether the upstream can only revoke all that the person
// granted to the client.
func (r *tokenRevocation) takesGrant(l models.Linked) bool {
	t, ok := r.at.Traits()
	return ok && !t.RevokesAccessAlone && !t.RevokesSingly && len(r.s.grantKeys(l.Authorization)) > 0
}

// runOnGrant takes the lease on the grant, and refuses to end it while another
// authorization depends on it (D1).
func (r *tokenRevocation) runOnGrant(ctx context.Context, l models.Linked) (RevokedToken, error) {
	var revoked []string
	defer func() {
		if err := r.s.store.ReleaseGrants(context.WithoutCancel(ctx), r.lease, revoked); err != nil {
			r.s.log.Warn("releasing a grant lease failed; it will expire", "error", err)
		}
	}()
	l, err := r.s.upgradeGrant(ctx, l)
	if err != nil {
		return RevokedToken{}, err
	}
	keys := r.s.grantKeys(l.Authorization)
	if err := r.s.leaseGrants(ctx, keys, r.lease, r.s.timing.itemLease()); err != nil {
		return RevokedToken{}, err
	}
	if _, err = r.s.upgradeGrant(ctx, l); err != nil { // what came before the leases were taken
		return RevokedToken{}, err
	}
	shared, err := r.s.store.GrantShared(ctx, l.Authorization.GrantKey, l.Authorization.ID)
	if err != nil {
		return RevokedToken{}, err
	}
	if shared {
		return RevokedToken{}, models.Errorf(models.CodeConflict, "The provider can only revoke everything that this account granted to the client, and another authorization depends on that grant. Nothing was revoked. Reset the token, or disconnect both authorizations.")
	}
	revoked = keys
	return r.runLeased(ctx, l)
}

// runLeased waits for a running refresh, since its answer is the token to revoke (R9).
func (r *tokenRevocation) runLeased(ctx context.Context, l models.Linked) (RevokedToken, error) {
	leased, err := r.s.awaitCredential(ctx, l, r.lease)
	if err != nil {
		return RevokedToken{}, err
	}
	if !leased {
		return RevokedToken{}, credentialLeased
	}
	done, err := r.send(ctx, l.Authorization.ID)
	if releaseErr := r.s.store.ReleaseLease(context.WithoutCancel(ctx), l.Credential.ID, r.lease); releaseErr != nil {
		r.s.log.Warn("releasing a credential's lease failed; it will expire", "authorization", l.Authorization.ID, "error", releaseErr)
	}
	return done, err
}

var credentialLeased = &models.Error{Code: models.CodeUpstream, RetryAfter: retrySoon,
	Message: "The token is being replaced at this moment. Ask again shortly."}

// send takes the newest token out of service first: whatever the upstream answers,
// a token under suspicion is not handed out again.
func (r *tokenRevocation) send(ctx context.Context, id string) (RevokedToken, error) {
	l, err := r.suspect(ctx, id)
	if err != nil {
		return RevokedToken{}, err
	}
	outcome, err := r.ask(ctx, l)
	if err != nil {
		return RevokedToken{}, r.at.failed(err)
	}
	if outcome == models.OutcomeUnsupported {
		return RevokedToken{}, irrevocable(l)
	}
	if err := r.note(context.WithoutCancel(ctx), l, outcome); err != nil {
		return RevokedToken{}, err
	}
	l, err = r.s.store.Linked(ctx, id)
	return RevokedToken{outcome, l.Shown()}, err
}

func (r *tokenRevocation) suspect(ctx context.Context, id string) (models.Linked, error) {
	l, err := r.s.manageable(ctx, r.caller, id)
	if err != nil {
		return l, err
	}
	var newest bool
	err = r.s.store.Tx(ctx, func(tx *store.Store) error {
		if newest, err = tx.Suspect(ctx, l); err != nil || !newest {
			return err
		}
		if !l.Credential.HasRefreshToken {
			if err := tellBroken(ctx, tx, l, string(models.ReasonTokenRevoked)); err != nil {
				return err
			}
		}
		return tx.Audit(ctx, event(r.caller, models.ActionTokenRevokeAsked).provider(l.Provider.ID).authorization(id).done())
	})
	switch {
	case err != nil:
		return l, err
	case !newest:
		return l, credentialLeased
	}
	return l, nil
}

func (r *tokenRevocation) ask(ctx context.Context, l models.Linked) (models.Outcome, error) {
	ctx = providers.WithAnswers(ctx)
	old, err := r.s.openPair(&l)
	if err != nil {
		return "", err
	}
	gate, err := r.at.admit(ctx, callProbe, store.ClassRevoke)
	if err != nil {
		return "", err
	}
	call, cancel := context.WithTimeout(ctx, r.s.timing.RevokeCall)
	defer cancel()
	outcome, err := r.revoke(call, l, old)
	r.at.learn(ctx, gate, err, store.ClassRevoke)
	return outcome, err
}

// revoke sends as little as the upstream can tell apart.
func (r *tokenRevocation) revoke(ctx context.Context, l models.Linked, old pair) (models.Outcome, error) {
	switch {
	case r.keepsGrant(l):
		return r.at.RevokeAccess(ctx, models.Secret(old.Access))
	case r.takesGrant(l):
		return r.at.Revoke(ctx, old.tokens(), models.RevokeGrant)
	}
	return r.at.Revoke(ctx, old.tokens(), models.RevokeToken)
}

// keepsGrant reports whether the refresh token outlives its access token.
func (r *tokenRevocation) keepsGrant(l models.Linked) bool {
	t, ok := r.at.Traits()
	return ok && t.RevokesAccessAlone
}

// note writes down that the token is no longer valid, and the authorization with it where
// nothing is left to refresh with.
func (r *tokenRevocation) note(ctx context.Context, l models.Linked, outcome models.Outcome) error {
	reason := tokenRevoked
	if r.keepsGrant(l) && l.Credential.HasRefreshToken {
		reason = ""
	}
	return r.s.store.Tx(ctx, func(tx *store.Store) error {
		if _, err := tx.NoteRevoked(ctx, l, r.lease, reason); err != nil {
			return err
		}
		if l.Credential.HasRefreshToken { // without one, suspect told it
			if err := tellBroken(ctx, tx, l, reason); err != nil {
				return err
			}
		}
		return tx.Audit(ctx, event(r.caller, models.ActionTokenRevoked).
			provider(l.Provider.ID).authorization(l.Authorization.ID).code(string(outcome)).done())
	})
}
