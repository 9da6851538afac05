package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
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
	load := loadAverage()
	token := h.token.Reveal()
	half, quarter := due.copies/2, due.copies/4
	others := &openLoop{base: api.URL, perSecond: freshRate, requests: fresh.ask(b.authorizations, token, fresh.authorization, tokenPath)}
	alone := &openLoop{base: api.URL, perSecond: herdRate, requests: others.requests}
	if err := together(ctx, b.herdFor, others, alone); err != nil {
		return err
	}
	before := others.summary()

	if err := h.expire(ctx, due, 0, due.copies, 10*time.Minute); err != nil {
		return err
	}
	of := &openLoop{base: api.URL, perSecond: herdRate}
	for i := range half {
		of.requests = append(of.requests, request("POST", tokenPath(due.authorization(i)), token))
	}
	others.reset()
	refreshed := h.refreshes()
	if err := together(ctx, b.herdFor, others, of); err != nil {
		return err
	}
	meanwhile := float64(h.refreshes()-refreshed) / b.herdFor.Seconds()
	b.progress("  %d due: fresh ones %s; due ones %s; %.0f refreshes/s", due.copies, others.summary(), of.summary(), meanwhile)

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
	r.herd(before, others.summary(), of.summary(), meanwhile, can, ahead, load, b.options)
	return nil
}

// refreshes is how often the upstream was asked for one.
func (h *instance) refreshes() int64 { return h.Upstream.Stats().Calls[testidp.Refresh] }

// expire has those of the tokens from one to another be due, and end after a while.
func (h *instance) expire(ctx context.Context, s *shelf, from, to int, left time.Duration) error {
	ids := make([]string, 0, to-from)
	for i := from; i < to; i++ {
		ids = append(ids, s.authorization(i))
	}
	return h.exec(ctx, `UPDATE credentials SET expires_at = now() + $2::interval, refresh_after = now() - interval '1 second', ahead_after = NULL
		WHERE authorization_id = ANY($1)`, ids, left)
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

// openLoop sends requests at their times, whether or not those before were answered, and
// counts from when each was to be sent.
type openLoop struct {
	base      string
	perSecond int
	requests  [][]byte

	mu       sync.Mutex
	idle     []*callers // of one connection each
	sent     int
	answered []time.Duration
}

// herdPatience is how long an answer may take to count.
const herdPatience = 10 * time.Second

// together runs several loops for a while, and then waits for their answers.
func together(ctx context.Context, d time.Duration, loops ...*openLoop) error {
	var all sync.WaitGroup
	for _, l := range loops {
		all.Go(func() { l.run(ctx, d) })
	}
	all.Wait()
	return ctx.Err()
}

func (l *openLoop) run(ctx context.Context, d time.Duration) {
	var all sync.WaitGroup
	begin := time.Now()
	for n := range int(d.Seconds() * float64(l.perSecond)) {
		at := begin.Add(time.Duration(n) * time.Second / time.Duration(l.perSecond))
		time.Sleep(time.Until(at))
		if ctx.Err() != nil {
			break
		}
		l.sent++
		all.Go(func() { l.send(ctx, l.requests[n%len(l.requests)], at) })
	}
	all.Wait()
	for _, c := range l.idle {
		c.close()
	}
	l.idle = nil
}

func (l *openLoop) send(ctx context.Context, request []byte, at time.Time) {
	c := l.connection(ctx)
	if c == nil {
		return
	}
	if err := c.conns[0].SetDeadline(at.Add(herdPatience)); err != nil {
		return
	}
	err := c.conns[0].exchange(request)
	took := time.Since(at)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil { // what is left of the answer is still to be read
		c.close()
		return
	}
	l.idle, l.answered = append(l.idle, c), append(l.answered, took)
}

// connection is one that nobody uses, or a new one.
func (l *openLoop) connection(ctx context.Context) *callers {
	l.mu.Lock()
	if n := len(l.idle); n > 0 {
		c := l.idle[n-1]
		l.idle = l.idle[:n-1]
		l.mu.Unlock()
		return c
	}
	l.mu.Unlock()
	c, err := newCallers(ctx, 1, l.base, nil)
	if err != nil {
		return nil
	}
	return c
}

func (l *openLoop) reset() { l.sent, l.answered = 0, nil }

// answers are how many of the requests were answered with a token, and how fast.
type answers struct {
	share    float64 // of those sent
	p50, p99 time.Duration
}

func (a answers) String() string {
	return fmt.Sprintf("%s answered, p50 %s, p99 %s", percent(a.share), ms(a.p50), ms(a.p99))
}

func (l *openLoop) summary() answers {
	if len(l.answered) == 0 {
		return answers{}
	}
	sorted := slices.Sorted(slices.Values(l.answered))
	return answers{float64(len(sorted)) / float64(l.sent), percentile(sorted, 50), percentile(sorted, 99)}
}

func percent(share float64) string { return fmt.Sprintf("%.1f %%", 100*share) }

func (r *report) herd(before, fresh, due answers, meanwhile, can, ahead, load float64, o options) {
	r.add(row{what: fmt.Sprintf("fresh tokens while %d are due and %d/s of those are fetched: answered", o.herded, herdRate), ours: percent(fresh.share), bare: percent(before.share)}.
		judge("= 100 %", fresh.share == 1),
		row{what: "– p99, against the same load without due tokens", bare: ms(before.p99)}.within(fresh.p99, mostHerdTail).compared(ratio(fresh.p99, max(1, before.p99))),
		row{what: "– the due ones: answered", ours: percent(due.share)}.judge("= 100 %", due.share == 1),
		row{what: "– their p99", ours: ms(due.p99)},
		row{what: "– refreshes meanwhile", ours: fmt.Sprintf("%.0f/s", meanwhile)},
		row{what: fmt.Sprintf("refreshed ahead when nobody asks, against %d callers of expired tokens", herdCallers),
			ours: fmt.Sprintf("%.0f/s", ahead), bare: fmt.Sprintf("%.0f/s", can)}.atLeast(ahead/max(1, can), leastAhead),
		row{what: "– load average of the machine before", ours: fmt.Sprintf("%.1f", load)})
}
