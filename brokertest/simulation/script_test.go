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

// TestR3_ALeaseIsGivenBackWhereTheRowCannotBeReadAgain: after the lease was taken, the read
// of the row failed. The lease was given back to the credential of the row that had not been
// read, so that nobody refreshed for 40 s, and the next attempt was taken for a replay of
// one that had sent nothing.
func TestR3_ALeaseIsGivenBackWhereTheRowCannotBeReadAgain(t *testing.T) {
	script(t, 1, accessLife-20*time.Second, func(w *world) error {
		w.calm = true
		w.fetch(w.replicas[0], 0)
		if _, err := w.until(1, "UPDATE credentials (attempt_id"); err != nil {
			return err
		}
		again, err := w.until(1, "SELECT from authorizations")
		if err != nil {
			return err
		}
		w.tell(again, fails)
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

// TestR1_ALeaseThatASaveHasEndedIsNotUsed: a replica whose lease had run out saved its tokens
// just after another had taken the lease, which this ended. The other read the row again,
// found the new tokens due, since they were under suspicion by then, and sent their refresh
// token while a third refresh, which had found no lease, was sending it too. Spin found this
// (docs/decisions/0060-a-model-beside-the-seeds.md).
func TestR1_ALeaseThatASaveHasEndedIsNotUsed(t *testing.T) {
	script(t, 3, accessLife-20*time.Second, func(w *world) error {
		w.calm = true
		slow, between, third := w.replicas[0], w.replicas[1], w.replicas[2]
		w.fetch(slow, 0)
		save, err := w.untilOf(slow, "BEGIN")
		if err != nil {
			return err
		}
		time.Sleep(37 * time.Second)
		w.letOn(save) // too late for the first try of the save
		if _, err := w.untilOf(slow, "BEGIN"); err != nil {
			return err
		}
		w.clock.Store(int64(4 * time.Second)) // the database's: its lease is over
		w.fetch(between, 0)
		lease, err := w.untilOf(between, "UPDATE credentials (attempt_id")
		if err != nil {
			return err
		}
		w.letOn(lease) // it is taken, and the row not read again yet
		if err := w.settle(); err != nil {
			return err
		}
		if _, err := w.untilOf(slow, nothing); err == nil {
			return fmt.Errorf("the slow replica did not come to an end")
		}
		w.revokeToken(third, 0) // so that the new tokens are due at once
		if _, err := w.untilOf(third, nothing); err == nil {
			return fmt.Errorf("the token was not revoked")
		}
		w.fetch(third, 0)
		if _, err := w.untilOf(third, "the answer to refresh"); err != nil {
			return err
		}
		if _, err := w.untilOf(between, "the answer to refresh"); err == nil {
			t.Error("a replica whose lease was ended by a save sent the refresh token too")
		}
		for _, v := range w.violations {
			t.Error(v)
		}
		return w.drain()
	})
}

// nothing is what nobody is about to do: until all have ended.
const nothing = "nothing"

// untilOf lets one replica alone go on until it is about to do what the words say. It waits
// for it no longer than 2 s, and no time passes where it waits at a gate itself.
func (w *world) untilOf(r *replica, words string) (*gate, error) {
	for waited := 0; waited < 20; {
		if err := w.settle(); err != nil {
			return nil, err
		}
		mine := slices.DeleteFunc(w.passable(), func(g *gate) bool { return g.replica != r })
		if len(mine) == 0 {
			if words == nothing {
				break
			}
			waited++
			time.Sleep(100 * time.Millisecond)
			continue
		}
		if i := slices.IndexFunc(mine, func(g *gate) bool { return strings.Contains(g.what, words) }); i >= 0 {
			return mine[i], nil
		}
		w.letOn(mine[0])
	}
	return nil, fmt.Errorf("%s is not about to do: %s", r.name, words)
}
