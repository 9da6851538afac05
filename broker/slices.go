package broker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// A job that revokes many authorizations is worked on in slices of time, by as
// many workers as hear the bell. What says who revokes what are the leases on the
// items; a slice that dies costs only what it had claimed (D6).

// itemsOf are the items of a job that revokes.
func itemsOf(j models.Job) store.Items {
	if j.Type == models.JobDeleteProvider {
		return store.ItemsOfProvider(*j.ProviderID)
	}
	return store.ItemsOfJob(j.ID)
}

// takeItems gives a job that revokes a user some of what is still linked.
func takeItems(ctx context.Context, tx *store.Store, j models.Job) error {
	if j.Type != models.JobRevokeUser {
		return nil
	}
	return tx.TakeItemsOfUser(ctx, j.ID, unlinkBatch)
}

// RunRevocation works on a job of type DELETE_PROVIDER or REVOKE_USER for one
// slice of time, and rings for the next slice or ends the job. Any number of
// workers may run it at once.
func (s *Service) RunRevocation(ctx context.Context, id string) error {
	j, release, err := s.takeUpJob(ctx, id)
	if release == nil {
		return err
	}
	defer release()
	if j, err = s.startRevocation(ctx, j); err != nil {
		return fmt.Errorf("starting job %s: %w", id, err)
	}
	wait, err := s.slice(ctx, j)
	ctx = context.WithoutCancel(ctx) // what was begun is handed on, even at shutdown
	if errors.Is(err, errClientRefused) {
		return s.stopDeletion(ctx, j, "The provider refuses this OAuth client, so nothing more can be revoked."+resumeWithSecret)
	}
	if err != nil {
		return fmt.Errorf("job %s: %w", id, err)
	}
	return s.goOn(ctx, j, wait)
}

// takeUpJob reads a job and takes a place for a slice of it. It returns no release where
// nothing is to be done: the job has ended, or its organisation has its share of this
// process's places, and then the job is enqueued again soon.
func (s *Service) takeUpJob(ctx context.Context, id string) (models.Job, func(), error) {
	j, err := s.store.Job(ctx, id)
	switch {
	case store.IsNotFound(err), err == nil && j.Status.Final():
		return j, nil, nil
	case err != nil:
		return j, nil, fmt.Errorf("reading job %s: %w", id, err)
	}
	release, ok := s.slices.try(j.OrgID)
	if !ok {
		return j, nil, s.store.PostponeJob(ctx, id, s.timing.Backoff)
	}
	return j, release, nil
}

// startRevocation moves a job to RUNNING, counts its items, and rings for as many
// slices as they are worth.
func (s *Service) startRevocation(ctx context.Context, j models.Job) (models.Job, error) {
	if j.Status != models.JobPending {
		return j, nil
	}
	var total int64
	err := s.store.Tx(ctx, func(tx *store.Store) error {
		start := tx.StartJob
		if j.Type == models.JobDeleteProvider {
			start = func(ctx context.Context, _ string) (bool, error) { return s.startDeletion(ctx, tx, j) }
		}
		started, err := start(ctx, j.ID)
		if err != nil || !started {
			return err
		}
		var sample models.Strings
		if err := takeItems(ctx, tx, j); err != nil { // so that there is a sample
			return err
		}
		if total, sample, err = tx.CountItems(ctx, itemsOf(j), detailsCap); err != nil {
			return err
		}
		untaken, err := tx.CountUntaken(ctx, j.ID)
		if err != nil {
			return err
		}
		total += untaken
		return tx.SetTotal(ctx, j.ID, total, sample)
	})
	if err != nil {
		return j, err
	}
	if err := s.ringSlices(ctx, j.ID, total); err != nil {
		return j, err
	}
	return s.store.Job(ctx, j.ID)
}

// ringSlices rings for as many slices as a job's items are worth.
func (s *Service) ringSlices(ctx context.Context, id string, items int64) error {
	for range min(maxSlices, items/itemsPerSlice) {
		if err := s.ringNext(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// ringNext moves the job to its next ring and rings for it.
func (s *Service) ringNext(ctx context.Context, id string) error {
	rung, ok, err := s.store.RingJob(ctx, id, s.timing.itemLease())
	if ok {
		s.ringJob(ctx, rung)
	}
	return err
}

// slice claims and revokes items until nothing is due, its time is over or the
// process stops. It returns how long to wait before the next one.
func (s *Service) slice(ctx context.Context, j models.Job) (time.Duration, error) {
	if err := s.store.PostponeJob(ctx, j.ID, s.timing.itemLease()+s.timing.Resweep); err != nil {
		return 0, err
	}
	run := &sliceRun{s: s, job: j, end: time.Now().Add(s.timing.Slice)}
	var wg sync.WaitGroup
	for range maxBatches {
		wg.Go(func() { run.claims(ctx) })
	}
	wg.Wait()
	if run.claimed == 0 { // what is left is locked or leased: look again, but not at once
		run.wait = max(run.wait, s.timing.Backoff)
	}
	return run.wait, run.err
}

// sliceRun is one slice; its claims share how it ends.
type sliceRun struct {
	s   *Service
	job models.Job
	end time.Time

	mu      sync.Mutex
	claimed int64
	wait    time.Duration
	err     error
	over    bool
}

func (r *sliceRun) claims(ctx context.Context) {
	own, cancel := context.WithDeadline(ctx, r.end)
	defer cancel()
	for r.claimNext(ctx, own) {
	}
}

// claimNext takes up a batch when the organisation may have one more, unless own ends
// before. It reports whether there may be another.
func (r *sliceRun) claimNext(ctx, own context.Context) bool {
	release, err := r.s.batches.take(own, r.job.OrgID)
	if err != nil {
		return false
	}
	defer release()
	if !r.goesOn(ctx) {
		return false
	}
	more, err := r.claim(ctx)
	if err != nil || !more {
		r.finish(err)
		return false
	}
	return true
}

func (r *sliceRun) goesOn(ctx context.Context) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.over && ctx.Err() == nil && !r.s.stopping.Load() && time.Now().Before(r.end)
}

// finish ends the slice for all claims; one that found nothing ends only itself.
func (r *sliceRun) finish(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.over, r.err = true, err
	}
}

// claim takes up one batch, and returns false when there was none.
func (r *sliceRun) claim(ctx context.Context) (bool, error) {
	j, err := r.s.store.Job(ctx, r.job.ID) // it may have ended, or been forced
	if err != nil || j.Status.Final() {
		return false, err
	}
	size, granted, err := r.size(ctx, j)
	if err != nil || size == 0 {
		return false, err
	}
	if err := takeItems(ctx, r.s.store, j); err != nil {
		return false, err
	}
	lease := newID()
	n, err := r.s.store.ClaimItems(ctx, itemsOf(j), lease, r.s.timing.itemLease(), size, j.Force)
	r.s.charge(ctx, granted, int(n)-size) // it may be fewer than were granted
	if err != nil || n == 0 {
		return false, err
	}
	r.mu.Lock()
	r.claimed += n
	r.mu.Unlock()
	if j.Force {
		return true, r.s.abandon(ctx, lease, &j)
	}
	b, err := r.s.openBatch(ctx, lease, &j)
	if err != nil {
		return false, err
	}
	b.granted = j.ProviderID != nil
	_, err = b.run(ctx)
	return true, err
}

// size is how many items to claim: none while the provider's upstream is paused,
// one after a pause, whose answer says whether it is over, and else no more than
// the share of its budget grants, which is returned too (S3).
func (r *sliceRun) size(ctx context.Context, j models.Job) (int, share, error) {
	if j.Force || j.ProviderID == nil {
		return r.s.slots.limit, share{}, nil
	}
	p, err := r.s.store.Provider(ctx, *j.ProviderID)
	if err != nil {
		return 0, share{}, err
	}
	until, over, err := r.s.store.PauseOf(ctx, r.s.at(p).called(store.ClassRevoke), store.ClassRevoke)
	if err != nil {
		return 0, share{}, err
	}
	if until != nil && !over {
		r.holdUp(*until)
		return 0, share{}, nil
	}
	want := r.s.slots.limit
	if over {
		want = 1
	}
	at := r.s.at(p)
	of := at.revocations()
	n, wait := at.take(ctx, of, store.ClassRevokePace, want)
	r.holdUp(wait)
	return n, of, nil
}

// holdUp has the job wait after this slice.
func (r *sliceRun) holdUp(wait time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wait = max(r.wait, wait)
}

// abandon settles items without asking the upstream.
func (s *Service) abandon(ctx context.Context, lease string, j *models.Job) error {
	err := s.upgradeItems(ctx, lease)
	if err == nil {
		err = s.store.Tx(ctx, func(tx *store.Store) error { return abandonKept(ctx, tx, *j.ProviderID, lease) })
	}
	if err != nil {
		return err
	}
	items, err := s.store.ItemsUnder(ctx, lease)
	if err != nil {
		return err
	}
	rulings := make([]ruling, len(items))
	for i := range rulings {
		rulings[i] = settled(models.OutcomeAbandoned, "")
	}
	_, err = (&batch{s: s, lease: lease, job: j, mu: make(turn, 1), items: items}).write(ctx, rulings)
	return err
}

// goOn ends the job when nothing is left to do, and else rings for the time when
// something is.
func (s *Service) goOn(ctx context.Context, j models.Job, wait time.Duration) error {
	if j.Type == models.JobDeleteProvider {
		if err := s.settleFlowsOf(ctx, j); err != nil {
			return err
		}
	}
	left, err := s.store.TakesItems(ctx, j.ID)
	if err != nil {
		return err
	}
	if left {
		return s.ringIn(ctx, j.ID, wait)
	}
	due, more, err := s.store.NextItemDue(ctx, itemsOf(j))
	if err != nil {
		return err
	}
	if more {
		return s.ringIn(ctx, j.ID, max(due, wait))
	}
	return s.store.Tx(ctx, func(tx *store.Store) error {
		if j.Type == models.JobDeleteProvider {
			return s.finishDeletion(ctx, tx, j)
		}
		return s.finishUser(ctx, tx, j)
	})
}

// ringIn rings for a job's next slice: now, or when the sweeper finds it due.
func (s *Service) ringIn(ctx context.Context, id string, wait time.Duration) error {
	if wait > 0 {
		return s.store.PostponeJob(ctx, id, wait)
	}
	return s.ringNext(ctx, id)
}

// StopSlices lets the slices of this process end at the next batch, so that it
// can stop soon; other processes, or this one's successor, go on.
func (s *Service) StopSlices() { s.stopping.Store(true) }
