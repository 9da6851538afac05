package simulation

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// script is a play without chance: a test says who goes on.
func script(t *testing.T, replicas int, after time.Duration, play func(w *world) error) {
	t.Helper()
	NewStage(t).within(0, Options{}, func(w *world) error {
		if err := w.open(replicas, after); err != nil {
			return err
		}
		if err := w.drain(); err != nil {
			return err
		}
		if err := play(w); err != nil {
			return fmt.Errorf("%w\n%s", err, w.log.String())
		}
		return w.close()
	})
}

// until lets everybody go on until somebody is about to do what the words say, the nth time.
func (w *world) until(nth int, words string) (*gate, error) {
	for range mostCalmSteps {
		if err := w.settle(); err != nil {
			return nil, err
		}
		ready := w.passable()
		if len(ready) == 0 {
			break
		}
		if strings.Contains(ready[0].what, words) {
			if nth--; nth == 0 {
				return ready[0], nil
			}
		}
		w.letOn(ready[0])
	}
	return nil, fmt.Errorf("nobody is about to do: %s", words)
}

// TestR3_ALeaseIsOnlyTakenTogetherWithTheRow: after the lease was taken, the read of the row
// failed. The lease was given back to the credential of the row that had not been read, so that
// nobody refreshed for 40 s, and the next attempt was taken for a replay of one that had sent
// nothing.
func TestR3_ALeaseIsOnlyTakenTogetherWithTheRow(t *testing.T) {
	script(t, 1, accessLife-20*time.Second, func(w *world) error {
		w.calm = true
		w.fetch(w.replicas[0], 0)
		if _, err := w.until(1, "UPDATE credentials (attempt_id"); err != nil {
			return err
		}
		row, err := w.until(1, "SELECT from authorizations")
		if err != nil {
			return err
		}
		w.tell(row, fails)
		if err := w.drain(); err != nil {
			return err
		}
		if r := w.rows[w.people[0].authorization]; r.lease.owner != "" || r.attempt != "" {
			t.Errorf("the lease of %q and the attempt %q are left", r.lease.owner, r.attempt)
		}
		return nil
	})
}

// TestR3_AnUnknownOutcomeIsFoundAfterTheTokenWasRevoked: a refresh with an unknown outcome was
// followed by the revocation of the access token, which gave back the lease that it had
// taken over. Without the time of a lease no sweep found the attempt any more (seed 186).
func TestR3_AnUnknownOutcomeIsFoundAfterTheTokenWasRevoked(t *testing.T) {
	script(t, 1, accessLife-20*time.Second, func(w *world) error {
		w.calm = true
		r := w.replicas[0]
		w.fetch(r, 0)
		answer, err := w.until(1, "the answer to refresh")
		if err != nil {
			return err
		}
		w.tell(answer, loses)
		if err := w.drain(); err != nil {
			return err
		}
		time.Sleep(2 * time.Second)
		w.revokeToken(r, 0)
		if err := w.drain(); err != nil {
			return err
		}
		if w.rows[w.people[0].authorization].attempt == "" {
			t.Error("nothing is unknown, so that there is nothing to find")
		}
		time.Sleep(time.Minute)
		w.sweep(r)
		if err := w.drain(); err != nil {
			return err
		}
		if w.rows[w.people[0].authorization].attempt != "" {
			t.Error("the sweep did not find the attempt")
		}
		return nil
	})
}

// TestR2_ACallEndsBeforeItsLease: a call had all of its time from when it was sent. After
// slow statements between the lease and the call it outlived the lease, and another replica
// sent the same refresh token meanwhile.
func TestR2_ACallEndsBeforeItsLease(t *testing.T) {
	script(t, 2, accessLife+time.Second, func(w *world) error {
		w.calm = true
		w.fetch(w.replicas[0], 0)
		secret, err := w.until(1, "SELECT from secure_configs")
		if err != nil {
			return err
		}
		time.Sleep(14 * time.Second)
		w.tell(secret, goOn)
		for range 2 { // the request, which arrives, and its answer, which does not
			if _, err := w.until(1, "refresh with"); err != nil {
				return err
			}
			ready := w.passable()
			if ready[0].kind == gateAnswer {
				break
			}
			w.letOn(ready[0])
		}
		time.Sleep(27 * time.Second)
		w.fetch(w.replicas[1], 0)
		for range 400 {
			if err := w.settle(); err != nil {
				return err
			}
			ready := w.passable()
			ready = slices.DeleteFunc(ready, func(g *gate) bool { return g.replica == w.replicas[0] && g.kind == gateAnswer })
			if len(ready) == 0 {
				break
			}
			w.letOn(ready[0])
		}
		for _, v := range w.violations {
			t.Error(v)
		}
		return w.drain()
	})
}

// TestR3_ACallThatWouldBeCutOffIsNotBegun: after statements that were slow, a call was sent with whatever was left of its
// time. The upstream replaced the refresh token, and its answer came too late.
func TestR3_ACallThatWouldBeCutOffIsNotBegun(t *testing.T) {
	script(t, 1, accessLife+time.Second, func(w *world) error {
		w.calm = true
		w.fetch(w.replicas[0], 0)
		secret, err := w.until(1, "SELECT from secure_configs")
		if err != nil {
			return err
		}
		time.Sleep(20 * time.Second)
		w.tell(secret, goOn)
		if request, err := w.until(1, "refresh with"); err == nil {
			t.Errorf("it was sent all the same: %s", request.what)
		}
		r := w.rows[w.people[0].authorization]
		if r.lease.owner != "" || r.attempt != "" {
			t.Errorf("the lease of %q and the attempt %q are left", r.lease.owner, r.attempt)
		}
		w.fetch(w.replicas[0], 0)
		if _, err := w.until(1, "the answer to refresh"); err != nil {
			return err
		}
		return w.drain()
	})
}

// untilOf lets one replica alone go on until it is about to do what the words say.
func (w *world) untilOf(r *replica, words string) (*gate, error) {
	for range mostCalmSteps {
		if err := w.settle(); err != nil {
			return nil, err
		}
		mine := slices.DeleteFunc(w.passable(), func(g *gate) bool { return g.replica != r })
		if len(mine) == 0 {
			break
		}
		if strings.Contains(mine[0].what, words) {
			return mine[0], nil
		}
		w.letOn(mine[0])
	}
	return nil, fmt.Errorf("%s is not about to do: %s", r.name, words)
}

// TestR12_ARefreshUnderWayUndoesNoMismatch: a refresh was under way when a check found that the
// tokens are another account's. Its save ended that verdict like any other, and the
// authorization was in use again without a consent (seed 57).
func TestR12_ARefreshUnderWayUndoesNoMismatch(t *testing.T) {
	script(t, 2, accessLife-20*time.Second, func(w *world) error {
		w.calm = true
		w.fetch(w.replicas[0], ofHub)
		if _, err := w.until(1, "the answer to refresh"); err != nil {
			return err
		}
		w.check(w.replicas[1], ofHub)
		check, err := w.untilOf(w.replicas[1], "POST /api/v3/applications")
		if err != nil {
			return err
		}
		w.tell(check, stolen)
		if _, err := w.untilOf(w.replicas[1], "nothing"); err == nil {
			return fmt.Errorf("the check does not end")
		}
		id := w.people[ofHub].authorization
		if !w.rows[id].mismatched() {
			t.Error("the check ended nothing")
		}
		if err := w.drain(); err != nil {
			return err
		}
		if r := w.rows[id]; !r.mismatched() || r.generation == 1 {
			t.Errorf("at generation %d the verdict is %q for %q", r.generation, r.verdict, r.reason)
		}
		for _, v := range w.violations {
			t.Error(v)
		}
		return nil
	})
}
