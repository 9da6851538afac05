package broker

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/secrets"
	"github.com/grantd/grantd/store"
)

// A pair of tokens is superseded where the upstream may end a whole grant together with
// it, and another authorization depends on that grant: nothing is sent. The pair may
// outlive its provider, so it is kept without one, and is revoked by whichever
// provider's revocation of the grant comes last (D7).

// superseded rules on such a pair. Behind another organisation's authorization nothing
// is kept, since there is no knowing when that one ends; nor for a job that revokes a
// user, of whom nothing is to stay.
func (b *batch) superseded(ctx context.Context, l models.Linked, at upstream, p pair) (*ruling, error) {
	a := l.Authorization
	own, other := b.live.Of(a.GrantKey, a.OrgID)
	t, _ := at.Traits()
	if b.job == nil && (own || other) && (t.RevokesAll || !own) {
		// A single item waits for the newer consent's end, or its provider's, as long as
		// tombstones are kept.
		return &ruling{reason: "newer_consent", after: newerConsentAgain}, nil
	}
	r := settled(models.OutcomeSuperseded, "only_whole_grants")
	switch {
	case other && !own:
		r.reason = "other_organisation"
	case !own || t.RevokesAll || b.job != nil && b.job.Type == models.JobRevokeUser:
	case l.HasVerdict(models.VerdictExpired) || !l.Credential.HasRefreshToken && !l.Alive(): // nothing remains valid
	default:
		if can, err := at.CanRevoke(ctx); err == nil && !can {
			return &r, nil
		}
		kept, err := b.s.supersededPair(l, p)
		if err != nil {
			return nil, err
		}
		r.reason, r.keep = "kept", &kept
		if b.job != nil {
			kept.JobID = &b.job.ID
		}
	}
	return &r, nil
}

func (s *Service) supersededPair(l models.Linked, p pair) (models.SupersededPair, error) {
	a := l.Authorization
	kept := models.SupersededPair{ID: a.ID, OrgID: a.OrgID, UserID: a.UserID, GrantKey: a.GrantKey,
		HasRefreshToken: l.Credential.HasRefreshToken, ExpiresAt: l.Credential.ExpiresAt, KeptAt: l.Now}
	var err error
	kept.Sealed, err = s.sealJSON(supersededOwner(kept), p)
	return kept, err
}

func supersededOwner(k models.SupersededPair) secrets.Owner {
	return secrets.SupersededOwner(k.ID, k.OrgID, k.GrantKey)
}

// takeUp makes items of the pairs that were kept for the grants of this batch: those
// of which no authorization of the organisation is left. The leases on the grants are
// the batch's, so that no other provider takes them up, and none becomes live.
func (b *batch) takeUp(ctx context.Context, items []models.Linked) error {
	byOrg := map[string]map[string]models.Linked{} // the first item of each grant
	for _, l := range items {
		a := l.Authorization
		own, _ := b.live.Of(a.GrantKey, a.OrgID)
		if a.GrantKey == "" || own || !b.leased[a.GrantKey] {
			continue
		}
		if byOrg[a.OrgID] == nil {
			byOrg[a.OrgID] = map[string]models.Linked{}
		}
		if _, known := byOrg[a.OrgID][a.GrantKey]; !known {
			byOrg[a.OrgID][a.GrantKey] = l
		}
	}
	for org, first := range byOrg {
		kept, err := b.s.store.SupersededPairs(ctx, org, slices.Sorted(maps.Keys(first)))
		if err != nil {
			return err
		}
		for _, k := range kept {
			if err := b.s.takeUpPair(ctx, first[k.GrantKey], k, b.job); err != nil {
				return fmt.Errorf("taking up a superseded pair of tokens: %w", err)
			}
		}
	}
	return nil
}

// takeUpPair turns a kept pair into an item of the provider of l, and of the job.
func (s *Service) takeUpPair(ctx context.Context, l models.Linked, k models.SupersededPair, j *models.Job) error {
	var p pair
	if err := s.openJSON(supersededOwner(k), k.Sealed, &p); err != nil {
		s.log.Error("a superseded pair of tokens cannot be opened, and is not revoked", "authorization", k.ID, "error", err)
		return nil
	}
	return s.store.Tx(ctx, func(tx *store.Store) error {
		locked, err := tx.LockProvider(ctx, l.Provider.ID)
		if err != nil {
			return err
		}
		if taken, err := tx.DropSuperseded(ctx, k.ID); err != nil || !taken {
			return err
		}
		item := l.Authorization
		item.ID, item.UserID, item.Login, item.Email, item.Picture = newID(), k.UserID, "", "", ""
		if err := s.insertTombstone(ctx, tx, &item, exchanged{pair: p}, former{expiresAt: k.ExpiresAt}); err != nil {
			return err
		}
		if j != nil && j.Type == models.JobRevokeUser {
			return tx.GiveToJob(ctx, item.ID, j.ID)
		}
		return addToDeletion(ctx, tx, locked)
	})
}

// abandonKept gives up on the pairs that deletions of the provider kept, and on those
// that could be revoked only with the items under a lease, for a deletion that gives
// up on the upstream.
func abandonKept(ctx context.Context, tx *store.Store, provider, lease string) error {
	gone, err := tx.DropSupersededOfItems(ctx, provider, lease)
	if err != nil {
		return err
	}
	return abandonSuperseded(ctx, tx, gone)
}

// forgetSuperseded gives up on pairs that were kept for as long as they may be.
func (s *Service) forgetSuperseded(ctx context.Context, limit int) error {
	return s.store.Tx(ctx, func(tx *store.Store) error {
		gone, err := tx.ExpireSuperseded(ctx, s.keep.Superseded, limit)
		if err != nil {
			return err
		}
		return abandonSuperseded(ctx, tx, gone)
	})
}

// abandonSuperseded audits that pairs are kept no longer and were not revoked.
func abandonSuperseded(ctx context.Context, tx *store.Store, gone []models.SupersededPair) error {
	var events []models.AuditEvent
	for _, k := range gone {
		events = append(events, ownEvent(k.OrgID, models.ActionRevoked).authorization(k.ID).code(string(models.OutcomeAbandoned)).done())
	}
	return tx.Audit(ctx, events...)
}
