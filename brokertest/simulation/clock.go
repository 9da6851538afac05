package simulation

import "time"

// mostAhead bounds how far the database's clock may be off: leases outlive the calls that
// they are for by a margin of ten seconds.
const mostAhead = 4 * time.Second

// moveClock steps the database's clock.
func (w *world) moveClock() bool {
	d := time.Duration(w.rng.Int64N(int64(2*mostAhead))) - mostAhead
	w.setClock(d)
	w.faults["clock step"]++
	w.logf("the database's clock is now off by %s", d.Truncate(time.Millisecond))
	return true
}

// now is the database's clock.
func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.clock.Load())) }

func (w *world) setClock(ahead time.Duration) {
	if before := w.clock.Swap(int64(ahead)); w.gates.inTransaction() {
		w.aheadBefore = max(w.aheadBefore, before)
	}
}

// latest is the database's clock, or what it would be had it not been stepped back during the
// transaction whose changes are looked at: they may have been decided before.
func (w *world) latest() time.Time {
	return time.Now().Add(time.Duration(max(w.clock.Load(), w.aheadBefore)))
}
