package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// DeleteProvider accepts a provider's deletion: from now on it is unusable, and a
// job revokes what was granted to it. Asked again, it answers with the same job;
// after a job that ended in ERROR, with a new one that goes on (D5). force gives
// up on the upstream.
func (s *Service) DeleteProvider(ctx context.Context, c models.Caller, id string, force bool) (models.Job, error) {
	if _, err := s.visibleProvider(ctx, c, id); err != nil {
		return models.Job{}, err
	}
	if err := onlyAdmins(c); err != nil {
		return models.Job{}, err
	}
	var j models.Job
	var rung store.Rung
	err := s.store.Tx(ctx, func(tx *store.Store) error {
		p, err := tx.HoldProvider(ctx, id)
		if err != nil {
			return err
		}
		if j, err = s.deletionJob(ctx, tx, c, p, force); err != nil {
			return err
		}
		rung, _, err = tx.RingJob(ctx, j.ID, s.timing.Resweep)
		return err
	})
	if err != nil {
		return j, found(err, "OAuth provider")
	}
	s.ringJob(ctx, rung)
	return j, nil
}

// deletionJob returns the job that is deleting a held provider, or makes it.
func (s *Service) deletionJob(ctx context.Context, tx *store.Store, c models.Caller, p models.Provider, force bool) (models.Job, error) {
	j := models.Job{ID: newID(), OrgID: p.OrgID, Type: models.JobDeleteProvider, Name: "Delete OAuth provider " + p.Name,
		Status: models.JobPending, ProviderID: &p.ID, Force: force, CreatedBy: c.UserID}
	if p.DeleteJobID != nil {
		last, err := tx.Job(ctx, *p.DeleteJobID)
		switch {
		case store.IsNotFound(err): // its retention is over; begin anew
		case err != nil:
			return j, err
		case !last.Status.Final():
			if force && !last.Force {
				return last, tx.ForceJob(ctx, last.ID)
			}
			return last, nil
		default:
			j.Resumes = &last.ID
		}
	}
	if err := tx.InsertJob(ctx, &j, s.timing.Resweep); err != nil {
		return j, err
	}
	p.Status, p.DeleteJobID = models.ProviderDeleted, &j.ID
	if err := tx.SaveProvider(ctx, &p); err != nil {
		return j, err
	}
	return j, tx.Audit(ctx, event(c, store.ActionProviderDeleteAsked).provider(p.ID).job(j.ID).done())
}

// sliceSize is how many items one claim takes (D6).
const sliceSize = 64

// RunDeletion works on a deletion for one slice of time, and rings for the next
// slice or ends the job. Any number of workers may run it at once.
func (s *Service) RunDeletion(ctx context.Context, id string) error {
	j, err := s.store.Job(ctx, id)
	if store.IsNotFound(err) || err == nil && j.Status.Final() {
		return nil
	}
	if err == nil {
		err = s.startDeletion(ctx, &j)
	}
	if err != nil {
		return fmt.Errorf("starting deletion %s: %w", id, err)
	}
	switch err := s.slice(ctx, &j); {
	case errors.Is(err, errClientRefused):
		return s.stopDeletion(ctx, j,
			"The provider refuses this OAuth client, so nothing more can be revoked. Correct clientSecret and send DELETE again, or give up with DELETE ?force=true.")
	case err != nil:
		return fmt.Errorf("deletion %s: %w", id, err)
	}
	return s.goOn(ctx, j)
}

// startDeletion moves the job to RUNNING and counts its items, while nothing can
// join them.
func (s *Service) startDeletion(ctx context.Context, j *models.Job) error {
	err := s.store.Tx(ctx, func(tx *store.Store) error {
		if _, err := tx.HoldProvider(ctx, *j.ProviderID); err != nil {
			return err
		}
		started, err := tx.StartJob(ctx, j.ID)
		if err != nil || !started {
			return err
		}
		if err := tx.RetryItems(ctx, *j.ProviderID); err != nil {
			return err
		}
		total, sample, err := tx.CountItems(ctx, *j.ProviderID, detailsCap)
		if err != nil {
			return err
		}
		return tx.SetTotal(ctx, j.ID, total, sample)
	})
	if err != nil {
		return err
	}
	*j, err = s.store.Job(ctx, j.ID)
	return err
}

// slice claims and revokes items until nothing is due or its time is over.
func (s *Service) slice(ctx context.Context, j *models.Job) error {
	if err := s.store.PostponeJob(ctx, j.ID, s.timing.itemLease()+s.timing.Resweep); err != nil {
		return err
	}
	opened := &clients{s: s}
	for end := time.Now().Add(s.timing.Slice); time.Now().Before(end) && ctx.Err() == nil; {
		var err error
		if *j, err = s.store.Job(ctx, j.ID); err != nil || j.Status.Final() {
			return err
		}
		lease := newID()
		n, err := s.store.ClaimItems(ctx, *j.ProviderID, lease, s.timing.itemLease(), sliceSize, j.Force)
		if err != nil || n == 0 {
			return err
		}
		if err := s.store.LeaseItemCredentials(ctx, lease, s.timing.itemLease()); err != nil {
			return err
		}
		items, err := s.store.ItemsUnder(ctx, lease)
		if err != nil {
			return err
		}
		if j.Force {
			err = s.abandon(ctx, lease, j, items)
		} else {
			_, err = s.revokeItems(ctx, lease, j, items, opened)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// abandon settles items without asking the upstream.
func (s *Service) abandon(ctx context.Context, lease string, j *models.Job, items []store.Linked) error {
	rulings := make([]ruling, len(items))
	for i := range rulings {
		rulings[i] = settled(models.OutcomeAbandoned, "")
	}
	_, err := s.writeRulings(ctx, lease, j, items, rulings)
	return err
}

// goOn ends the job when nothing is left to do, and else rings for the time when
// something is.
func (s *Service) goOn(ctx context.Context, j models.Job) error {
	if err := s.reapFlows(ctx, *j.ProviderID); err != nil {
		return err
	}
	due, more, err := s.store.NextItemDue(ctx, *j.ProviderID)
	if err != nil {
		return err
	}
	switch {
	case more && due > 0:
		return s.store.PostponeJob(ctx, j.ID, due)
	case more:
		rung, ok, err := s.store.RingJob(ctx, j.ID, s.timing.Resweep)
		if ok {
			s.ringJob(ctx, rung)
		}
		return err
	}
	return s.finishDeletion(ctx, j)
}

// finishDeletion removes provider, secret and credentials, in one transaction
// that holds the provider and finds nothing unsettled (D2). What failed for good
// leaves the job in ERROR and the provider disabled.
func (s *Service) finishDeletion(ctx context.Context, j models.Job) error {
	return s.store.Tx(ctx, func(tx *store.Store) error {
		p, err := tx.HoldProvider(ctx, *j.ProviderID)
		if store.IsNotFound(err) {
			return nil // another worker ended it
		}
		if err != nil {
			return err
		}
		pending, err := tx.PendingItems(ctx, p.ID, 1)
		if err != nil {
			return err
		}
		underWay, err := tx.FlowsUnderWay(ctx, p.ID)
		if err != nil {
			return err
		}
		if pending+underWay > 0 {
			return tx.PostponeJob(ctx, j.ID, s.timing.Backoff)
		}
		if j, err = tx.Job(ctx, j.ID); err != nil || j.Status.Final() {
			return err
		}
		if j.Failed > 0 {
			return s.failDeletion(ctx, tx, p, j, fmt.Sprintf("%d of %d authorizations could not be revoked. Send DELETE again to retry them, or DELETE ?force=true to give up on them.", j.Failed, j.Total))
		}
		if _, err := tx.FinishJob(ctx, j.ID, models.JobCompleted, "", nil); err != nil {
			return err
		}
		if err := tx.Audit(ctx, ownEvent(p.OrgID, store.ActionProviderDeleted).provider(p.ID).job(j.ID).done()); err != nil {
			return err
		}
		return tx.DeleteProvider(ctx, p.ID)
	})
}

// stopDeletion stops a deletion in ERROR with its items pending.
func (s *Service) stopDeletion(ctx context.Context, j models.Job, why string) error {
	return s.store.Tx(ctx, func(tx *store.Store) error {
		p, err := tx.HoldProvider(ctx, *j.ProviderID)
		if err != nil {
			return err
		}
		return s.failDeletion(ctx, tx, p, j, why)
	})
}

func (s *Service) failDeletion(ctx context.Context, tx *store.Store, p models.Provider, j models.Job, why string) error {
	ended, err := tx.FinishJob(ctx, j.ID, models.JobError, why, nil)
	if err != nil || !ended {
		return err
	}
	p.Status = models.ProviderDisabled
	return tx.SaveProvider(ctx, &p)
}
