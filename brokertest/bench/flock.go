package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/grantd/grantd/brokertest/processes"
	"github.com/grantd/grantd/testidp"
)

const replicas = 3

// flock has many callers ask several API processes for the same expired token at
// once, again and again. It counts how often the upstream was asked to refresh it,
// and how long the slowest caller waited.
func (b *bench) flock(ctx context.Context, r *report) error {
	h, err := b.open(ctx, slices.Repeat([]string{"api"}, replicas)...)
	if err != nil {
		return err
	}
	defer h.close()
	admin := processes.NewClient(h.running[0].URL, h.token)
	provider, err := processes.Provider(ctx, admin)
	if err != nil {
		return err
	}
	a, err := processes.Consent(ctx, admin, provider.ID, "ada")
	if err != nil {
		return err
	}
	birds, err := b.gather(ctx, h, a.ID)
	defer birds.close()
	if err != nil {
		return err
	}
	var living, slowest []time.Duration
	for range b.flocks { // the first one warms up
		took, err := birds.ask()
		if err != nil {
			return err
		}
		living = append(living, took)
	}
	h.Upstream.Inject(testidp.Fault{Endpoint: testidp.Refresh, LatencyMS: int(b.refreshLatency.Milliseconds())})
	before := h.Upstream.Stats().Calls[testidp.Refresh]
	for range b.flocks {
		if err := h.exec(ctx, `UPDATE credentials SET expires_at = now() - interval '1 second', refresh_after = now() - interval '1 minute'
			WHERE authorization_id = $1`, a.ID); err != nil {
			return err
		}
		took, err := birds.ask()
		if err != nil {
			return err
		}
		slowest = append(slowest, took)
		b.progress("  the slowest of %d callers waited %s", b.birds, ms(took))
	}
	r.flock(h.Upstream.Stats().Calls[testidp.Refresh]-before, slowest, living, b.options)
	return nil
}

// birds are connections to all the processes, each with the same request to send.
type birds []*callers

// gather spreads the callers over the processes.
func (b *bench) gather(ctx context.Context, h *instance, authorization string) (all birds, err error) {
	ask := [][]byte{request("POST", tokenPath(authorization), h.token.Reveal())}
	for i, api := range h.running {
		c, err := newCallers(ctx, (b.birds+i)/len(h.running), api.URL, ask)
		if err != nil {
			return all, err
		}
		all = append(all, c)
	}
	return all, nil
}

func (f birds) close() {
	for _, c := range f {
		c.close()
	}
}

// ask has all of them ask at once, and returns how long the slowest waited.
func (f birds) ask() (time.Duration, error) {
	var mu sync.Mutex
	var slowest time.Duration
	var errs []error
	var all sync.WaitGroup
	begin := time.Now()
	for _, c := range f {
		for _, on := range c.conns {
			all.Go(func() {
				err := on.exchange(c.requests[0])
				took := time.Since(begin)
				mu.Lock()
				defer mu.Unlock()
				slowest, errs = max(slowest, took), append(errs, err)
			})
		}
	}
	all.Wait()
	return slowest, errors.Join(errs...)
}

func (r *report) flock(refreshes int64, slowest, living []time.Duration, o options) {
	n := len(slowest)
	worst := slices.Max(slowest)
	r.add(row{what: fmt.Sprintf("refreshes for %d times %d callers of %d processes with an expired token", n, o.birds, replicas),
		ours: fmt.Sprint(refreshes), bare: fmt.Sprint(n), target: fmt.Sprintf("= %d", n), judged: true, met: refreshes == int64(n)},
		row{what: fmt.Sprintf("– the slowest caller, upstream takes %s; median of %d", o.refreshLatency, n), bare: ms(o.refreshLatency)}.
			within(median(slowest), o.refreshLatency+mostWaiting),
		row{what: "– the slowest of all", ours: ms(worst), bare: ms(o.refreshLatency)},
		row{what: "– the slowest caller while the token lives, median", ours: ms(median(living))})
}
