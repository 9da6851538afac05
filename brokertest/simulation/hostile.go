package simulation

import (
	"context"
	"strings"
	"time"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/models"
)

// moveWrongClient has somebody change a client's secret at the upstream, and change it back
// after some time.
func (w *world) moveWrongClient() bool {
	i := w.rng.IntN(len(w.image.places))
	if _, already := w.wrongUntil[i]; already {
		return false
	}
	p := w.image.places[i]
	w.logf("the upstream knows the client of %s by another secret now", p.name)
	w.faults["wrong client"]++
	w.wrongUntil[i] = time.Now().Add(w.wrongFor)
	w.idp.SetSecret(p.client, "another-secret")
	return true
}

// rightClients ends what moveWrongClient began, once its time is over or at once.
func (w *world) rightClients(now bool) {
	for i, p := range w.image.places {
		until, wrong := w.wrongUntil[i]
		if !wrong || !now && time.Now().Before(until) {
			continue
		}
		delete(w.wrongUntil, i)
		for _, c := range upstreamClients {
			if c.ID == p.client {
				w.idp.SetSecret(c.ID, c.Secret)
			}
		}
		w.logf("the upstream knows the client of %s by its secret again", p.name)
	}
}

// clientIsWrong reports whether the upstream refuses the client of a token's owner.
func (w *world) clientIsWrong(owner string) bool {
	for i, p := range w.image.places {
		if _, wrong := w.wrongUntil[i]; wrong && strings.HasSuffix(owner, " at "+p.name) {
			return true
		}
	}
	return false
}

// hostile is an admin of an organisation that has nothing, and knows the ids of all others. Her
// user is called like somebody of theirs.
var hostile = caller("mallory", "ada", models.RoleAdmin)

// attacks are what she asks for. None may give her anything, or change anything of theirs (I7).
var attacks = []struct {
	name string
	ask  func(ctx context.Context, s *broker.Service, p place, who person) (token models.Secret, err error)
}{
	{"a token", func(ctx context.Context, s *broker.Service, _ place, who person) (models.Secret, error) {
		t, err := s.Token(ctx, hostile, who.authorization, 0)
		return t.Access, err
	}},
	{"a disconnect", func(ctx context.Context, s *broker.Service, _ place, who person) (models.Secret, error) {
		return "", s.Disconnect(ctx, hostile, who.authorization)
	}},
	{"a reset", func(ctx context.Context, s *broker.Service, _ place, who person) (models.Secret, error) {
		_, err := s.Reset(ctx, hostile, who.authorization)
		return "", err
	}},
	{"the revocation of a token", func(ctx context.Context, s *broker.Service, _ place, who person) (models.Secret, error) {
		_, err := s.RevokeToken(ctx, hostile, who.authorization)
		return "", err
	}},
	{"a deletion", func(ctx context.Context, s *broker.Service, p place, _ person) (models.Secret, error) {
		_, err := s.DeleteProvider(ctx, hostile, p.id, false)
		return "", err
	}},
	{"a consent", func(ctx context.Context, s *broker.Service, p place, _ person) (models.Secret, error) {
		_, err := s.Authorize(ctx, hostile, broker.AuthorizeRequest{ProviderID: p.id, RedirectURI: callback})
		return "", err
	}},
	{"the revocation of all that a user granted", func(ctx context.Context, s *broker.Service, _ place, who person) (models.Secret, error) {
		_, _ = s.RevokeUser(ctx, hostile, who.caller.UserID) // she may have a user of this name, who granted nothing
		return "", errNothing
	}},
}

var errNothing = models.Errorf(models.CodeNotFound, "nothing was granted")

// moveHostile has another organisation ask for what belongs to somebody else.
func (w *world) moveHostile() bool {
	r := w.anyReplica()
	if r == nil {
		return false
	}
	who := w.people[w.rng.IntN(len(w.people))]
	p, a := w.image.places[who.place], attacks[w.rng.IntN(len(attacks))]
	w.logf("another organisation asks %s for %s, of %s", r.name, a.name, who.name)
	o := &operation{kind: "hostile", who: hostile.OrgID, person: -1, place: -1, of: who.authorization, replica: r}
	w.begin(o, func(ctx context.Context) (string, error) {
		token, err := a.ask(ctx, r.service, p, who)
		o.token = token.Reveal()
		if err == nil {
			return " with " + a.name, nil
		}
		return "", err
	})
	return true
}

// judgeHostile judges what the other organisation was answered (I7).
func (w *world) judgeHostile(o *operation) {
	if o.err == nil {
		w.violate("I7", "another organisation asked for what is not its own, and got it: %s%s", o.who, o.result)
	}
}

// organisationOf is for whom an operation is, "" where it is for all.
func (w *world) organisationOf(o *operation) string {
	switch {
	case o.kind == "hostile":
		return hostile.OrgID
	case o.place >= 0 && o.kind != "start" && o.kind != "sweep" && o.kind != "task":
		return w.image.places[o.place].org
	}
	return ""
}

// judgeWhose judges for whom a row was changed, and for whom a token was sent (I7).
func (w *world) judgeWhose(actor, org, what string) {
	if by := w.organisations[actor]; by != "" && by != org {
		w.violate("I7", "%s, for the organisation %s, reaches %s of the organisation %s", actor, by, what, org)
	}
}

// differs reports whether anything of a row is not as it was.
func (r row) differs(was row) bool {
	return was.ID != "" && (r.generation != was.generation || r.lease.owner != was.lease.owner || r.attempt != was.attempt || r.verdict != was.verdict ||
		r.unlinked != was.unlinked || r.outcome != was.outcome || r.claim != was.claim || r.hasPair != was.hasPair)
}

// organisationOfOwner is the organisation that an owner in the ledger belongs to.
func (w *world) organisationOfOwner(owner string) string {
	for _, p := range w.image.places {
		if strings.HasSuffix(owner, " at "+p.name) {
			return p.org
		}
	}
	return ""
}
