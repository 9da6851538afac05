package broker

import (
	"context"
	"time"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/providers"
	"github.com/grantd/grantd/store"
)

// UserInfo asks the upstream who the account is, for its owner alone (A6). A token
// that the upstream no longer takes is refreshed once (RFC 6750 section 3.1).
func (s *Service) UserInfo(ctx context.Context, c models.Caller, id string) (models.User, error) {
	l, err := s.freshest(ctx, c, id, 0)
	if err != nil {
		return models.User{}, err
	}
	gate, err := s.admitProfile(ctx, l.Provider)
	if err != nil {
		return models.User{}, err
	}
	user, err := s.askProfile(ctx, l, gate)
	if failure(err).Kind == providers.KindDenied && l.Credential.HasRefreshToken {
		refused := l.Credential.Generation
		if l, err = s.refresh(ctx, id, func(now store.Linked) bool { return now.Credential.Generation == refused }); err == nil {
			user, err = s.askProfile(ctx, l, gate)
		}
	}
	if err != nil {
		return models.User{}, s.upstreamFailed(l.Provider, err)
	}
	return user, nil
}

func (s *Service) askProfile(ctx context.Context, l store.Linked, gate store.Gate) (models.User, error) {
	client, err := s.client(ctx, l.Provider)
	if err != nil {
		return models.User{}, err
	}
	p, err := s.openPair(l)
	if err != nil {
		return models.User{}, err
	}
	user, err := s.upstream.UserInfo(ctx, client, models.Secret(p.Access))
	s.learnProfile(ctx, l.Provider, gate, err)
	return user, err
}

// profileProbe is how long others wait for the answer to the first question after a
// pause.
const profileProbe = 10 * time.Second

// admitProfile asks whether the upstream may be asked for user info: not during a
// pause it asked for (S3). Tokens are handed out and refreshed meanwhile.
func (s *Service) admitProfile(ctx context.Context, p models.Provider) (store.Gate, error) {
	g, err := s.store.Pass(ctx, p.ID, s.host(p), profileProbe, store.ClassAPI)
	switch {
	case err != nil:
		return g, unavailable(err)
	case g.Wait > 0:
		return g, leftAlone(g.Wait)
	}
	return g, nil
}

// learnProfile remembers what an answer says about user info as a whole. A consent
// asks without passing a gate, lest it be lost, but what it is told counts too.
func (s *Service) learnProfile(ctx context.Context, p models.Provider, gate store.Gate, answer error) {
	ctx = context.WithoutCancel(ctx)
	switch up := failure(answer); {
	case up.Kind == providers.KindTransient && up.RetryAfter > 0:
		s.notePause(ctx, p, store.ClassAPI, up.RetryAfter)
	case gate.Probe && up.Kind != providers.KindTransient:
		if err := s.store.EndPause(ctx, p.ID, s.host(p), store.ClassAPI); err != nil {
			s.log.Warn("ending a pause failed", "provider", p.ID, "error", err)
		}
	}
}
