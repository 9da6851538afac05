package broker

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// Every cost has an owner (T2). A limit refuses what is new, and never what ends
// something: callbacks, confirmations, disconnects, deletions, revocations and the
// reading of jobs pass.

// Limit is how much one caller and one organisation may have of something. A caller
// is a user of an organisation, with however many API tokens.
type Limit struct{ Caller, Org int }

// Limits are the limits of an instance.
type Limits struct {
	Consents       Limit // open at once, those on other devices included; counted in SQL for all processes together
	PersonConsents int   // of them, what one person has begun in the pages
	Waiting        Limit // callers that wait, follow or listen, at once in this process
	Imports        Limit // within a minute in this process
	Checks         Limit // of those that ask the upstream, within a minute in this process
}

// DefaultLimits are those of an instance where nothing is set.
var DefaultLimits = Limits{
	Consents: Limit{1000, 10_000}, PersonConsents: 20, Waiting: Limit{200, 1000}, Imports: Limit{600, 3000}, Checks: Limit{600, 3000},
}

func (l Limits) withDefaults() Limits {
	d := DefaultLimits
	return Limits{
		Consents: l.Consents.or(d.Consents), PersonConsents: cmp.Or(l.PersonConsents, d.PersonConsents), Waiting: l.Waiting.or(d.Waiting),
		Imports: l.Imports.or(d.Imports), Checks: l.Checks.or(d.Checks),
	}
}

func (l Limit) or(d Limit) Limit { return Limit{cmp.Or(l.Caller, d.Caller), cmp.Or(l.Org, d.Org)} }

// tooMany is the answer to what a limit refuses.
func tooMany(what, whose string, q models.Quota, after time.Duration) error {
	q.Policy += "-" + whose
	return &models.Error{Code: models.CodeRateLimited, Detail: q.Policy, Quota: &q, RetryAfter: max(after, time.Second),
		Message: fmt.Sprintf("There are too many %s: at most %d for each %s. Try again after Retry-After.", what, q.Limit, whose)}
}

// beginConsent keeps a new flow, if its owner may have one more open. Processes that
// begin one at the same moment on PostgreSQL may pass the limit by as many as there
// are of them at once.
func (s *Service) beginConsent(ctx context.Context, f *models.Flow, life time.Duration) error {
	return s.store.Tx(ctx, func(tx *store.Store) error {
		if err := s.mayBegin(ctx, tx, *f); err != nil {
			return err
		}
		return tx.InsertFlow(ctx, f, life)
	})
}

// consentWait is how long a caller with too many open consents should stay away: they
// end one by one, at the latest when their time is over.
const consentWait = 30 * time.Second

func (s *Service) mayBegin(ctx context.Context, st *store.Store, f models.Flow) error {
	n, err := st.OpenConsents(ctx, f.OrgID, f.UserID)
	if err != nil {
		return unavailable(err)
	}
	refused := func(whose string, limit int) error {
		return tooMany("open consents", whose, models.Quota{Policy: "consents", Limit: limit, Window: s.timing.FlowLife}, consentWait)
	}
	l := s.limits
	switch {
	case f.Channel == models.ChannelBrowser && n.Person >= l.PersonConsents:
		return refused("person", l.PersonConsents)
	case n.Caller >= l.Consents.Caller:
		return refused("caller", l.Consents.Caller)
	case n.Org >= l.Consents.Org:
		return refused("organisation", l.Consents.Org)
	}
	return nil
}

// owner is who something counts for: a caller, or with user "" an organisation.
type owner struct{ org, user string }

// places are what callers hold for as long as they wait.
type places struct {
	mu   sync.Mutex
	held map[owner]int
}

// waitFor is how long a caller for whom there is no place to wait should stay away.
const waitFor = 5 * time.Second

// take holds a place until leave is called, which may be called twice.
func (p *places) take(c models.Caller, l Limit) (leave func(), err error) {
	caller, org := owner{c.OrgID, c.UserID}, owner{org: c.OrgID}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.held[caller] >= l.Caller:
		return nil, tooMany("requests that wait", "caller", models.Quota{Policy: "waiting", Limit: l.Caller}, waitFor)
	case p.held[org] >= l.Org:
		return nil, tooMany("requests that wait", "organisation", models.Quota{Policy: "waiting", Limit: l.Org}, waitFor)
	}
	if p.held == nil {
		p.held = map[owner]int{}
	}
	p.held[caller]++
	p.held[org]++
	return sync.OnceFunc(func() { p.free(caller, org) }), nil
}

func (p *places) free(owners ...owner) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range owners {
		if p.held[o]--; p.held[o] <= 0 {
			delete(p.held, o)
		}
	}
}

// tally counts within a minute. All counts of a minute are forgotten with it.
type tally struct {
	mu     sync.Mutex
	until  time.Time
	counts map[owner]int
}

const tallied = time.Minute

// add counts one more, unless the caller or its organisation have had all theirs.
func (t *tally) add(what string, policy string, c models.Caller, l Limit) error {
	caller, org, now := owner{c.OrgID, c.UserID}, owner{org: c.OrgID}, time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if !now.Before(t.until) {
		t.until, t.counts = now.Add(tallied), map[owner]int{}
	}
	switch {
	case t.counts[caller] >= l.Caller:
		return tooMany(what, "caller", models.Quota{Policy: policy, Limit: l.Caller, Window: tallied}, t.until.Sub(now))
	case t.counts[org] >= l.Org:
		return tooMany(what, "organisation", models.Quota{Policy: policy, Limit: l.Org, Window: tallied}, t.until.Sub(now))
	}
	t.counts[caller]++
	t.counts[org]++
	return nil
}
