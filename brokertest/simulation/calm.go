package simulation

import (
	"slices"
	"time"

	"github.com/grantd/grantd/models"
)

// calmPauses are how much time passes between the sweeps of the end. Whatever was put off
// is due within them.
var calmPauses = []time.Duration{time.Second, 3 * time.Second, 11 * time.Second, 41 * time.Second, 61 * time.Second, 5 * time.Minute, 10 * time.Minute,
	61 * time.Minute, 61 * time.Minute, 61 * time.Minute, 61 * time.Minute}

// mostCalmSteps bounds a round of the end.
const mostCalmSteps = 20_000 // where several wait for a lease, they look whether it is over every 50 ms

// calmDown ends the faults, and plays on until all work has ended (L1).
func (w *world) calmDown() error {
	w.logf("from now on nothing goes wrong")
	w.calm = true
	w.source.Seed(w.seed, 1)
	w.setClock(0)
	w.rightClients(true)
	for round, d := range calmPauses {
		if err := w.restart(); err != nil {
			return err
		}
		if err := w.drain(); err != nil {
			return err
		}
		w.deleteAgain(round > len(calmPauses)/2)
		if round > 0 && w.allEnded() {
			break
		}
		if err := w.elapse(d); err != nil {
			return err
		}
		if r := w.anyReplica(); r != nil && !r.sweeps {
			w.sweep(r)
		}
	}
	if err := w.drain(); err != nil {
		return err
	}
	w.judgeEnd()
	return nil
}

// deleteAgain asks again for deletions that ended with an error, now that nothing goes wrong
// (D5). Where nothing can help a deletion, an admin gives up on the upstream after some time.
func (w *world) deleteAgain(late bool) {
	for i, p := range w.image.places {
		status, there := w.providers[p.id]
		gaveUp := late && w.isHopeless(p.id)
		if !there || !w.dead[i] || !w.deletions[p.id] || status != models.ProviderDisabled && !gaveUp {
			continue
		}
		if r := w.anyReplica(); r != nil {
			w.deleteAt(r, i, gaveUp)
		}
	}
}

// elapse has time pass while nobody does anything.
func (w *world) elapse(d time.Duration) error {
	if w.postgres != nil {
		return w.postgres.elapse(d)
	}
	time.Sleep(d)
	return nil
}

// isHopeless reports whether a provider is in trouble, which only a success would end, and the
// upstream accepts no refresh token any more of its authorizations. What is left of them waits for
// a consent, for an admin, or for the end of its retention.
func (w *world) isHopeless(provider string) bool {
	w.ledger.mu.Lock()
	defer w.ledger.mu.Unlock()
	return w.trouble[provider] && !slices.ContainsFunc(w.rowsOf(provider), func(r row) bool {
		t := w.ledger.tokens[r.pair.Refresh]
		return r.outcome == "" && t != nil && t.ended.IsZero()
	})
}

// isHopelessJob reports whether a job about a user waits for something that is hopeless.
func (w *world) isHopelessJob(j jobRow) bool {
	for _, r := range w.rows {
		if j.user != "" && r.UserID == j.user && r.unlinked && r.outcome == "" && w.isHopeless(r.ProviderID) {
			return true
		}
	}
	return false
}

// drain lets everybody go on until nobody waits at a gate, and delivers all tasks.
func (w *world) drain() error {
	if w.postgres != nil {
		return w.drainInRealTime()
	}
	idle := 0
	for range mostCalmSteps {
		if err := w.settle(); err != nil {
			return err
		}
		if ready := w.passable(); len(ready) > 0 {
			idle = 0
			w.letOn(ready[w.rng.IntN(len(ready))])
			continue
		}
		if r := w.anyReplica(); r != nil && len(w.tasks) > 0 {
			idle = 0
			w.deliver(r, 0, false)
			continue
		}
		if w.busy() == 0 {
			return nil
		}
		if idle++; idle > 600 {
			break
		}
		w.pause(time.Second, false)
	}
	for _, o := range w.operations {
		if !o.done {
			w.violate("L1", "%s does not end", o)
		}
	}
	return nil
}

func (w *world) allEnded() bool {
	for _, j := range w.jobs {
		if !models.JobStatus(j.status).Final() && !w.isHopelessJob(j) {
			return false
		}
	}
	for _, p := range w.image.places {
		if _, there := w.providers[p.id]; there && w.deletions[p.id] {
			return false
		}
	}
	for _, r := range w.rows {
		if r.outcome == "" && (r.unlinked || r.attempt != "" && r.verdict == "") && !w.isHopeless(r.ProviderID) {
			return false
		}
	}
	return true
}

// judgeEnd judges what is left when all work should have ended.
func (w *world) judgeEnd() {
	var ids []string
	for id := range w.jobs {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		j := w.jobs[id]
		if !models.JobStatus(j.status).Final() && !w.isHopelessJob(j) {
			w.violate("L1", "the job %s is still %s", w.names[id], j.status)
		} else if j.typ == string(models.JobDeleteProvider) && j.status == string(models.JobCompleted) && (j.total != j.settled || j.settled != j.items) {
			w.violate("I4", "the outcomes of %s add up to %d of %d, for %d authorizations", w.names[id], j.settled, j.total, j.items)
		}
	}
	expired := 0
	for _, p := range w.image.places {
		for _, r := range w.rowsOf(p.id) {
			w.judgeSettled(p, r)
			if r.verdict == string(models.VerdictExpired) && r.outcome == "" && w.judgeExpired(r) {
				expired++
			}
		}
	}
	if expired > w.lostAnswers {
		w.violate("L2", "%d people must consent again after %d lost answers", expired, w.lostAnswers)
	}
}

// judgeExpired compares a verdict with the ledger, and reports whether the person must
// consent again since a refresh spent the refresh token.
func (w *world) judgeExpired(r row) bool {
	t := w.ledger.tokens[r.pair.Refresh]
	if t == nil || r.mismatched() {
		return false
	}
	if t.ended.IsZero() && w.now().Before(t.expires) {
		w.violate("L2", "%s must consent again (%s), although the upstream accepts the refresh token", w.nameOf(r.ID), r.reason)
		return false
	}
	return t.endedBy != nil && t.endedBy.refreshes()
}

// judgeSettled compares an outcome with what the upstream says (I4).
func (w *world) judgeSettled(p place, r row) {
	name := w.nameOf(r.ID)
	if r.outcome == "" && !w.isHopeless(p.id) {
		if _, there := w.providers[p.id]; r.unlinked || !there {
			w.violate("L1", "%s has no outcome", name)
		} else if r.attempt != "" && r.verdict == "" {
			w.violate("L1", "nobody finds out how the last refresh of %s ended", name)
		}
	}
}

// countLostByKill counts answers that a process takes with it.
func (w *world) countLostByKill(r *replica) {
	w.ledger.mu.Lock()
	defer w.ledger.mu.Unlock()
	for _, c := range w.ledger.calls {
		if c.replica == r {
			w.ledger.lose(c, 0)
		}
	}
}
