package main

import (
	"context"
	"fmt"
	"time"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/brokertest/processes"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/testidp"
)

// revocations deletes providers with many authorizations at an upstream that takes
// its time, by one worker and by two. What limits them should be the upstream: with
// so many in flight it cannot answer sooner than the ideal.
func (b *bench) revocations(ctx context.Context, r *report) error {
	h, err := b.open(ctx, "api")
	if err != nil {
		return err
	}
	defer h.close()
	api := h.running[0]
	h.Upstream.Inject(testidp.Fault{Endpoint: testidp.Revoke, LatencyMS: int(b.latency.Milliseconds())})
	took := map[team]time.Duration{}
	for _, t := range []team{{2, 32}, {1, 32}, {1, 64}} {
		if took[t], err = b.deleteBy(ctx, h, api, t); err != nil {
			return fmt.Errorf("%s: %w", t, err)
		}
		b.progress("  %d revocations by %s: %s", b.revoked, t, took[t].Round(time.Millisecond))
	}
	r.revocations(took, b.options)
	return nil
}

// team is how many workers revoke, and how many revocations each has in flight.
type team struct{ workers, each int }

func (t team) String() string { return fmt.Sprintf("%d × %d in flight", t.workers, t.each) }

// ideal is how long n revocations take if every slot is always waiting upstream.
func (t team) ideal(n int, latency time.Duration) time.Duration {
	return time.Duration(n) * latency / time.Duration(t.workers*t.each)
}

// deleteBy fills a provider and has a team delete it. It returns the time from
// the answer to DELETE until a client that keeps asking sees the job's end.
func (b *bench) deleteBy(ctx context.Context, h *instance, api *processes.Process, t team) (time.Duration, error) {
	provider, err := h.store(ctx, api.URL, b.revoked, h.mint)
	if err != nil {
		return 0, err
	}
	env := h.Env
	h.Env = append(env, fmt.Sprint("GRANTD_REVOKE_CONCURRENCY=", t.each))
	defer func() { h.Env = env }()
	for range t.workers {
		worker, err := h.Start(ctx, "worker")
		if err != nil {
			return 0, err
		}
		defer worker.Kill()
	}
	return h.delete(ctx, api, provider)
}

// mint has somebody consent at the upstream, without the ceremony. There are no
// refresh tokens, so that each revocation is one call: by RFC 7009 a pair takes two.
func (h *instance) mint(i int) (access, refresh string) {
	return h.Upstream.MintAccess(brokertest.ClientID, fmt.Sprint("person-", i)), ""
}

// delete deletes a provider and checks that everything was revoked, upstream too.
func (h *instance) delete(ctx context.Context, api *processes.Process, s *shelf) (time.Duration, error) {
	admin := processes.NewClient(api.URL, h.token)
	location, err := admin.DeleteProvider(ctx, s.provider.ID)
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	job, err := admin.WaitJob(ctx, location, 10*time.Millisecond, nil)
	took := time.Since(begin)
	if err != nil {
		return 0, err
	}
	revoked, err := processes.Number(job, string(models.OutcomeRevoked))
	if live := h.Upstream.Stats().LiveGrants; err != nil || live != 0 || revoked != int64(s.copies)+1 {
		return 0, fmt.Errorf("the deletion ended as %s with %d revoked and %d grants left upstream: %v", job.Status, revoked, live, job.Details)
	}
	return took, nil
}

func (r *report) revocations(took map[team]time.Duration, o options) {
	one, two, wide := team{1, 32}, team{2, 32}, team{1, 64}
	line := func(t team, what string) row {
		return row{what: what + " by " + t.String(), ours: took[t].Round(time.Millisecond).String(), bare: t.ideal(o.revoked, o.latency).String()}
	}
	ofIdeal := func(t team) float64 { return ratio(t.ideal(o.revoked, o.latency), took[t]) }
	r.add(line(two, fmt.Sprintf("%d revocations at %s,", o.revoked, o.latency)).atLeast(ofIdeal(two), leastOfIdeal),
		line(wide, "– the same").atLeast(ofIdeal(wide), leastOfIdeal),
		line(one, "– the same").compared(ofIdeal(one)),
		row{what: "– two workers against one, 32 in flight each", ours: took[two].Round(time.Millisecond).String(),
			bare: took[one].Round(time.Millisecond).String()}.atLeast(ratio(took[one], took[two]), leastOfTwo))
}
