package broker

import (
	"cmp"
	"context"
	"errors"
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
	for _, kind := range []struct {
		keep   time.Duration
		forget func(ctx context.Context, keep time.Duration, limit int) (int64, error)
	}{
		{s.keep.Flows, s.store.ForgetFlows},
		{s.keep.Flows, s.store.ForgetConnectLinks},
		{s.keep.Tombstones, s.store.ForgetTombstones},
		{s.keep.Audit, s.store.ForgetEvents},
		{s.keep.Audit, s.store.ForgetFetches},
		{s.keep.Statistics, s.store.ForgetStatistics},
		{store.FeedLife, s.store.ForgetDeliveries},
		{store.FeedLife, s.store.ForgetWaiting},
		{store.FeedLife, s.store.ForgetOutbox},
		{s.keep.Minutes, s.store.AddUpFetches},
		{0, func(ctx context.Context, _ time.Duration, limit int) (int64, error) {
			return s.store.EndUse(ctx, limit)
		}},
		{0, s.store.ForgetSessions},
		{0, s.store.ForgetFormerSessions},
		{2 * max(s.timing.FlowLife, maxDeviceLife), s.store.ForgetGrants},
	} {
		errs = append(errs, whileFull(func() (int64, error) { return kind.forget(ctx, kind.keep, forgetBatch) }))
	}
	return errors.Join(errs...)
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
