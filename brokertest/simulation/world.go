package simulation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"github.com/grantd/grantd/brokertest/protocol"
	"github.com/grantd/grantd/metrics"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
	"github.com/grantd/grantd/testidp"
)

// Options are how long a play is.
type Options struct {
	Moves    int        // 0 means 60
	Replicas int        // 0 means 2 or 3, as the seed decides
	Only     []Decision // the only moves and faults, in their order; nil for any: see Minimise
}

// Result is how a play went.
type Result struct {
	Seed       uint64
	Log        string
	Violations []Violation
	Faults     map[string]int
	Moves      map[string]int
	Rows       map[string]int // how often each row of a table of states was reached
	Logs       []*protocol.Log
	Gates      int
	Decisions  []Decision // the moves and the faults
}

// Violation is a promise that was broken.
type Violation struct {
	Invariant string // such as "I1"
	Text      string
}

func (v Violation) String() string { return v.Invariant + ": " + v.Text }

// Stage plays seeds, all from the same image. It is not safe for concurrent use: the
// randomness of a play is that of the whole process.
type Stage struct {
	t      *testing.T
	image  *image
	shared *shared
	played map[uint64]Result // see First
}

// stage is that of the process, nil until it is needed.
var stage *Stage

// NewStage returns a stage, with an image that is made once for a process. Close ends it.
func NewStage(t *testing.T) *Stage {
	t.Helper()
	collected := debug.SetGCPercent(400) // a play leaves nothing behind, and takes little memory
	t.Cleanup(func() { debug.SetGCPercent(collected) })
	if stage != nil {
		return &Stage{t, stage.image, stage.shared, stage.played}
	}
	cryptotest.SetGlobalRandom(t, 0)
	folder, err := os.MkdirTemp("", "grantd-simulation-")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "image.db")
	made := &Stage{t, newImage(t, path), nil, map[uint64]Result{}}
	if made.shared, err = share(path); err != nil {
		t.Fatal(err)
	}
	made.shared.folder = folder
	stage = made
	return made
}

// Close ends what NewStage has begun.
func Close() error {
	if stage == nil {
		return nil
	}
	return errors.Join(stage.shared.close(), os.RemoveAll(stage.shared.folder))
}

// mostKept bounds whose results are kept.
const mostKept = 300

// First is Play, but for the results of the first seeds, which are kept: tests share them.
func (s *Stage) First(seed uint64) Result {
	s.t.Helper()
	r, ok := s.played[seed]
	if !ok {
		r = s.Play(seed, Options{})
		if seed <= mostKept {
			s.played[seed] = r
		}
	}
	return r
}

// Play plays a seed. What it returns depends on the seed and the options alone.
func (s *Stage) Play(seed uint64, o Options) Result {
	s.t.Helper()
	var r Result
	s.within(seed, o, func(w *world) error {
		defer func() { r = w.result() }()
		return w.play()
	})
	return r
}

// within makes a world in a bubble of its own, and has something happen there.
func (s *Stage) within(seed uint64, o Options, happen func(*world) error) {
	s.t.Helper()
	if err := s.shared.begin(); err != nil {
		s.t.Fatal(err)
	}
	defer func() {
		if err := s.shared.end(); err != nil {
			s.t.Fatal(err)
		}
	}()
	cryptotest.SetGlobalRandom(s.t, seed)
	synctest.Test(s.t, func(t *testing.T) {
		w := newWorld(s.image, s.shared, seed, o)
		if err := happen(w); err != nil {
			t.Errorf("seed %d: %v", seed, errors.Join(err, w.close()))
		}
	})
}

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

// operation is something that somebody asked of a replica.
type operation struct {
	number  int
	kind    string
	who     string
	person  int    // index, -1 for none
	place   int    // index, -1 for none
	of      string // the authorization that it is about
	replica *replica

	begun, ended   int // steps
	began, endedAt time.Time
	result         string
	token          string
	attempt        string // a fetch's: the refresh that ran when it began, "" for none
	err            error
	done, lost     bool // lost: the process was killed
}

func (o *operation) String() string {
	return fmt.Sprintf("%s %d of %s", o.kind, o.number, o.who)
}

// begin has a replica do something in a goroutine of its own.
func (w *world) begin(o *operation, do func(ctx context.Context) (string, error)) {
	o.number, o.begun, o.began = len(w.operations)+1, w.tick(), time.Now()
	w.operations = append(w.operations, o)
	w.organisations[o.String()] = w.organisationOf(o)
	ctx := as(o.replica.ctx, o.String())
	go func() {
		ended := false
		defer func() {
			if w.postgres != nil {
				w.mu.Lock()
				defer w.mu.Unlock()
				o.ended = w.tick()
			}
			w.gates.mu.Lock()
			defer w.gates.mu.Unlock()
			o.lost = !ended
			w.finished = append(w.finished, o)
		}()
		o.result, o.err = do(ctx)
		o.endedAt = time.Now()
		ended = true
	}()
}

// tick is the number of this step. In real time each is one of its own, so that they tell what
// came first.
func (w *world) tick() int {
	if w.postgres != nil {
		w.step++
	}
	return w.step
}

// takeFinished returns what has ended, in an order that is the same in every play.
func (w *world) takeFinished() []*operation {
	w.gates.mu.Lock()
	defer w.gates.mu.Unlock()
	done := w.finished
	w.finished = nil
	slices.SortFunc(done, func(a, b *operation) int { return a.number - b.number })
	return done
}

// noteFinished tells what has ended, and judges it.
func (w *world) noteFinished(done []*operation) {
	for _, o := range done {
		o.done, o.ended = true, cmp.Or(o.ended, w.step)
		if o.lost || o.replica.dead {
			o.lost = true
			continue
		}
		switch {
		case o.err != nil:
			w.logf("%s ends: %s", o, models.CodeOf(o.err))
		default:
			w.logf("%s ends%s", o, o.result)
		}
		w.judgeOperation(o)
	}
}
