package broker

import (
	"slices"
	"sync"

	"github.com/grantd/grantd/models"
)

// flights are the refreshes of this process, one for each authorization, whoever asked for
// it. As many run at once as there are slots, and no provider takes all of them: a flight
// begins while those of its organisation and those of its provider are together fewer than
// the slots that are free. One provider alone gets a third of them, and another one always
// finds some, no matter how long an upstream takes to answer (T1).
//
// A flight that finds no slot waits in line. Callers whose token has expired come first, in
// the order in which they came. Refreshes that nobody waits for take the slots that are left.
// A flight in line has no goroutine, no lease and no connection.
type flights struct {
	slots    int
	inflight *inflight // told of every flight that begins and ends

	mu         sync.Mutex
	byID       map[string]*flight // by authorization
	running    int
	byOrg      map[string]int
	byProvider map[string]int
	urgent     []*flight      // in line, for callers whose token has expired
	ahead      []*flight      // in line, and nobody waits for them
	aheadOf    map[string]int // how many of them a provider has
	short      chan struct{}  // holds one when a provider has fewer than enoughAhead again
}

// flight is one refresh.
type flight struct {
	id, org, provider string
	run               func() (models.Linked, error)

	done chan struct{} // closed when the next two are set
	l    models.Linked
	err  error

	// Held by the mutex of flights:
	begun   bool
	free    bool // needs no slot, since it only waits for another process
	ahead   bool // is in line, and nobody waits for it
	callers int  // who wait for it in line
}

const (
	// reservedPart of the slots is kept for callers whose token has expired.
	reservedPart = 8
	// enoughAhead is how many refreshes of a provider may be in line that nobody waits for
	// before no more of it are taken up: enough for its slots while the next ones are read.
	enoughAhead = sweepBatch / 4
)

func newFlights(slots int, inflight *inflight) *flights {
	return &flights{slots: slots, inflight: inflight, byID: map[string]*flight{}, byOrg: map[string]int{}, byProvider: map[string]int{},
		aheadOf: map[string]int{}, short: make(chan struct{}, 1)}
}

func newFlight(l models.Linked, run func() (models.Linked, error)) *flight {
	return &flight{id: l.Authorization.ID, org: l.Authorization.OrgID, provider: l.Provider.ID, run: run,
		done: make(chan struct{}), free: l.Leased()}
}

// begin returns the flight of an authorization that is under way, or begins one if a slot
// is free. Otherwise it returns nil: a caller whose token is still valid does not wait for a
// refresh that has not begun (R7).
func (f *flights) begin(l models.Linked, run func() (models.Linked, error)) *flight {
	f.mu.Lock()
	defer f.mu.Unlock()
	one := f.byID[l.Authorization.ID]
	if one == nil {
		one = newFlight(l, run)
		if f.fits(one, f.reserved()) {
			f.start(one)
		}
	}
	if !one.begun {
		return nil
	}
	return one
}

// queue returns the flight of an authorization, and whether it is in line or under way. Each
// caller calls leave when it does not wait any more.
func (f *flights) queue(l models.Linked, run func() (models.Linked, error)) (one *flight, inLine bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	one = f.byID[l.Authorization.ID]
	if one == nil {
		one = newFlight(l, run)
		f.byID[one.id] = one
	}
	if !one.begun && one.callers == 0 { // it is new, or nobody has waited for it so far
		f.remove(one)
		one.run = run
		f.urgent = append(f.urgent, one)
		f.next()
	}
	one.callers++
	return one, !one.begun
}

// leave is for a caller that does not wait for a flight any more. If it was the last one in
// line for it, the flight is dropped. It reports whether the flight has begun.
func (f *flights) leave(one *flight) (begun bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if one.callers--; one.callers == 0 && !one.begun {
		f.remove(one)
		delete(f.byID, one.id)
	}
	return one.begun
}

// queueAhead begins a flight that nobody waits for, now or when there is a slot that no
// caller needs. It reports false where there is a flight already.
func (f *flights) queueAhead(l models.Linked, run func() (models.Linked, error)) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.byID[l.Authorization.ID] != nil {
		return false
	}
	one := newFlight(l, run)
	f.byID[one.id] = one
	f.ahead, one.ahead = append(f.ahead, one), true
	f.aheadOf[one.provider]++
	f.next()
	return true
}

// crowded are the providers that have enough in line that nobody waits for.
func (f *flights) crowded() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var crowded []string
	for provider, n := range f.aheadOf {
		if n >= enoughAhead {
			crowded = append(crowded, provider)
		}
	}
	slices.Sort(crowded)
	return crowded
}

// lookAgain has whoever waits for short lines look at once.
func (f *flights) lookAgain() {
	select {
	case f.short <- struct{}{}:
	default:
	}
}

func (f *flights) reserved() int { return f.slots / reservedPart }

// fits reports whether there is a slot for a flight besides some that are kept for others.
func (f *flights) fits(one *flight, besides int) bool {
	return one.free || f.byOrg[one.org]+f.byProvider[one.provider] < f.slots-f.running-besides
}

// start begins a flight that is in no line any more.
func (f *flights) start(one *flight) {
	f.notAhead(one)
	f.byID[one.id], one.begun = one, true
	f.count(one, 1)
	f.inflight.begin()
	go func() {
		defer f.inflight.end()
		defer f.end(one)
		one.l, one.err = one.run()
	}()
}

func (f *flights) end(one *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.byID, one.id)
	f.count(one, -1)
	f.next()
	close(one.done)
}

func (f *flights) count(one *flight, n int) {
	if one.free {
		return
	}
	f.running += n
	if f.byOrg[one.org] += n; f.byOrg[one.org] == 0 {
		delete(f.byOrg, one.org)
	}
	if f.byProvider[one.provider] += n; f.byProvider[one.provider] == 0 {
		delete(f.byProvider, one.provider)
	}
}

// next begins what is in line, as far as there are slots.
func (f *flights) next() {
	f.urgent = f.startFrom(f.urgent, 0)
	f.ahead = f.startFrom(f.ahead, f.reserved())
}

// notAhead counts a flight out of those in line that nobody waits for, if it was one.
func (f *flights) notAhead(one *flight) {
	if !one.ahead {
		return
	}
	one.ahead = false
	switch f.aheadOf[one.provider]--; f.aheadOf[one.provider] {
	case 0:
		delete(f.aheadOf, one.provider)
	case enoughAhead - 1:
		f.lookAgain()
	}
}

// startFrom begins the flights of a line that fit, and returns the others.
func (f *flights) startFrom(line []*flight, besides int) []*flight {
	full := "" // a provider that takes no more: most of a long line are of the same one
	return slices.DeleteFunc(line, func(one *flight) bool {
		if one.provider == full && !one.free {
			return false
		}
		if !f.fits(one, besides) {
			full = one.provider
			return false
		}
		f.start(one)
		return true
	})
}

// remove takes a flight out of the line that it is in.
func (f *flights) remove(one *flight) {
	same := func(other *flight) bool { return other == one }
	f.urgent, f.ahead = slices.DeleteFunc(f.urgent, same), slices.DeleteFunc(f.ahead, same)
	f.notAhead(one)
}
