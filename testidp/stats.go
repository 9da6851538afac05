package testidp

import (
	"slices"
	"sync/atomic"
)

// Stats are the server's counters. Calls are counted as they arrive, whatever
// becomes of them; what lives is counted by looking, so Stats takes time in
// proportion to the number of grants.
type Stats struct {
	Calls map[Endpoint]int64 `json:"calls"`

	// RefreshReused counts refresh tokens that were presented after having
	// been spent, CodesReused likewise. A client that does it has a bug.
	RefreshReused int64 `json:"refresh_reused"`
	CodesReused   int64 `json:"codes_reused"`

	// DevicePolledTooFast counts polls of devices before their interval was over.
	DevicePolledTooFast int64 `json:"device_polled_too_fast"`

	// MaxConcurrentRevocations is the largest number of revocations, in either
	// dialect, that were under way at the same time.
	MaxConcurrentRevocations int64 `json:"max_concurrent_revocations"`

	// A grant is one consent; it lives while one of its tokens does.
	LiveGrants         int64            `json:"live_grants"`
	LiveAccessTokens   int64            `json:"live_access_tokens"`
	LiveRefreshTokens  int64            `json:"live_refresh_tokens"`
	LiveGrantsByClient map[string]int64 `json:"live_grants_by_client"`
}

// Stats counts.
func (s *Server) Stats() Stats {
	stats := Stats{
		Calls:                    make(map[Endpoint]int64, len(counted)),
		MaxConcurrentRevocations: s.counters.maxRevoking.Load(),
		LiveGrantsByClient:       make(map[string]int64),
	}
	for _, name := range counted {
		stats.Calls[name] = s.counters.calls[name].Load()
	}
	s.ledger.census(s.now(), &stats)
	return stats
}

// counters never change shape after newCounters, so reading the map needs no lock.
type counters struct {
	calls                 map[Endpoint]*atomic.Int64
	revoking, maxRevoking *atomic.Int64
}

func newCounters() counters {
	c := counters{make(map[Endpoint]*atomic.Int64), new(atomic.Int64), new(atomic.Int64)}
	for _, name := range counted {
		c.calls[name] = new(atomic.Int64)
	}
	return c
}

func (c *counters) reset() {
	for _, n := range c.calls {
		n.Store(0)
	}
	c.maxRevoking.Store(0)
}

// enter counts a call, and returns what to do when it is over.
func (c *counters) enter(name Endpoint) (leave func()) {
	c.calls[name].Add(1)
	if !slices.Contains([]Endpoint{Revoke, GrantDelete, TokenDelete}, name) {
		return func() {}
	}
	now := c.revoking.Add(1)
	for {
		most := c.maxRevoking.Load()
		if now <= most || c.maxRevoking.CompareAndSwap(most, now) {
			break
		}
	}
	return func() { c.revoking.Add(-1) }
}
