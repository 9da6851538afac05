package broker

import (
	"context"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/providers"
	"github.com/grantd/grantd/store"
)

// Whose tokens these are (R12). Whatever an upstream says about that is compared with
// the authorization, and only with what the same source has said before.

// identityMismatch is the reason of an authorization whose upstream answered with
// another account's tokens.
const identityMismatch = string(models.ReasonIdentityMismatch)

// mismatched is the answer about such an authorization.
func mismatched() error {
	return &models.Error{Code: models.CodeGone, Detail: identityMismatch,
		Message: "The provider answered with the tokens of another account. This authorization was ended, and no token is handed out. The user must authorize again; an admin should ask the provider what happened."}
}

// accountColumns are where the names are kept that are others than the sub.
var accountColumns = map[providers.Source]store.AccountColumn{
	providers.SourceIDToken:       store.IDTokenAccount,
	providers.SourceIntrospection: store.IntrospectionAccount,
}

// isAnother reports whether an answer names another account than the authorization's.
// What a source says for the first time is kept, and not compared.
func (s *Service) isAnother(ctx context.Context, l models.Linked, said providers.Account) bool {
	a := l.Authorization
	switch {
	case said.ID == "" || a.Sub == "":
		return false
	case said.Source == providers.SourceUser:
		return said.ID != a.Sub
	}
	hash := accountHash(a.ProviderID, said)
	before := map[providers.Source]string{
		providers.SourceIDToken:       a.IDTokenAccount,
		providers.SourceIntrospection: a.IntrospectionAccount,
	}[said.Source]
	if before != "" {
		return hash != before
	}
	if err := s.store.FirstAccount(context.WithoutCancel(ctx), a.ID, accountColumns[said.Source], hash); err != nil {
		s.log.Warn("recording which account the provider named failed", "authorization", a.ID, "error", err)
	}
	return false
}

func accountHash(provider string, said providers.Account) string {
	return digest(provider, string(said.Source), said.ID)
}

// consentAccount is what the id_token of a consent names the account, "" where that is
// the sub.
func (s *Service) consentAccount(ctx context.Context, at upstream, e exchanged) string {
	said := at.IDTokenAccount(ctx, e.tokens())
	if said.ID == "" {
		return ""
	}
	return accountHash(at.provider.ID, said)
}

// mismatchedTokens ends an authorization whose refresh or reset brought another
// account's tokens. They are kept to be revoked alone, or not at all; the old pair
// stays, since it was the account's own.
func (s *Service) mismatchedTokens(ctx context.Context, l models.Linked, attempt string, old pair, e exchanged) error {
	if e.Refresh == old.Refresh {
		e.Refresh = "" // revoking it would end what the account granted
	}
	of := l.Authorization
	of.GrantKey, of.GrantKeyV1 = "", ""
	err := s.untilSaved(ctx, func(ctx context.Context) error {
		return s.store.Tx(ctx, func(tx *store.Store) error {
			ended, err := tx.Mismatch(ctx, l, attempt, identityMismatch)
			if err != nil {
				return err
			}
			if !ended {
				now, err := tx.Credential(ctx, l.Credential.ID)
				if err == nil && now.LastAttempt == attempt && now.VerdictReason == identityMismatch {
					return nil // saved before; only the acknowledgement was lost
				}
				if err != nil && !store.IsNotFound(err) {
					return err
				}
			}
			if err := s.keepOrphaned(ctx, tx, of, e, former{}); err != nil {
				return err
			}
			return s.auditMismatch(ctx, tx, l)
		})
	})
	if err != nil {
		return err
	}
	s.alarm(l)
	return mismatched()
}

// mismatchedPair ends an authorization whose own tokens are another account's, as a
// check or the user info of them says.
func (s *Service) mismatchedPair(ctx context.Context, l models.Linked) error {
	ctx = context.WithoutCancel(ctx)
	var ended bool
	err := s.store.Tx(ctx, func(tx *store.Store) error {
		var err error
		if ended, err = tx.Mismatch(ctx, l, "", identityMismatch); err != nil || !ended {
			return err
		}
		if err := tx.MarkTokensForeign(ctx, l.Authorization.ID); err != nil {
			return err
		}
		return s.auditMismatch(ctx, tx, l)
	})
	if err != nil {
		return err
	}
	if ended {
		s.alarm(l)
	}
	return mismatched()
}

func (s *Service) auditMismatch(ctx context.Context, tx *store.Store, l models.Linked) error {
	if err := tx.Tell(ctx, l.Event(models.EventIdentityMismatch, ""), l.Event(models.EventConnectionBroken, identityMismatch)); err != nil {
		return err
	}
	return tx.Audit(ctx, ownEvent(l.Authorization.OrgID, models.ActionIdentityMismatch).
		provider(l.Provider.ID).authorization(l.Authorization.ID).code(identityMismatch).done())
}

// alarm tells the admin.
func (s *Service) alarm(l models.Linked) {
	s.log.Error("the provider answered with another account's tokens; the authorization was ended and must be consented to again",
		"provider", l.Provider.ID, "authorization", l.Authorization.ID)
}
