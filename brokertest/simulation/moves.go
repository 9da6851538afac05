package simulation

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/grantd/grantd/broker"
)

// fault is a way in which something goes wrong at a gate.
type fault struct {
	at      []gateKind
	how     verdict
	percent int // of those that pass
	of      of  // which requests only
}

// of is what a request is of.
type of string

const (
	anything of = ""
	refresh  of = "refresh"  // it spends a refresh token
	identity of = "identity" // its answer may say whose a token is
)

// faultTable are all of them; a seed plays with a few.
var faultTable = []fault{
	{[]gateKind{gateRead, gateWrite, gateBegin, gateFetch}, fails, 4, anything},
	{[]gateKind{gateCommit}, fails, 15, anything},
	{[]gateKind{gateCommit}, loses, 20, anything},
	{[]gateKind{gateWrite}, loses, 10, anything},
	{[]gateKind{gateTask}, fails, 50, anything},
	{[]gateKind{gateSend}, unreachable, 20, anything},
	{[]gateKind{gateSend}, throttled, 15, anything},
	{[]gateKind{gateSend}, broken, 20, anything},
	{[]gateKind{gateAnswer}, loses, 30, anything},
	{[]gateKind{gateAnswer}, garbled, 30, refresh},
	{[]gateKind{gateSend}, stolen, 60, identity},
}

// chooseFaults picks what may go wrong in this play. Kills are moves.
func (w *world) chooseFaults() {
	w.allowed = slices.Clone(w.always)
	for _, i := range w.rng.Perm(len(w.mayFail))[:1+w.rng.IntN(3)] {
		w.allowed = append(w.allowed, w.mayFail[i])
	}
}

// luck is what happens to a goroutine at a gate.
func (w *world) luck(g *gate, rng *rand.Rand) verdict {
	for _, f := range w.allowed {
		if slices.Contains(f.at, g.kind) && (f.of == anything || g.of == f.of) && rng.IntN(100) < f.percent {
			return f.how
		}
	}
	return goOn
}

// move is one thing that somebody begins, or that happens.
type move struct {
	name   string
	weight int
	do     func(w *world) bool // false: it is not possible now
}

func moves() []move {
	return []move{
		{"time", 30, (*world).moveTime},
		{"fetch", 40, (*world).moveFetch},
		{"crowd", 8, (*world).moveCrowd},
		{"sweep", 12, (*world).moveSweep},
		{"task", 16, (*world).moveTask},
		{"task lost", 1, (*world).moveTaskLost},
		{"kill", 4, (*world).moveKill},
		{"disconnect", 3, (*world).moveDisconnect},
		{"delete provider", 2, (*world).moveDelete},
		{"revoke user", 1, (*world).moveLeave},
		{"consent", 4, (*world).moveConsent},
		{"reset", 2, (*world).moveReset},
		{"revoke token", 1, (*world).moveRevokeToken},
		{"check", 3, (*world).moveCheck},
		{"come back", 2, (*world).moveComeBack},
		{"clock", 2, (*world).moveClock},
	}
}

// rareMoves are made in every seventh seed only: a client that is refused keeps much else from
// happening.
func rareMoves() []move {
	return []move{
		{"wrong client", 2, (*world).moveWrongClient},
		{"hostile", 12, (*world).moveHostile},
	}
}

// move makes one, as the seed decides.
func (w *world) move() error {
	if err := w.restart(); err != nil {
		return err
	}
	all, sum := slices.Clone(w.canMove), 0
	if w.seed%7 == 0 {
		all = append(all, rareMoves()...)
	}
	for _, m := range all {
		sum += m.weight
	}
	if w.options.Only != nil {
		d, _ := w.chosen()
		i := slices.IndexFunc(all, func(m move) bool { return m.name == d.Move })
		if i < 0 || !w.make(i, all[i]) {
			w.pause(time.Second, false)
		}
		return nil
	}
	w.drawFor(chooses)
	for range 20 {
		n := w.rng.IntN(sum)
		i := slices.IndexFunc(all, func(m move) bool { n -= m.weight; return n < 0 })
		if w.make(i, all[i]) {
			return nil
		}
	}
	w.pause(time.Second, false)
	return nil
}

// chooses is the part of a decision that chooses a move; the parts before it are the moves.
const chooses = 100

// make makes a move, and reports whether it is possible.
func (w *world) make(i int, m move) bool {
	from, choosing := w.log.Len(), *w.source
	w.drawFor(1 + i)
	if !m.do(w) {
		*w.source = choosing
		return false
	}
	w.moves[m.name]++
	w.made = append(w.made, Decision{w.decided, m.name, w.movedSince(from, m.name)})
	return true
}

// movedSince says what a move was, in the words that it wrote to the log.
func (w *world) movedSince(from int, name string) string {
	line, _, _ := strings.Cut(w.log.String()[from:], "\n")
	if len(line) < 17 {
		return name
	}
	return strings.TrimSpace(line[17:])
}

// restart starts processes in the place of those that were killed or did not start.
func (w *world) restart() error {
	for i, r := range w.replicas {
		for _, o := range w.operations {
			if o.replica == r && o.kind == "start" && o.done && o.err != nil {
				w.kill(r)
			}
		}
		if r.dead && (w.calm || w.rng.IntN(3) == 0) {
			if err := w.start(i); err != nil {
				return err
			}
		}
	}
	return nil
}

// anyReplica is one that has started and was not killed, nil where there is none.
func (w *world) anyReplica() *replica {
	var up []*replica
	for _, r := range w.replicas {
		if !r.dead && r.service != nil {
			up = append(up, r)
		}
	}
	if len(up) == 0 {
		return nil
	}
	return up[w.rng.IntN(len(up))]
}

var pauses = []time.Duration{30 * time.Millisecond, 300 * time.Millisecond, time.Second, 3 * time.Second, 12 * time.Second, 33 * time.Second, 70 * time.Second, 4 * time.Minute}

func (w *world) moveTime() bool {
	d := pauses[w.rng.IntN(len(pauses))]
	long := w.rng.IntN(3) == 0
	if long && d > 12*time.Second && w.rng.IntN(4) != 0 {
		d = time.Second
	}
	w.pause(d, long)
	w.logf("time passes")
	return true
}

// busy is how many operations are under way.
func (w *world) busy() (n int) {
	for _, o := range w.operations {
		if !o.done {
			n++
		}
	}
	return n
}

func (w *world) moveFetch() bool {
	r := w.anyReplica()
	if r == nil || w.busy() > w.most {
		return false
	}
	w.fetch(r, w.rng.IntN(len(w.people)))
	return true
}

func (w *world) fetch(r *replica, person int) {
	p := w.people[person]
	o := &operation{kind: "fetch", who: p.name, person: person, place: p.place, of: p.authorization, replica: r}
	if row, ok := w.rows[p.authorization]; ok && w.now().Add(mostAhead).Before(row.lease.until) && row.lease.owner == row.attempt && row.last != row.attempt {
		o.attempt = row.attempt
	}
	w.logf("%s asks %s for a token", p.name, r.name)
	w.begin(o, func(ctx context.Context) (string, error) {
		t, err := r.service.Token(ctx, p.caller, p.authorization, 0)
		if err != nil {
			return "", err
		}
		o.token = t.Access.Reveal()
		return " with " + w.ledger.nameOf(o.token), nil
	})
}

// moveCrowd has every process asked for the token of the same person at once.
func (w *world) moveCrowd() bool {
	if w.busy() > w.most-2 {
		return false
	}
	i, asked := w.rng.IntN(len(w.people)), false
	for _, r := range w.replicas {
		if !r.dead && r.service != nil {
			w.fetch(r, i)
			asked = true
		}
	}
	return asked
}

func (w *world) moveSweep() bool {
	r := w.anyReplica()
	if r == nil || r.sweeps {
		return false
	}
	w.sweep(r)
	return true
}

func (w *world) sweep(r *replica) {
	r.sweeps = true
	w.logf("%s sweeps", r.name)
	w.begin(&operation{kind: "sweep", who: r.name, person: -1, place: -1, replica: r}, func(ctx context.Context) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		defer func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			r.sweeps = false
		}()
		if err := r.service.FlushFetches(ctx); err != nil {
			return "", err
		}
		return "", r.service.Sweep(ctx)
	})
}

func (w *world) moveTask() bool {
	r := w.anyReplica()
	if r == nil || len(w.tasks) == 0 {
		return false
	}
	i := w.rng.IntN(len(w.tasks))
	w.deliver(r, i, w.rng.IntN(6) == 0)
	return true
}

// deliver gives a task to a worker; kept is a task that will be delivered again.
func (w *world) deliver(r *replica, i int, kept bool) {
	q := w.tasks[i]
	if !kept {
		w.tasks = slices.Delete(w.tasks, i, i+1)
	} else {
		w.faults["task doubled"]++
	}
	run, known := r.tasks[q.task.Kind]
	if !known {
		return
	}
	w.logf("%s takes up the task %s", r.name, q.name)
	w.begin(&operation{kind: "task", who: q.name, person: -1, place: -1, replica: r}, func(ctx context.Context) (string, error) {
		return "", run(ctx, q.task.Payload)
	})
}

func (w *world) moveTaskLost() bool {
	if len(w.tasks) == 0 {
		return false
	}
	i := w.rng.IntN(len(w.tasks))
	w.logf("the task %s is lost", w.tasks[i].name)
	w.tasks = slices.Delete(w.tasks, i, i+1)
	w.faults["task lost"]++
	return true
}

func (w *world) moveKill() bool {
	r := w.anyReplica()
	if r == nil {
		return false
	}
	w.logf("%s is killed", r.name)
	w.faults["kill"]++
	w.countLostByKill(r)
	w.kill(r)
	return true
}

func (w *world) moveDisconnect() bool {
	r := w.anyReplica()
	if r == nil {
		return false
	}
	w.disconnect(r, w.rng.IntN(len(w.people)))
	return true
}

func (w *world) disconnect(r *replica, i int) {
	w.asks(r, i, "disconnect", "disconnects", func(ctx context.Context, p person) error {
		return r.service.Disconnect(ctx, p.caller, p.authorization)
	})
}

// asks has a person ask something of a process about their authorization: what kind of operation it is, and in the words of
// the log.
func (w *world) asks(r *replica, i int, kind, words string, do func(ctx context.Context, p person) error) {
	p := w.people[i]
	w.logf("%s %s, at %s", p.name, words, r.name)
	w.begin(&operation{kind: kind, who: p.name, person: i, place: p.place, of: p.authorization, replica: r}, func(ctx context.Context) (string, error) {
		return "", do(ctx, p)
	})
}

func (w *world) moveDelete() bool {
	r := w.anyReplica()
	if r == nil {
		return false
	}
	w.deleteAt(r, w.rng.IntN(len(w.image.places)), false)
	return true
}

// deleteAt has a provider deleted; force gives up on the upstream.
func (w *world) deleteAt(r *replica, i int, force bool) {
	p := w.image.places[i]
	w.logf("the provider %s is to be deleted, at %s%s", p.name, r.name, map[bool]string{true: ", by force"}[force])
	w.dead[i] = true
	w.begin(&operation{kind: "deletion", who: p.name, person: -1, place: i, replica: r}, func(ctx context.Context) (string, error) {
		_, err := r.service.DeleteProvider(ctx, p.admin, p.id, force)
		return "", err
	})
}

func (w *world) moveLeave() bool {
	r := w.anyReplica()
	if r == nil {
		return false
	}
	i := w.rng.IntN(len(w.people))
	p := w.people[i]
	admin := w.image.places[p.place].admin
	w.logf("all that %s granted is to be revoked, at %s", p.caller.UserID, r.name)
	w.begin(&operation{kind: "leaving", who: p.caller.UserID, person: i, place: p.place, replica: r}, func(ctx context.Context) (string, error) {
		_, err := r.service.RevokeUser(ctx, admin, p.caller.UserID)
		return "", err
	})
	return true
}

func (w *world) moveConsent() bool {
	r := w.anyReplica()
	if r == nil {
		return false
	}
	i := w.rng.IntN(len(w.people))
	if refreshed := w.underRefresh(); len(refreshed) > 0 && w.rng.IntN(2) == 0 {
		i = refreshed[w.rng.IntN(len(refreshed))]
	}
	w.consentAgain(r, i)
	return true
}

// underRefresh are the people whose tokens are being refreshed, or of whom nobody knows how
// the last refresh ended.
func (w *world) underRefresh() (people []int) {
	for i, p := range w.people {
		if r, ok := w.rows[p.authorization]; ok && r.attempt != "" {
			people = append(people, i)
		}
	}
	return people
}

// moveComeBack has somebody disconnect and, at once, consent again at another process.
func (w *world) moveComeBack() bool {
	r, other := w.anyReplica(), w.anyReplica()
	if r == nil {
		return false
	}
	i := w.rng.IntN(len(w.people))
	w.disconnect(r, i)
	w.consentAgain(other, i)
	return true
}

func (w *world) consentAgain(r *replica, i int) {
	p := w.people[i]
	w.logf("%s consents again, at %s", p.name, r.name)
	o := &operation{kind: "consent", who: p.name, person: i, place: p.place, replica: r}
	w.begin(o, func(ctx context.Context) (string, error) {
		done, err := w.consent(ctx, r.service, w.image.places[p.place], p)
		if err != nil {
			return "", err
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		o.of = done.Authorization.ID
		return "", nil
	})
}

// consent is consent with an upstream that also knows of it in the ledger.
func (w *world) consent(ctx context.Context, s *broker.Service, p place, who person) (broker.Completed, error) {
	return consent(ctx, s, w.idp, p, who)
}

func (w *world) moveReset() bool {
	r := w.anyReplica()
	if r == nil {
		return false
	}
	w.asks(r, w.rng.IntN(len(w.people)), "reset", "has the token reset", func(ctx context.Context, p person) error {
		_, err := r.service.Reset(ctx, p.caller, p.authorization)
		return err
	})
	return true
}

func (w *world) moveRevokeToken() bool {
	r := w.anyReplica()
	if r == nil {
		return false
	}
	w.revokeToken(r, w.rng.IntN(len(w.people)))
	return true
}

func (w *world) revokeToken(r *replica, i int) {
	w.asks(r, i, "token revocation", "has the token revoked", func(ctx context.Context, p person) error {
		_, err := r.service.RevokeToken(ctx, p.caller, p.authorization)
		return err
	})
}

// moveCheck has the upstream asked whether a token is still good, and whose it is.
func (w *world) moveCheck() bool {
	r := w.anyReplica()
	if r == nil {
		return false
	}
	i := w.rng.IntN(len(w.people))
	if w.rng.IntN(2) == 0 {
		i = ofHub // whose check says whose the token is
	}
	w.check(r, i)
	return true
}

func (w *world) check(r *replica, i int) {
	w.asks(r, i, "check", "has the token checked", func(ctx context.Context, p person) error {
		_, err := r.service.Check(ctx, p.caller, p.authorization)
		return err
	})
}
