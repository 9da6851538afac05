package main

import (
	"context"
	"fmt"
	"time"
)

// idle measures what processes use of a core while nobody asks for anything: one
// that serves on its own, and an API and a worker on PostgreSQL and Redis.
func (b *bench) idle(ctx context.Context, r *report) error {
	embedded, err := b.embedded(ctx, b.binary)
	if err != nil {
		return err
	}
	defer embedded.close()
	alone, err := embedded.Start(ctx, "serve")
	if err != nil {
		return err
	}
	defer func() { _ = alone.Kill() }()
	shared, err := b.open(ctx, "api", "worker")
	if err != nil {
		return err
	}
	defer shared.close()
	watched := append(shared.running, alone)
	if err := pause(ctx, b.settle); err != nil { // what a start does is not idling
		return err
	}
	used := make([]time.Duration, len(watched))
	for i, p := range watched {
		if used[i], err = p.CPU(); err != nil {
			return err
		}
	}
	if err := pause(ctx, b.idling); err != nil {
		return err
	}
	for i, p := range watched {
		now, err := p.CPU()
		if err != nil {
			return err
		}
		used[i] = now - used[i]
	}
	r.idle(b.idling, used[0], used[1], used[2])
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func (r *report) idle(during, api, worker, alone time.Duration) {
	r.add(row{what: fmt.Sprintf("idle for %s: an API and a worker together, of a core", during)}.uses(api+worker, during, mostIdle),
		row{what: "– the worker of them"}.share(worker, during),
		row{what: "– serve, embedded"}.uses(alone, during, mostIdle))
}
