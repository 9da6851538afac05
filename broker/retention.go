package broker

import (
	"cmp"
	"context"
	"errors"
	"time"
)

// Retention is how long things are kept after they are over (P1).
type Retention struct {
	Flows      time.Duration // consents that ended
	Tombstones time.Duration // single revocations: tried for so long, and remembered as long again
	Superseded time.Duration // tokens whose provider is gone while another authorization lives on their grant
	Dead       time.Duration // tokens whose person must authorize again and does not
	Jobs       time.Duration // finished jobs and their items
	Audit      time.Duration // audit events and counts of token fetches
}

// DefaultRetention is what a running instance uses.
var DefaultRetention = Retention{
	Flows:      24 * time.Hour,
	Tombstones: 7 * 24 * time.Hour,
	Superseded: 90 * 24 * time.Hour,
	Dead:       90 * 24 * time.Hour,
	Jobs:       30 * 24 * time.Hour,
	Audit:      365 * 24 * time.Hour,
}

func (r Retention) withDefaults() Retention {
	return Retention{
		Flows:      cmp.Or(r.Flows, DefaultRetention.Flows),
		Tombstones: cmp.Or(r.Tombstones, DefaultRetention.Tombstones),
		Superseded: cmp.Or(r.Superseded, DefaultRetention.Superseded),
		Dead:       cmp.Or(r.Dead, DefaultRetention.Dead),
		Jobs:       cmp.Or(r.Jobs, DefaultRetention.Jobs),
		Audit:      cmp.Or(r.Audit, DefaultRetention.Audit),
	}
}

// forget deletes what was kept long enough, a batch at a time. Tokens that are
// dead for long are unlinked like a disconnect, so that they are revoked too.
func (s *Service) forget(ctx context.Context) error {
	const limit = sweepBatch
	return errors.Join(
		s.store.ForgetFlows(ctx, s.keep.Flows, limit),
		s.store.UnlinkDead(ctx, s.keep.Dead, limit),
		s.abandonUnsettled(ctx, limit),
		s.store.AbandonTombstones(ctx, s.keep.Tombstones, limit),
		s.store.ForgetTombstones(ctx, s.keep.Tombstones, limit),
		s.forgetSuperseded(ctx, limit),
		s.store.ForgetJobs(ctx, s.keep.Jobs, limit),
		s.store.ForgetAudit(ctx, s.keep.Audit, limit),
		s.store.ForgetPauses(ctx, s.keep.Flows),
		s.store.ForgetSessions(ctx, limit),
		s.store.ForgetGrants(ctx, 2*max(s.timing.FlowLife, maxDeviceLife), 100*limit),
	)
}
