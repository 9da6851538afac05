package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// concurrency is how many callers fetch tokens at once.
const concurrency = 32

// contender is one of the servers that are compared, with what it is asked.
type contender struct {
	name     string
	pid      int
	base     string
	requests [][]byte

	callers *callers
	rounds  [][]time.Duration
	cpu     time.Duration // that its process used in all rounds
}

// race are the contenders of the token fetch.
type race struct {
	ours, row, least        *contender // with few authorizations stored
	many, manyRow, manyWide *contender // with very many
}

func (r race) all() []*contender {
	return []*contender{r.row, r.ours, r.many, r.manyRow, r.manyWide, r.least}
}

// tokens compares fetching a fresh token from a grantd API with the bare limit, and
// with very many authorizations stored. All take turns under the same load, because
// what else the machine does changes from one second to the next.
func (b *bench) tokens(ctx context.Context, r *report) error {
	m, err := b.crowded(ctx)
	if err != nil {
		return err
	}
	manyBase, manyPID, stop, err := startBare(ctx, m.instance)
	if err != nil {
		return err
	}
	defer stop()
	h, err := b.open(ctx, "api")
	if err != nil {
		return err
	}
	defer h.close()
	api := h.running[0]
	few, err := h.store(ctx, api.URL, b.authorizations, madeUp)
	if err != nil {
		return err
	}
	fewBase, fewPID, stop, err := startBare(ctx, h)
	if err != nil {
		return err
	}
	defer stop()

	n, token, manyToken := b.authorizations, h.token.Reveal(), m.token.Reveal()
	var in race
	in.ours = &contender{name: "grantd", pid: api.PID(), base: api.URL, requests: few.ask(n, token, few.authorization, tokenPath)}
	in.row = &contender{name: "bare, same row", pid: fewPID, base: fewBase, requests: few.ask(n, token, few.authorization, barePath("/row/"))}
	in.least = &contender{name: "bare, credential", pid: fewPID, base: fewBase, requests: few.ask(n, token, few.credential, barePath("/pgx/"))}
	in.many = &contender{name: "grantd, crowded", pid: m.api.PID(), base: m.api.URL, requests: m.shelf.ask(n, manyToken, m.shelf.authorization, tokenPath)}
	in.manyRow = &contender{name: "bare, same row, crowded", pid: manyPID, base: manyBase, requests: m.shelf.ask(n, manyToken, m.shelf.authorization, barePath("/row/"))}
	in.manyWide = &contender{name: "grantd, crowded, wide", pid: m.api.PID(), base: m.api.URL, requests: m.shelf.ask(b.wide, manyToken, m.shelf.authorization, tokenPath)}
	if err := b.compare(ctx, in.all()...); err != nil {
		return err
	}
	r.tokens(in, b.options)
	return nil
}

func barePath(kind string) func(string) string { return func(id string) string { return kind + id } }

// ask are requests for n of the shelf's authorizations, from all over it, in no order.
func (s *shelf) ask(n int, token string, id func(int) string, path func(string) string) [][]byte {
	n = min(n, s.copies)
	requests := make([][]byte, n)
	for i := range requests {
		requests[i] = request("POST", path(id(i*s.copies/n)), token)
	}
	rand.Shuffle(n, func(i, j int) { requests[i], requests[j] = requests[j], requests[i] })
	return requests
}

// compare warms all up, and then lets them take turns.
func (b *bench) compare(ctx context.Context, all ...*contender) error {
	for _, c := range all {
		if err := b.warmUp(ctx, c); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		defer c.callers.close()
	}
	for round := range b.rounds {
		for _, c := range all {
			before := cpuTime(c.pid)
			took, err := c.callers.load(ctx, b.round)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			c.rounds, c.cpu = append(c.rounds, took), c.cpu+cpuTime(c.pid)-before
			f := summarize([][]time.Duration{took}, b.round)
			b.progress("  round %d: %-24s %6.0f/s  p50 %s  p99 %s", round+1, c.name, f.perSecond, ms(f.p50), ms(f.p99))
		}
	}
	return nil
}

// warmUp opens the callers' connections and uses them at once: a server does not wait
// long for a connection's first request.
func (b *bench) warmUp(ctx context.Context, c *contender) error {
	answer, err := sample(ctx, c.base, c.requests[0])
	if err != nil {
		return err
	}
	b.progress("%s answers with %d bytes", c.name, len(answer))
	if c.callers, err = newCallers(ctx, concurrency, c.base, c.requests); err != nil {
		return err
	}
	_, err = c.callers.load(ctx, b.round)
	return err
}

func (c *contender) figures(d time.Duration) figures {
	f := summarize(c.rounds, d)
	n := 0
	for _, r := range c.rounds {
		n += len(r)
	}
	f.cpu = c.cpu / time.Duration(max(1, n))
	return f
}

// against is by how much the contender was faster than another: the median of the
// rounds, each of which both went through one after the other.
func (c *contender) against(other *contender) float64 {
	var ratios []float64
	for i, round := range c.rounds {
		ratios = append(ratios, float64(len(round))/float64(len(other.rounds[i])))
	}
	slices.Sort(ratios)
	return ratios[len(ratios)/2]
}

// tokens judges against the bare handler that reads the same row; the one that reads
// the credential alone shows what permission, provider and freshness cost.
func (r *report) tokens(in race, o options) {
	f := map[*contender]figures{}
	for _, c := range in.all() {
		f[c] = c.figures(o.round)
	}
	against := func(what string, a, b *contender) row {
		return row{what: what, ours: perSecond(f[a]), bare: perSecond(f[b])}
	}
	ours, same, many, wide := f[in.ours], f[in.row], f[in.many], f[in.manyWide]
	r.missedTokens = in.ours.against(in.row) < leastRatio
	r.add(
		against(fmt.Sprintf("fresh token, %d callers, %d stored, against the same row", concurrency, o.authorizations), in.ours, in.row).
			atLeast(in.ours.against(in.row), leastRatio),
		row{what: "– p50", ours: ms(ours.p50), bare: ms(same.p50)}.compared(ratio(ours.p50, same.p50)),
		row{what: "– p99", ours: ms(ours.p99), bare: ms(same.p99)}.atMost(ratio(ours.p99, same.p99), mostTail),
		row{what: "– CPU time of the server", ours: us(ours.cpu), bare: us(same.cpu)}.compared(ratio(ours.cpu, same.cpu)),
		against("– against the credential alone", in.ours, in.least).compared(in.ours.against(in.least)),
		against(fmt.Sprintf("– %d stored, against %d stored", o.stored, o.authorizations), in.many, in.ours).
			atLeast(in.many.against(in.ours), leastCrowded),
		row{what: "– its p99", ours: ms(many.p99), bare: ms(ours.p99)}.compared(ratio(many.p99, ours.p99)),
		against("– the same, of the bare handler", in.manyRow, in.row).compared(in.manyRow.against(in.row)),
		against(fmt.Sprintf("– %d different ones of %d fetched", len(in.manyWide.requests), o.stored), in.manyWide, in.ours).
			compared(in.manyWide.against(in.ours)),
		row{what: "– its p99", ours: ms(wide.p99), bare: ms(ours.p99)}.compared(ratio(wide.p99, ours.p99)),
	)
}
