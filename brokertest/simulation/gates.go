package simulation

import (
	"cmp"
	"context"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// gateKind is what a goroutine is about to do.
type gateKind string

const (
	gateRead   gateKind = "read"   // a statement that changes nothing
	gateWrite  gateKind = "write"  // one that changes rows
	gateBegin  gateKind = "begin"  // a transaction begins
	gateCommit gateKind = "commit" // and ends
	gateFetch  gateKind = "fetch"  // the hot query
	gateAsk    gateKind = "ask"    // somebody joins those whom it answers, or goes on with the answer, one after another: who comes first is the seed's choice
	gateSend   gateKind = "send"   // a request to an upstream
	gateAnswer gateKind = "answer" // its answer is on the way
	gateTask   gateKind = "task"   // a task is enqueued
)

// verdict is what the scheduler says to a goroutine at a gate.
type verdict string

const (
	goOn        verdict = "goes on"
	fails       verdict = "fails"                         // nothing is done, and the caller is told so
	loses       verdict = "is done, its answer lost"      // it is done, and the caller sees an error
	unreachable verdict = "does not reach the upstream"   // nothing was sent
	throttled   verdict = "is answered 429"               //
	broken      verdict = "is answered 503"               //
	garbled     verdict = "is done, answered unreadably"  // a success without readable tokens
	stolen      verdict = "is answered for somebody else" // another person's tokens
	stalls      verdict = "pauses"                        // for as long as a lease may last; in real time only
	exits       verdict = "ends with its replica"
)

// gate is a goroutine that waits to go on.
type gate struct {
	kind    gateKind
	replica *replica
	actor   string   // what the goroutine works for, such as "fetch 3 of ada"
	what    string   // what it is about to do, in words that are the same in every play
	order   string   // tells apart what is the same in words
	about   []string // authorizations
	tx      *transaction
	of      of // what a request is of
	told    chan verdict
}

func (g *gate) String() string {
	return g.replica.name + ", " + g.actor + ": " + g.what
}

// gates are those that wait.
type gates struct {
	mu      sync.Mutex
	waiting []*gate
	arrived chan struct{} // one element: somebody came since the scheduler looked
	open    *transaction  // the only transaction that has begun and not ended
}

func (g *gates) inTransaction() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open != nil
}

// pass waits for the scheduler. A goroutine of a replica that was killed ends here.
// Where leave is given, it returns false as soon as that is closed.
func (w *world) pass(g *gate, leave <-chan struct{}) (verdict, bool) {
	if w.postgres != nil {
		return w.passAtOnce(g, leave)
	}
	g.told = make(chan verdict, 1)
	w.gates.mu.Lock()
	if g.replica.dead {
		w.gates.mu.Unlock()
		runtime.Goexit()
	}
	w.gates.waiting = append(w.gates.waiting, g)
	w.gates.mu.Unlock()
	select {
	case w.gates.arrived <- struct{}{}:
	default:
	}
	select {
	case v := <-g.told:
		if v == exits {
			runtime.Goexit()
		}
		return v, true
	case <-leave:
	}
	w.gates.mu.Lock()
	defer w.gates.mu.Unlock()
	w.gates.waiting = slices.DeleteFunc(w.gates.waiting, func(o *gate) bool { return o == g })
	return "", false
}

// isDead reports whether a replica was killed.
func (w *world) isDead(r *replica) bool {
	w.gates.mu.Lock()
	defer w.gates.mu.Unlock()
	return r.dead
}

// passable returns those that may go on, in an order that is the same in every play. SQL
// has one transaction at a time: whatever else writes or reads waits until it has ended.
func (w *world) passable() []*gate {
	w.gates.mu.Lock()
	defer w.gates.mu.Unlock()
	var all []*gate
	for _, g := range w.gates.waiting {
		switch g.kind {
		case gateRead, gateWrite, gateBegin, gateCommit, gateFetch:
			if w.gates.open != nil && w.gates.open != g.tx {
				continue
			}
		case gateAsk, gateSend, gateAnswer, gateTask:
		}
		all = append(all, g)
	}
	slices.SortStableFunc(all, func(a, b *gate) int {
		return cmp.Or(strings.Compare(a.replica.name, b.replica.name), strings.Compare(a.actor, b.actor),
			strings.Compare(string(a.kind), string(b.kind)), strings.Compare(a.what, b.what), strings.Compare(a.order, b.order))
	})
	return all
}

// tell lets a goroutine go on.
func (w *world) tell(g *gate, v verdict) {
	w.gates.mu.Lock()
	w.gates.waiting = slices.DeleteFunc(w.gates.waiting, func(o *gate) bool { return o == g })
	w.gates.mu.Unlock()
	g.told <- v
}

type actorKey struct{}

// as says what the work under a context is for.
func as(ctx context.Context, actor string) context.Context {
	return context.WithValue(ctx, actorKey{}, actor)
}

func actorOf(ctx context.Context) string {
	name, _ := ctx.Value(actorKey{}).(string)
	return cmp.Or(name, "somebody")
}
