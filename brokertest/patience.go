package brokertest

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Patience is a time limit for tests that is counted in the machine's own speed: on a
// machine that is half as fast, or half of which is taken by something else, it is
// twice as long. A test that waits for progress fails when there is none, and not
// because the machine is slow.
type Patience struct {
	limit time.Duration
	from  time.Duration // of the pace clock
	start time.Time
}

// StartPatience begins a limit of so much time on a machine of ordinary speed that has
// nothing else to do.
func StartPatience(limit time.Duration) Patience {
	return Patience{limit: limit, from: pace.elapsed(), start: time.Now()}
}

// Over reports whether the limit has passed.
func (p Patience) Over() bool { return pace.elapsed()-p.from > p.limit }

// String tells the limit, and the real time since its start.
func (p Patience) String() string {
	return fmt.Sprintf("%s (%s on this machine)", p.limit, time.Since(p.start).Round(100*time.Millisecond))
}

// WithPatience returns a context that ends when the limit has passed.
func WithPatience(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	p := StartPatience(limit)
	go func() {
		tick := time.NewTicker(paceEvery)
		defer tick.Stop()
		for !p.Over() {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
		cancel(fmt.Errorf("the limit of %s has passed", p))
	}()
	return ctx, func() { cancel(nil) }
}

// pace measures how fast the machine is while the tests run.
var pace paceClock

const (
	paceEvery = 250 * time.Millisecond
	// paceWork is how many steps of a fixed computation are timed, and paceTime is how
	// long they take where nothing else runs: a processor of 2020 or later without the
	// race detector.
	paceWork = 200_000
	paceTime = 400 * time.Microsecond
)

// paceClock is a clock that goes slower on a slow machine.
type paceClock struct {
	once sync.Once
	mu   sync.Mutex
	time time.Duration
}

// elapsed is the time since the clock's first use, as the machine's speed counts it.
func (c *paceClock) elapsed() time.Duration {
	c.once.Do(func() { go c.run() })
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.time
}

func (c *paceClock) run() {
	slowness := 1.0
	for last := time.Now(); ; {
		time.Sleep(paceEvery)
		begin := time.Now()
		work()
		// One measurement may have been interrupted, or lucky: the last few count.
		slowness += (max(1, float64(time.Since(begin))/float64(paceTime)) - slowness) / 8
		now := time.Now()
		c.mu.Lock()
		c.time += time.Duration(float64(now.Sub(last)) / slowness)
		c.mu.Unlock()
		last = now
	}
}

// table is what work writes to: memory that the race detector watches, as it does that
// of the code under test.
var table [256]uint64

// work takes a fixed number of steps.
func work() {
	x := uint64(88172645463325252)
	for range paceWork {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		table[x&255] += x
	}
}
