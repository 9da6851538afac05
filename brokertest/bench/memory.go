package main

import (
	"context"
	"fmt"
	"time"
)

// memory measures what `grantd serve` holds while nobody asks for anything.
func (b *bench) memory(ctx context.Context, r *report) error {
	h, err := b.open(ctx, "serve")
	if err != nil {
		return err
	}
	defer h.close()
	p := h.running[0]
	started, err := p.Memory()
	if err != nil {
		return err
	}
	if err := pause(ctx, b.settle); err != nil {
		return err
	}
	idle, err := p.Memory()
	if err != nil {
		return err
	}
	r.memory(started, idle, b.settle)
	return nil
}

func (r *report) memory(started, idle int64, settle time.Duration) {
	r.add(row{what: fmt.Sprintf("memory of serve, idle for %s", settle)}.fits(idle, mostMemory),
		row{what: "– just started", ours: mb(started)})
}
