package simulation

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/models"
)

// leased is a lease as the table has it.
type leased struct {
	owner string
	until time.Time
}

// row is what the tables say of an authorization.
type row struct {
	models.Authorization
	hasPair    bool
	pair       tokens
	sealed     string // the pair, as it is stored
	generation int64
	lease      leased
	attempt    string
	verdict    string
	reason     string
	next       time.Time
	unlinked   bool
	outcome    string
	claim      string // the lease of an item
	savedBy    string
	last       string // the last attempt that ended
}

type jobRow struct {
	id, typ, status, provider, user string
	total, settled, items           int64
}

type providerRow struct {
	status   models.ProviderStatus
	deletion bool // it was asked for
	trouble  bool // its answers show that something is wrong with the provider as a whole (R5, R13, R15)
}

// sight is what the tables say at one time.
type sight struct {
	rows      map[string]row // by authorization
	order     []string       // of the rows
	providers map[string]providerRow
	jobs      []jobRow
	exchanges map[string]int // by provider, consents whose code is being exchanged
}

// see looks at those tables that were written to, where a row has changed, and judges what has.
func (w *world) see(of parts) error {
	n := w.shared.Raw().TotalChanges()
	if n == w.seenAt {
		return nil
	}
	w.seenAt = n
	s, err := w.look(w.tables, of, w.seen)
	if err != nil {
		return err
	}
	w.seen = s
	return w.take(s)
}

// look reads parts of the tables; the others are as they were seen before.
func (w *world) look(t tables, of parts, s sight) (sight, error) {
	if of&theRows != 0 {
		s.rows, s.order = make(map[string]row, len(s.rows)+1), s.order[:0]
		err := t.each(lookAtRows, func(c record) error {
			r, err := w.readRow(c)
			s.rows[r.ID] = r
			s.order = append(s.order, r.ID)
			return err
		})
		if err != nil {
			return s, fmt.Errorf("looking at the authorizations: %w", err)
		}
	}
	if of&theProviders != 0 {
		s.providers = map[string]providerRow{}
		err := t.each(lookAtProviders, func(c record) error {
			s.providers[c.ColumnText(0)] = providerRow{models.ProviderStatus(c.ColumnText(1)), c.ColumnBool(2), c.ColumnBool(3)}
			return nil
		})
		if err != nil {
			return s, fmt.Errorf("looking at the providers: %w", err)
		}
	}
	if of&theJobs != 0 {
		s.jobs = s.jobs[:0]
		err := t.each(lookAtJobs, func(c record) error {
			s.jobs = append(s.jobs, jobRow{id: c.ColumnText(0), typ: c.ColumnText(1), status: c.ColumnText(2), provider: c.ColumnText(3), user: c.ColumnText(4),
				total: c.ColumnInt64(5), settled: c.ColumnInt64(6), items: c.ColumnInt64(7)})
			return nil
		})
		if err != nil {
			return s, fmt.Errorf("looking at the jobs: %w", err)
		}
	}
	if of&theExchanges != 0 {
		s.exchanges = map[string]int{}
		err := t.each(lookAtExchanges, func(c record) error {
			s.exchanges[c.ColumnText(0)] = int(c.ColumnInt64(1))
			return nil
		})
		if err != nil {
			return s, fmt.Errorf("looking at the consents: %w", err)
		}
	}
	return s, nil
}

// take judges what has changed since the tables were looked at before.
func (w *world) take(s sight) error {
	clear(w.providers)
	clear(w.trouble)
	for id, p := range s.providers {
		w.providers[id], w.deletions[id], w.trouble[id] = p.status, p.deletion, p.trouble
	}
	w.takeJobs(s.jobs)
	w.judgeDeleted(s.rows)
	w.exchanges = s.exchanges
	for _, id := range s.order {
		is := s.rows[id]
		w.nameNew(is)
		w.hold(is)
		w.judgeRow(w.rows[id], is)
		if is.differs(w.rows[id]) && w.last != nil {
			w.judgeWhose(w.last.actor, is.OrgID, w.nameOf(id))
		}
		if w.postgres != nil { // the table speaks of each change, and some were not seen
			continue
		}
		if err := w.followRow(w.rows[id], is); err != nil {
			return err
		}
	}
	w.rows = s.rows
	return nil
}

// readRow reads a row.
func (w *world) readRow(s record) (r row, err error) {
	r.ID = s.ColumnText(0)
	before, known := w.rows[r.ID]
	if known { // what identifies it never changes
		r.Authorization = before.Authorization
	} else {
		r.OrgID, r.UserID, r.ProviderID, r.CredentialID = s.ColumnText(1), s.ColumnText(2), s.ColumnText(3), s.ColumnText(4)
	}
	r.unlinked, r.outcome = s.ColumnBool(5), s.ColumnText(6)
	r.generation, r.lease.owner, r.lease.until = s.ColumnInt64(8), s.ColumnText(9), timeOf(s.ColumnRawText(10))
	r.attempt, r.verdict, r.reason, r.next = s.ColumnText(11), s.ColumnText(12), s.ColumnText(13), timeOf(s.ColumnRawText(14))
	r.claim, r.savedBy, r.last = s.ColumnText(15), s.ColumnText(16), s.ColumnText(17)
	sealed := s.ColumnRawBlob(7)
	switch {
	case len(sealed) == 0:
		return r, nil
	case known && before.sealed == string(sealed):
		r.pair = before.pair
	default:
		if r.pair, err = w.image.open(r.Authorization, sealed); err != nil {
			return r, fmt.Errorf("opening the tokens of %s: %w", w.nameOf(r.ID), err)
		}
	}
	r.hasPair, r.sealed = true, string(sealed)
	return r, nil
}

// storedTime is how SQLite keeps a time.
const storedTime = "2006-01-02 15:04:05.000"

func timeOf(text []byte) time.Time {
	if len(text) == 0 {
		return time.Time{}
	}
	for _, format := range []string{storedTime, time.RFC3339Nano} {
		if t, err := time.Parse(format, string(text)); err == nil {
			return t
		}
	}
	return time.Time{}
}

func (w *world) takeJobs(jobs []jobRow) {
	for _, j := range jobs {
		if _, named := w.names[j.id]; !named {
			of := j.user
			if j.provider != "" {
				of = w.nameOf(j.provider)
			}
			w.name(j.id, fmt.Sprintf("%s of %s (job %d)", strings.ToLower(j.typ), of, len(w.jobs)+1))
		}
		if before, ok := w.jobs[j.id]; ok && models.JobStatus(before.status).Final() && before.status != j.status {
			w.violate("I4", "the job %s was %s and is %s again", w.names[j.id], before.status, j.status)
		}
		w.jobs[j.id] = j
	}
}

// judgeDeleted judges that a deletion is complete, when its provider is gone: nothing of it is
// left that nobody revokes (I4).
func (w *world) judgeDeleted(seen map[string]row) {
	for i, p := range w.image.places {
		if _, there := w.providers[p.id]; there || w.gone[i] {
			continue
		}
		w.gone[i] = true
		w.logf("the provider %s is gone", p.name)
		if n := w.exchanges[p.id]; n > 0 && w.postgres == nil { // seen before, not as the provider went
			w.violate("I4", "the deletion of %s is complete while the codes of %d consents are being exchanged", p.name, n)
		}
		proved := true
		for _, r := range seen {
			if r.ProviderID != p.id {
				continue
			}
			if r.outcome == "" {
				w.violate("I4", "the deletion of %s is complete, and %s has no outcome", p.name, w.nameOf(r.ID))
			}
			proved = proved && (r.outcome == string(models.OutcomeRevoked) || r.outcome == string(models.OutcomeAlreadyRevoked))
		}
		if proved {
			w.judgeLeft(p)
		}
	}
}

// judgeLeft judges what the upstream still accepts of a provider that is gone, and of which
// each item was revoked: nothing that grantd was given and had written down.
func (w *world) judgeLeft(p place) {
	w.ledger.mu.Lock()
	defer w.ledger.mu.Unlock()
	for _, c := range w.ledger.calls {
		t := w.ledger.tokens[c.brought.Refresh]
		if t == nil || !w.consented(c) || c.grant != "authorization_code" || !strings.HasSuffix(t.owner, " at "+p.name) {
			continue
		}
		if t.ended.IsZero() && w.now().Before(t.expires) {
			w.violate("I4", "the deletion of %s is complete, and the upstream accepts %s, which %s had for a code", p.name, t.name, c.replica.name)
		}
	}
}

// consented reports whether the consent that a call was for has ended well.
func (w *world) consented(c *call) bool {
	return slices.ContainsFunc(w.operations, func(o *operation) bool {
		return o.kind == "consent" && o.replica == c.replica && o.String() == c.actor && o.done && !o.lost && o.err == nil
	})
}

// nameNew names an authorization that a consent made.
func (w *world) nameNew(r row) {
	if _, named := w.names[r.ID]; named {
		return
	}
	n := 1
	who := r.UserID + " at " + w.nameOf(r.ProviderID)
	for _, name := range w.names {
		if strings.HasPrefix(name, who) {
			n++
		}
	}
	w.name(r.ID, fmt.Sprintf("%s (%d)", who, n))
}

// hold notes by which ids an authorization is known.
func (w *world) hold(r row) {
	if _, before := w.rows[r.ID]; before {
		return
	}
	w.namesMu.Lock()
	defer w.namesMu.Unlock()
	w.holders[r.ID], w.holders[r.CredentialID] = r.ID, r.ID
}

// judgeRow judges a change of an authorization.
func (w *world) judgeRow(was, is row) {
	name := w.nameOf(is.ID)
	if is.hasPair {
		w.ledger.saved(is.ID, is.pair)
	}
	w.judgeIdentity(was, is)
	if was.ID == "" {
		return
	}
	if was.outcome != "" && was.outcome != is.outcome && (was.outcome != string(models.OutcomeFailed) || is.outcome != "" && w.postgres == nil) { // a failed one is tried again (D5)
		w.violate("I4", "%s has the outcome %s after it had %s", name, is.outcome, was.outcome)
	}
	if w.postgres == nil && was.lease.owner != "" && is.lease.owner != "" && was.lease.owner != is.lease.owner && w.latest().Truncate(time.Millisecond).Before(was.lease.until) {
		w.violate("I2", "the lease of %s was taken from its holder %s before it ran out", name, was.lease.until.Sub(w.latest()))
	}
	if was.attempt != is.attempt && is.attempt != "" {
		w.reached["attempt begins"]++
	}
	if was.generation != is.generation {
		w.reached["tokens saved"]++
	}
	if is.verdict != "" && was.verdict == "" {
		w.reached["verdict "+is.verdict+" "+is.reason]++
	}
	if was.outcome == "" && is.outcome != "" {
		w.judgeOutcome(was, is)
		w.reached["outcome "+is.outcome]++
		w.logf("%s is settled: %s", name, is.outcome)
	}
}

// judgeOutcome compares an outcome with what the upstream accepts (I4).
func (w *world) judgeOutcome(was, is row) {
	if is.outcome != string(models.OutcomeRevoked) && is.outcome != string(models.OutcomeAlreadyRevoked) {
		return
	}
	if w.postgres != nil {
		w.postgres.revoked = append(w.postgres.revoked, was)
		if w.consents(was) { // what was seen before may not be what was revoked
			return
		}
	}
	w.ledger.mu.Lock()
	defer w.ledger.mu.Unlock()
	if t := w.ledger.tokens[was.pair.Access]; t != nil && t.ended.IsZero() && time.Now().Before(t.expires) { // by the upstream's own clock
		w.violate("I4", "%s is %s, and the upstream accepts its access token", w.nameOf(is.ID), is.outcome)
	}
}

// saved notes that tokens are in the database.
func (l *ledger) saved(authorization string, t tokens) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, value := range []string{t.Access, t.Refresh} {
		known := l.tokens[value]
		if known == nil {
			continue
		}
		known.in = authorization
		if known.savedAt == 0 {
			known.savedAt = l.w.step
		}
	}
}

// rowWith is the authorization whose credential holds the token.
func (w *world) rowWith(token string) (row, bool) {
	for _, r := range w.rows {
		if r.hasPair && token != "" && (r.pair.Access == token || r.pair.Refresh == token) {
			return r, true
		}
	}
	return row{}, false
}

// judgeArrival judges a request as it reaches the upstream. The ledger is locked.
func (w *world) judgeArrival(c *call) {
	if org := w.organisationOfOwner(c.owner); org != "" {
		w.judgeWhose(c.actor, org, "a token of "+c.owner)
	}
	if c.revokes() {
		w.judgeRevoking(c)
	}
	if !c.refreshes() {
		return
	}
	w.judgeNeeded(c)
	by := looked{c.replica.name, c.actor, ""}
	if t := w.ledger.tokens[c.presented]; t != nil {
		by.authorization = t.in
	}
	if w.postgres != nil {
		c.leasedAt = w.postgres.leasedAt[by]
	}
	if r, ok := w.rowWith(c.presented); ok {
		c.lease = r.lease
		if r.mismatched() && w.lookedAt[by] > w.mismatchedAt[r.ID] {
			w.violate("R12", "%s (%s) refreshes %s, of which the upstream spoke as somebody else's", c.replica.name, c.actor, w.nameOf(r.ID))
		}
	}
	if next := w.ledger.brought[c.presented]; next != "" && w.ledger.tokens[next] != nil && w.ledger.tokens[next].savedAt > 0 && w.ledger.tokens[next].savedAt <= w.lookedAt[by] {
		w.violate("I1", "%s is sent again by %s (%s) after the tokens that it brought were saved", w.ledger.tokens[c.presented].name, c.replica.name, c.actor)
	}
	for _, before := range w.ledger.calls { // one that took longer than its lease to be saved
		if before.presented == c.presented {
			w.ledger.lose(before, w.lookedAt[by])
		}
	}
	if other := w.ledger.running(c); other != nil && c.owner != "" && other.presented == c.presented {
		w.violate("I2", "a refresh of %s's tokens begins at %s while one of %s is under way", c.owner, c.replica.name, other.replica.name)
	}
}

// judgeRevoking judges the revocation of an item as it reaches the upstream: where it takes a
// whole grant, the lease on it is that of the item's claim, and has not run out (D1). The
// ledger is locked.
func (w *world) judgeRevoking(c *call) {
	r, ok := w.rowWith(c.presented)
	if !ok || !strings.HasSuffix(c.path, "/grant") {
		return
	}
	claim := w.claimOf(c.replica, c.actor, r.ID)
	if claim == "" {
		return
	}
	look, leases := w.shared.look, int64(0)
	s := look[lookAtGrants]
	err := errors.Join(s.BindText(1, claim), s.BindText(2, w.now().Add(-2*mostAhead).UTC().Format(storedTime)),
		look.each(lookAtGrants, func(c record) error { leases = c.ColumnInt64(0); return nil }))
	if err != nil || leases == 0 {
		w.violate("I5", "%s (%s) revokes the grant of %s without the lease on it (%v)", c.replica.name, c.actor, w.nameOf(r.ID), err)
	}
}

// needless is how much longer a token lives than when a refresh is due, how far clocks are off, and how
// long the call may have taken that brought it, since its life counts from before that: it is not
// refreshed for a caller who only wants a token (R7).
var needless = time.Minute + 2*mostAhead + broker.DefaultTiming.TokenCall

// judgeNeeded judges a refresh that a fetch begins. The ledger is locked.
func (w *world) judgeNeeded(c *call) {
	r, ok := w.rowWith(c.presented)
	if !ok || !strings.HasPrefix(c.actor, "fetch") {
		return
	}
	access := w.ledger.tokens[r.pair.Access]
	if access == nil || !access.ended.IsZero() || access.savedAt == 0 || time.Until(access.expires) < needless { // by the upstream's own clock
		return
	}
	for _, o := range w.operations {
		if o.kind == "token revocation" && o.of == r.ID {
			return // under suspicion
		}
	}
	w.violate("R7", "%s (%s) refreshes %s, which lives for %s", c.replica.name, c.actor, access.name, time.Until(access.expires))
}

// judgeEnded judges what a request did at the upstream. The ledger is locked.
func (w *world) judgeEnded(c *call) {
	if !c.revokes() || strings.HasPrefix(c.actor, "token revocation") || strings.HasPrefix(c.actor, "reset") {
		return
	}
	if w.postgres != nil { // until the tables are looked at again
		w.postgres.ended = append(w.postgres.ended, c)
		return
	}
	w.judgeInUse(c)
}

// judgeInUse judges that what a revocation ended is not in use. The ledger is locked.
func (w *world) judgeInUse(c *call) {
	for _, token := range c.ended {
		r, ok := w.rowWith(token)
		if ok && !r.unlinked && r.outcome == "" && w.providers[r.ProviderID] == models.ProviderActive {
			w.violate("I5", "%s (%s) revokes %s, which is in use by %s", c.replica.name, c.actor, w.ledger.tokens[token].name, w.nameOf(r.ID))
		}
	}
}

// judgeOperation judges what somebody was answered.
func (w *world) judgeOperation(o *operation) {
	switch o.kind {
	case "consent":
		if o.err == nil {
			w.people[o.person].authorization = o.of
		}
	case "hostile":
		w.judgeHostile(o)
	case "check":
		w.judgeChecked(o)
	case "fetch":
		if o.err == nil {
			w.judgeServed(o)
		}
	}
}

// covers reports whether a DELETE concerns an authorization: of which provider and user it
// is.
func (w *world) covers(d *operation, of string) bool {
	r, ok := w.rows[of]
	switch d.kind {
	case "disconnect":
		return d.of == of
	case "deletion":
		return ok && r.ProviderID == w.image.places[d.place].id
	case "leaving":
		p := w.people[d.person]
		return ok && r.UserID == p.caller.UserID && r.OrgID == p.caller.OrgID && !r.madeAfter(w, d)
	}
	return false
}

// madeAfter reports whether a consent made the authorization after an operation had begun.
func (r row) madeAfter(w *world, o *operation) bool {
	for _, c := range w.operations {
		if c.kind == "consent" && c.of == r.ID && (!c.done || c.ended >= o.begun) {
			return true
		}
	}
	return false
}

func (w *world) judgeServed(o *operation) {
	w.ledger.mu.Lock()
	defer w.ledger.mu.Unlock()
	t := w.ledger.tokens[o.token]
	if t == nil {
		w.violate("I6", "%s was served a token that the upstream never issued", o.who)
		return
	}
	if t.owner != o.who {
		w.violate("R12", "%s was served %s", o.who, t.name)
	}
	by := looked{o.replica.name, o.String(), o.of}
	read := max(o.begun, w.lookedAt[by])      // what it was served was read then, or later
	if again := w.askedAgain[by]; again > 0 { // it waited no longer for its refresh, which may go on, and read the row itself
		read = max(o.begun, again)
	}
	for _, d := range w.operations {
		if d.done && !d.lost && d.err == nil && d.ended < read && w.covers(d, o.of) {
			w.violate("I3", "%s was served a token, asked for at step %d and read at step %d, after the %s was answered at step %d", o.who, o.begun, read, d, d.ended)
		}
	}
	w.judgePatience(o, t)
	drift := 2 * mostAhead
	if w.postgres != nil {
		drift = realDrift
	}
	switch {
	case t.expires.Add(drift).Before(o.began):
		w.violate("I6", "%s was served %s, whose time was over before it was asked for", o.who, t.name)
	case !t.ended.IsZero() && t.ended.Before(o.began) && w.knewOfEnd(t, o.begun):
		w.violate("I6", "%s was served %s, which had ended before it was asked for", o.who, t.name)
	}
}

// callerWaits is how long a caller waits for a refresh at least (R2).
const callerWaits = 4 * time.Second

// judgePatience judges that a caller whose token is due waits for a refresh that runs, which
// may end that token (R7), unless something went wrong for its process. The ledger is locked.
func (w *world) judgePatience(o *operation, t *issued) {
	r, ok := w.rows[o.of]
	if !ok || o.attempt == "" || r.attempt != o.attempt || r.last == o.attempt || !w.now().Before(r.lease.until) || w.hurtAt[o.replica.name] >= o.begun {
		return
	}
	due := o.began.After(t.expires.Add(-time.Minute+2*mostAhead)) && o.began.After(r.next.Add(2*mostAhead)) // by every clock
	if due && o.endedAt.Sub(o.began) < callerWaits {
		w.violate("R7", "%s was served %s after %s, while a refresh of it ran", o.who, t.name, o.endedAt.Sub(o.began))
	}
}

// knewOfEnd reports whether the database said before a step that a token had ended. That a
// refresh replaced it is known from the tokens that it brought, once these are saved.
func (w *world) knewOfEnd(t *issued, step int) bool {
	switch {
	case t.endedBy == nil:
		return false // the person withdrew it, or another consent did
	case !t.endedBy.refreshes():
		return true
	}
	next := w.ledger.tokens[t.endedBy.brought.Access]
	return next != nil && next.savedAt > 0 && next.savedAt < step
}

// rowsOf returns the authorizations of a provider.
func (w *world) rowsOf(provider string) (all []row) {
	for _, r := range w.rows {
		if r.ProviderID == provider {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b row) int { return strings.Compare(a.ID, b.ID) })
	return all
}
