package broker

import (
	"context"
	"time"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/providers"
	"github.com/grantd/grantd/store"
)

// admit asks whether endpoints of these classes may be called for somebody who waits:
// not during a pause they asked for (S3). Tokens that live are handed out meanwhile.
// After a pause one caller goes first, for whose answer the others wait no longer than
// probe.
func (at upstream) admit(ctx context.Context, probe time.Duration, classes ...store.Class) (store.Gate, error) {
	g, err := at.s.store.Pass(ctx, at.called(classes...), probe, classes...)
	switch {
	case err != nil:
		return g, err
	case g.Wait > 0:
		return g, rateLimited(g.Wait)
	}
	return g, nil
}

// learn remembers what an answer says about a class of endpoints as a whole. A good
// one ends what its call was the probe for. A consent asks for user info without
// passing a gate so that it is not lost, but what it is told counts too. ctx is the one that
// the call was made under: it knows which origin answered.
func (at upstream) learn(ctx context.Context, gate store.Gate, answer error, class store.Class) {
	ctx = context.WithoutCancel(ctx)
	switch up := failure(answer); {
	case up.Kind == providers.KindTransient && up.RetryAfter > 0:
		at.notePause(ctx, class, up.RetryAfter)
	case gate.Probe && up.Kind != providers.KindTransient:
		at.endPause(ctx, gate)
	}
}

func (at upstream) admitAPI(ctx context.Context) (store.Gate, error) {
	return at.admit(ctx, callProbe, store.ClassAPI)
}

func (at upstream) learnAPI(ctx context.Context, gate store.Gate, answer error) {
	at.learn(ctx, gate, answer, store.ClassAPI)
}

// admitToken passes the token endpoint for an import or a device. While the provider's
// answers cannot be read, what is spent there would be lost, and it may only go as the
// probe (R13). The code of a consent does not pass here: it would lapse.
func (at upstream) admitToken(ctx context.Context) (store.Gate, error) {
	gate, err := at.admit(ctx, at.s.timing.TokenCall, store.ClassToken)
	if err != nil || at.provider.InTrouble() != models.TroubleUnreadable {
		return gate, err
	}
	now, err := at.s.store.Now(ctx)
	if err != nil {
		return gate, err
	}
	return gate, at.s.takeProbe(ctx, at.provider, "", now)
}

func (at upstream) learnToken(ctx context.Context, gate store.Gate, answer error) {
	at.learn(ctx, gate, answer, store.ClassToken)
}
