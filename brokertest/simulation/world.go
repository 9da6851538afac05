package simulation

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/grantd/grantd/brokertest/protocol"
	"github.com/grantd/grantd/metrics"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
	"github.com/grantd/grantd/testidp"
)

// world is one play.
//
// In a bubble nobody else does anything while the scheduler does. On PostgreSQL what is below
// the mutex belongs to who holds it: the goroutine that makes moves, one that passes a gate, or
// one whose request the upstream answers.
type world struct {
	terms
	image    *image
	shared   *shared      // nil on PostgreSQL
	postgres *postgres    // nil in a bubble
	tables   tables       // of the database, in a bubble
	like     *store.Store // the first replica's
	metrics  *metrics.Metrics
	seed     uint64
	options  Options
	source   *rand.PCG
	rng      *rand.Rand // of the scheduler, begun anew for each of its decisions
	decided  int        // how many those are
	made     []Decision
	began    time.Time
	calmed   time.Time // on PostgreSQL

	mu     sync.Mutex
	step   int
	calm   bool
	closed bool

	gates       gates
	replicas    []*replica
	every       []*replica // those that were killed too
	starts      int
	tasks       []queued
	namesMu     sync.Mutex // the scheduler names what is new while goroutines are on their way to a gate
	names       map[string]string
	holders     map[string]string // authorizations by their own ids and by those of their credentials; under namesMu
	idp         *testidp.Server
	ledger      *ledger
	clock       atomic.Int64 // what the database's clock is ahead of the bubble's
	aheadBefore int64        // the most that it was ahead before it was stepped during a transaction

	operations []*operation
	finished   []*operation // since the scheduler looked; under the mutex of the gates
	people     []person
	gone       map[int]bool // places whose deletion is complete
	dead       map[int]bool // places whose deletion was asked for

	hurtAt        map[string]int // the step at which something went wrong for a replica
	exchanges     map[string]int // by provider, consents whose code is being exchanged
	stolen        map[string]row // by who was told that their tokens are somebody else's
	mismatchedAt  map[string]int // the step at which an authorization was found to be somebody else's
	lookedAt      map[looked]int // the step at which somebody last read or leased an authorization
	askedAgain    map[looked]int // the step at which a fetch last asked the hot query, where that was not for the first time; 0 for once
	changed       atomic.Uint32  // the parts of the tables that were written to since they were looked at
	seen          sight          // when they were looked at last
	seenAt        int64          // how many rows had changed on the connection then
	rows          map[string]row // by authorization
	providers     map[string]models.ProviderStatus
	jobs          map[string]jobRow
	violations    []Violation
	wrongUntil    map[int]time.Time    // places whose client the upstream knows by another secret
	organisations map[string]string    // by what is asked of a replica
	deletions     map[string]bool      // whether the deletion of a provider was asked for
	trouble       map[string]bool      // which providers are in trouble
	followed      map[string]*followed // by authorization
	working       map[worker]string    // attempts and claims, by who works on an authorization
	order         []string             // the authorizations that are followed, in the order in which they were seen

	allowed     []fault
	faults      map[string]int
	moves       map[string]int
	reached     map[string]int
	last        *gate // the one that was passed last
	lostAnswers int
	gatesPassed int

	logMu sync.Mutex
	log   strings.Builder
}

// looked is who looked at which authorization.
type looked struct{ replica, actor, authorization string }

// terms are what may happen in a play, and how much of it.
type terms struct {
	canMove    []move        // in every play; what is rare comes on top
	mayFail    []fault       // of which a seed plays with a few
	always     []fault       // with which every seed plays
	most       int           // operations under way at which nobody asks for more tokens
	wrongFor   time.Duration // how long an upstream knows a client by another secret
	retryAfter string        // what a 429 says, in seconds
}

func newWorld(im *image, sh *shared, seed uint64, o Options) *world {
	w := newWorldAt(im, terms{canMove: moves(), mayFail: faultTable, most: 8, wrongFor: time.Hour, retryAfter: "30"}, seed, o)
	w.shared, w.tables, w.metrics, w.seenAt = sh, sh.look, sh.metrics, -1
	return w
}

// newWorldAt makes a world without a database.
func newWorldAt(im *image, on terms, seed uint64, o Options) *world {
	source := rand.NewPCG(seed, 1)
	w := &world{
		image: im, terms: on, seed: seed, options: o, source: source, rng: rand.New(source),
		lookedAt: map[looked]int{}, askedAgain: map[looked]int{}, holders: map[string]string{}, hurtAt: map[string]int{}, exchanges: map[string]int{}, stolen: map[string]row{}, mismatchedAt: map[string]int{}, names: map[string]string{}, dead: map[int]bool{}, gone: map[int]bool{}, rows: map[string]row{}, providers: map[string]models.ProviderStatus{}, jobs: map[string]jobRow{},
		wrongUntil: map[int]time.Time{}, organisations: map[string]string{}, deletions: map[string]bool{}, trouble: map[string]bool{}, followed: map[string]*followed{}, working: map[worker]string{},
		faults: map[string]int{}, moves: map[string]int{}, reached: map[string]int{}, people: slices.Clone(im.people), began: time.Now(),
	}
	w.gates.arrived = make(chan struct{}, 1)
	w.ledger = newLedger(w)
	w.idp = testidp.New(testidp.Options{AutoConsent: true, Issuer: upstreamURL, Clients: upstreamClients, AccessTTL: im.life,
		Rand: rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), byte(seed >> 24)}), Watch: w.ledger.watch})
	for _, p := range im.places {
		w.names[p.id] = p.name
	}
	for _, p := range im.people {
		w.names[p.authorization] = p.name
		w.idp.Know(im.places[p.place].client, p.caller.UserID, p.pair.Access, p.pair.Refresh)
	}
	return w
}

func (w *world) name(id, name string) {
	w.namesMu.Lock()
	defer w.namesMu.Unlock()
	w.names[id] = name
}

// authorizationOf is the authorization that an id of it, or of its credential, stands for; ""
// for none that was seen.
func (w *world) authorizationOf(id string) string {
	w.namesMu.Lock()
	defer w.namesMu.Unlock()
	return w.holders[id]
}

// jitter is the broker's randomness: of the moment, and not of who draws first of those whose time comes at once.
func (w *world) jitter(n int64) int64 {
	return rand.New(rand.NewPCG(w.seed, uint64(time.Now().UnixNano()))).Int64N(n)
}

func (w *world) named(id string) (string, bool) {
	w.namesMu.Lock()
	defer w.namesMu.Unlock()
	name, ok := w.names[id]
	return name, ok
}

func (w *world) nameOf(id string) string {
	if name, ok := w.named(id); ok {
		return name
	}
	return "something new"
}

func (w *world) placeOf(client string) string {
	for _, p := range w.image.places {
		if p.client == client {
			return p.name
		}
	}
	return client
}

// logf writes a line of the story.
func (w *world) logf(format string, args ...any) {
	w.logMu.Lock()
	defer w.logMu.Unlock()
	fmt.Fprintf(&w.log, "%4d %9.3fs  ", w.step, time.Since(w.began).Seconds())
	fmt.Fprintf(&w.log, format, args...)
	w.log.WriteByte('\n')
}

func (w *world) violate(invariant, format string, args ...any) {
	v := Violation{invariant, fmt.Sprintf(format, args...)}
	if slices.Contains(w.violations, v) {
		return
	}
	w.violations = append(w.violations, v)
	w.logf("BROKEN %s", v)
}

func (w *world) result() Result {
	for _, l := range w.logs() {
		for row, n := range l.Reached {
			w.reached[protocol.Table[row].String()] += n
		}
	}
	return Result{Logs: w.logs(), Seed: w.seed, Log: w.log.String(), Violations: w.violations, Faults: w.faults, Moves: w.moves, Rows: w.reached, Gates: w.gatesPassed, Decisions: w.made}
}

// play is the whole of it.
func (w *world) play() error {
	w.chooseFaults()
	replicas := w.options.Replicas
	if replicas == 0 {
		replicas = 2 + w.rng.IntN(2)
	}
	if err := w.open(replicas, time.Duration(w.rng.Int64N(int64(accessLife)))); err != nil {
		return err
	}
	moves := w.options.Moves
	if moves == 0 {
		moves = 60
	}
	only := w.options.Only
	for made := 0; only == nil && made < moves || only != nil && w.decided < only[len(only)-1].Number; {
		if err := w.settle(); err != nil {
			return err
		}
		moved, err := w.next()
		if err != nil {
			return err
		}
		if moved {
			made++
		}
	}
	if err := w.calmDown(); err != nil {
		return err
	}
	return w.close()
}

// open starts the replicas, some time after everybody had consented.
func (w *world) open(replicas int, after time.Duration) error {
	if err := w.see(everything); err != nil {
		return err
	}
	time.Sleep(after)
	w.replicas = make([]*replica, replicas)
	for i := range w.replicas {
		if err := w.start(i); err != nil {
			return err
		}
	}
	return nil
}

// settle waits until everybody has stopped somewhere, and looks at what has come of it.
func (w *world) settle() error {
	synctest.Wait()
	w.step++
	select {
	case <-w.gates.arrived:
	default:
	}
	if of := parts(w.changed.Swap(0)); of != 0 {
		if err := w.see(of); err != nil {
			return err
		}
	}
	if !w.gates.inTransaction() {
		w.aheadBefore = math.MinInt64
	}
	w.rightClients(false)
	w.noteFinished(w.takeFinished())
	return nil
}

// next has one goroutine go on, or makes a move. It reports which.
func (w *world) next() (moved bool, err error) {
	w.decided++
	w.drawFor(0)
	ready, goesOn := w.passable(), w.rng.IntN(100) < 82
	if len(ready) > 0 && goesOn {
		w.letOn(ready[w.rng.IntN(len(ready))])
		return false, nil
	}
	return true, w.move()
}

// drawFor begins the randomness of a part of a decision: what one part draws changes no other.
func (w *world) drawFor(part int) { w.source.Seed(w.seed, uint64(w.decided)<<8|uint64(part)) }

// chosen is the move or the fault of this decision where only some may be made, and whether
// there is one.
func (w *world) chosen() (Decision, bool) {
	for _, d := range w.options.Only {
		if d.Number == w.decided {
			return d, true
		}
	}
	return Decision{}, false
}

// isLeftOut reports whether nothing may go wrong at this decision.
func (w *world) isLeftOut() bool {
	d, made := w.chosen()
	return w.options.Only != nil && (!made || d.Move != "")
}

// letOn has a goroutine go on, or meet bad luck.
func (w *world) letOn(g *gate) {
	v := goOn
	if !w.calm && !w.isLeftOut() {
		v = w.luck(g, w.rng)
	}
	w.last = g
	if v == goOn {
		w.followRead(g)
	}
	w.note(g, v)
	w.tell(g, v)
}

// note notes what becomes of a goroutine at a gate.
func (w *world) note(g *gate, v verdict) {
	w.gatesPassed++
	if g.kind == gateRead && strings.HasPrefix(g.what, "SELECT from authorizations") || g.kind == gateWrite && strings.HasPrefix(g.what, "UPDATE credentials (") {
		for _, id := range g.about {
			w.lookedAt[looked{g.replica.name, g.actor, id}] = w.step
		}
	}
	if g.kind == gateAsk && len(g.about) > 0 {
		by := looked{g.replica.name, g.actor, g.about[0]}
		if _, before := w.askedAgain[by]; before {
			w.askedAgain[by] = w.step
		} else {
			w.askedAgain[by] = 0
		}
	}
	if v == goOn {
		w.logf("%s", g)
		return
	}
	w.logf("%s: %s", g, strings.ToUpper(string(v)))
	w.faults[string(v)+" at "+string(g.kind)]++
	w.hurtAt[g.replica.name] = w.step
	w.made = append(w.made, Decision{w.decided, "", fmt.Sprintf("%s: %s", g, strings.ToUpper(string(v)))})
}

// pause lets time pass: at most d, and no longer than until somebody arrives at a gate,
// unless long.
func (w *world) pause(d time.Duration, long bool) {
	if w.postgres != nil {
		w.pauseInRealTime(d)
		return
	}
	if long {
		time.Sleep(d)
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-w.gates.arrived:
	}
}

// close ends all processes. What they had begun may still wait for a time to come.
func (w *world) close() error {
	if w.closed {
		return nil
	}
	w.closed = true
	for _, r := range w.replicas {
		w.kill(r)
	}
	time.Sleep(24 * time.Hour)
	synctest.Wait()
	for _, r := range w.every {
		if err := r.db.Close(); err != nil {
			return err
		}
	}
	return nil
}
