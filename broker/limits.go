package broker

import (
	"cmp"
	"context"
	"fmt"
	"math"
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
	PersonConsents int   // of them, what one person has begun in the pages, or services for one user; also with connect links, and of links that nobody has opened
	Requests       Limit // being answered at once in this process
	Waiting        Limit // of them, those that wait, follow or listen; and as many again that wait for a refresh to begin
	Imports        Limit // within a minute in this process
	Checks         Limit // of those that ask the upstream, within a minute in this process
	Failures       int   // to authenticate, of one address within a minute in this process
}

// DefaultLimits are those of an instance where nothing is set.
var DefaultLimits = Limits{
	Consents: Limit{1000, 10_000}, PersonConsents: 20, Requests: Limit{2000, 10_000}, Waiting: Limit{200, 1000},
	Imports: Limit{600, 3000}, Checks: Limit{600, 3000}, Failures: 300,
}

func (l Limits) withDefaults() Limits {
	d := DefaultLimits
	return Limits{
		Consents: l.Consents.or(d.Consents), PersonConsents: cmp.Or(l.PersonConsents, d.PersonConsents),
		Requests: l.Requests.or(d.Requests), Waiting: l.Waiting.or(d.Waiting),
		Imports: l.Imports.or(d.Imports), Checks: l.Checks.or(d.Checks), Failures: cmp.Or(l.Failures, d.Failures),
	}
}

func (l Limit) or(d Limit) Limit { return Limit{cmp.Or(l.Caller, d.Caller), cmp.Or(l.Org, d.Org)} }

// tooMany is the answer to what a limit refuses.
func tooMany(what, whose string, q models.Quota, after time.Duration) error {
	q.Policy += "-" + whose
	after = max(after, time.Second)
	wait := "a second"
	if after > time.Second {
		wait = fmt.Sprintf("%.0f seconds", math.Ceil(after.Seconds()))
	}
	return &models.Error{Code: models.CodeRateLimited, Detail: q.Policy, Quota: &q, RetryAfter: after,
		Message: fmt.Sprintf("There are too many %s: at most %d for each %s. Try again in %s.", what, q.Limit, whose, wait)}
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

func (s *Service) mayBegin(ctx context.Context, st *store.Store, f models.Flow) error {
	n, err := st.OpenConsents(ctx, f.OrgID, f.UserID)
	if err != nil {
		return err
	}
	refused := func(whose string, limit int) error {
		return tooMany("open consents", whose, models.Quota{Policy: "consents", Limit: limit, Window: s.timing.FlowLife}, tryConsent)
	}
	l := s.limits
	switch {
	case f.Channel.InPages() && n.Person >= l.PersonConsents, f.Channel == models.ChannelLink && n.Links >= l.PersonConsents:
		return refused("person", l.PersonConsents)
	case f.Actor != "" && f.Channel != models.ChannelLink && n.Caller >= l.PersonConsents:
		return refused("user", l.PersonConsents)
	case n.Caller >= l.Consents.Caller:
		return refused("caller", l.Consents.Caller)
	case n.Org >= l.Consents.Org:
		return refused("organisation", l.Consents.Org)
	}
	return nil
}

// owner is who something counts for: a caller, a user that a service acts for, or with user "" an organisation.
type owner struct{ org, user, actor string }

func ownerOf(c models.Caller) owner { return owner{c.OrgID, c.UserID, c.Actor} }

// places are what callers hold for as long as something of theirs lasts.
type places struct {
	mu    sync.Mutex
	taken map[owner]int
}

// take holds a place until leave is called, which may be called twice.
func (p *places) take(what, policy string, c models.Caller, l Limit, after time.Duration) (leave func(), err error) {
	caller, org := ownerOf(c), owner{org: c.OrgID}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.taken[caller] >= l.Caller:
		return nil, tooMany(what, "caller", models.Quota{Policy: policy, Limit: l.Caller}, after)
	case p.taken[org] >= l.Org:
		return nil, tooMany(what, "organisation", models.Quota{Policy: policy, Limit: l.Org}, after)
	}
	if p.taken == nil {
		p.taken = map[owner]int{}
	}
	p.taken[caller]++
	p.taken[org]++
	return sync.OnceFunc(func() { p.free(caller, org) }), nil
}

func (p *places) free(owners ...owner) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range owners {
		if p.taken[o]--; p.taken[o] <= 0 {
			delete(p.taken, o)
		}
	}
}

// BeginRequest counts a request that is being answered, until done is called.
func (s *Service) BeginRequest(c models.Caller) (done func(), err error) {
	return s.requests.take("requests at once", "requests", c, s.limits.Requests, retrySoon)
}

// beginWaiting counts a caller that has to wait, until leave is called.
func (s *Service) beginWaiting(c models.Caller) (leave func(), err error) {
	return s.waiting.take("requests that wait", "waiting", c, s.limits.Waiting, tryWaiting)
}

// beginQueueing counts a caller that waits for the refresh of an expired token to begin,
// until leave is called. There may be as many as of those that wait for something else.
func (s *Service) beginQueueing(c models.Caller) (leave func(), err error) {
	return s.queueing.take("requests that wait for an expired token to be refreshed", "refreshes", c, s.limits.Waiting, retrySoon)
}
