package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/grantd/grantd/jobs"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// What a sweep takes up: so many at a time, and tokens fetched within this while
// are refreshed ahead of time.
const (
	sweepBatch = 100
	usedLately = time.Hour
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
		{"upgrade", s.sweepUpgrade}, {"jobs", s.sweepJobs}, {"revocations", s.sweepTombstones}, {"refreshes", s.sweepRefreshes}, {"flows", s.sweepFlows},
		{"statistics", s.hourlyStats}, {"retention", s.forget},
	} {
		if err := part.do(ctx); err != nil {
			errs = append(errs, fmt.Errorf("sweeping %s: %w", part.name, err))
		}
	}
	return errors.Join(errs...)
}

func (s *Service) sweepJobs(ctx context.Context) error {
	rung, err := s.store.RingDueJobs(ctx, s.timing.Resweep, sweepBatch)
	for _, r := range rung {
		if !s.ringJob(ctx, r) {
			err = errors.Join(err, s.run(ctx, r))
		}
	}
	return err
}

func (s *Service) sweepTombstones(ctx context.Context) error {
	ids, err := s.store.DueTombstones(ctx, s.timing.Resweep, sweepBatch)
	if err != nil || len(ids) == 0 {
		return err
	}
	now, err := s.store.Now(ctx)
	for _, id := range ids {
		if s.ringRevoke(ctx, id, now.UnixMilli()) != nil {
			err = errors.Join(err, s.RevokeOne(ctx, id))
		}
	}
	return err
}

// sweepRefreshes rings for tokens that should be refreshed before anybody asks.
// One ring per authorization and sweep period is enough: the row's lease decides.
func (s *Service) sweepRefreshes(ctx context.Context) error {
	lately, err1 := s.store.LatelyUsedAndDue(ctx, usedLately, sweepBatch)
	idle, err2 := s.store.IdleAndLapsing(ctx, sweepBatch)
	ambiguous, err3 := s.store.AmbiguousAndOver(ctx, sweepBatch)
	err := errors.Join(err1, err2, err3)
	ids := slices.Concat(lately, idle, ambiguous)
	if len(ids) == 0 {
		return err
	}
	now, nowErr := s.store.Now(ctx)
	err = errors.Join(err, nowErr)
	ring := now.UnixMilli() / s.timing.Resweep.Milliseconds()
	for _, id := range ids {
		if s.bell.Ring(ctx, jobs.NewRefreshTask(jobs.Refresh{AuthorizationID: id, Ring: ring})) != nil {
			err = errors.Join(err, s.RefreshDue(ctx, id))
		}
	}
	return err
}

// sweepFlows ends flows that cannot go on, and sees to tokens without an owner.
func (s *Service) sweepFlows(ctx context.Context) error {
	if err := s.store.LapseFlows(ctx, s.timing.TokenCall+s.timing.LeaseMargin); err != nil {
		return err
	}
	return s.reapFlows(ctx, "")
}

// reapFlows leaves tokens that found no owner to be revoked: those of flows past
// their time, and, with a provider given, all of that provider's.
func (s *Service) reapFlows(ctx context.Context, provider string) error {
	flows, err := s.store.OwnerlessFlows(ctx, provider, sweepBatch)
	for _, f := range flows {
		err = errors.Join(err, s.reapFlow(ctx, f))
	}
	return err
}

func (s *Service) reapFlow(ctx context.Context, f models.Flow) error {
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
	if f.Channel == models.ChannelImport && p.Usable() {
		if waits, err := s.resumeImport(ctx, f); waits || err != nil {
			return err
		}
	}
	return s.disown(ctx, p, f, e, "no_owner")
}
