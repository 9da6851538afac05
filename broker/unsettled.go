package broker

import (
	"context"
	"errors"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// Tokens that found no owner are left to be revoked, when their consent's time is over
// or their provider is deleted. What cannot be settled goes to the back (T4).

// sweepFlows ends flows that cannot go on, and sees to tokens without an owner. Those
// of one organisation come one after the other, those of different ones at once, and no
// longer than a slice of a job: upstreams may be asked.
func (s *Service) sweepFlows(ctx context.Context) error {
	if err := s.store.LapseFlows(ctx, s.timing.TokenCall+s.timing.LeaseMargin); err != nil {
		return err
	}
	flows, err := s.store.ClaimUnsettled(ctx, settleAgain, sweepBatch)
	if err != nil || len(flows) == 0 {
		return err
	}
	byOrg := map[string][]models.Flow{}
	for _, f := range flows {
		byOrg[f.OrgID] = append(byOrg[f.OrgID], f)
	}
	var batches [][]models.Flow
	for _, batch := range byOrg {
		batches = append(batches, batch)
	}
	ctx, cancel := context.WithTimeout(ctx, s.timing.Slice)
	defer cancel()
	return sideBySide(batches, func(batch []models.Flow) error {
		var err error
		for _, f := range batch {
			if ctx.Err() != nil {
				break // the claim has put the rest off
			}
			err = errors.Join(err, s.settleUnowned(ctx, f))
		}
		return err
	})
}

// settleFlowsOf settles a deleted provider's tokens without an owner, whatever their
// time, or gives up on them.
func (s *Service) settleFlowsOf(ctx context.Context, j models.Job) error {
	if j.Force {
		return s.store.Tx(ctx, func(tx *store.Store) error {
			n, err := tx.AbandonUnsettled(ctx, *j.ProviderID)
			if err != nil || n == 0 {
				return err
			}
			return tx.AddSettled(ctx, j.ID, models.OutcomeAbandoned, n)
		})
	}
	for {
		flows, err := s.store.UnsettledOf(ctx, *j.ProviderID, sweepBatch)
		if err != nil || len(flows) == 0 {
			return err
		}
		for _, f := range flows {
			if err := s.settleUnowned(ctx, f); err != nil {
				return err
			}
		}
	}
}

// settleUnowned settles the tokens of one flow, or notes why that is impossible. It
// returns an error only where nothing is known of the flow: the database or the time is
// to blame.
func (s *Service) settleUnowned(ctx context.Context, f models.Flow) error {
	err := s.trySettle(ctx, f)
	if err == nil || ctx.Err() != nil || store.IsUnavailable(err) {
		return err
	}
	reason := "internal"
	if undecryptable(err) {
		reason = "undecryptable"
	}
	s.log.Error("tokens of a consent without an owner cannot be settled", "flow", f.ID, "provider", f.ProviderID, "reason", reason, "error", err)
	return s.store.NoteUnsettled(ctx, f.ID, reason, min(settleAgain<<min(f.SettleFailures, 6), longestSettle))
}

func (s *Service) trySettle(ctx context.Context, f models.Flow) error {
	p, err := s.store.Provider(ctx, f.ProviderID)
	if store.IsNotFound(err) {
		_, err := s.store.FailFlow(ctx, f.ID, "provider_gone", models.FlowExchanged)
		return err
	}
	if err != nil {
		return err
	}
	e, err := s.openExchanged(f)
	if err != nil {
		return err
	}
	if f.Channel == models.ChannelTrial {
		return s.dropTrial(ctx, p, f)
	}
	if f.Channel == models.ChannelImport && p.Usable() && !f.UserRevoked {
		if waits, err := s.resumeImport(ctx, f); waits || err != nil {
			return err
		}
	}
	if f.Channel == models.ChannelLink {
		return s.leaveUnconfirmed(ctx, p, f, e, models.FailureNoOwner)
	}
	return s.leaveOrphaned(ctx, p, f, e, models.FailureNoOwner)
}

// abandonUnsettled gives up on tokens that could not be settled for as long as single
// revocations are tried.
func (s *Service) abandonUnsettled(ctx context.Context, limit int) error {
	return s.store.Tx(ctx, func(tx *store.Store) error {
		flows, err := tx.AbandonOldUnsettled(ctx, s.keep.Tombstones, limit)
		for _, f := range flows {
			err = errors.Join(err, tx.Audit(ctx, ownEvent(f.OrgID, models.ActionFlowFailed).provider(f.ProviderID).code(string(models.OutcomeAbandoned)).done()))
		}
		return err
	})
}
