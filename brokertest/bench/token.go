package main

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// concurrency is how many callers fetch tokens at once where nothing else is said.
const concurrency = 32

// sizes are all numbers of callers that are tried.
var sizes = []int{1, concurrency, openConnections}

// contender is one of the servers that are compared, with what it is asked.
type contender struct {
	name     string
	short    string // in the name of a file
	pid      int
	base     string
	requests [][]byte
	size     int // how many callers, 0 for the usual number

	callers *callers
	rounds  [][]time.Duration
	cpu     time.Duration // that its process used in all rounds
}

// by is the same with another number of callers.
func (c *contender) by(size int) *contender {
	return &contender{name: fmt.Sprintf("%s by %d", c.name, size), short: c.short, pid: c.pid, base: c.base, requests: c.requests, size: size}
}

// sized are the contenders with one number of callers. Others may be missing.
type sized struct {
	callers           int
	ours, row, beside *contender
}

func (s sized) all() (all []*contender) {
	for _, c := range []*contender{s.row, s.ours, s.beside} {
		if c != nil {
			all = append(all, c)
		}
	}
	return all
}

// bySize has the contenders compete with each number of callers. row and beside may be nil.
func bySize(ours, row, beside *contender) (all []sized) {
	for _, n := range sizes {
		s := sized{callers: n, ours: ours.by(n)}
		if row != nil {
			s.row = row.by(n)
		}
		if beside != nil {
			s.beside = beside.by(n)
		}
		all = append(all, s)
	}
	return all
}

// capacity is the most that ours did, with any number of callers.
func capacity(all []sized, d time.Duration) (most float64) {
	for _, s := range all {
		most = max(most, s.ours.figures(d).perSecond)
	}
	return most
}

// race are the contenders of the token fetch on PostgreSQL.
type race struct {
	few                     []sized    // with few authorizations stored
	least                   *contender // the same, by the usual number
	many, manyRow, manyWide *contender // with very many
}

func (r race) all() (all []*contender) {
	for _, s := range r.few {
		all = append(all, s.all()...)
	}
	return append(all, r.many, r.manyRow, r.manyWide, r.least)
}

// usual are those with the usual number of callers.
func (r race) usual() sized {
	return r.few[slices.IndexFunc(r.few, func(s sized) bool { return s.callers == concurrency })]
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
	few, ours, err := b.fetching(ctx, h)
	if err != nil {
		return err
	}
	fewBase, fewPID, stop, err := startBare(ctx, h)
	if err != nil {
		return err
	}
	defer stop()
	var beside *contender
	if b.beside != "" {
		other, err := b.build(ctx, b.beside)
		if err != nil {
			return err
		}
		defer other.close()
		if err := other.run(ctx, "api"); err != nil {
			return err
		}
		if _, beside, err = b.fetching(ctx, other); err != nil {
			return err
		}
		beside.name, beside.short = b.besideIs, "beside"
	}

	n, manyToken := b.authorizations, m.token.Reveal()
	row := &contender{name: "bare, same row", short: "bare", pid: fewPID, base: fewBase, requests: few.ask(n, "", few.authorization, barePath("/row/"))}
	in := race{few: bySize(ours, row, beside)}
	in.least = &contender{name: "bare, credential", pid: fewPID, base: fewBase, requests: few.ask(n, "", few.credential, barePath("/pgx/"))}
	in.many = &contender{name: "grantd", short: "grantd", pid: m.api.PID(), base: m.api.URL, requests: m.shelf.ask(n, manyToken, m.shelf.authorization, tokenPath)}
	in.manyRow = &contender{name: "bare, same row", short: "bare", pid: manyPID, base: manyBase, requests: m.shelf.ask(n, "", m.shelf.authorization, barePath("/row/"))}
	in.manyWide = &contender{name: "grantd, wide", short: "wide", pid: m.api.PID(), base: m.api.URL, requests: m.shelf.ask(b.wide, manyToken, m.shelf.authorization, tokenPath)}
	if err := b.compare(ctx, in.all()...); err != nil {
		return err
	}
	r.tokens(in, b.options)
	if err := b.openParts(ctx, r, capacity(in.few, b.round), "postgres", "PostgreSQL", row, ours); err != nil {
		return err
	}
	return b.openAtMost(ctx, r, "crowded", fmt.Sprintf("%d stored", b.stored), in.manyRow, in.many, in.manyWide)
}

// fetching stores a few authorizations in an instance with an API, and prepares what it is asked.
func (b *bench) fetching(ctx context.Context, h *instance) (*shelf, *contender, error) {
	api := h.running[0]
	few, err := h.store(ctx, api.URL, b.authorizations, madeUp)
	if err != nil {
		return nil, nil, err
	}
	return few, &contender{name: "grantd", short: "grantd", pid: api.PID(), base: api.URL,
		requests: few.ask(b.authorizations, h.token.Reveal(), few.authorization, tokenPath)}, nil
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
	if c.callers, err = newCallers(ctx, cmp.Or(c.size, concurrency), c.base, c.requests); err != nil {
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
