package simulation

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grantd/grantd/models"
)

// script is a play without chance: a test says who goes on. No promise may be broken in it.
func script(t *testing.T, replicas int, after time.Duration, play func(w *world) error) {
	t.Helper()
	NewStage(t).within(0, Options{}, func(w *world) error {
		if err := w.open(replicas, after); err != nil {
			return err
		}
		if err := w.drain(); err != nil {
			return err
		}
		w.calm = true
		if err := play(w); err != nil {
			return fmt.Errorf("%w\n%s", err, w.log.String())
		}
		for _, v := range w.violations {
			t.Error(v)
		}
		return w.close()
	})
}

// advance lets those go on that which is true of, one after the other, until one is about to do
// what stop is true of, and returns that one; nil once none of them is left.
func (w *world) advance(which, stop func(*gate) bool) (*gate, error) {
	for range mostCalmSteps {
		if err := w.settle(); err != nil {
			return nil, err
		}
		ready := slices.DeleteFunc(w.passable(), func(g *gate) bool { return !which(g) })
		if len(ready) == 0 {
			return nil, nil
		}
		if stop(ready[0]) {
			return ready[0], nil
		}
		w.letOn(ready[0])
	}
	return nil, errors.New("those who go on come to no end")
}

func anybody(*gate) bool { return true }

func never(*gate) bool { return false }

func at(r *replica) func(*gate) bool { return func(g *gate) bool { return g.replica == r } }

func does(words string) func(*gate) bool {
	return func(g *gate) bool { return strings.Contains(g.what, words) }
}

// until lets everybody go on until somebody is about to do what the words say.
func (w *world) until(words string) (*gate, error) {
	return found(words)(w.advance(anybody, does(words)))
}

// untilOf lets one replica alone go on until it is about to do what the words say.
func (w *world) untilOf(r *replica, words string) (*gate, error) {
	return found(words)(w.advance(at(r), does(words)))
}

// found has a script fail where nobody is about to do what the words say.
func found(words string) func(*gate, error) (*gate, error) {
	return func(g *gate, err error) (*gate, error) {
		if g == nil && err == nil {
			err = fmt.Errorf("nobody is about to do: %s", words)
		}
		return g, err
	}
}

// alone lets one replica alone go on until it waits for something, or for nothing any more.
func (w *world) alone(r *replica) error {
	_, err := w.advance(at(r), never)
	return err
}

// aloneFor does so for some time.
func (w *world) aloneFor(r *replica, d time.Duration) error {
	for end := time.Now().Add(d); ; time.Sleep(100 * time.Millisecond) {
		if err := w.alone(r); err != nil || !time.Now().Before(end) {
			return err
		}
	}
}

// TestR3_ALeaseIsOnlyTakenTogetherWithTheRow: after the lease was taken, the read of the row
// failed. The lease was given back to the credential of the row that had not been read, so that
// nobody refreshed for 40 s, and the next attempt was taken for a replay of one that had sent
// nothing.
func TestR3_ALeaseIsOnlyTakenTogetherWithTheRow(t *testing.T) {
	script(t, 1, accessLife-20*time.Second, func(w *world) error {
		w.fetch(w.replicas[0], 0)
		if _, err := w.until("UPDATE credentials (attempt_id"); err != nil {
			return err
		}
		row, err := w.until("SELECT from authorizations")
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
		r := w.replicas[0]
		w.fetch(r, 0)
		answer, err := w.until("the answer to refresh")
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
		w.fetch(w.replicas[0], 0)
		secret, err := w.until("SELECT from secure_configs")
		if err != nil {
			return err
		}
		time.Sleep(14 * time.Second)
		w.tell(secret, goOn)
		for range 2 { // the request, which arrives, and its answer, which does not
			if _, err := w.until("refresh with"); err != nil {
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
		if _, err := w.advance(func(g *gate) bool { return g.replica != w.replicas[0] || g.kind != gateAnswer }, never); err != nil {
			return err
		}
		return w.drain()
	})
}

// TestR3_ACallThatWouldBeCutOffIsNotBegun: after statements that were slow, a call was sent with whatever was left of its
// time. The upstream replaced the refresh token, and its answer came too late.
func TestR3_ACallThatWouldBeCutOffIsNotBegun(t *testing.T) {
	script(t, 1, accessLife+time.Second, func(w *world) error {
		w.fetch(w.replicas[0], 0)
		secret, err := w.until("SELECT from secure_configs")
		if err != nil {
			return err
		}
		time.Sleep(20 * time.Second)
		w.tell(secret, goOn)
		if request, err := w.until("refresh with"); err == nil {
			t.Errorf("it was sent all the same: %s", request.what)
		}
		r := w.rows[w.people[0].authorization]
		if r.lease.owner != "" || r.attempt != "" {
			t.Errorf("the lease of %q and the attempt %q are left", r.lease.owner, r.attempt)
		}
		w.fetch(w.replicas[0], 0)
		if _, err := w.until("the answer to refresh"); err != nil {
			return err
		}
		return w.drain()
	})
}

// TestR7_ATokenIsJudgedByTheTimeWhenItWasRead: after a save the row was read again, which had to wait for a connection. It was
// judged by the time before that, and whoever joined the refresh meanwhile was served an access token
// whose time was over (seed 51665).
func TestR7_ATokenIsJudgedByTheTimeWhenItWasRead(t *testing.T) {
	script(t, 1, accessLife-20*time.Second, func(w *world) error {
		r := w.replicas[0]
		w.fetch(r, 0)
		if _, err := w.until("UPDATE authorizations (missing_scopes"); err != nil {
			return err
		}
		read, err := w.until("SELECT from authorizations")
		if err != nil {
			return err
		}
		time.Sleep(accessLife + time.Minute)
		w.fetch(r, 0)
		if _, err := w.advance(func(g *gate) bool { return g != read }, never); err != nil {
			return err
		}
		return w.drain()
	})
}

// TestR7_WhoseRefreshFailsWaitsForAnothers: the refresh of a caller failed in its own database, while another process had begun
// one. The caller was served the token that the other refresh was about to end (seeds 42124, 98454).
func TestR7_WhoseRefreshFailsWaitsForAnothers(t *testing.T) {
	script(t, 2, accessLife-20*time.Second, func(w *world) error {
		own, other := w.replicas[0], w.replicas[1]
		w.fetch(own, 0)
		fetch := w.operations[len(w.operations)-1]
		lease, err := w.untilOf(own, "BEGIN")
		if err != nil {
			return err
		}
		w.fetch(other, 0)
		if _, err := w.untilOf(other, "refresh with"); err != nil {
			return err
		}
		w.tell(lease, fails)
		if err := w.aloneFor(own, 2*time.Second); err != nil {
			return err
		}
		if fetch.done {
			t.Errorf("the fetch ends with %q, %v while the refresh of another process runs", fetch.token, fetch.err)
		}
		if err := w.drain(); err != nil {
			return err
		}
		if saved := w.rows[w.people[0].authorization].pair.Access; fetch.err != nil || fetch.token != saved {
			t.Errorf("the fetch ends with %q, %v; want the token that the refresh brought", fetch.token, fetch.err)
		}
		return nil
	})
}

// TestR12_ARefreshUnderWayUndoesNoMismatch: a refresh was under way when a check found that the
// tokens are another account's. Its save ended that verdict like any other, and the
// authorization was in use again without a consent (seed 57).
func TestR12_ARefreshUnderWayUndoesNoMismatch(t *testing.T) {
	script(t, 2, accessLife-20*time.Second, func(w *world) error {
		w.fetch(w.replicas[0], ofHub)
		if _, err := w.until("the answer to refresh"); err != nil {
			return err
		}
		w.check(w.replicas[1], ofHub)
		check, err := w.untilOf(w.replicas[1], "POST /api/v3/applications")
		if err != nil {
			return err
		}
		w.tell(check, stolen)
		if err := w.alone(w.replicas[1]); err != nil {
			return err
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
		return nil
	})
}

// TestR12_ARefusalUndoesNoMismatch: a check found that the tokens are another account's while a refresh was
// under way that the upstream refused. That verdict was replaced by the refusal's, which a new client
// secret ends (seed 501638).
func TestR12_ARefusalUndoesNoMismatch(t *testing.T) {
	script(t, 2, accessLife+time.Second, func(w *world) error {
		r, other := w.replicas[0], w.replicas[1]
		w.fetch(r, ofHub)
		answer, err := w.until("the answer to refresh")
		if err != nil {
			return err
		}
		w.tell(answer, loses)
		if err := w.drain(); err != nil {
			return err
		}
		time.Sleep(time.Minute)
		w.fetch(r, ofHub) // the replay, which is refused
		if _, err := w.untilOf(r, "the answer to refresh"); err != nil {
			return err
		}
		w.check(other, ofHub)
		check, err := w.untilOf(other, "POST /api/v3/applications")
		if err != nil {
			return err
		}
		w.tell(check, stolen)
		if err := w.alone(other); err != nil {
			return err
		}
		if err := w.drain(); err != nil {
			return err
		}
		if is := w.rows[w.people[ofHub].authorization]; !is.mismatched() || is.last == "" || is.attempt != "" {
			t.Errorf("after the refusal the verdict is %q for %q", is.verdict, is.reason)
		}
		return nil
	})
}

// TestD4_ADeletionCountsWhatItSettled: a disconnect that was under way settled an authorization
// which a deletion had counted. The outcomes added up to less than the total for ever (seed 39).
func TestD4_ADeletionCountsWhatItSettled(t *testing.T) {
	script(t, 2, time.Second, func(w *world) error {
		w.disconnect(w.replicas[0], 1)
		if _, err := w.untilOf(w.replicas[0], "the answer to POST /revoke"); err != nil {
			return err
		}
		other := w.replicas[1]
		w.deleteAt(other, 0, false)
		if err := w.alone(other); err != nil {
			return err
		}
		for i, q := range w.tasks {
			if strings.Contains(q.name, "delete_provider") {
				w.deliver(other, i, false)
				break
			}
		}
		if err := w.aloneFor(other, time.Second); err != nil { // it counts
			return err
		}
		return w.calmDown()
	})
}

// TestD1_AReplacedPairIsNotRefreshed: a consent replaced tokens that a refresh was spending just
// then. The replaced pair was revoked with a refresh of its own, which sent the same refresh
// token again (seed 1115).
func TestD1_AReplacedPairIsNotRefreshed(t *testing.T) {
	script(t, 2, accessLife-20*time.Second, func(w *world) error {
		w.fetch(w.replicas[0], ofHub)
		if _, err := w.untilOf(w.replicas[0], "the answer to refresh"); err != nil {
			return err
		}
		other := w.replicas[1]
		w.consentAgain(other, ofHub)
		if err := w.aloneFor(other, 22*time.Second); err != nil {
			return err
		}
		w.sweep(other)
		if err := w.aloneFor(other, time.Second); err != nil {
			return err
		}
		if len(w.tasks) == 0 {
			return fmt.Errorf("the replaced pair is not to be revoked")
		}
		for len(w.tasks) > 0 {
			w.deliver(other, 0, false)
		}
		if err := w.aloneFor(other, 5*time.Second); err != nil {
			return err
		}
		return w.drain()
	})
}

// TestD6_AnOutcomeIsWrittenUnderItsClaimOnly: a process that pauses between the upstream's answer
// and the outcome, for longer than its claim lasts, writes nothing where another has claimed the
// item meanwhile.
func TestD6_AnOutcomeIsWrittenUnderItsClaimOnly(t *testing.T) {
	script(t, 2, time.Second, func(w *world) error {
		slow, other := w.replicas[0], w.replicas[1]
		w.disconnect(slow, 1)
		answer, err := w.untilOf(slow, "the answer to POST /revoke about access")
		if err != nil {
			return err
		}
		w.letOn(answer)
		if _, err := w.untilOf(slow, "BEGIN"); err != nil {
			return err
		}
		time.Sleep(30 * time.Second)
		w.sweep(other)
		if err := w.aloneFor(other, time.Second); err != nil {
			return err
		}
		for len(w.tasks) > 0 {
			w.deliver(other, 0, false)
		}
		if _, err := w.untilOf(other, "POST /revoke"); err != nil {
			return err
		}
		if err := w.alone(slow); err != nil {
			return err
		}
		if outcome := w.rows[w.people[1].authorization].outcome; outcome != "" {
			t.Errorf("the outcome %q was written without the claim", outcome)
		}
		return w.drain()
	})
}

// TestR3_TokensThatMayHaveBeenSavedAreNotRefreshedAgain: the acknowledgement of a save was lost. Before
// it was tried again, another replica refreshed the saved tokens to revoke them, and the authorization
// went. Taken for tokens that belong to nobody, they were refreshed once more to be revoked (seed 53662).
func TestR3_TokensThatMayHaveBeenSavedAreNotRefreshedAgain(t *testing.T) {
	script(t, 2, accessLife-20*time.Second, func(w *world) error {
		slow, other := w.replicas[0], w.replicas[1]
		w.fetch(slow, ofHub)
		if _, err := w.until("UPDATE credentials (access_mac"); err != nil {
			return err
		}
		commit, err := w.until("COMMIT")
		if err != nil {
			return err
		}
		w.tell(commit, loses)
		time.Sleep(accessLife + time.Minute)
		w.disconnect(other, ofHub)
		if err := w.alone(other); err != nil {
			return err
		}
		if outcome := w.rows[w.people[ofHub].authorization].outcome; outcome != string(models.OutcomeRevoked) {
			return fmt.Errorf("the outcome of the disconnect is %q", outcome)
		}
		if err := w.calmDown(); err != nil {
			return err
		}
		if len(w.rows) != len(w.people)+1 {
			t.Errorf("%d rows, and none for the tokens that may not have been saved", len(w.rows))
		}
		return nil
	})
}

// TestR3_ARefusedRefreshTokenIsNotSentAgain: the upstream had refused a refresh token, and the person
// consented again. To revoke the access token beside it, the replaced pair was refreshed with that refresh
// token once more (seed 200375).
func TestR3_ARefusedRefreshTokenIsNotSentAgain(t *testing.T) {
	script(t, 1, accessLife+time.Second, func(w *world) error {
		r := w.replicas[0]
		w.fetch(r, ofHub)
		answer, err := w.until("the answer to refresh")
		if err != nil {
			return err
		}
		w.tell(answer, loses)
		if err := w.drain(); err != nil {
			return err
		}
		time.Sleep(time.Minute)
		w.fetch(r, ofHub) // the replay, which is refused
		if err := w.drain(); err != nil {
			return err
		}
		if verdict := w.rows[w.people[ofHub].authorization].verdict; verdict != string(models.VerdictExpired) {
			return fmt.Errorf("after the replay the verdict is %q", verdict)
		}
		w.consentAgain(r, ofHub)
		if err := w.drain(); err != nil {
			return err
		}
		sent := len(w.ledger.calls)
		if err := w.calmDown(); err != nil {
			return err
		}
		for _, c := range w.ledger.calls[sent:] {
			if c.refreshes() && w.ledger.nameOf(c.presented) == "refresh token 1 of ada at hub" {
				t.Error("the refresh token that was refused is sent again")
			}
		}
		return nil
	})
}

// TestD4_ATokenThatIsAlmostOverProvesNothing: by the database's clock an access token lived for two seconds
// more, and by the upstream's it was over. The revocation with it was answered 404, which was taken for
// already revoked, and the grant lived on (seed 303207).
func TestD4_ATokenThatIsAlmostOverProvesNothing(t *testing.T) {
	script(t, 1, accessLife+time.Second, func(w *world) error {
		w.setClock(-3 * time.Second)
		w.disconnect(w.replicas[0], ofHub)
		if err := w.drain(); err != nil {
			return err
		}
		r := w.rows[w.people[ofHub].authorization]
		if r.outcome != string(models.OutcomeRevoked) {
			t.Errorf("the outcome is %q", r.outcome)
		}
		for _, known := range w.ledger.tokens {
			if strings.HasSuffix(known.owner, w.people[ofHub].name) && strings.HasPrefix(known.name, "refresh") && known.ended.IsZero() {
				t.Errorf("the upstream accepts %s", known.name)
			}
		}
		return nil
	})
}

// TestD1_AConsentWhoseLeaseRanOutIsNotLive: a process took the lease on a grant to make a consent live, and
// paused for longer than it lasts. Another began to revoke the whole grant meanwhile. The consent
// became live all the same, and went with the grant (seed 309528).
func TestD1_AConsentWhoseLeaseRanOutIsNotLive(t *testing.T) {
	script(t, 2, time.Second, func(w *world) error {
		slow, other := w.replicas[0], w.replicas[1]
		w.consentAgain(slow, ofHub)
		leased, err := w.untilOf(slow, "INSERT INTO grant_leases")
		if err != nil {
			return err
		}
		w.letOn(leased)
		if _, err := w.untilOf(slow, "BEGIN"); err != nil {
			return err
		}
		time.Sleep(15 * time.Second)
		w.disconnect(other, ofHub)
		revokes, err := w.untilOf(other, "DELETE /api/v3/applications")
		if err != nil {
			return err
		}
		if err := w.aloneFor(slow, time.Second); err != nil {
			return err
		}
		w.letOn(revokes)
		return w.calmDown()
	})
}

// TestR1_ALateSaveReplacesNoNewerConsent: tokens that a refresh brought come after those of a
// consent, which stay.
func TestR1_ALateSaveReplacesNoNewerConsent(t *testing.T) {
	script(t, 2, accessLife-20*time.Second, func(w *world) error {
		w.fetch(w.replicas[0], 0)
		if _, err := w.untilOf(w.replicas[0], "the answer to refresh"); err != nil {
			return err
		}
		w.consentAgain(w.replicas[1], 0)
		if err := w.aloneFor(w.replicas[1], time.Second); err != nil {
			return err
		}
		consented := w.rows[w.people[0].authorization].pair
		if err := w.drain(); err != nil {
			return err
		}
		if r := w.rows[w.people[0].authorization]; r.pair != consented {
			t.Error("the tokens of the consent were replaced by older ones")
		}
		return nil
	})
}

// TestR1_ASaveThatFailsIsTriedAgain: tokens that cannot be saved at once are saved later.
func TestR1_ASaveThatFailsIsTriedAgain(t *testing.T) {
	script(t, 1, accessLife-20*time.Second, func(w *world) error {
		w.fetch(w.replicas[0], 0)
		save, err := w.until("UPDATE credentials (access_mac")
		if err != nil {
			return err
		}
		w.tell(save, fails)
		if err := w.drain(); err != nil {
			return err
		}
		if w.rows[w.people[0].authorization].generation == 1 {
			t.Error("the tokens were given up")
		}
		return nil
	})
}

// TestR3_WhoWaitsForALostRefreshBesideALivingTokenRefreshes: the token was over by the time at which the lease of a process
// that was killed was over too, and the caller was told of an internal error.
func TestR3_WhoWaitsForALostRefreshBesideALivingTokenRefreshes(t *testing.T) {
	script(t, 2, accessLife-38*time.Second, func(w *world) error {
		w.fetch(w.replicas[0], 0)
		if _, err := w.untilOf(w.replicas[0], "refresh with"); err != nil {
			return err
		}
		w.kill(w.replicas[0])
		time.Sleep(37500 * time.Millisecond)
		w.fetch(w.replicas[1], 0)
		fetch := w.operations[len(w.operations)-1]
		if err := w.aloneFor(w.replicas[1], 10*time.Second); err != nil {
			return err
		}
		if !fetch.done || fetch.err != nil {
			t.Errorf("the fetch ends: %v", fetch.err)
		}
		return nil
	})
}

// TestR3_ASaveAfterItsLeaseIsALostAnswer: whoever had taken the lease by then sends the same refresh token, and the person must
// consent again, as after an answer that never came. The judge counted no lost answer (seed 1058).
func TestR3_ASaveAfterItsLeaseIsALostAnswer(t *testing.T) {
	script(t, 2, accessLife-20*time.Second, func(w *world) error {
		slow, other := w.replicas[0], w.replicas[1]
		w.fetch(slow, 0)
		answer, err := w.untilOf(slow, "the answer to refresh")
		if err != nil {
			return err
		}
		w.letOn(answer)
		if _, err := w.untilOf(slow, "BEGIN"); err != nil {
			return err
		}
		time.Sleep(45 * time.Second)
		w.fetch(other, 0)
		again, err := w.untilOf(other, "refresh with")
		if err != nil {
			return err
		}
		if err := w.aloneFor(slow, 5*time.Second); err != nil {
			return err
		}
		if w.rows[w.people[0].authorization].generation == 1 {
			return fmt.Errorf("the slow process saves nothing")
		}
		w.letOn(again)
		if err := w.calmDown(); err != nil {
			return err
		}
		if w.lostAnswers != 1 {
			t.Errorf("%d answers were lost, want 1", w.lostAnswers)
		}
		return nil
	})
}

// TestR3_AnUnknownOutcomeLeavesTheLeaseOfAnother: the lease of a refresh was over before it was written that its outcome is
// unknown. That ended the lease which a revocation of the token had taken meanwhile (seed 308397).
func TestR3_AnUnknownOutcomeLeavesTheLeaseOfAnother(t *testing.T) {
	script(t, 2, accessLife-20*time.Second, func(w *world) error {
		slow, other := w.replicas[0], w.replicas[1]
		w.fetch(slow, ofHub)
		answer, err := w.untilOf(slow, "the answer to refresh")
		if err != nil {
			return err
		}
		w.tell(answer, loses)
		if _, err := w.untilOf(slow, "BEGIN"); err != nil {
			return err
		}
		time.Sleep(45 * time.Second)
		w.revokeToken(other, ofHub)
		if _, err := w.untilOf(other, "DELETE /api/v3/applications"); err != nil {
			return err
		}
		id := w.people[ofHub].authorization
		taken := w.rows[id].lease
		if err := w.aloneFor(slow, 5*time.Second); err != nil {
			return err
		}
		if r := w.rows[id]; r.last == "" || r.attempt == "" || r.lease != taken {
			t.Errorf("the lease %v is %v after the attempt %q", taken, r.lease, r.last)
		}
		return w.drain()
	})
}
