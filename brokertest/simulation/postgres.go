package simulation

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/brokertest/services"
	"github.com/grantd/grantd/metrics"
	"github.com/grantd/grantd/store"
)

// The same moves on PostgreSQL, in real time: no bubble and no scheduler. A seed decides which
// moves are made and what may go wrong; which replica comes first is up to PostgreSQL and to
// the scheduler of Go. Of the invariants those are judged that need no look at each change.

const (
	realLife  = time.Second // of an access token; expires_in is in whole seconds
	realWrong = 300 * time.Millisecond
	// realDrift is how far a clock may be read later than the next one.
	realDrift = 50 * time.Millisecond
	// realPause bounds how long time passes between two moves, and realSpeed is how much
	// faster it passes than in a bubble: a token lives for a second, in the place of five minutes.
	realPause = 20 * time.Millisecond
	realSpeed = int(accessLife / realLife)
	// realLatency bounds how long a request or its answer is on the way.
	realLatency = 25 * time.Millisecond
	// moreMoves is how many times as many moves are made as in a bubble.
	moreMoves = 5
	// realPeople is how many people there are beside those of a bubble, and realMost how many
	// operations are under way.
	realPeople = 8
	realMost   = 24
	// realEnd bounds how long everything takes to end, on a machine of ordinary speed.
	realEnd = time.Minute
)

// realTiming leaves out what the database's clock waits for, which elapse has pass.
var realTiming = broker.Timing{
	CallerWait: 500 * time.Millisecond, TokenCall: 600 * time.Millisecond, LeaseMargin: 300 * time.Millisecond,
	InlineRevoke: 300 * time.Millisecond, RefreshWait: 200 * time.Millisecond, RevokeCall: 400 * time.Millisecond, Slice: 400 * time.Millisecond,
	Resweep: 100 * time.Millisecond, ClientProbe: 300 * time.Millisecond, LostAgain: 200 * time.Millisecond, Backoff: 20 * time.Millisecond,
}

// realLease is how long a lease for a refresh lasts.
var realLease = realTiming.TokenCall + realTiming.LeaseMargin

// postgres is what a play on PostgreSQL has in the place of a bubble. What is below the first
// three fields belongs to who holds the world's mutex.
type postgres struct {
	url     string
	conn    *pgx.Conn // it looks at the tables; of the goroutine that makes moves
	closing sync.WaitGroup

	luck     *rand.Rand
	leasedAt map[looked]time.Time // when a lease for a refresh was asked for last
	ended    []*call              // revocations that were answered since the tables were looked at
	revoked  []row                // authorizations as they were seen last before their outcome, which is that they are revoked
}

// The template has what every play on PostgreSQL begins with, and imageOnPostgres is what is known of it.
var (
	imageOnPostgres image
	template        = services.NewTemplate(func(ctx context.Context, dbURL string) error {
		people := slices.Clone(firstPeople)
		for i := range realPeople {
			people = append(people, person{name: fmt.Sprintf("person-%d", i+1), place: i % 3})
		}
		imageOnPostgres = image{life: realLife}
		return imageOnPostgres.fill(ctx, dbURL, people)
	})
)

// movesOnPostgres are those that are made in real time: clocks are not stepped there, and connections
// break. There are more moves, but no more of those that leave little to do for the others.
func movesOnPostgres() []move {
	all := slices.DeleteFunc(moves(), func(m move) bool { return m.name == "clock" })
	for i, m := range all {
		switch m.name {
		case "delete provider", "revoke user":
			all[i].weight *= 2
		default:
			all[i].weight *= moreMoves
		}
	}
	return append(all, move{"cut", 2 * moreMoves, (*world).moveCut}, move{"due", 12 * moreMoves, (*world).moveDue})
}

// faultsOnPostgres are what may go wrong there.
var faultsOnPostgres = append(slices.Clone(faultTable),
	fault{[]gateKind{gateSend, gateAnswer}, stalls, 15, anything},
	fault{[]gateKind{gateRead, gateWrite, gateCommit}, stalls, 2, anything},
)

// slowRefresh may happen in every play: while a refresh is slow, others overtake it.
var slowRefresh = fault{[]gateKind{gateSend, gateAnswer}, stalls, 8, refresh}

// PlayOnPostgres plays a seed on a database of its own.
func PlayOnPostgres(t *testing.T, seed uint64, o Options) Result {
	t.Helper()
	dbURL := template.Database(t)
	conn, err := pgx.Connect(t.Context(), dbURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	w := newWorldAt(&imageOnPostgres, terms{movesOnPostgres(), faultsOnPostgres, []fault{slowRefresh}, realMost, realWrong, "1"}, seed, o)
	w.metrics = metrics.New("")
	w.postgres = &postgres{url: dbURL, conn: conn, luck: rand.New(rand.NewPCG(seed, 3)), leasedAt: map[looked]time.Time{}}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.playInRealTime(); err != nil {
		t.Errorf("seed %d: %v", seed, err)
	}
	ended := time.Now()
	w.closeInRealTime(t)
	t.Logf("%d operations in %.1f s, and %.1f s until all had ended", len(w.operations), w.calmed.Sub(w.began).Seconds(), ended.Sub(w.calmed).Seconds())
	return w.result()
}

func (w *world) playInRealTime() error {
	w.chooseFaults()
	replicas := w.options.Replicas
	if replicas == 0 {
		replicas = 2 + w.rng.IntN(2)
	}
	w.replicas = make([]*replica, replicas)
	for i := range w.replicas {
		if err := w.start(i); err != nil {
			return err
		}
	}
	moves := w.options.Moves
	if moves == 0 {
		moves = 60 * moreMoves
	}
	for range moves {
		if err := w.settleInRealTime(); err != nil {
			return err
		}
		w.decided++
		w.drawFor(0)
		if err := w.move(); err != nil {
			return err
		}
	}
	w.calmed = time.Now()
	if err := w.calmDown(); err != nil {
		return err
	}
	w.judgeRevoked()
	return nil
}

// closeInRealTime ends all processes, and waits until none has a connection any more.
func (w *world) closeInRealTime(t *testing.T) {
	t.Helper()
	for _, r := range w.replicas {
		if r != nil && !r.dead {
			w.kill(r)
		}
	}
	ctx, cancel := brokertest.WithPatience(context.Background(), realEnd)
	defer cancel()
	for w.busy() > 0 && ctx.Err() == nil {
		w.sleep(2 * time.Millisecond)
		w.noteFinished(w.takeFinished())
	}
	closed := make(chan struct{})
	go func() { w.postgres.closing.Wait(); close(closed) }()
	w.mu.Unlock()
	defer w.mu.Lock()
	select {
	case <-closed:
	case <-ctx.Done():
		t.Errorf("processes that were killed still have connections: %v", context.Cause(ctx))
	}
}

// close closes the connections of a process that was killed, each when the statement on it has ended.
func (p *postgres) close(db *store.Store) {
	p.closing.Go(func() { _ = db.Close() })
}

// options are those of a replica's store.
func (p *postgres) options(r *replica) store.Options {
	u, _ := url.Parse(p.url)
	q := u.Query()
	q.Set("application_name", r.name)
	u.RawQuery = q.Encode()
	return store.Options{URL: u.String(), MaxConns: 8}
}

// passAtOnce is pass where nobody decides who goes on: at most something goes wrong, or takes its time.
func (w *world) passAtOnce(g *gate, leave <-chan struct{}) (verdict, bool) {
	v, pause := w.decide(g)
	if pause > 0 {
		timer := time.NewTimer(pause)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-leave:
			return "", false
		}
	}
	if w.isDead(g.replica) {
		runtime.Goexit()
	}
	return v, true
}

func (w *world) decide(g *gate) (v verdict, pause time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.isDead(g.replica) {
		runtime.Goexit()
	}
	w.tick()
	v = goOn
	if !w.calm {
		v = w.luck(g, w.postgres.luck)
	}
	w.note(g, v)
	if strings.HasPrefix(g.what, "UPDATE credentials (attempt_id, lease_owner") {
		for _, id := range g.about {
			w.postgres.leasedAt[looked{g.replica.name, g.actor, id}] = time.Now()
		}
	}
	if v == stalls {
		return goOn, time.Duration(math.Pow(w.postgres.luck.Float64(), 3) * 1.5 * float64(realLease))
	}
	switch {
	case g.kind == gateSend || g.kind == gateAnswer:
		pause = time.Duration(w.postgres.luck.Int64N(int64(realLatency)))
	case w.postgres.luck.IntN(10) == 0:
		pause = time.Duration(w.postgres.luck.Int64N(int64(realLatency / 8)))
	}
	return v, pause
}

// pauseInRealTime has time pass that is d in a bubble.
func (w *world) pauseInRealTime(d time.Duration) {
	w.sleep(min(d/time.Duration(realSpeed), realPause))
}

// sleep has the others go on.
func (w *world) sleep(d time.Duration) {
	w.mu.Unlock()
	defer w.mu.Lock()
	time.Sleep(d)
}

// settleInRealTime looks at the tables, and judges what had ended before.
func (w *world) settleInRealTime() error {
	done, ended := w.takeFinished(), w.postgres.ended
	w.postgres.ended = nil
	s, err := w.lookInRealTime()
	if err != nil {
		return err
	}
	w.tick()
	if err := w.take(s); err != nil {
		return err
	}
	w.ledger.mu.Lock()
	for _, c := range ended {
		w.judgeInUse(c)
	}
	w.ledger.mu.Unlock()
	w.rightClients(false)
	w.noteFinished(done)
	return nil
}

// lookInRealTime looks at all tables at one time, while the others go on.
func (w *world) lookInRealTime() (s sight, err error) {
	w.mu.Unlock()
	defer w.mu.Lock()
	tx, err := w.postgres.conn.BeginTx(context.Background(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return s, err
	}
	defer tx.Rollback(context.Background())
	return w.look(snapshot{tx}, everything, sight{})
}

// snapshot is the tables of PostgreSQL as a transaction sees them.
type snapshot struct{ tx pgx.Tx }

// each implements tables.
func (s snapshot) each(query string, f func(record) error) error {
	rows, err := s.tx.Query(context.Background(), query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			return err
		}
		if err := f(columns(values)); err != nil {
			return err
		}
	}
	return rows.Err()
}

// columns is a record of PostgreSQL.
type columns []any

func (c columns) ColumnText(i int) string {
	text, _ := c[i].(string)
	return text
}

func (c columns) ColumnBool(i int) bool {
	is, _ := c[i].(bool)
	return is
}

func (c columns) ColumnInt64(i int) int64 {
	switch n := c[i].(type) {
	case int64:
		return n
	case int32:
		return int64(n)
	}
	return 0
}

func (c columns) ColumnRawBlob(i int) []byte {
	value, _ := c[i].([]byte)
	return value
}

// ColumnRawText is a time, as SQLite has it.
func (c columns) ColumnRawText(i int) []byte {
	t, ok := c[i].(time.Time)
	if !ok {
		return nil
	}
	return t.UTC().AppendFormat(nil, time.RFC3339Nano)
}

// drainInRealTime delivers all tasks, until nobody has anything to do.
func (w *world) drainInRealTime() error {
	for patience := brokertest.StartPatience(realEnd); !patience.Over(); w.sleep(2 * time.Millisecond) {
		idle := w.isIdle()
		if err := w.settleInRealTime(); err != nil {
			return err
		}
		for r := w.anyReplica(); r != nil && len(w.tasks) > 0; r = w.anyReplica() {
			idle = false
			w.deliver(r, 0, false)
		}
		if idle && w.busy() == 0 {
			return nil
		}
	}
	for _, o := range w.operations {
		if !o.done {
			w.violate("L1", "%s does not end", o)
		}
	}
	return nil
}

// isIdle reports whether no replica calls an upstream behind anybody's back.
func (w *world) isIdle() bool {
	var all []*broker.Service
	for _, r := range w.replicas {
		if !r.dead && r.service != nil {
			all = append(all, r.service)
		}
	}
	w.mu.Unlock()
	defer w.mu.Lock()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
	defer cancel()
	for _, s := range all {
		if s.Wait(ctx) != nil {
			return false
		}
	}
	return true
}

// elapsing are the tables whose times decide when work is due.
var elapsing = []string{"authorizations", "credentials", "flows", "grant_leases", "jobs", "pauses", "providers", "user_revocations"}

// elapse moves all times in the tables back, which is to the replicas as if time had passed (R4).
func (p *postgres) elapse(d time.Duration) error {
	ctx := context.Background()
	for _, table := range elapsing {
		rows, err := p.conn.Query(ctx, "SELECT column_name::text FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = $1 AND data_type LIKE 'timestamp%'", table)
		if err != nil {
			return err
		}
		names, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		var set []string
		for _, name := range names {
			set = append(set, fmt.Sprintf("%s = %[1]s - $1::interval", pgx.Identifier{name}.Sanitize()))
		}
		if len(set) == 0 {
			return fmt.Errorf("the table %s has no times that could pass", table)
		}
		if _, err := p.conn.Exec(ctx, "UPDATE "+table+" SET "+strings.Join(set, ", "), d); err != nil {
			return fmt.Errorf("having time pass in %s: %w", table, err)
		}
	}
	return nil
}

// moveDue has the refresh of somebody's token be due at once, and every process asked for it.
func (w *world) moveDue() bool {
	if w.busy() > w.most-2*len(w.replicas) {
		return false
	}
	i := w.rng.IntN(len(w.people))
	p := w.people[i]
	w.logf("the token of %s is due", p.name)
	w.mu.Unlock() // a transaction that has the row may wait for the mutex
	_, err := w.postgres.conn.Exec(context.Background(), `UPDATE credentials SET refresh_after = now(), ahead_after = now()
		WHERE id IN (SELECT id FROM credentials WHERE authorization_id = $1 AND has_refresh_token FOR UPDATE SKIP LOCKED)`, p.authorization)
	w.mu.Lock()
	if err != nil {
		w.logf("it is not: %v", err)
	}
	for _, r := range w.replicas {
		if !r.dead && r.service != nil {
			w.fetch(r, i)
		}
	}
	return true
}

// moveCut breaks connections of a replica to PostgreSQL: one of them, or all.
func (w *world) moveCut() bool {
	r := w.anyReplica()
	if r == nil {
		return false
	}
	most := 1
	if w.rng.IntN(3) == 0 {
		most = math.MaxInt32
	}
	w.logf("connections of %s to PostgreSQL break", r.name)
	w.faults["connections break"]++
	w.hurtAt[r.name] = math.MaxInt // it learns of each only when it uses it
	_, err := w.postgres.conn.Exec(context.Background(), `SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity
		WHERE datname = current_database() AND application_name = $1 ORDER BY random() LIMIT $2) some`, r.name, most)
	if err != nil {
		w.logf("they did not: %v", err)
	}
	return true
}

// consents reports whether somebody has consented again since the tables were looked at before.
func (w *world) consents(r row) bool {
	return slices.ContainsFunc(w.operations, func(o *operation) bool {
		return o.kind == "consent" && !o.done && w.image.places[o.place].id == r.ProviderID && w.people[o.person].caller.UserID == r.UserID
	})
}

// judgeRevoked judges that the upstream accepts no refresh token of what is revoked (I4). At GitHub
// an access token is revoked alone, and the refresh token of it is left.
func (w *world) judgeRevoked() {
	w.ledger.mu.Lock()
	defer w.ledger.mu.Unlock()
	for _, r := range w.postgres.revoked {
		for _, p := range w.image.places {
			t := w.ledger.tokens[r.pair.Refresh]
			if p.id == r.ProviderID && p.typ == "test" && t != nil && t.in == r.ID && t.ended.IsZero() && time.Now().Before(t.expires) {
				w.violate("I4", "%s is revoked, and the upstream accepts %s", w.nameOf(r.ID), t.name)
			}
		}
	}
}
