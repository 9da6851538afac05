package services

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Set is a PostgreSQL and a Redis. A URL is "" where the service is missing.
type Set struct {
	PostgresURL string
	RedisURL    string
	// Notes has a sentence per service: what is used, or what to do to have it.
	Notes []string
	// Missing holds those of the Notes whose service was not found.
	Missing []string

	closers []func() error
}

// Start finds or starts both services. That one is missing is no error: Missing
// says so. Close ends what was started.
func Start(ctx context.Context) (*Set, error) { return start(ctx, thisMachine()) }

func start(ctx context.Context, m machine) (*Set, error) {
	sweepFolders()
	var found [2]offer
	var errs [2]error
	var wg sync.WaitGroup
	for i, k := range []kind{postgres, redisServer} {
		wg.Go(func() { found[i], errs[i] = m.provide(ctx, k) })
	}
	wg.Wait()
	s := &Set{PostgresURL: found[0].url, RedisURL: found[1].url}
	for _, o := range found {
		s.add(o)
	}
	if err := errors.Join(errs[:]...); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Set) add(o offer) {
	s.Notes = append(s.Notes, o.note)
	if o.url == "" {
		s.Missing = append(s.Missing, o.note)
	}
	if o.close != nil {
		s.closers = append(s.closers, o.close)
	}
}

// Close stops what Start started and removes its folders. It may be called more
// than once.
func (s *Set) Close() error {
	var errs []error
	for _, c := range s.closers {
		errs = append(errs, c())
	}
	s.closers = nil
	return errors.Join(errs...)
}

// kind is what sets one service apart from the other.
type kind struct {
	name    string // for people
	env     string // the variable with the URL of a running one
	install string // the package to install
	find    func(m machine) string
	start   func(ctx context.Context, binary string, settings ...string) (*Server, error)
	compose string // the service in compose.yaml
	port    string // inside the container
	url     func(addr string) string
}

// offer is one service that was found, or the sentence about its absence.
type offer struct {
	url   string
	note  string
	close func() error
}

func (m machine) provide(ctx context.Context, k kind) (offer, error) {
	if url := m.getenv(k.env); url != "" {
		return offer{url: url, note: fmt.Sprintf("%s: using %s", k.name, k.env)}, nil
	}
	if binary := k.find(m); binary != "" {
		s, err := k.start(ctx, binary)
		if err != nil {
			return offer{}, err
		}
		return offer{url: s.URL, note: fmt.Sprintf("%s: started %s on %s", k.name, binary, s.Addr), close: s.Close}, nil
	}
	if m.dockerAnswers(ctx) {
		return m.composeUp(ctx, k)
	}
	return offer{note: fmt.Sprintf("%s: none found — the tests on %[1]s are left out; install %s or set %s", k.name, k.install, k.env)}, nil
}
