package broker

import (
	"cmp"
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/grantd/grantd/store"
)

// Retention is how long things are kept after they are over (P1).
type Retention struct {
	Flows      time.Duration // consents that ended
	Tombstones time.Duration // single revocations: tried for so long, and remembered as long again
	Superseded time.Duration // tokens whose provider is gone while another authorization depends on their grant
	Expired    time.Duration // tokens whose person must authorize again and does not
	Jobs       time.Duration // finished jobs and their items
	Audit      time.Duration // audit events and counts of token fetches
	Statistics time.Duration // what was counted of each day
	Minutes    time.Duration // counts of token fetches by the minute; older ones are added up by day
}

// DefaultRetention is what a running instance uses.
var DefaultRetention = Retention{
	Flows:      24 * time.Hour,
	Tombstones: 7 * 24 * time.Hour,
	Superseded: 90 * 24 * time.Hour,
	Expired:    90 * 24 * time.Hour,
	Jobs:       30 * 24 * time.Hour,
	Audit:      365 * 24 * time.Hour,
	Statistics: 400 * 24 * time.Hour,
	Minutes:    30 * 24 * time.Hour,
}

func (r Retention) withDefaults() Retention {
	return Retention{
		Flows:      cmp.Or(r.Flows, DefaultRetention.Flows),
		Tombstones: cmp.Or(r.Tombstones, DefaultRetention.Tombstones),
		Superseded: cmp.Or(r.Superseded, DefaultRetention.Superseded),
		Expired:    cmp.Or(r.Expired, DefaultRetention.Expired),
		Jobs:       cmp.Or(r.Jobs, DefaultRetention.Jobs),
		Audit:      cmp.Or(r.Audit, DefaultRetention.Audit),
		Statistics: cmp.Or(r.Statistics, DefaultRetention.Statistics),
		Minutes:    cmp.Or(r.Minutes, DefaultRetention.Minutes),
	}
}

// forget deletes what was kept long enough. Tokens that are invalid for long are unlinked
// like a disconnect, so that they are revoked too.
func (s *Service) forget(ctx context.Context) error {
	const limit = sweepBatch
	errs := []error{
		s.store.UnlinkExpired(ctx, s.keep.Expired, limit),
		s.abandonUnsettled(ctx, limit),
		s.store.AbandonTombstones(ctx, s.keep.Tombstones, limit),
		s.forgetSuperseded(ctx, limit),
		s.store.ForgetJobs(ctx, s.keep.Jobs, limit, forgetBatch, forgetQuota),
		s.store.ForgetPauses(ctx, s.keep.Flows),
	}
	for _, kind := range s.kept {
		errs = append(errs, kind.forget(ctx, s.timing.Forget))
	}
	return errors.Join(errs...)
}

// kept is a kind of rows that are deleted once they are old enough.
type kept struct {
	keep  time.Duration
	old   func(ctx context.Context, keep time.Duration, limit int) (int64, error)
	again atomic.Int64 // when it is worth looking for them, in Unix nanoseconds: most of the time none is old enough
}

func (s *Service) keptKinds() []*kept {
	return []*kept{
		{keep: s.keep.Flows, old: s.store.ForgetFlows},
		{keep: s.keep.Flows, old: s.store.ForgetConnectLinks},
		{keep: s.keep.Tombstones, old: s.store.ForgetTombstones},
		{keep: s.keep.Audit, old: s.store.ForgetEvents},
		{keep: s.keep.Audit, old: s.store.ForgetFetches},
		{keep: s.keep.Statistics, old: s.store.ForgetStatistics},
		{keep: store.FeedLife, old: s.store.ForgetDeliveries},
		{keep: store.FeedLife, old: s.store.ForgetWaiting},
		{keep: store.FeedLife, old: s.store.ForgetOutbox},
		{keep: s.keep.Minutes, old: s.store.AddUpFetches},
		{old: func(ctx context.Context, _ time.Duration, limit int) (int64, error) {
			return s.store.EndUse(ctx, limit)
		}},
		{old: s.store.ForgetSessions},
		{old: s.store.ForgetFormerSessions},
		{keep: 2 * max(s.timing.FlowLife, maxDeviceLife), old: s.store.ForgetGrants},
	}
}

// forget deletes as many as a sweep has time for. Where there are none it looks again after a while.
func (k *kept) forget(ctx context.Context, after time.Duration) error {
	if time.Now().UnixNano() < k.again.Load() {
		return nil
	}
	var found int64
	err := whileFull(func() (int64, error) {
		n, err := k.old(ctx, k.keep, forgetBatch)
		found += n
		return n, err
	})
	if err == nil && found == 0 {
		k.again.Store(time.Now().Add(after).UnixNano())
	}
	return err
}

// whileFull repeats a batch as long as it is full and a sweep has time for it.
func whileFull(batch func() (int64, error)) error {
	began := time.Now()
	for done := int64(0); done < forgetQuota || time.Since(began) < forgetFor; {
		n, err := batch()
		if err != nil || n < forgetBatch {
			return err
		}
		done += n
	}
	return nil
}
