package broker

import (
	"context"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// Who may do what. What a caller cannot see does not exist for it (404); what it
// sees but may not do is forbidden (403). A user sees its organisation's
// providers and its own authorizations; an admin sees all of the organisation's,
// but gets tokens and profiles only of its own (A6).

func onlyAdmins(c models.Caller) error {
	if c.IsAdmin() {
		return nil
	}
	return models.Errorf(models.CodeForbidden, "Only an admin of the organisation may do this.")
}

// visibleProvider returns a provider of the caller's organisation.
func (s *Service) visibleProvider(ctx context.Context, c models.Caller, id string) (models.Provider, error) {
	p, err := s.store.Provider(ctx, id)
	if err == nil && p.OrgID != c.OrgID {
		err = store.ErrNotFound
	}
	return p, found(err, "OAuth provider")
}

// visibleAuthorization returns a linked authorization that the caller may see, as
// much of it as handing out a token takes.
func (s *Service) visibleAuthorization(ctx context.Context, c models.Caller, id string) (models.Linked, error) {
	l, err := s.store.Fetchable(ctx, id)
	if err == nil && !maySee(c, l.Authorization) {
		err = store.ErrNotFound
	}
	return l, found(err, "OAuth provider authorization")
}

func maySee(c models.Caller, a models.Authorization) bool {
	return a.UnlinkedAt == nil && a.OrgID == c.OrgID && (c.IsAdmin() || a.UserID == c.UserID)
}

// mayHave is nil when the authorization's tokens are the caller's to have: only
// those of its own.
func mayHave(c models.Caller, a models.Authorization) error {
	switch {
	case !maySee(c, a):
		return store.ErrNotFound
	case a.UserID != c.UserID:
		return models.Errorf(models.CodeForbidden, "This authorization belongs to another user; only that user may get its tokens and profile.")
	}
	return nil
}
