package broker

import (
	"context"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// AuthorizationQuery filters and pages a list of authorizations. Empty fields do
// not filter.
type AuthorizationQuery struct {
	ProviderID string
	Status     string
	Account    string // its sub, login or e-mail address
	UserID     string // an admin's; a user sees its own in any case
	Limit      int    // 0 means 100
	Cursor     string
}

// Authorizations returns a page of the caller's authorizations; an admin's page
// shows the whole organisation's.
func (s *Service) Authorizations(ctx context.Context, c models.Caller, q AuthorizationQuery) (Page[models.Authorization], error) {
	limit, after, err := paging(q.Limit, 100, q.Cursor)
	if err != nil {
		return Page[models.Authorization]{}, err
	}
	f := store.AuthorizationFilter{Providers: c.Limits(), UserID: q.UserID, Account: q.Account, ProviderID: q.ProviderID, Status: models.AuthorizationStatus(q.Status), After: after, Limit: limit + 1}
	if q.Status != "" {
		if err := oneOf("status", models.AuthorizationStatuses, q.Status); err != nil {
			return Page[models.Authorization]{}, err
		}
	}
	if !c.IsAdmin() {
		if q.UserID != "" && q.UserID != c.UserID {
			return Page[models.Authorization]{Data: []models.Authorization{}}, nil
		}
		f.UserID = c.UserID
	}
	rows, err := s.store.Authorizations(ctx, c.OrgID, f)
	if err != nil {
		return Page[models.Authorization]{}, err
	}
	page := cut(rows, limit, after,
		func(l models.Linked) store.Position {
			return store.Position{CreatedAt: l.Authorization.CreatedAt, ID: l.Authorization.ID}
		}, func(l models.Linked) models.Authorization { return l.Detailed() })
	return page, s.addLastFetches(ctx, page.Data)
}

// Authorization returns one authorization, for its owner and for admins.
func (s *Service) Authorization(ctx context.Context, c models.Caller, id string) (models.Authorization, error) {
	l, err := s.visibleLinked(ctx, c, id)
	if err != nil {
		return models.Authorization{}, err
	}
	one := []models.Authorization{l.Detailed()}
	err = s.addLastFetches(ctx, one)
	return one[0], err
}

// addLastFetches adds to authorizations when their tokens were fetched last.
func (s *Service) addLastFetches(ctx context.Context, shown []models.Authorization) error {
	if len(shown) == 0 {
		return nil
	}
	ids := make([]string, len(shown))
	for i, a := range shown {
		ids[i] = a.ID
	}
	last, err := s.store.LastFetches(ctx, ids)
	if err != nil {
		return err
	}
	for i, a := range shown {
		if at, fetched := last[a.ID]; fetched {
			shown[i].LastFetchedAt = &at
		}
	}
	return nil
}
