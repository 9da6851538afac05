package broker

import (
	"context"

	"github.com/grantd/grantd/jobs"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// Disconnect makes an authorization unusable at once and takes it back upstream:
// now if that is quick, else by the worker, which tries until it is revoked.
func (s *Service) Disconnect(ctx context.Context, c models.Caller, id string) error {
	l, err := s.visibleAuthorization(ctx, c, id)
	if err != nil {
		return err
	}
	if err := s.unlink(ctx, c, l.Provider.ID, id); err != nil {
		return err
	}
	// Whatever comes of this, the revocation is on record and the sweeper goes on.
	_, err = detach(s, ctx, s.timing.InlineRevoke, s.timing.itemLease(), slowUpstream, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, s.revokeOne(ctx, id, true)
	})
	if err != nil {
		s.log.Warn("a disconnect was not finished at once", "authorization", id, "error", err)
	}
	return nil
}

// unlink leaves an authorization only to be revoked. ErrNotFound means that
// somebody else did so before.
func (s *Service) unlink(ctx context.Context, c models.Caller, provider, id string) error {
	return s.store.Tx(ctx, func(tx *store.Store) error {
		unlinked, err := tx.Unlink(ctx, id)
		if err != nil {
			return err
		}
		if !unlinked {
			return store.NotFound("OAuth provider authorization")
		}
		return tx.Audit(ctx, event(c, models.ActionAuthorizationUnlink).provider(provider).authorization(id).done())
	})
}

// ringRevoke tells the workers of an item of revocation. A bell that is not heard
// costs only time: the sweeper rings again.
func (s *Service) ringRevoke(ctx context.Context, id string, ring int64) error {
	return s.bell.Ring(ctx, jobs.Revoke.Task(jobs.AuthorizationRing{AuthorizationID: id, Ring: ring}))
}
