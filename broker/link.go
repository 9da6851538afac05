package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/providers"
	"github.com/grantd/grantd/store"
)

// link attaches a flow's tokens to an authorization under a lease on the grant: a
// late revocation of the same grant comes before, or sees the new authorization
// live and spares it (D1).
func (s *Service) link(ctx context.Context, c models.Caller, at upstream, f models.Flow, e exchanged, user models.User) error {
	a := s.newAuthorization(at, f, e, user)
	a.IDTokenAccount = s.consentAccount(ctx, at, e)
	keys, owner := s.grantKeys(a), newID()
	defer func() {
		if err := s.store.ReleaseGrants(context.WithoutCancel(ctx), owner, nil); err != nil {
			s.log.Warn("releasing a grant lease failed; it will expire", "error", err)
		}
	}()
	for {
		if err := s.leaseGrants(ctx, keys, owner, s.timing.LeaseMargin); err != nil {
			return err
		}
		revoked, err := s.store.GrantRevokedSince(ctx, keys, e.SentAt)
		if err != nil {
			return err
		}
		if revoked { // the whole grant, since the code was sent: these tokens may have gone with it
			again, err := at.UserInfo(ctx, models.Secret(e.Access))
			at.learnAPI(ctx, store.Gate{}, err)
			if err == nil && again.Sub != user.Sub {
				err = &providers.Error{Kind: providers.KindProtocol, Code: identityMismatch}
			}
			if err != nil {
				return err
			}
		}
		if err := s.linkHeld(ctx, c, f, e, a, keys, owner); !errors.Is(err, errGrantLeaseOver) {
			return err
		}
	}
}

// errGrantLeaseOver says that the lease on a grant ran out before what it was taken for was done.
var errGrantLeaseOver = errors.New("the lease on the grant is over")

// leaseGrants takes the leases on all keys of a grant, one after the other.
func (s *Service) leaseGrants(ctx context.Context, keys []string, owner string, lease time.Duration) error {
	for _, key := range keys {
		if err := s.leaseGrant(ctx, key, owner, lease); err != nil {
			return err
		}
	}
	return nil
}

// leaseGrant takes the lease on one key of a grant, and waits for its holder.
func (s *Service) leaseGrant(ctx context.Context, key, owner string, lease time.Duration) error {
	for {
		ok, err := s.store.LeaseGrant(ctx, key, owner, lease)
		if err != nil {
			return err
		}
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return slowUpstream
		case <-time.After(leasePoll):
		}
	}
}

// linkHeld makes the authorization live, in one transaction that holds the
// provider (D2) and the owner's lease on the grant, which may have run out meanwhile
// (D1): the account's authorization continues with new tokens, or is made; and if the
// provider is no longer active, what was granted is kept only to be revoked.
func (s *Service) linkHeld(ctx context.Context, c models.Caller, f models.Flow, e exchanged, a models.Authorization, keys []string, owner string) error {
	var off bool
	err := s.store.Tx(ctx, func(tx *store.Store) error {
		p, err := tx.LockProvider(ctx, f.ProviderID)
		if err != nil {
			return err
		}
		held, err := tx.KeepGrants(ctx, keys, owner, s.timing.LeaseMargin)
		if err != nil {
			return err
		}
		if !held {
			return errGrantLeaseOver
		}
		if off = !p.Usable() || p.Fingerprint != f.Fingerprint; off {
			return s.keepToRevoke(ctx, tx, p, f, e, a, revocable(f), "provider_off")
		}
		if f.Channel == models.ChannelLink {
			if err := s.finishConnectLink(ctx, tx, f, a.Sub); err != nil {
				return err
			}
		}
		if err := stillWanted(ctx, tx, f); err != nil {
			return err
		}
		if err := s.afterRevocation(ctx, tx, &a); err != nil {
			return err
		}
		renewed, err := s.renew(ctx, tx, &a, e)
		if err != nil {
			return err
		}
		action := models.ActionAuthorizationRenewed
		if !renewed {
			action = models.ActionAuthorizationMade
			if err := s.insertTokens(ctx, tx, &a, e); err != nil {
				return err
			}
			if err := tx.Tell(ctx, a.Event(models.EventConnectionCreated, "")); err != nil {
				return err
			}
		}
		if ok, err := tx.FinishFlow(ctx, f.ID, a.ID); err != nil || !ok {
			return errors.Join(err, flowMoved(ok))
		}
		made := event(c, action).provider(p.ID).authorization(a.ID)
		if f.Channel == models.ChannelImport {
			made = made.code(string(f.Channel))
		}
		return tx.Audit(ctx, made.done())
	})
	switch {
	case errors.Is(err, errFlowMoved):
		return nil // another process finished it; what it wrote is read next
	case err != nil:
		return err
	case off:
		return models.Errorf(models.CodeNotFound, "The OAuth provider is not active any more; what was granted is being revoked.")
	}
	return nil
}

// afterRevocation has an authorization made after everything of its user was revoked, if it
// was, and what its account had linked before unlinked, so that it is not renewed.
func (s *Service) afterRevocation(ctx context.Context, tx *store.Store, a *models.Authorization) error {
	revoked, err := tx.UserRevokedAt(ctx, a.OrgID, a.UserID)
	if err != nil || revoked == nil {
		return err
	}
	a.CreatedAt = revoked.Add(time.Millisecond) // at the earliest, as finely as SQLite tells times apart
	return tx.UnlinkAccount(ctx, a.ProviderID, a.UserID, a.Sub)
}

// revocable is how much of a flow's grant is ours to take back when it finds no
// provider to belong to: of what was imported, our own pair of tokens alone.
func revocable(f models.Flow) models.RevokeScope {
	if f.Channel == models.ChannelImport {
		return models.RevokeToken
	}
	return models.RevokeGrant
}

// stillWanted locks a flow, and refuses it where everything of its user was revoked meanwhile.
func stillWanted(ctx context.Context, tx *store.Store, f models.Flow) error {
	now, err := tx.LockFlow(ctx, f.ID)
	if err == nil && now.UserRevoked {
		err = errUserRevoked
	}
	return err
}

// errUserRevoked is the answer to a consent whose user had everything revoked meanwhile. A sweep revokes what it brought.
var errUserRevoked = models.Errorf(models.CodeNotFound, "Everything of this user was revoked while the consent was under way. What was granted is being revoked too.")

var errFlowMoved = errors.New("the flow was settled by somebody else")

func flowMoved(ok bool) error {
	if ok {
		return nil
	}
	return errFlowMoved
}

func (s *Service) newAuthorization(at upstream, f models.Flow, e exchanged, user models.User) models.Authorization {
	a := models.Authorization{
		ID: newID(), OrgID: f.OrgID, UserID: f.UserID, ProviderID: at.provider.ID, CredentialID: newID(), OAuthClientID: at.provider.ClientID,
		Sub: user.Sub, Login: cmp.Or(user.NickName, user.Name), Email: user.Email, Picture: user.Picture,
		Scopes: at.granted(f, e), MissingScopes: e.Missing, ScopesCut: e.ScopesCut,
		Fingerprint: f.Fingerprint, FingerprintV2: at.fingerprint(), Revoke: models.RevokeGrant, ItemDueAt: alwaysDue,
	}
	at.setGrant(&a)
	return a
}

// granted are the scopes that a flow's tokens have: where the upstream does not say,
// those that were asked for (RFC 6749 section 5.1).
func (at upstream) granted(f models.Flow, e exchanged) models.Strings {
	if e.Scopes != nil {
		return e.Scopes
	}
	return at.askedScopes(f.Scopes)
}

// askedScopes are the scopes that a consent asks for: the provider's, or else those
// of its type.
func (at upstream) askedScopes(scopes models.Strings) models.Strings {
	if t, ok := at.Traits(); ok && len(scopes) == 0 {
		return t.DefaultScopes
	}
	return scopes
}

// alwaysDue marks an item that may be claimed as soon as it is one.
var alwaysDue = time.Unix(0, 0).UTC()

// insertTokens keeps a new authorization and its tokens.
func (s *Service) insertTokens(ctx context.Context, tx *store.Store, a *models.Authorization, e exchanged) error {
	now, err := tx.Now(ctx)
	if err != nil {
		return err
	}
	if e.ExpiresIn == 0 {
		p, err := tx.Provider(ctx, a.ProviderID)
		if err != nil {
			return err
		}
		e.ExpiresIn = s.configuredLifetime(p)
	}
	if now.After(a.CreatedAt) { // else see afterRevocation: the clock was set back since
		a.CreatedAt = now
	}
	a.UpdatedAt = a.CreatedAt
	sealed, err := s.sealPair(*a, e.pair)
	if err != nil {
		return err
	}
	return tx.InsertAuthorization(ctx, a, s.newSave(newID(), sealed, e, now))
}

// renew puts new tokens into the authorization that the account has already, and
// leaves the old pair to be revoked. It returns false
// when the account has none; otherwise a becomes the one that stays.
func (s *Service) renew(ctx context.Context, tx *store.Store, a *models.Authorization, e exchanged) (bool, error) {
	old, err := tx.LiveAuthorization(ctx, a.ProviderID, a.UserID, a.Sub)
	if store.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	fresh := *a
	*a = old
	a.Login, a.Email, a.Picture = fresh.Login, fresh.Email, fresh.Picture
	a.Scopes, a.MissingScopes, a.ScopesCut = fresh.Scopes, fresh.MissingScopes, fresh.ScopesCut
	a.Fingerprint, a.FingerprintV2, a.OAuthClientID = fresh.Fingerprint, fresh.FingerprintV2, fresh.OAuthClientID
	a.GrantKey, a.GrantKeyV1 = fresh.GrantKey, fresh.GrantKeyV1
	a.Revoke, a.IDTokenAccount, a.IntrospectionAccount = fresh.Revoke, fresh.IDTokenAccount, ""
	if err := tx.UpdateAuthorization(ctx, a); err != nil {
		return true, err
	}
	if !slices.Equal(old.Scopes, a.Scopes) {
		if err := tx.Tell(ctx, a.Event(models.EventScopesChanged, "")); err != nil {
			return true, err
		}
	}
	return true, s.replacePair(ctx, tx, *a, e)
}

// replacePair saves over whichever generation is the newest. A refresh that runs
// meanwhile loses its fence, and revokes what it brought (R9).
func (s *Service) replacePair(ctx context.Context, tx *store.Store, a models.Authorization, e exchanged) error {
	now, err := tx.Now(ctx)
	if err != nil {
		return err
	}
	for {
		l, err := tx.Linked(ctx, a.ID)
		if err != nil {
			return err
		}
		if e.Refresh == "" {
			e.Refresh = s.lastingRefresh(l)
		}
		if e.ExpiresIn == 0 {
			e.ExpiresIn, e.SentAt = s.lastLifetime(l), time.Time{}
		}
		sealed, err := s.sealPair(a, e.pair)
		if err != nil {
			return err
		}
		saved, err := tx.SaveTokens(ctx, a.CredentialID, l.Credential.Generation, s.newSave(newID(), sealed, e, now))
		if err != nil {
			return err
		}
		if saved {
			if err := tellRecovered(ctx, tx, l); err != nil {
				return err
			}
			return s.retire(ctx, tx, l, e.pair)
		}
	}
}

// lastingRefresh is the refresh token that a consent without one leaves in use: where
// refresh tokens are not replaced, as at Google, only a person's first consent brings
// one, and it goes with every access token since.
func (s *Service) lastingRefresh(l models.Linked) string {
	t, ok := s.at(l.Provider).Traits()
	if !ok || t.Rotates || l.HasVerdict(models.VerdictExpired) {
		return ""
	}
	old, err := s.openPair(&l)
	if err != nil {
		return "" // retire tells
	}
	return old.Refresh
}

// retire keeps a pair of tokens that was replaced, so that it is revoked: alone
// where the type can, else when no newer consent would go along with it.
func (s *Service) retire(ctx context.Context, tx *store.Store, l models.Linked, successor pair) error {
	old, err := s.openPair(&l)
	if err != nil {
		s.log.Error("a replaced pair of tokens cannot be opened, and is not revoked", "authorization", l.Authorization.ID, "error", err)
		return nil
	}
	if old.Access == successor.Access || old.Refresh != "" && old.Refresh == successor.Refresh {
		return nil // revoking the old pair would end the new one too
	}
	of := l.Authorization
	if l.Mismatched() { // it may be another account's
		of.GrantKey, of.GrantKeyV1 = "", ""
	}
	spent := l.Credential.AttemptID != nil || l.HasVerdict(models.VerdictExpired) && !l.Mismatched()
	return s.keepOrphaned(ctx, tx, of, exchanged{pair: old}, former{l.Credential.ExpiresAt, spent})
}

// keepOrphaned keeps tokens that belong to no authorization any more as an item of
// revocation, and counts it in a deletion that is running. Without a provider nothing is
// left that could revoke them.
func (s *Service) keepOrphaned(ctx context.Context, tx *store.Store, of models.Authorization, e exchanged, was former) error {
	p, err := tx.LockProvider(ctx, of.ProviderID)
	if store.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	t := of
	t.ID = newID()
	if err := s.insertTombstone(ctx, tx, &t, e, was); err != nil {
		return err
	}
	return addToDeletion(ctx, tx, p)
}

// former is what is known of tokens from the credential that they come from.
type former struct {
	expiresAt *time.Time // of the access token, nil when unknown
	spent     bool       // an attempt may have spent the refresh token, or may be about to, or was told that it is no good
}

// insertTombstone keeps tokens as an authorization that is only there to be revoked, alone
// where the type can. A refresh token that may be spent is not used to refresh again (R3).
func (s *Service) insertTombstone(ctx context.Context, tx *store.Store, t *models.Authorization, e exchanged, was former) error {
	now, err := tx.Now(ctx)
	if err != nil {
		return err
	}
	t.CredentialID, t.Revoke, t.UnlinkedAt, t.ItemDueAt = newID(), models.RevokeToken, &now, alwaysDue
	t.JobID, t.Outcome, t.OutcomeReason, t.OutcomeAt, t.ItemLease, t.ItemAttempts = nil, nil, "", nil, nil, 0
	t.CreatedAt, t.UpdatedAt = now, now
	sealed, err := s.sealPair(*t, e.pair)
	if err != nil {
		return err
	}
	save := s.newSave(newID(), sealed, e, now)
	if was.expiresAt != nil {
		save.Known, save.ExpiresIn = true, was.expiresAt.Sub(now)
	}
	if was.spent {
		save.HasRefreshToken = false
	}
	return tx.InsertAuthorization(ctx, t, save)
}

// addToDeletion counts an item that joins while its provider is being deleted.
func addToDeletion(ctx context.Context, tx *store.Store, p models.Provider) error {
	if p.DeleteJobID == nil {
		return nil
	}
	return tx.AddToTotal(ctx, *p.DeleteJobID, 1)
}

// keepToRevoke gives tokens to an authorization that is there only to be revoked,
// and counts it in a deletion that is running. Tokens that are not ours to revoke are
// forgotten instead.
func (s *Service) keepToRevoke(ctx context.Context, tx *store.Store, p models.Provider, f models.Flow, e exchanged, a models.Authorization, scope models.RevokeScope, why string) error {
	if ok, err := tx.FailFlow(ctx, f.ID, why, models.FlowExchanged); err != nil || !ok || e.Theirs {
		return errors.Join(err, flowMoved(ok))
	}
	now, err := tx.Now(ctx)
	if err != nil {
		return err
	}
	a.UnlinkedAt, a.Revoke = &now, scope
	if err := s.insertTokens(ctx, tx, &a, e); err != nil {
		return err
	}
	return addToDeletion(ctx, tx, p)
}

// leaveOrphaned leaves the tokens of a flow that belong to no authorization to be
// revoked, alone.
func (s *Service) leaveOrphaned(ctx context.Context, p models.Provider, f models.Flow, e exchanged, why string) error {
	a := s.newAuthorization(s.at(p), f, e, models.User{})
	a.GrantKey, a.GrantKeyV1 = "", ""
	return s.leaveToRevoke(ctx, f, e, a, models.RevokeToken, why)
}

// leaveToRevoke ends a flow whose tokens nobody is to use.
func (s *Service) leaveToRevoke(ctx context.Context, f models.Flow, e exchanged, a models.Authorization, scope models.RevokeScope, why string) error {
	err := s.store.Tx(ctx, func(tx *store.Store) error {
		locked, err := tx.LockProvider(ctx, f.ProviderID)
		if err != nil {
			return fmt.Errorf("holding provider %s: %w", f.ProviderID, err)
		}
		return s.keepToRevoke(ctx, tx, locked, f, e, a, scope, why)
	})
	if errors.Is(err, errFlowMoved) {
		return nil
	}
	return err
}

// lastLifetime is how long tokens of an authorization live where an answer does not say:
// as long as the last one that the upstream told, else as config says, 0 where neither is
// known (R14). The end of a token that was found to be revoked tells no lifetime.
func (s *Service) lastLifetime(l models.Linked) time.Duration {
	c := l.Credential
	rejected := c.CheckGeneration == c.Generation && !c.CheckValid
	if c.ExpiresAt != nil && !rejected && c.ExpiresAt.After(c.SavedAt) {
		return c.ExpiresAt.Sub(c.SavedAt)
	}
	return s.configuredLifetime(l.Provider)
}

func (s *Service) configuredLifetime(p models.Provider) time.Duration {
	t, ok := s.at(p).Traits()
	if !ok {
		return 0
	}
	return t.DefaultLifetime
}

// newSave describes tokens for the store: their lives count from when they were
// asked for, by the database's clock (R4), and a read refreshes them once a fifth
// of their life is left, a minute at most (R7).
func (s *Service) newSave(attempt string, sealed []byte, e exchanged, now time.Time) store.Save {
	v := store.Save{Attempt: attempt, Sealed: sealed, HasRefreshToken: e.Refresh != "", AccessMAC: s.keys.MAC([]byte(e.Access))}
	elapsed := now.Sub(e.SentAt)
	if e.SentAt.IsZero() {
		elapsed = 0
	}
	if e.ExpiresIn > 0 {
		v.Known = true
		v.ExpiresIn = e.ExpiresIn - elapsed
		v.RefreshAfter = v.ExpiresIn - min(refreshMargin, e.ExpiresIn/refreshPart)
	} else if v.HasRefreshToken { // no lifetime was ever told: the token is served on if the refresh fails (R14)
		v.RefreshAfter = assumedLifetime - elapsed
	}
	if e.RefreshExpiresIn > 0 {
		v.RefreshExpiresIn = max(time.Second, e.RefreshExpiresIn-elapsed)
	}
	if v.Known && v.HasRefreshToken && v.RefreshAfter > 0 {
		// What was saved together is due together. It is refreshed ahead of callers at random
		// times in the first half of the life that it has left then.
		v.AheadAfter = v.RefreshAfter + s.upTo((v.ExpiresIn-v.RefreshAfter)/2)
	}
	return v
}
