package simulation

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/grantd/grantd/brokertest/protocol"
	"github.com/grantd/grantd/models"
)

// What a play does to an authorization is held to the table of brokertest/protocol: what is
// seen of the rows, the requests and the kills is told as events, in the order in which they
// happened.

// followed is an authorization whose events are told.
type followed struct {
	log    *protocol.Log
	differ bool                // the table did not allow one, so that the rest says nothing
	of     map[string]*replica // by attempt or claim
}

// worker is who works on an authorization, by an attempt or by a claim.
type worker struct {
	replica, actor, authorization string
	claims                        bool
}

// attempt and claim are those of who passes a gate or calls.
func (w *world) attemptOf(r *replica, actor, id string) string {
	return w.working[worker{r.name, actor, id, false}]
}

func (w *world) claimOf(r *replica, actor, id string) string {
	return w.working[worker{r.name, actor, id, true}]
}

// happens tells of an event.
func (w *world) happens(id string, e protocol.Event, process, refresh string) {
	f := w.followed[id]
	if f == nil || f.differ {
		return
	}
	if err := f.log.Happens(e, process, refresh); err != nil {
		f.differ = true
		w.violate("table", "%s: %s", w.nameOf(id), err)
	}
}

// by notes who works under an attempt or a claim.
func (w *world) by(id, process string, claims bool) {
	if w.last == nil {
		return
	}
	w.followed[id].of[process] = w.last.replica
	w.working[worker{w.last.replica.name, w.last.actor, id, claims}] = process
}

func (w *world) storedAs(r row) protocol.Stored {
	s := protocol.Stored{Generation: r.generation, Holder: r.lease.owner, Attempt: r.attempt, Refresh: r.pair.Refresh,
		Expired: r.verdict != "", Gone: !r.hasPair, Claim: r.claim, Item: protocol.Linked}
	switch {
	case r.outcome == string(models.OutcomeFailed):
		s.Item = protocol.FailedItem
	case r.outcome != "":
		s.Item = protocol.SettledItem
	case r.unlinked || w.deletions[r.ProviderID]:
		s.Item = protocol.ToRevoke
	}
	return s
}

// followRow tells what a change of the rows means.
func (w *world) followRow(was, is row) error {
	if was.ID == "" {
		if !is.hasPair {
			return nil
		}
		log, err := protocol.Begin(w.storedAs(is))
		if err != nil {
			return err
		}
		w.order = append(w.order, is.ID)
		w.followed[is.ID] = &followed{log: log, of: map[string]*replica{}}
		w.ledger.mu.Lock()
		defer w.ledger.mu.Unlock()
		if t := w.ledger.tokens[is.pair.Refresh]; t != nil && !t.ended.IsZero() {
			w.happens(is.ID, protocol.UpstreamEnds, "", is.pair.Refresh)
		}
		return nil
	}
	f := w.followed[is.ID]
	if f == nil || f.differ {
		return nil
	}
	w.followItem(f.log, was, is)
	if was.hasPair && is.hasPair {
		w.followCredential(f.log, was, is)
	}
	if f.differ {
		return nil
	}
	if err := f.log.Sees(w.storedAs(is)); err != nil {
		f.differ = true
		w.violate("table", "%s: %s", w.nameOf(is.ID), err)
	}
	return nil
}

func (w *world) followItem(l *protocol.Log, was, is row) {
	id := is.ID
	switch before, now := l.Item(), w.storedAs(is).Item; {
	case before == protocol.Linked && now != protocol.Linked && w.deletions[is.ProviderID]:
		w.happens(id, protocol.DeleteIsAsked, "people", "")
	case before == protocol.Linked && now != protocol.Linked:
		w.happens(id, protocol.Disconnects, "people", "")
	case before == protocol.FailedItem && now == protocol.ToRevoke:
		w.happens(id, protocol.IsTriedAgain, "people", "")
	}
	by := cmp.Or(w.claimOf(w.last.replica, w.last.actor, id), was.claim) // who writes an outcome
	switch {
	case was.outcome == "" && is.outcome == string(models.OutcomeFailed):
		w.happens(id, protocol.FailsForGood, by, "")
	case was.outcome == "" && is.outcome != "" && l.StateOf(by) == "revoked":
		w.happens(id, protocol.Settles, by, "")
	case was.outcome == "" && is.outcome != "":
		w.happens(id, protocol.SettlesWithout, by, "")
	case was.claim == is.claim:
	case is.claim != "":
		if old := l.Claiming(); old != "" {
			w.happens(id, protocol.ClaimRunsOut, old, "")
		}
		w.happens(id, protocol.Claims, is.claim, "")
		w.by(id, is.claim, true)
	case l.Idle(was.claim): // a sweep found it unclaimed for too long
		w.happens(id, protocol.ClaimRunsOut, was.claim, "")
	case w.claimOf(w.last.replica, w.last.actor, id) == was.claim:
		w.happens(id, protocol.GivesItemBack, was.claim, "")
	default:
		w.happens(id, protocol.ClaimRunsOut, was.claim, "")
	}
}

// lapse tells that a lease has run out, where the next event shows that it has.
func (w *world) lapse(l *protocol.Log, was row) {
	if holder := l.Running(); holder != "" && !w.latest().Before(was.lease.until) {
		w.happens(was.ID, protocol.LeaseRunsOut, holder, "")
	}
}

func (w *world) followCredential(l *protocol.Log, was, is row) {
	id := is.ID
	expires := is.verdict != "" && was.verdict == ""
	switch {
	case was.generation != is.generation && l.Knows(is.savedBy):
		w.happens(id, protocol.SavesTokens, is.savedBy, "")
	case was.generation != is.generation:
		w.happens(id, protocol.ConsentReplaces, "consent "+is.savedBy, "")
		l.Issued(is.pair.Refresh)
	case is.attempt != "" && is.attempt != was.attempt && is.lease.owner == is.attempt:
		w.lapse(l, was)
		w.happens(id, protocol.TakesLease, is.attempt, "")
		w.by(id, is.attempt, false)
	case is.last == was.last && expires && is.mismatched(): // by a check: the table speaks of refreshes only
		w.followed[id].differ = true
	case is.last != was.last && expires && is.reason == "identity_mismatch":
		w.happens(id, protocol.FindsAnother, is.last, "")
	case is.last != was.last && expires:
		w.happens(id, protocol.SavesVerdict, is.last, "")
	case is.last != was.last && is.attempt == "":
		w.happens(id, protocol.SavesFailure, is.last, "")
	case is.last != was.last:
		w.happens(id, protocol.SavesUnknown, is.last, "")
	case was.attempt != is.attempt:
		w.happens(id, protocol.GivesLeaseBack, was.attempt, "")
	case was.lease.owner != is.lease.owner && is.lease.owner != "" && slices.Contains([]string{"claimed", "held", "seen"}, l.StateOf(is.lease.owner)): // again, where a save has ended its lease
		w.lapse(l, was)
		w.happens(id, protocol.LeasesCredential, is.lease.owner, "")
	case was.lease.owner != is.lease.owner && is.lease.owner != "":
		w.lapse(l, was)
		w.happens(id, protocol.Borrows, is.lease.owner, "")
	case was.lease.owner != is.lease.owner && expires:
		w.happens(id, protocol.FindsRevoked, was.lease.owner, "")
	case was.lease.owner != is.lease.owner && !l.Idle(was.lease.owner):
		w.happens(id, protocol.Returns, was.lease.owner, "")
	}
}

// followRead tells that a process reads a row which it has leased.
func (w *world) followRead(g *gate) {
	if g.kind != gateRead || !strings.Contains(g.what, "authorizations") && !strings.Contains(g.what, "credentials") {
		return
	}
	for _, id := range w.order {
		f := w.followed[id]
		if claim := w.claimOf(g.replica, g.actor, id); claim != "" && f.log.May(protocol.ReadsItem, claim) {
			w.happens(id, protocol.ReadsItem, claim, "")
		}
	}
}

// followCall tells how a request that spends a refresh token goes on.
func (w *world) followCall(c *call, e protocol.Event) {
	if !c.refreshes() {
		return
	}
	for _, id := range w.order {
		f := w.followed[id]
		process := w.attemptOf(c.replica, c.actor, id)
		if process == "" || !f.log.Holds(process, c.presented) {
			continue
		}
		w.happens(id, e, process, c.presented)
	}
}

// followAnswered tells what the upstream did.
func (w *world) followAnswered(c *call) {
	switch {
	case c.refreshes() && c.brought.Refresh != "":
		w.followCall(c, protocol.UpstreamIssues)
		for _, id := range w.order {
			f := w.followed[id]
			if f.log.HasToken(c.presented) {
				f.log.Issued(c.brought.Refresh)
			}
		}
	case c.refreshes() && w.clientIsWrong(c.owner):
		c.denied = true // told once the answer has come
	case c.refreshes():
		w.followCall(c, protocol.UpstreamRefuses)
	case c.revokes() && (c.status < 300 || c.status == http.StatusNotFound):
		for _, id := range w.order {
			f := w.followed[id]
			process := w.claimOf(c.replica, c.actor, id)
			refresh := w.ledger.tokens[w.rows[id].pair.Refresh]
			if c.status == http.StatusNotFound && refresh != nil && refresh.ended.IsZero() { // it did nothing
				continue
			}
			if process != "" && f.log.May(protocol.UpstreamRevokes, process) && w.rows[id].pair.holds(c.presented) {
				w.happens(id, protocol.UpstreamRevokes, process, "")
			}
		}
	}
}

func (t tokens) holds(token string) bool {
	return token != "" && (t.Access == token || t.Refresh == token)
}

// followEnd tells that the upstream does not accept a token any more.
func (w *world) followEnd(token string) {
	for _, id := range w.order {
		f := w.followed[id]
		if f.log.HasToken(token) {
			w.happens(id, protocol.UpstreamEnds, "", token)
		}
	}
}

// followKill tells that a replica was killed.
func (w *world) followKill(r *replica) {
	for _, id := range w.order {
		f := w.followed[id]
		for process, of := range f.of {
			if of == r && !f.log.Idle(process) {
				w.happens(id, protocol.IsKilled, process, "")
			}
		}
	}
}

// logs are those of all authorizations that the table allowed to the end.
func (w *world) logs() (all []*protocol.Log) {
	for _, id := range w.order {
		if f := w.followed[id]; !f.differ {
			all = append(all, f.log)
		}
	}
	return all
}
