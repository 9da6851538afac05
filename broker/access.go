package broker

import (
	"context"
	"slices"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// Who may do what. What a caller cannot see does not exist for it (404); what it
// sees but may not do is forbidden (403). A user sees its organisation's
// providers and its own authorizations; an admin sees all of the organisation's,
// but gets tokens and profiles only of its own (A6). A service is like the user that
// its request names. To a caller whose token is limited to providers, the others and
// their authorizations do not exist.

func onlyAdmins(c models.Caller) error {
	if c.IsAdmin() {
		return nil
	}
	return models.Errorf(models.CodeForbidden, "Only an admin of the organisation may do this.")
}

// onlyUnlimitedAdmins is for what is about the whole organisation.
func onlyUnlimitedAdmins(c models.Caller) error {
	if err := onlyAdmins(c); err != nil || !c.IsLimited() {
		return err
	}
	return models.Errorf(models.CodeForbidden, "This API token is limited to certain providers, but the request concerns the whole organisation.")
}

// ActingFor returns the caller of a request about consents or authorizations, which may name the user that it is for. A
// service has to.
func ActingFor(c models.Caller, user string) (models.Caller, error) {
	switch {
	case c.IsService() && user == "":
		return c, models.Invalid(models.FieldError{Name: "userId", Message: "is required of a service: name the user that the request is for"})
	case c.IsService() && !models.ValidUser(user):
		return c, models.Invalid(models.FieldError{Name: "userId", Message: "must be a user, as your organisation names its users"})
	case c.IsService():
		return c.For(user), nil
	case user != "" && user != c.UserID:
		return c, models.Errorf(models.CodeForbidden, "Only a service may act for another user: leave out userId.")
	}
	return c, nil
}

// visibleProvider returns a provider of the caller's organisation.
func (s *Service) visibleProvider(ctx context.Context, c models.Caller, id string) (models.Provider, error) {
	p, err := s.store.Provider(ctx, id)
	if err == nil && !maySeeProvider(c, p) {
		err = store.NotFound("OAuth provider")
	}
	return p, err
}

func maySeeProvider(c models.Caller, p models.Provider) bool {
	return p.OrgID == c.OrgID && c.MayUse(p.ID)
}

// within are those of the organisation's providers that the caller may use.
func within(c models.Caller, all []models.Provider) []models.Provider {
	return slices.DeleteFunc(all, func(p models.Provider) bool { return !c.MayUse(p.ID) })
}

// visibleAuthorization returns a linked authorization that the caller may see, as
// much of it as handing out a token takes.
func (s *Service) visibleAuthorization(ctx context.Context, c models.Caller, id string) (models.Linked, error) {
	l, err := s.store.Fetchable(ctx, id)
	if err == nil {
		err = maySee(c, &l.Authorization)
	}
	return l, err
}

// visibleLinked is visibleAuthorization with all of it.
func (s *Service) visibleLinked(ctx context.Context, c models.Caller, id string) (models.Linked, error) {
	l, err := s.store.Linked(ctx, id)
	if err == nil {
		err = maySee(c, &l.Authorization)
	}
	return l, err
}

// maySee is nil when the caller may know of the authorization.
func maySee(c models.Caller, a *models.Authorization) error {
	if a.UnlinkedAt == nil && a.OrgID == c.OrgID && c.MayUse(a.ProviderID) && (c.IsAdmin() || a.UserID == c.UserID) {
		return nil
	}
	return store.NotFound("OAuth provider authorization")
}

// mayHave is nil when the authorization's tokens are the caller's to have: only
// those of its own.
func mayHave(c models.Caller, a *models.Authorization) error {
	err := maySee(c, a)
	if err == nil && a.UserID != c.UserID {
		err = models.Errorf(models.CodeForbidden, "This authorization belongs to another user; only that user may get its tokens and profile.")
	}
	return err
}
