package broker

import (
	"context"
	"errors"
	"fmt"
	"strings"

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
		p, err := tx.LockProvider(ctx, id)
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
		return j, err
	}
	if !s.ringJob(ctx, rung) { // then the next sweep takes it up, instead of waiting whether anybody heard
		if err := s.store.PostponeJob(ctx, j.ID, 0); err != nil {
			s.log.Warn("a job starts late", "job", j.ID, "error", err)
		}
	}
	return j, nil
}

// deletionJob returns the job that is deleting a locked provider, or makes it.
func (s *Service) deletionJob(ctx context.Context, tx *store.Store, c models.Caller, p models.Provider, force bool) (models.Job, error) {
	j := models.Job{ID: newID(), OrgID: p.OrgID, Type: models.JobDeleteProvider, Name: "Delete OAuth provider " + p.Name,
		Status: models.JobPending, ProviderID: &p.ID, Force: force, CreatedBy: c.UserID}
	if p.DeleteJobID != nil {
		last, err := tx.Job(ctx, *p.DeleteJobID)
		switch {
		case store.IsNotFound(err): // its retention is over; begin again
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
	if err := s.stopReset(ctx, tx, p); err != nil {
		return j, err
	}
	before := p
	p.Status, p.DeleteJobID = models.ProviderDeleted, &j.ID
	if err := tx.SaveProvider(ctx, &p); err != nil {
		return j, err
	}
	if err := tellChange(ctx, tx, before, p); err != nil {
		return j, err
	}
	return j, tx.Audit(ctx, event(c, models.ActionProviderDeleteAsked).provider(p.ID).job(j.ID).done())
}

// startDeletion moves the job to RUNNING and counts its items, while nothing can
// join them.
func (s *Service) startDeletion(ctx context.Context, tx *store.Store, j models.Job) (bool, error) {
	if _, err := tx.LockProvider(ctx, *j.ProviderID); err != nil {
		return false, err
	}
	started, err := tx.StartJob(ctx, j.ID)
	if err != nil || !started {
		return false, err
	}
	return true, errors.Join(tx.RetryItems(ctx, *j.ProviderID), tx.RetryUnsettled(ctx, *j.ProviderID))
}

// finishDeletion removes provider, secret and credentials, in one transaction
// that holds the provider and finds nothing unsettled (D2). What failed for good
// leaves the job in ERROR and the provider disabled.
func (s *Service) finishDeletion(ctx context.Context, tx *store.Store, j models.Job) error {
	p, err := tx.LockProvider(ctx, *j.ProviderID)
	if store.IsNotFound(err) {
		return nil // another worker ended it
	}
	if err != nil {
		return err
	}
	underWay, err := tx.FlowsUnderWay(ctx, p.ID)
	if err != nil {
		return err
	}
	untried, unsettled, err := tx.CountUnsettled(ctx, p.ID)
	if err != nil {
		return err
	}
	if pending, err := tx.AnyPending(ctx, itemsOf(j)); err != nil || pending || underWay > 0 || untried > 0 {
		return errors.Join(err, tx.PostponeJob(ctx, j.ID, s.timing.Backoff))
	}
	if j, err = tx.Job(ctx, j.ID); err != nil || j.Status.Final() {
		return err
	}
	if unsettled > 0 {
		if err := tx.AddSettled(ctx, j.ID, models.OutcomeFailed, unsettled); err != nil {
			return err
		}
		j.Failed, j.Total = j.Failed+unsettled, j.Total+unsettled
	}
	if settled := j.Settled(); settled != j.Total { // a disconnect, or a job of its user's, that had begun before settled some
		if err := tx.SetTotal(ctx, j.ID, settled, j.SampleIDs); err != nil {
			return err
		}
		j.Total = settled
	}
	if j.Failed > 0 {
		return s.failDeletion(ctx, tx, p, j, couldNotRevoke(j.Failed, j.Total)+resumeDeletion)
	}
	if j.Force {
		if err := abandonKept(ctx, tx, p.ID, ""); err != nil {
			return err
		}
	}
	if _, err := tx.FinishJob(ctx, j.ID, models.JobCompleted, "", nil); err != nil {
		return err
	}
	gone := p.Event(models.EventProviderDeleted, "")
	gone.JobID = j.ID
	if err := tx.Tell(ctx, gone); err != nil {
		return err
	}
	if err := tx.Audit(ctx, ownEvent(p.OrgID, models.ActionProviderDeleted).provider(p.ID).job(j.ID).done()); err != nil {
		return err
	}
	return tx.DeleteProvider(ctx, p.ID)
}

// The ends of a failure: what to send to the API to go on with the job.
const (
	resumeDeletion   = " Send DELETE again to retry them, or DELETE ?force=true to give up on them."
	resumeWithSecret = " Correct clientSecret and send DELETE again, or give up with DELETE ?force=true."
	repeatRevocation = " Send the same DELETE again to retry them."
)

func couldNotRevoke(failed, total int64) string {
	return fmt.Sprintf("%d of %d authorizations could not be revoked.", failed, total)
}

// Cause returns why a job ended with an error, "" if it did not: its failure, without what to
// send to the API next, for a page that offers to go on with the job.
func Cause(j models.Job) string {
	cause := j.Failure
	for _, next := range []string{resumeDeletion, resumeWithSecret, repeatRevocation} {
		cause = strings.TrimSuffix(cause, next)
	}
	return cause
}

// stopDeletion stops a deletion in ERROR with its items pending.
func (s *Service) stopDeletion(ctx context.Context, j models.Job, why string) error {
	return s.store.Tx(ctx, func(tx *store.Store) error {
		p, err := tx.LockProvider(ctx, *j.ProviderID)
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
