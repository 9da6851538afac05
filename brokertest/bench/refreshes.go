package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/brokertest/processes"
)

const (
	// refreshedStored is how many authorizations there are to refresh, more than are refreshed in a turn.
	refreshedStored = 20_000
	leastRefreshes  = 1.8 // times those of the other binary
)

// refreshing is an API process whose callers all have expired tokens.
type refreshing struct {
	h      *instance
	api    *processes.Process
	due    *shelf
	shares []float64
	spent  time.Duration // of CPU time
	times  int64
}

// refreshRates measures how many refreshes one process can do in a second at an upstream that answers at once, for callers
// whose tokens have expired. PostgreSQL waits for the disk at each commit. With -beside the process takes turns with one of
// another binary.
func (b *bench) refreshRates(ctx context.Context, r *report) error {
	var sides []*refreshing
	defer func() {
		for _, side := range sides {
			side.h.close()
		}
	}()
	for _, binary := range []string{b.binary, b.beside} {
		if binary == "" {
			continue
		}
		h, err := b.build(ctx, binary)
		if err != nil {
			return err
		}
		side := &refreshing{h: h}
		sides = append(sides, side)
		if err := b.fill(ctx, side); err != nil {
			return err
		}
	}
	if err := sides[0].h.waitForDisk(ctx, true); err != nil {
		return err
	}
	defer func() { _ = sides[0].h.waitForDisk(context.WithoutCancel(ctx), false) }()
	for range b.rounds {
		for _, side := range sides {
			if err := b.refreshRound(ctx, side); err != nil {
				return err
			}
		}
	}
	r.refreshRates(sides, b.options)
	return nil
}

func (b *bench) fill(ctx context.Context, side *refreshing) (err error) {
	if side.api, err = side.h.Start(ctx, "api"); err != nil {
		return err
	}
	side.h.running = append(side.h.running, side.api)
	side.due, err = side.h.store(ctx, side.api.URL, min(refreshedStored, b.herded), func(i int) (access, refresh string) {
		return side.h.Upstream.Mint(brokertest.ClientID, fmt.Sprint("person-", i))
	})
	return err
}

// waitForDisk has PostgreSQL write to the disk at each commit or not, as it was started.
func (h *instance) waitForDisk(ctx context.Context, on bool) error {
	setting := "ALTER SYSTEM RESET fsync"
	if on {
		setting = "ALTER SYSTEM SET fsync = on"
	}
	if err := h.exec(ctx, setting); err != nil {
		return err
	}
	return h.exec(ctx, "SELECT pg_reload_conf()")
}

func (b *bench) refreshRound(ctx context.Context, side *refreshing) error {
	all := side.due.copies
	if err := side.h.expire(ctx, side.due, 0, all, -time.Second); err != nil {
		return err
	}
	cpu, err := side.api.CPU()
	if err != nil {
		return err
	}
	before := side.h.refreshes()
	rate, err := b.refreshAll(ctx, side.h, side.api, side.due, 0, all, 2*b.round)
	if err != nil {
		return err
	}
	after, err := side.api.CPU()
	if err != nil {
		return err
	}
	side.shares = append(side.shares, rate)
	side.spent += after - cpu
	side.times += side.h.refreshes() - before
	b.progress("  %s: %.0f refreshes/s", side.h.Binary, rate)
	return nil
}

// refreshes starts an API whose callers all have expired tokens. PostgreSQL does not wait for the disk.
func (b *bench) refreshes(ctx context.Context, h *instance) (keptBusy, error) {
	side := &refreshing{h: h}
	if err := b.fill(ctx, side); err != nil {
		return nil, err
	}
	return func(ctx context.Context, d time.Duration) error {
		if err := h.expire(ctx, side.due, 0, side.due.copies, -time.Second); err != nil {
			return err
		}
		_, err := b.refreshAll(ctx, h, side.api, side.due, 0, side.due.copies, d)
		return err
	}, nil
}

// rate is the median of the rounds.
func (side *refreshing) rate() float64 {
	return slices.Sorted(slices.Values(side.shares))[len(side.shares)/2]
}

func (side *refreshing) cpu() time.Duration { return side.spent / time.Duration(max(1, side.times)) }

func (r *report) refreshRates(sides []*refreshing, o options) {
	ours := row{what: fmt.Sprintf("refreshes, %d callers of expired tokens of one process", herdCallers), ours: fmt.Sprintf("%.0f/s", sides[0].rate())}
	cpu := row{what: "– CPU time of the server", ours: us(sides[0].cpu())}
	if len(sides) > 1 {
		var ratios []float64
		for i, rate := range sides[0].shares {
			ratios = append(ratios, rate/max(1, sides[1].shares[i]))
		}
		slices.Sort(ratios)
		ours.what += ", against " + o.besideIs
		ours.bare, cpu.bare = fmt.Sprintf("%.0f/s", sides[1].rate()), us(sides[1].cpu())
		ours = ours.atLeast(ratios[len(ratios)/2], leastRefreshes)
		r.missedRefreshes = !ours.met
		cpu = cpu.compared(ratio(sides[0].cpu(), max(1, sides[1].cpu())))
	}
	r.add(ours, cpu)
}
