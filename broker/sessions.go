package broker

import (
	"context"
	"time"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// Sessions of the pages live in SQL, like everything else that must outlive a
// process and be seen by all of them. Of the token in the cookie only the SHA-256
// is kept, and nothing that a session keeps is a secret.

// Session returns what a session keeps, and false when there is no such session
// any more.
func (s *Service) Session(ctx context.Context, token string) ([]byte, bool, error) {
	data, err := s.store.Session(ctx, hashOf(token))
	switch {
	case store.IsNotFound(err):
		return nil, false, nil
	case err != nil:
		return nil, false, unavailable(err)
	}
	return data, true, nil
}

// SaveSession keeps a session until it expires or is ended.
func (s *Service) SaveSession(ctx context.Context, token string, data []byte, expiry time.Time) error {
	if err := s.store.SaveSession(ctx, hashOf(token), data, time.Until(expiry)); err != nil {
		return unavailable(err)
	}
	return nil
}

// EndSession ends a session, if there is one.
func (s *Service) EndSession(ctx context.Context, token string) error {
	if err := s.store.EndSession(ctx, hashOf(token)); err != nil {
		return unavailable(err)
	}
	return nil
}

// CallerOf tells who an API token stands for that somebody signed in with, by the
// token's id. It is asked for at each request and cached nowhere: a session ends
// with its token.
func (s *Service) CallerOf(ctx context.Context, tokenID string) (models.Caller, error) {
	t, err := s.store.APIToken(ctx, tokenID)
	switch {
	case store.IsNotFound(err):
		return models.Caller{}, errBadToken
	case err != nil:
		return models.Caller{}, unavailable(err)
	case !t.Usable(time.Now()):
		return models.Caller{}, errBadToken
	}
	return t.Caller(), nil
}

// RecordSignIn audits that somebody began or ended a session of the pages.
func (s *Service) RecordSignIn(ctx context.Context, c models.Caller, begun bool) error {
	action := store.ActionSignedOut
	if begun {
		action = store.ActionSignedIn
	}
	if err := s.store.Audit(ctx, event(c, action).done()); err != nil {
		return unavailable(err)
	}
	return nil
}
