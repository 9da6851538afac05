package main

import (
	"context"
	"fmt"
	"time"

	"github.com/grantd/grantd/brokertest/processes"
)

// growth measures by how much `grantd serve` grows while it deletes a provider with
// very many authorizations, as fast as it can.
func (b *bench) growth(ctx context.Context, r *report) error {
	h, err := b.open(ctx, "serve")
	if err != nil {
		return err
	}
	defer h.close()
	p := h.running[0]
	provider, err := h.store(ctx, p.URL, b.grown, h.mint)
	if err != nil {
		return err
	}
	before, err := p.Memory()
	if err != nil {
		return err
	}
	stop, peak := make(chan struct{}), make(chan int64)
	go func() { peak <- highest(p, stop) }()
	took, err := h.delete(ctx, p, provider)
	close(stop)
	most := <-peak
	if err != nil {
		return err
	}
	b.progress("  deleted %d authorizations in %s", b.grown, took.Round(time.Millisecond))
	r.growth(before, most, took, b.options)
	return nil
}

// highest is the most memory a process was seen to hold until stop.
func highest(p *processes.Process, stop <-chan struct{}) (most int64) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if now, err := p.Memory(); err == nil {
			most = max(most, now)
		}
		select {
		case <-stop:
			return most
		case <-tick.C:
		}
	}
}

func (r *report) growth(before, most int64, took time.Duration, o options) {
	r.add(row{what: fmt.Sprintf("– growth of serve while it deletes %d authorizations", o.grown)}.fits(most-before, mostGrowth),
		row{what: "– peak", ours: mb(most), bare: mb(before)},
		row{what: "– revocations, without latency", ours: fmt.Sprintf("%.0f/s", float64(o.grown)/took.Seconds())})
}
