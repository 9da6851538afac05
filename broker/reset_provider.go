package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// ResetProvider has a job reset the tokens of every authorization of a provider, for
// admins. There is one at a time: asked again, it answers with the same.
func (s *Service) ResetProvider(ctx context.Context, c models.Caller, id string) (models.Job, error) {
	if _, err := s.visibleProvider(ctx, c, id); err != nil {
		return models.Job{}, err
	}
	if err := onlyAdmins(c); err != nil {
		return models.Job{}, err
	}
	var j models.Job
	err := s.store.Tx(ctx, func(tx *store.Store) error {
		p, err := tx.LockProvider(ctx, id)
		if err != nil {
			return err
		}
		if !p.Usable() {
			return models.Errorf(models.CodeConflict, "The provider is %s; tokens can be reset only while it is active.", p.Status)
		}
		j, err = s.resetJob(ctx, tx, c, p)
		return err
	})
	if err != nil {
		return j, err
	}
	s.ringJob(ctx, store.Rung{ID: j.ID, Type: j.Type, Ring: j.Ring})
	return j, nil
}

// resetJob returns the job that is resetting a locked provider, or makes it.
func (s *Service) resetJob(ctx context.Context, tx *store.Store, c models.Caller, p models.Provider) (models.Job, error) {
	key := resetKey(p.ID)
	j, err := tx.JobByKey(ctx, key)
	if !store.IsNotFound(err) {
		return j, err
	}
	j = models.Job{ID: newID(), OrgID: p.OrgID, Type: models.JobResetProvider, Name: "Reset the tokens of OAuth provider " + p.Name,
		Status: models.JobPending, ProviderID: &p.ID, DedupeKey: &key, CreatedBy: c.UserID, Details: resetDetails(p.ID, nil, 0)}
	if err := tx.InsertJob(ctx, &j, s.timing.Resweep); err != nil {
		return j, err
	}
	return j, tx.Audit(ctx, event(c, models.ActionJobCreated).provider(p.ID).job(j.ID).done())
}

// resetKey is one unfinished job's (O1).
func resetKey(provider string) string { return string(models.JobResetProvider) + ":" + provider }

// resetProgress reads what a job that resets shows, and the counts by outcome.
func resetProgress(ctx context.Context, in *store.Store, j models.Job) (models.Details, map[models.Outcome]int64, error) {
	counts, err := in.CountResetItems(ctx, j.ID)
	if err != nil {
		return nil, nil, err
	}
	mayLive, err := in.CountResetReason(ctx, j.ID, oldTokenMayLive)
	return resetDetails(*j.ProviderID, counts, mayLive), counts, err
}

// resetDetails are what a job that resets shows. mayLive counts the old tokens of which
// nobody has observed that they are invalid.
func resetDetails(provider string, counts map[models.Outcome]int64, mayLive int64) models.Details {
	var total int64
	for _, n := range counts {
		total += n
	}
	d := models.Details{{Name: "provider_id", Value: provider}, {Name: "total", Value: count(total)}}
	for _, o := range models.ResetOutcomes {
		d = append(d, models.Detail{Name: string(o), Value: count(counts[o])})
	}
	return append(d, models.Detail{Name: "pending", Value: count(counts[""])}, models.Detail{Name: oldTokenMayLive, Value: count(mayLive)})
}

// RunReset works on a job of type RESET_PROVIDER for one slice of time, and rings for
// the next slice or ends the job. Any number of workers may run it at once.
func (s *Service) RunReset(ctx context.Context, id string) error {
	j, release, err := s.takeUpJob(ctx, id)
	if release == nil {
		return err
	}
	defer release()
	if err := s.startReset(ctx, j); err != nil {
		return fmt.Errorf("starting job %s: %w", id, err)
	}
	wait, err := s.resetSlice(ctx, j)
	ctx = context.WithoutCancel(ctx) // what was begun is handed on, even at shutdown
	if why := resetOver(err); why != "" {
		return s.finishReset(ctx, j, why)
	}
	if err == nil {
		err = s.goOnReset(ctx, j, wait)
	}
	if err != nil {
		return fmt.Errorf("job %s: %w", id, err)
	}
	return nil
}

// resetOver is the sentence with which a reset ends that stops with items left, "" where
// err is of one slice alone.
func resetOver(err error) string {
	for _, over := range []*models.Error{errResetRefused, errResetOff} {
		if errors.Is(err, over) {
			return over.Message
		}
	}
	return ""
}

// startReset moves a job to RUNNING, makes its items, and rings for as many slices as
// they are worth.
func (s *Service) startReset(ctx context.Context, j models.Job) error {
	if j.Status != models.JobPending {
		return nil
	}
	var total int64
	err := s.store.Tx(ctx, func(tx *store.Store) error {
		started, err := tx.StartJob(ctx, j.ID)
		if err != nil || !started {
			return err
		}
		if total, err = tx.AddResetItems(ctx, j.ID, *j.ProviderID); err != nil {
			return err
		}
		return tx.SetDetails(ctx, j.ID, resetDetails(*j.ProviderID, map[models.Outcome]int64{"": total}, 0))
	})
	if err != nil {
		return err
	}
	return s.ringSlices(ctx, j.ID, total)
}

// goOnReset ends the job when nothing is left to do, and else rings for the time when
// something is.
func (s *Service) goOnReset(ctx context.Context, j models.Job, wait time.Duration) error {
	shown, counts, err := resetProgress(ctx, s.store, j)
	if err != nil {
		return err
	}
	if err := s.store.SetDetails(ctx, j.ID, shown); err != nil {
		return err
	}
	due, more, err := s.store.NextResetDue(ctx, j.ID)
	if err != nil {
		return err
	}
	switch {
	case more:
		return s.ringIn(ctx, j.ID, max(due, wait))
	case counts[models.OutcomeFailed] > 0:
		return s.finishReset(ctx, j, fmt.Sprintf("%d tokens could not be reset. Send reset again to retry.", counts[models.OutcomeFailed]))
	}
	return s.finishReset(ctx, j, "")
}

// finishReset ends the job, in ERROR with a reason, and lets the next one begin.
func (s *Service) finishReset(ctx context.Context, j models.Job, failure string) error {
	status := models.JobCompleted
	if failure != "" {
		status = models.JobError
	}
	return s.store.Tx(ctx, func(tx *store.Store) error {
		shown, _, err := resetProgress(ctx, tx, j)
		if err != nil {
			return err
		}
		ended, err := tx.FinishJob(ctx, j.ID, status, failure, shown)
		if err != nil || !ended {
			return err
		}
		return tx.FreeJobKey(ctx, resetKey(*j.ProviderID))
	})
}

// stopReset ends the job that is resetting a locked provider, if there is one: its
// deletion comes first.
func (s *Service) stopReset(ctx context.Context, tx *store.Store, p models.Provider) error {
	j, err := tx.JobByKey(ctx, resetKey(p.ID))
	if store.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := tx.FinishJob(ctx, j.ID, models.JobError, "The provider is being deleted.", nil); err != nil {
		return err
	}
	return tx.FreeJobKey(ctx, resetKey(p.ID))
}
