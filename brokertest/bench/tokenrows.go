package main

import (
	"fmt"
	"time"
)

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
	for _, s := range in.few {
		faster := against(fmt.Sprintf("fresh token, %d callers, %d stored, against the same row", s.callers, o.authorizations), s.ours, s.row).
			compared(s.ours.against(s.row))
		if least := leastRatios[s.callers]; least > 0 {
			faster = faster.atLeast(s.ours.against(s.row), least)
			r.missedTokens = r.missedTokens || !faster.met
		}
		tail := row{what: "– p99", ours: ms(f[s.ours].p99), bare: ms(f[s.row].p99)}.compared(ratio(f[s.ours].p99, f[s.row].p99))
		if s.callers == concurrency {
			tail = tail.atMost(ratio(f[s.ours].p99, f[s.row].p99), mostTail)
			r.missedTokens = r.missedTokens || !tail.met
		}
		r.add(faster, row{what: "– p50", ours: ms(f[s.ours].p50), bare: ms(f[s.row].p50)}.compared(ratio(f[s.ours].p50, f[s.row].p50)), tail,
			row{what: "– CPU time of the server", ours: us(f[s.ours].cpu), bare: us(f[s.row].cpu)}.compared(ratio(f[s.ours].cpu, f[s.row].cpu)))
		r.beside(s, o, nil)
	}
	ours, many, wide := in.usual().ours, f[in.many], f[in.manyWide]
	r.add(
		against(fmt.Sprintf("– %d callers, against the credential alone", concurrency), ours, in.least).compared(ours.against(in.least)),
		against(fmt.Sprintf("fresh token, %d callers, %d stored, against %d stored", concurrency, o.stored, o.authorizations), in.many, ours).
			atLeast(in.many.against(ours), leastCrowded),
		row{what: "– its p99", ours: ms(many.p99), bare: ms(f[ours].p99)}.compared(ratio(many.p99, f[ours].p99)),
		against("– the same, of the bare handler", in.manyRow, in.usual().row).compared(in.manyRow.against(in.usual().row)),
		against(fmt.Sprintf("– %d different ones of %d fetched", len(in.manyWide.requests), o.stored), in.manyWide, ours).
			compared(in.manyWide.against(ours)),
		row{what: "– its p99", ours: ms(wide.p99), bare: ms(f[ours].p99)}.compared(ratio(wide.p99, f[ours].p99)),
	)
}

// beside tells how the other binary did, if there is one. Targets are by number of callers.
func (r *report) beside(s sized, o options, targets map[int]float64) {
	if s.beside == nil {
		return
	}
	ours, other := s.ours.figures(o.round), s.beside.figures(o.round)
	faster := row{what: "– against " + o.besideIs, ours: perSecond(ours), bare: perSecond(other)}
	if least := targets[s.callers]; least > 0 {
		faster = faster.atLeast(s.ours.against(s.beside), least)
	} else {
		faster = faster.compared(s.ours.against(s.beside))
	}
	r.add(faster, row{what: "– its p99", ours: ms(ours.p99), bare: ms(other.p99)}.compared(ratio(ours.p99, max(1, other.p99))),
		row{what: "– its CPU time of the server", ours: us(ours.cpu), bare: us(other.cpu)}.compared(ratio(ours.cpu, max(1, other.cpu))))
}

// tokensOnSQLite has nothing to judge by but another binary.
func (r *report) tokensOnSQLite(all []sized, o options) {
	for _, s := range all {
		f := s.ours.figures(o.round)
		r.add(row{what: fmt.Sprintf("fresh token, SQLite, %d callers, %d stored", s.callers, o.authorizations), ours: perSecond(f)},
			row{what: "– p50", ours: ms(f.p50)}, row{what: "– p99", ours: ms(f.p99)}, row{what: "– CPU time of the server", ours: us(f.cpu)})
		r.beside(s, o, leastOnSQLite)
	}
}

// slowest is what the slowest contender did per second.
func slowest(all []*contender, d time.Duration) float64 {
	least := all[0].figures(d).perSecond
	for _, c := range all[1:] {
		least = min(least, c.figures(d).perSecond)
	}
	return least
}
