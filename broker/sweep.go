package broker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/grantd/grantd/store"
)

// Sweep rings for whatever is due and not being worked on, and clears what is
// over: SQL is the truth, and a bell that nobody heard, a worker that died or an
// emptied Redis cost only the time until the next sweep (O1). Where the bell
// cannot be rung the work is done here.
func (s *Service) Sweep(ctx context.Context) error {
	var errs []error
	for _, part := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"upgrade", s.sweepUpgrade}, {"jobs", s.sweepJobs}, {"revocations", s.sweepTombstones}, {"refreshes", s.sweepRefreshes}, {"flows", s.sweepFlows}, {"former secrets", s.sweepFormerSecrets},
		{"events", s.tellExpiring}, {"statistics", s.hourlyStats}, {"retention", s.forget},
	} {
		began := time.Now()
		if err := part.do(ctx); err != nil {
			errs = append(errs, fmt.Errorf("sweeping %s: %w", part.name, err))
		}
		s.metrics.SweepPart(part.name, time.Since(began))
	}
	return errors.Join(errs...)
}

func (s *Service) sweepJobs(ctx context.Context) error {
	rung, err := s.store.RingDueJobs(ctx, s.timing.Resweep, sweepBatch)
	return errors.Join(err, sideBySide(rung, func(r store.Rung) error {
		if s.ringJob(ctx, r) {
			return nil
		}
		return s.run(ctx, r)
	}))
}

func (s *Service) sweepTombstones(ctx context.Context) error {
	ids, err := s.store.DueTombstones(ctx, s.timing.Resweep, sweepBatch)
	if err != nil || len(ids) == 0 {
		return err
	}
	now, err := s.store.Now(ctx)
	return errors.Join(err, sideBySide(ids, func(id string) error {
		if s.ringRevoke(ctx, id, now.UnixMilli()) == nil {
			return nil
		}
		return s.RevokeOne(ctx, id)
	}))
}

// sideBySide does something about each of a batch, at once, so that one whose upstream
// takes its time delays no other (T4).
func sideBySide[T any](batch []T, do func(T) error) error {
	errs := make([]error, len(batch))
	var wg sync.WaitGroup
	for i, one := range batch {
		wg.Go(func() { errs[i] = do(one) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
