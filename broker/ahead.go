package broker

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// Refreshes ahead of callers. The sweep claims tokens that are in use and due, refresh
// tokens that would expire unused, attempts whose outcome is unknown (R3), and the probes of
// providers in trouble (R5). They use the slots that callers leave free, and background
// work's half of the upstream's budget.

// sweepRefreshes takes up what should be refreshed before anybody asks.
func (s *Service) sweepRefreshes(ctx context.Context) error {
	next := s.timing.Resweep
	idle, err1 := s.store.IdleAndLapsing(ctx, next, sweepBatch)
	ambiguous, err2 := s.store.AmbiguousAndOver(ctx, next, sweepBatch)
	probes, err3 := s.store.Probes(ctx, next, sweepBatch)
	err := errors.Join(err1, err2, err3)
	_, aheadErr := s.refreshAhead(ctx, slices.Concat(idle, ambiguous, probes))
	err = errors.Join(err, aheadErr)
	s.dryBesides.Store(nil)
	if !s.feeding.CompareAndSwap(false, true) {
		s.flights.lookAgain() // what an earlier sweep began goes on; other providers' tokens may be due since
		return err
	}
	full, passed, feedErr := s.feed(ctx)
	s.inflight.begin()
	go func() {
		defer s.inflight.end()
		defer s.feeding.Store(false)
		s.feedOn(context.WithoutCancel(ctx), full, passed)
	}()
	return errors.Join(err, feedErr)
}

// feedOn takes up tokens in use for as long as some are due, as fast as the process
// refreshes them. full and passed are what feed returned before.
func (s *Service) feedOn(ctx context.Context, full bool, passed []string) {
	for !s.stopping.Load() {
		if !full {
			if len(passed) == 0 {
				return
			}
			if allAmong(passed, s.flights.crowded()) {
				<-s.flights.short
			}
		}
		var err error
		if full, passed, err = s.feed(ctx); err != nil {
			s.log.Warn("claiming tokens that are due failed; the next sweep tries again", "error", err)
			return
		}
	}
}

// allAmong reports whether all of some are among others.
func allAmong(some, others []string) bool {
	return !slices.ContainsFunc(some, func(one string) bool { return !slices.Contains(others, one) })
}

// feed takes up a batch of tokens that are in use and due, of providers that have not
// enough in line already. It reports whether the batch was full, so that there may be more, and
// which providers were passed over, of which there may be more in any case.
//
// Where one provider has very many due, finding those of the others means passing over all of
// them. It is done until none is left, and then once a sweep.
func (s *Service) feed(ctx context.Context) (full bool, passed []string, err error) {
	crowded := s.flights.crowded()
	if dry := s.dryBesides.Load(); dry != nil && allAmong(*dry, crowded) {
		return false, crowded, nil
	}
	ids, err := s.store.InUseAndDue(ctx, s.timing.Resweep, sweepBatch, crowded)
	if err != nil {
		return false, crowded, err
	}
	full = len(ids) == sweepBatch
	if !full && len(crowded) > 0 {
		s.dryBesides.Store(&crowded)
	}
	queued, err := s.refreshAhead(ctx, ids)
	return full && queued > 0, crowded, err
}

// refreshAhead queues the refreshes of authorizations that nobody waits for, and returns how
// many. It reads them with the hot query, many at once.
func (s *Service) refreshAhead(ctx context.Context, ids []string) (queued int, err error) {
	byProvider := map[string][]models.Linked{}
	for some := range slices.Chunk(ids, sweepBatch) {
		rows, err := s.store.FetchableAll(ctx, some)
		if err != nil {
			return 0, err
		}
		for _, l := range rows {
			if (dueAhead(l) || l.ResetLost()) && !l.Leased() {
				byProvider[l.Provider.ID] = append(byProvider[l.Provider.ID], l)
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(byProvider)) {
		queued += s.queueAhead(ctx, byProvider[id])
	}
	return queued, nil
}

// queueAhead queues the refreshes of one provider's authorizations, as many as the
// upstream's budget grants; the sweep takes the others up again. Attempts whose outcome is
// unknown are not held up (R3).
func (s *Service) queueAhead(ctx context.Context, rows []models.Linked) (queued int) {
	at, optional := s.at(rows[0].Provider), 0
	for _, l := range rows {
		if l.Credential.AttemptID == nil {
			optional++
		}
	}
	granted := 0
	if optional > 0 {
		granted, _ = at.take(ctx, at.refreshes(), store.ClassTokenPace, optional)
	}
	for _, l := range rows {
		var paid share
		if l.Credential.AttemptID == nil {
			if granted == 0 {
				continue
			}
			granted, paid = granted-1, at.refreshes()
		}
		if s.flights.queueAhead(l, s.aheadFlight(ctx, l, paid)) {
			queued++
		} else {
			s.charge(ctx, paid, -1)
		}
	}
	return queued
}

// aheadFlight is what a flight does that nobody waits for. What comes of it is on the row,
// and the next sweep acts on that.
func (s *Service) aheadFlight(ctx context.Context, l models.Linked, paid share) func() (models.Linked, error) {
	id, resetLost, refresh := l.Authorization.ID, l.ResetLost(), s.flightOf(ctx, l, dueAhead, paid)
	return func() (now models.Linked, err error) {
		switch {
		case s.stopping.Load():
			s.charge(ctx, paid, -1)
			return now, noSlot
		case resetLost:
			own, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timing.TokenCall+s.timing.LeaseMargin)
			defer cancel()
			now, err = s.settleReset(own, id)
		default:
			now, err = refresh()
		}
		if models.CodeOf(err) == models.CodeInternal {
			s.log.Warn("refreshing a token that is due failed; the next sweep tries again", "authorization", id, "error", err)
		}
		return now, err
	}
}

// dueAhead reports whether an authorization should be refreshed although nobody asks.
func dueAhead(l models.Linked) bool {
	idle := l.Credential.KeepAliveAt != nil && !l.Now.Before(*l.Credential.KeepAliveAt)
	return l.RefreshDue() || l.MayRefresh() && (idle || l.Credential.AttemptID != nil)
}
