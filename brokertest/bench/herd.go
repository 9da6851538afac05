package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/brokertest/processes"
	"github.com/grantd/grantd/testidp"
)

const (
	herdRate  = 1000 // fetches per second of tokens that are due
	freshRate = 100  // and beside them of tokens that are not

	herdCallers = 64 // of expired tokens, to see what a process can refresh

	mostHerdTail = 60 * time.Millisecond
	leastAhead   = 0.8 // of what a process can refresh in a second
)

// herd has very many tokens due at once, each of which is valid for a while. Of a half of
// them tokens are fetched, beside fresh ones of another provider; a quarter expires, to see
// how many a process refreshes in a second for callers who wait; and a quarter is refreshed
// by a worker when nobody asks.
func (b *bench) herd(ctx context.Context, r *report) error {
	h, err := b.open(ctx, "api")
	if err != nil {
		return err
	}
	defer h.close()
	api := h.running[0]
	fresh, err := h.store(ctx, api.URL, b.authorizations, madeUp)
	if err != nil {
		return err
	}
	due, err := h.store(ctx, api.URL, b.herded, func(i int) (access, refresh string) {
		return h.Upstream.Mint(brokertest.ClientID, fmt.Sprint("person-", i))
	})
	if err != nil {
		return err
	}
	half, quarter := due.copies/2, due.copies/4
	l, err := b.herdLoads(ctx, h, api.URL, fresh, due, half)
	if err != nil {
		return err
	}
	b.progress("  %d due: fresh ones %s; due ones %s; %.0f refreshes/s", due.copies, l.fresh.summary(), l.due.summary(), l.refreshes)

	if err := h.expire(ctx, due, half, half+quarter, -time.Second); err != nil {
		return err
	}
	can, err := b.refreshAll(ctx, h, api, due, half, half+quarter, b.herdFor)
	if err != nil {
		return err
	}
	b.progress("  %d callers of expired tokens: %.0f refreshes/s", herdCallers, can)
	if err := api.Kill(); err != nil {
		return err
	}
	ahead, err := b.refreshAhead(ctx, h, due, half+quarter, due.copies)
	if err != nil {
		return err
	}
	b.progress("  nobody asks: %.0f refreshes/s", ahead)
	r.herd(l, can, ahead, b.options)
	return nil
}

// herdLoads are open loops, of two that ran side by side the one that is looked at.
type herdLoads struct {
	bare, before *openLoop // without due tokens, of the bare handler and of grantd
	fresh, due   *openLoop // while many are due
	refreshes    float64   // per second, meanwhile
}

// herdLoads asks for fresh tokens, of the bare handler and of grantd, and then again while a half of those that are due is
// asked for.
func (b *bench) herdLoads(ctx context.Context, h *instance, base string, fresh, due *shelf, half int) (l herdLoads, err error) {
	bareBase, _, stop, err := startBare(ctx, h)
	if err != nil {
		return l, err
	}
	defer stop()
	token := h.token.Reveal()
	loop := func(name, base string, perSecond float64, requests [][]byte) *openLoop {
		return &openLoop{name: "herd-" + name, base: base, perSecond: perSecond, most: int(perSecond * openPatience.Seconds()), requests: requests}
	}
	side := func(looked, beside *openLoop, d time.Duration) error {
		defer looked.close()
		defer beside.close()
		return together(ctx, d, looked, beside)
	}
	bareFresh, ourFresh := fresh.ask(b.authorizations, "", fresh.authorization, barePath("/row/")), fresh.ask(b.authorizations, token, fresh.authorization, tokenPath)
	l.bare, l.before, l.fresh = loop("bare", bareBase, freshRate, bareFresh), loop("before", base, freshRate, ourFresh), loop("fresh", base, freshRate, ourFresh)
	if err := side(l.bare, loop("", bareBase, herdRate, bareFresh), b.openFor); err != nil {
		return l, err
	}
	if err := side(l.before, loop("", base, herdRate, ourFresh), b.openFor); err != nil {
		return l, err
	}
	if err := h.expire(ctx, due, 0, due.copies, 10*time.Minute); err != nil {
		return l, err
	}
	var asked [][]byte
	for i := range half {
		asked = append(asked, request("POST", tokenPath(due.authorization(i)), token))
	}
	l.due = loop("due", base, herdRate, asked)
	refreshed := h.refreshes()
	err = side(l.fresh, l.due, b.herdFor)
	l.refreshes = float64(h.refreshes()-refreshed) / b.herdFor.Seconds()
	return l, err
}

// refreshes is how often the upstream was asked for one.
func (h *instance) refreshes() int64 { return h.Upstream.Stats().Calls[testidp.Refresh] }

// expire has those of the tokens from one to another be due, and end after a while.
func (h *instance) expire(ctx context.Context, s *shelf, from, to int, left time.Duration) error {
	ids := make([]string, 0, to-from)
	for i := from; i < to; i++ {
		ids = append(ids, s.authorization(i))
	}
	if err := h.exec(ctx, `UPDATE credentials SET expires_at = now() + $2::interval, refresh_after = now() - interval '1 second'
		WHERE authorization_id = ANY($1)`, ids, left); err != nil {
		return err
	}
	if h.Binary != h.bench.binary { // an older schema may not have what follows
		return nil
	}
	return h.exec(ctx, "UPDATE credentials SET ahead_after = NULL WHERE authorization_id = ANY($1) AND ahead_after IS NOT NULL", ids)
}

// refreshAll has callers fetch expired tokens for a while, each another one, and returns how many
// the process refreshes in a second.
func (b *bench) refreshAll(ctx context.Context, h *instance, p *processes.Process, s *shelf, from, to int, d time.Duration) (float64, error) {
	next := make(chan string)
	go func() {
		defer close(next)
		end := time.Now().Add(d)
		for i := from; i < to && time.Now().Before(end) && ctx.Err() == nil; i++ {
			next <- s.authorization(i)
		}
	}()
	c, err := newCallers(ctx, herdCallers, p.URL, nil)
	if err != nil {
		return 0, err
	}
	defer c.close()
	begin, before := time.Now(), h.refreshes()
	errs := make(chan error, herdCallers)
	for _, on := range c.conns {
		go func() {
			var failed error
			for id := range next {
				if err := on.exchange(request("POST", tokenPath(id), h.token.Reveal())); err != nil && failed == nil {
					failed = err
				}
			}
			errs <- failed
		}()
	}
	for range c.conns {
		if err := <-errs; err != nil {
			return 0, err
		}
	}
	return float64(h.refreshes()-before) / time.Since(begin).Seconds(), nil
}

// refreshAhead has a worker find tokens in use that are due, and returns how many it
// refreshes in a second, counted from the first.
func (b *bench) refreshAhead(ctx context.Context, h *instance, s *shelf, from, to int) (float64, error) {
	ids := make([]string, 0, to-from)
	for i := from; i < to; i++ {
		ids = append(ids, s.authorization(i))
	}
	if err := h.exec(ctx, "DELETE FROM token_use"); err != nil {
		return 0, err
	}
	if err := h.exec(ctx, `INSERT INTO token_use (authorization_id, used_until, due_at) SELECT id, now() + interval '1 hour', now() FROM unnest($1::text[]) id`, ids); err != nil {
		return 0, err
	}
	before := h.refreshes()
	worker, err := h.Start(ctx, "worker")
	if err != nil {
		return 0, err
	}
	defer worker.Kill()
	done := func() int64 { return h.refreshes() - before }
	for limit := time.Now().Add(time.Minute); done() == 0; time.Sleep(time.Millisecond) {
		if ctx.Err() != nil || time.Now().After(limit) {
			return 0, errors.New("the worker refreshes nothing")
		}
	}
	begin := time.Now()
	for done() < int64(len(ids)) && time.Since(begin) < b.herdFor && ctx.Err() == nil {
		time.Sleep(5 * time.Millisecond)
	}
	return float64(done()) / time.Since(begin).Seconds(), ctx.Err()
}

func (r *report) herd(l herdLoads, can, ahead float64, o options) {
	bare, before, fresh, due := l.bare.summary(), l.before.summary(), l.fresh.summary(), l.due.summary()
	r.add(row{what: fmt.Sprintf("fresh tokens while %d are due and %d/s of those are fetched: answered", o.herded, herdRate), ours: percent(fresh.share), bare: percent(before.share)}.
		judge("= 100 %", fresh.share == 1),
		row{what: "– p99, against the bare handler with nothing else to do", bare: ms(bare.p99)}.within(fresh.p99, mostHerdTail).compared(ratio(fresh.p99, max(1, bare.p99))),
		row{what: "– p99, against the same load without due tokens", ours: ms(fresh.p99), bare: ms(before.p99)}.compared(ratio(fresh.p99, max(1, before.p99))),
		row{what: "– the due ones: answered", ours: percent(due.share)}.judge("= 100 %", due.share == 1),
		row{what: "– their p99", ours: ms(due.p99)},
		row{what: "– refreshes meanwhile", ours: fmt.Sprintf("%.0f/s", l.refreshes)},
		row{what: fmt.Sprintf("refreshed ahead when nobody asks, against %d callers of expired tokens", herdCallers),
			ours: fmt.Sprintf("%.0f/s", ahead), bare: fmt.Sprintf("%.0f/s", can)}.atLeast(ahead/max(1, can), leastAhead))
	r.opened("the bare handler, fresh tokens", l.bare, nil)
	r.opened("grantd, the same", l.before, l.bare)
	r.opened(fmt.Sprintf("grantd, the same while %d others are due", o.herded), l.fresh, l.bare)
	r.opened("grantd, those that are due", l.due, nil)
}
