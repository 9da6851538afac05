package main

import (
	"context"
	"time"

	"github.com/grantd/grantd/brokertest/processes"
)

// million is the instance in which very many authorizations are stored. Filling it
// takes longer than measuring in it, so the parts share it.
type million struct {
	*instance
	api   *processes.Process
	shelf *shelf
}

// crowded returns the instance with very many authorizations, filled when it is first
// asked for.
func (b *bench) crowded(ctx context.Context) (*million, error) {
	if b.filled != nil {
		return b.filled, nil
	}
	h, err := b.open(ctx, "api")
	if err != nil {
		return nil, err
	}
	m := &million{instance: h, api: h.running[0]}
	b.filled = m // from here on run closes it
	begin := time.Now()
	if m.shelf, err = h.store(ctx, m.api.URL, b.stored, madeUp); err != nil {
		return nil, err
	}
	b.progress("stored %d authorizations in %s", b.stored, time.Since(begin).Round(time.Second))
	return m, nil
}

func (m *million) end() {
	if m != nil {
		m.close()
	}
}
