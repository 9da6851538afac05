package main

import (
	"context"
	"fmt"

	"github.com/grantd/grantd/brokertest/processes"
)

// tokensOnSQLite measures fetching a fresh token from one process on SQLite. With -beside it takes turns with one of another
// binary. Every authorization is of a real consent.
func (b *bench) tokensOnSQLite(ctx context.Context, r *report) error {
	h, err := b.embedded(ctx, b.binary)
	if err != nil {
		return err
	}
	defer h.close()
	ours, err := b.serving(ctx, h)
	if err != nil {
		return err
	}
	var beside *contender
	if b.beside != "" {
		other, err := b.embedded(ctx, b.beside)
		if err != nil {
			return err
		}
		defer other.close()
		if beside, err = b.serving(ctx, other); err != nil {
			return err
		}
		beside.name, beside.short = b.besideIs, "beside"
	}
	var all []*contender
	in := bySize(ours, nil, beside)
	for _, s := range in {
		all = append(all, s.all()...)
	}
	if err := b.compare(ctx, all...); err != nil {
		return err
	}
	r.tokensOnSQLite(in, b.options)
	return b.openParts(ctx, r, capacity(in, b.round), "sqlite", "SQLite", ours)
}

// serving starts a process that is all in one, has people consent, and prepares what it is asked.
func (b *bench) serving(ctx context.Context, h *instance) (*contender, error) {
	if err := h.run(ctx, "serve"); err != nil {
		return nil, err
	}
	serve := h.running[0]
	admin := processes.NewClient(serve.URL, h.token)
	provider, err := processes.Provider(ctx, admin)
	if err != nil {
		return nil, err
	}
	ids, err := processes.Consents(ctx, admin, provider.ID, b.authorizations)
	if err != nil {
		return nil, fmt.Errorf("consenting: %w", err)
	}
	c := &contender{name: "grantd", short: "grantd", pid: serve.PID(), base: serve.URL}
	for _, id := range ids {
		c.requests = append(c.requests, request("POST", tokenPath(id), h.token.Reveal()))
	}
	return c, nil
}
