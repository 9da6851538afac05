package main

import (
	"fmt"
	"time"

	"github.com/grantd/grantd/brokertest/processes"
	"github.com/grantd/grantd/client"
	"github.com/grantd/grantd/testidp"
)

// herd is a provider with many tokens in use whose refreshes are due together: a tenth of
// them has expired, the others are valid for a while. The tokens of another provider are
// fresh.
type herd struct {
	*site
	api        *processes.Process
	admin      *client.Client
	due, fresh []string
}

// startHerd has a worker refresh the tokens and callers fetch them, of either provider by
// a load of its own.
func (x *site) startHerd(n int) (h *herd, onDue, onFresh *load) {
	x.Helper()
	api := x.start("api")
	h = &herd{site: x, api: api, admin: x.client(api)}
	h.due = x.seed(x.provider(h.admin, "test"), n)
	h.fresh = x.seed(x.provider(h.admin, "test"), 20)
	x.due(h.due...)
	x.expire(h.due[:n/10]...)
	x.exec(`INSERT INTO token_use (authorization_id, used_until, due_at) SELECT id, now() + interval '1 hour', now() FROM unnest($1::text[]) id`, h.due)
	x.start("worker")
	return h, x.load(h.admin, h.due, 8), x.load(h.admin, h.fresh, 4)
}

// refreshed waits until each of the tokens has been refreshed.
func (h *herd) refreshed() {
	h.Helper()
	h.until("all tokens that were due are refreshed", func() bool {
		n, err := h.tryCount(`SELECT count(*) FROM credentials WHERE authorization_id = ANY($1) AND generation = 1`, h.due)
		return err == nil && n == 0
	})
}

// judge ends the load, and says what has become of the tokens.
func (h *herd) judge(since time.Time, loads ...*load) result {
	h.Helper()
	r := result{recovered: time.Since(since)}
	for _, l := range loads {
		wrong := l.end()
		for _, text := range wrong[:min(3, len(wrong))] {
			h.Errorf("a caller was told: %s", text)
		}
	}
	r.lost = h.lost(h.admin, h.due) + h.lost(h.admin, h.fresh)
	r.spent = h.spentTwice()
	return r
}

// aHerdAtASlowUpstream: every refresh takes 2 s. Callers of fresh tokens do not wait for
// them, and callers of valid ones only for a refresh of their own token.
func aHerdAtASlowUpstream(s *scene) result {
	x := newSite(s, "", "")
	n := s.size(2000, 300)
	x.Upstream.Inject(testidp.Fault{Endpoint: testidp.Refresh, LatencyMS: 2000})
	h, onDue, onFresh := x.startHerd(n)
	begin := time.Now()
	h.refreshed()
	x.Upstream.ClearFaults()
	if refused := onDue.refused.Load() + onFresh.refused.Load() + onFresh.slow.Load(); refused > 0 {
		s.Errorf("%d callers were told to come back although the database was there and their tokens were valid", refused)
	}
	fresh, due, slow := onFresh.served.Load(), onDue.served.Load(), onDue.slow.Load()
	r := h.judge(begin, onDue, onFresh)
	r.note = fmt.Sprintf("%d fetches of fresh tokens were answered meanwhile and %d of tokens that were due; %d callers of expired ones were told to come back", fresh, due, slow)
	return r
}

// aHerdDuringARestart: PostgreSQL goes away in the middle of a herd, while refreshes wait for their
// answers and others save theirs. Tokens that were brought meanwhile are saved when it is back.
func aHerdDuringARestart(s *scene) result {
	database := ownPostgres(s)
	x := newSite(s, database.URL, "")
	n := s.size(2000, 300)
	x.Upstream.Inject(testidp.Fault{Endpoint: testidp.Refresh, LatencyMS: 100})
	h, onDue, onFresh := x.startHerd(n)
	calls := func() int64 { return x.Upstream.Stats().Calls[testidp.Refresh] }
	x.until("a part of the herd is refreshed", func() bool { return calls() > int64(n/10) })

	s.must(database.Stop())
	x.until("callers are told to come back", func() bool { return onFresh.refused.Load() > 20 })
	asked := calls()
	s.must(database.Start(s.ctx))
	up := time.Now()
	h.refreshed()
	r := h.judge(up, onDue, onFresh)
	r.note = fmt.Sprintf("the upstream had been asked %d times for the %d tokens when PostgreSQL was away", asked, n)
	return r
}
