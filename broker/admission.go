package broker

import (
	"context"
	"time"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/providers"
	"github.com/grantd/grantd/store"
)

// callProbe is how long others wait for the answer to the first call after a pause.
const callProbe = 10 * time.Second

// admitCall asks whether endpoints of a class may be called for somebody who waits:
// not during a pause they asked for (S3). Tokens are handed out and refreshed
// meanwhile.
func (s *Service) admitCall(ctx context.Context, p models.Provider, class store.Class) (store.Gate, error) {
	g, err := s.store.Pass(ctx, p.ID, s.host(p), callProbe, class)
	switch {
	case err != nil:
		return g, unavailable(err)
	case g.Wait > 0:
		return g, leftAlone(g.Wait)
	}
	return g, nil
}

// learnCall remembers what an answer says about a class of endpoints as a whole. A
// consent asks for user info without passing a gate, lest it be lost, but what it is
// told counts too.
func (s *Service) learnCall(ctx context.Context, p models.Provider, class store.Class, gate store.Gate, answer error) {
	ctx = context.WithoutCancel(ctx)
	switch up := failure(answer); {
	case up.Kind == providers.KindTransient && up.RetryAfter > 0:
		s.notePause(ctx, p, class, up.RetryAfter)
	case gate.Probe && up.Kind != providers.KindTransient:
		if err := s.store.EndPause(ctx, p.ID, s.host(p), class); err != nil {
			s.log.Warn("ending a pause failed", "provider", p.ID, "error", err)
		}
	}
}

func (s *Service) admitAPI(ctx context.Context, p models.Provider) (store.Gate, error) {
	return s.admitCall(ctx, p, store.ClassAPI)
}

func (s *Service) learnAPI(ctx context.Context, p models.Provider, gate store.Gate, answer error) {
	s.learnCall(ctx, p, store.ClassAPI, gate, answer)
}
