package broker

import (
	"context"
	"sync"
)

// turn is a mutex that may be held during a statement. It is a channel with room for one,
// so that a simulation sees who waits for it (a goroutine that waits for a sync.Mutex
// counts as running).
type turn chan struct{}

func (t turn) Lock()   { t <- struct{}{} }
func (t turn) Unlock() { <-t }

// concurrency limits how much each organisation has under way in this process. Every
// organisation has a semaphore of its own, so that calls of one of them to an upstream
// that does not answer make no other organisation wait (T1).
type concurrency struct {
	limit int // of one organisation

	mu    sync.Mutex
	byOrg map[string]*semaphore
}

type semaphore struct {
	places chan struct{}
	users  int // who hold a place or wait for one; guarded by the mutex of concurrency
}

func newConcurrency(limit int) *concurrency {
	return &concurrency{limit: limit, byOrg: map[string]*semaphore{}}
}

// take waits for a place of the organisation, which is held until release is called. It
// fails only when ctx ends before.
func (c *concurrency) take(ctx context.Context, org string) (release func(), err error) {
	own := c.join(org)
	select {
	case own.places <- struct{}{}:
		return func() { <-own.places; c.leave(org, own) }, nil
	case <-ctx.Done():
		c.leave(org, own)
		return nil, ctx.Err()
	}
}

// shares divides a limited number of places among organisations: one of them gets another
// place only while it has fewer than are free. So an organisation that always has work
// gets half of the places, a second one half of the rest, and there is a place left for one
// that has little to do (T1).
type shares struct {
	limit int

	mu    sync.Mutex
	taken int
	byOrg map[string]int
}

func newShares(limit int) *shares { return &shares{limit: limit, byOrg: map[string]int{}} }

// try takes a place for the organisation until release is called, or reports that it gets
// none now.
func (s *shares) try(org string) (release func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byOrg[org] >= s.limit-s.taken {
		return nil, false
	}
	s.taken++
	s.byOrg[org]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.taken--
		if s.byOrg[org]--; s.byOrg[org] == 0 {
			delete(s.byOrg, org)
		}
	}, true
}

func (c *concurrency) join(org string) *semaphore {
	c.mu.Lock()
	defer c.mu.Unlock()
	own := c.byOrg[org]
	if own == nil {
		own = &semaphore{places: make(chan struct{}, c.limit)}
		c.byOrg[org] = own
	}
	own.users++
	return own
}

func (c *concurrency) leave(org string, own *semaphore) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if own.users--; own.users == 0 {
		delete(c.byOrg, org)
	}
}
