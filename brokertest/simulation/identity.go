package simulation

import (
	"strings"

	"github.com/grantd/grantd/models"
)

// noteStolen notes that grantd was told whose a token is, and that it is somebody else's than
// it knows.
func (w *world) noteStolen(c *call) {
	if r, ok := w.rowWith(c.presented); ok && strings.Contains(c.path, "/applications/") { // whose introspection nobody has heard before is compared with nothing
		w.stolen[c.replica.name+c.actor] = r
	}
}

// judgeIdentity judges that a row does not hold the tokens of somebody else, and that the end
// of an authorization whose upstream spoke of somebody else is not undone but by a consent (R12).
func (w *world) judgeIdentity(was, is row) {
	if is.hasPair {
		w.ledger.mu.Lock()
		t := w.ledger.tokens[is.pair.Access]
		w.ledger.mu.Unlock()
		if owner := is.UserID + " at " + w.nameOf(is.ProviderID); t != nil && t.owner != owner {
			w.violate("R12", "%s has %s", w.nameOf(is.ID), t.name)
		}
	}
	if is.mismatched() && !was.mismatched() {
		w.mismatchedAt[is.ID] = w.step
		w.logf("%s has ended: its tokens are somebody else's", w.nameOf(is.ID))
	}
	if was.mismatched() && !is.mismatched() && is.outcome == "" && is.hasPair && w.last != nil && !strings.HasPrefix(w.last.actor, "consent") {
		w.violate("R12", "%s, of which the upstream spoke as somebody else's, is in use again after %s", w.nameOf(is.ID), w.last.actor)
	}
}

// mismatched reports whether an authorization has ended since its tokens are somebody else's.
func (r row) mismatched() bool {
	return r.verdict == string(models.VerdictExpired) && r.reason == string(models.ReasonIdentityMismatch)
}

// judgeChecked judges that a check that was answered for somebody else has ended the
// authorization (R12), unless something went wrong for its process.
func (w *world) judgeChecked(o *operation) {
	before, told := w.stolen[o.replica.name+o.String()]
	is, there := w.rows[o.of]
	if told && there && o.err == nil && w.hurtAt[o.replica.name] < o.begun && is.generation == before.generation && is.outcome == "" && is.hasPair && !is.mismatched() {
		w.violate("R12", "the upstream said that the tokens of %s are somebody else's, and nothing came of it", o.who)
	}
}
