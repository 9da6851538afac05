package broker

import (
	"context"

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
	gate, err := s.at(l.Provider).admitAPI(ctx)
	if err != nil {
		return models.User{}, err
	}
	user, err := s.askProfile(ctx, l, gate)
	if failure(err).Kind == providers.KindDenied && l.Credential.HasRefreshToken {
		if l, err = s.newer(ctx, l); err == nil {
			user, err = s.askProfile(ctx, l, gate)
		}
	}
	if err != nil {
		return models.User{}, s.at(l.Provider).failed(err)
	}
	return user, nil
}

func (s *Service) askProfile(ctx context.Context, l models.Linked, gate store.Gate) (models.User, error) {
	ctx = providers.WithAnswers(ctx)
	at, p, err := s.opened(ctx, l)
	if err != nil {
		return models.User{}, err
	}
	user, err := patiently(ctx, s, l.Provider, l.Credential.SavedAt, func() (models.User, bool, error) {
		user, err := at.UserInfo(ctx, models.Secret(p.Access))
		return user, failure(err).Kind == providers.KindDenied, err
	})
	at.learnAPI(ctx, gate, err)
	if err != nil {
		return user, err
	}
	whole, err := s.store.Linked(ctx, l.Authorization.ID) // a fetch leaves the account out
	if err != nil {
		return models.User{}, err
	}
	if s.isAnother(ctx, whole, providers.Account{Source: providers.SourceUser, ID: user.Sub}) {
		whole.Credential = l.Credential // whose token was asked about
		return models.User{}, s.mismatchedPair(ctx, whole)
	}
	return user, nil
}
