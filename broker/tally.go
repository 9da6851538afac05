package broker

import (
	"net/netip"
	"sync"
	"time"

	"github.com/grantd/grantd/models"
)

// tally counts what happens within a minute, by whom it counts for. All counts start
// again when the minute is over.
type tally[K comparable] struct {
	mu     sync.Mutex
	until  time.Time
	counts map[K]int
}

// quota is how much one of those who are counted may have.
type quota[K comparable] struct {
	key   K
	limit int
	whose string // what the key stands for, for the answer
}

// add counts one more for each quota, unless one of them is used up.
func (t *tally[K]) add(what, policy string, quotas ...quota[K]) error {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if !now.Before(t.until) {
		t.until, t.counts = now.Add(tallyWindow), map[K]int{}
	}
	for _, q := range quotas {
		if t.counts[q.key] >= q.limit {
			return tooMany(what, q.whose, models.Quota{Policy: policy, Limit: q.limit, Window: tallyWindow}, t.until.Sub(now))
		}
	}
	for _, q := range quotas {
		if _, known := t.counts[q.key]; known || len(t.counts) < tallySize {
			t.counts[q.key]++
		}
	}
	return nil
}

func quotasOf(c models.Caller, l Limit) []quota[owner] {
	return []quota[owner]{{ownerOf(c), l.Caller, "caller"}, {owner{org: c.OrgID}, l.Org, "organisation"}}
}

func (s *Service) countImport(c models.Caller) error {
	return s.imports.add("imports a minute", "imports", quotasOf(c, s.limits.Imports)...)
}

func (s *Service) countCheck(c models.Caller) error {
	return s.checks.add("checks a minute", "checks", quotasOf(c, s.limits.Checks)...)
}

// AddFailure counts that a request from an address could not be authenticated. Where
// there were too many its error is the answer. A request with a good credential does
// not come here, and is answered whatever others at its address do.
func (s *Service) AddFailure(from netip.Addr) error {
	return s.failures.add("failed authentications a minute", "failures", quota[netip.Prefix]{networkOf(from), s.limits.Failures, "address"})
}

// networkOf is what one customer of a network is given: an IPv4 address, or an IPv6 /64.
func networkOf(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits) // fails only with more bits than there are
	return p
}
