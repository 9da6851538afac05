package broker

import (
	"context"
	"errors"
	"time"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// A client secret that was replaced may be kept for a while. The new one is sent; where the upstream refuses it, the same
// call is made once more with the former one, under the same attempt (providers/former.go). That it succeeds is the new
// secret's refusal: it is told and audited, and is no verdict about anybody's tokens.

// formerSecret opens a provider's former secret, "" where there is none. One that cannot be read is as good as none: what
// the upstream said to the new one is the answer then.
func (s *Service) formerSecret(ctx context.Context, p models.Provider) models.Secret {
	config, err := s.store.FormerSecret(ctx, p.ID)
	if store.IsNotFound(err) {
		return ""
	}
	var secret models.Secret
	if err == nil {
		secret, _, err = s.openSecret(p, config)
	}
	if err != nil {
		s.log.Error("reading the former client secret failed; the new one alone is tried", "provider", p.ID, "error", err)
		return ""
	}
	return secret
}

// noteFormerSecret notes that the upstream took the former secret. The call has succeeded and goes on, whatever becomes of
// the note.
func (s *Service) noteFormerSecret(ctx context.Context, p models.Provider) {
	ctx = context.WithoutCancel(ctx)
	err := s.store.Tx(ctx, func(tx *store.Store) error {
		former, err := tx.FormerSecret(ctx, p.ID)
		if err != nil {
			return err
		}
		first, err := tx.NoteFormerSecret(ctx, former.ID, formerSecretNoted)
		if err != nil || !first {
			return err
		}
		if err := tx.Tell(ctx, p.Event(models.EventClientRefused, "new_secret")); err != nil {
			return err
		}
		return tx.Audit(ctx, ownEvent(p.OrgID, models.ActionSecretRefused).provider(p.ID).done())
	})
	if err != nil && !store.IsNotFound(err) {
		s.log.Error("noting that the new client secret is refused failed; the next call notes it", "provider", p.ID, "error", err)
	}
}

// settleFormer settles, in a transaction that has locked the provider, what becomes of the secret that a change replaces, and of
// one that was replaced before. It is asked before the new one is saved. A former secret is sent nowhere but to the
// endpoints that it was given for: it ends with them.
func (s *Service) settleFormer(ctx context.Context, tx *store.Store, before models.Provider, after *models.Provider, asked models.ProviderPatch) error {
	moved := s.at(before).fingerprint() != s.at(*after).fingerprint()
	keep := asked.ClientSecret != nil && asked.FormerSecretExpiresIn != nil && *asked.FormerSecretExpiresIn > 0
	switch {
	case keep && moved:
		return models.Invalid(models.FieldError{Name: "formerSecretExpiresIn", Message: "must be left out where the host or an endpoint changes: the former secret was not given for the new one"})
	case keep:
		return s.keepFormer(ctx, tx, before, asked)
	case !moved && asked.ClientSecret == nil && asked.FormerSecretExpiresIn == nil:
		return nil
	}
	ended, err := tx.EndFormerSecret(ctx, before.ID)
	if ended && asked.ClientSecret == nil {
		after.SecretVersion++
	}
	return err
}

// keepFormer keeps the secret that a change replaces.
func (s *Service) keepFormer(ctx context.Context, tx *store.Store, before models.Provider, asked models.ProviderPatch) error {
	kept, err := s.clientSecret(ctx, tx, before)
	switch {
	case undecryptable(err), err == nil && kept == "":
		return models.Invalid(models.FieldError{Name: "formerSecretExpiresIn", Message: "must be left out: there is no secret that could be kept"})
	case err != nil:
		return err
	case kept == *asked.ClientSecret:
		return models.Invalid(models.FieldError{Name: "clientSecret", Message: "is the one that the provider has already"})
	}
	before.SecureConfigID = newID()
	former, err := s.sealSecret(before, kept)
	if err != nil {
		return err
	}
	return tx.KeepFormerSecret(ctx, former, time.Duration(*asked.FormerSecretExpiresIn)*time.Second)
}

// judgeFormer says what is wrong with how long a former secret is to be kept.
func judgeFormer(ch models.ProviderPatch) []models.FieldError {
	seconds := ch.FormerSecretExpiresIn
	problem := ""
	switch {
	case seconds == nil:
	case *seconds < 0 || *seconds > int64(maxFormerSecret/time.Second):
		problem = "must be from 0 to 604800 seconds, which is 7 days"
	case *seconds > 0 && ch.ClientSecret == nil:
		problem = "must be given with the clientSecret that is new; alone it can only be 0, which deletes the former one"
	}
	if problem == "" {
		return nil
	}
	return []models.FieldError{{Name: "formerSecretExpiresIn", Message: problem}}
}

// sweepFormerSecrets deletes former secrets whose time is over. What was refused while there were two is asked again: the
// secret version rises.
func (s *Service) sweepFormerSecrets(ctx context.Context) error {
	ids, err := s.store.EndedSecrets(ctx, sweepBatch)
	return errors.Join(err, sideBySide(ids, func(id string) error {
		return s.store.Tx(ctx, func(tx *store.Store) error {
			p, err := tx.LockProvider(ctx, id)
			if err != nil {
				return err
			}
			ended, err := tx.EndSecretInTime(ctx, id)
			if err != nil || !ended {
				return err
			}
			p.SecretVersion++
			if err := tx.SaveProvider(ctx, &p); err != nil {
				return err
			}
			return tx.Audit(ctx, ownEvent(p.OrgID, models.ActionFormerSecretEnded).provider(p.ID).done())
		})
	}))
}

// withFormerSecret is a provider as an admin sees it alone: with what there is to know of its former secret.
func (s *Service) withFormerSecret(ctx context.Context, c models.Caller, p models.Provider) (models.Provider, error) {
	if !c.IsAdmin() {
		return p, nil
	}
	former, err := s.store.FormerSecret(ctx, p.ID)
	if store.IsNotFound(err) {
		return p, nil
	}
	if err != nil {
		return p, err
	}
	p.FormerSecret = &models.FormerSecret{ExpiresAt: former.EndsAt.UTC(), UsedAt: former.UsedAt}
	if former.UsedAt != nil {
		used := former.UsedAt.UTC()
		p.FormerSecret.UsedAt = &used
	}
	return p, nil
}

// RefusedSecret is a provider whose upstream refuses the new client secret, and takes the former one.
type RefusedSecret struct {
	Provider models.Provider
	EndsAt   time.Time
}

func (s *Service) refusedSecrets(ctx context.Context, c models.Caller) ([]RefusedSecret, error) {
	former, err := s.store.RefusedSecrets(ctx, c.OrgID, 10*shownAtMost)
	var all []RefusedSecret
	for _, f := range former {
		if err != nil || !c.MayUse(f.ProviderID) || len(all) == shownAtMost {
			continue
		}
		var p models.Provider
		if p, err = s.store.Provider(ctx, f.ProviderID); err == nil {
			all = append(all, RefusedSecret{p, *f.EndsAt})
		} else if store.IsNotFound(err) { // deleted meanwhile
			err = nil
		}
	}
	return all, err
}
