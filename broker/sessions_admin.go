package broker

import (
	"context"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// Admins see and end the sessions of their organisation.

// SessionQuery filters and pages a list of sessions. Empty fields do not filter.
type SessionQuery struct {
	UserID string
	Limit  int // 0 means 100
	Cursor string
}

// Sessions returns a page of the organisation's living sessions, the newest first, for admins.
func (s *Service) Sessions(ctx context.Context, c models.Caller, q SessionQuery) (Page[models.BrowserSession], error) {
	if err := onlyUnlimitedAdmins(c); err != nil {
		return Page[models.BrowserSession]{}, err
	}
	limit, after, err := paging(q.Limit, 100, q.Cursor)
	if err != nil {
		return Page[models.BrowserSession]{}, err
	}
	rows, err := s.store.SessionsPage(ctx, c.OrgID, q.UserID, s.sessions.idle(), after, limit+1)
	return cut(rows, limit, after,
		func(b models.BrowserSession) store.Position {
			return store.Position{CreatedAt: b.CreatedAt, ID: b.ID}
		},
		asItIs), err
}

// EndSessionOf ends one session of the organisation, for admins.
func (s *Service) EndSessionOf(ctx context.Context, c models.Caller, id string) error {
	if err := onlyUnlimitedAdmins(c); err != nil {
		return err
	}
	return s.endSessions(ctx, c.TokenID, oneSession(ctx, c.OrgID, "", id))
}

// EndSessionsOfUser ends all sessions of a user of the organisation, for admins. What the user had begun in the pages is
// void.
func (s *Service) EndSessionsOfUser(ctx context.Context, c models.Caller, user string) error {
	if err := onlyUnlimitedAdmins(c); err != nil {
		return err
	}
	if !models.ValidUser(user) {
		return models.Invalid(models.FieldError{Name: "userId", Message: "must name the user whose sessions are to be ended"})
	}
	return s.endSessions(ctx, c.TokenID, func(tx *store.Store) ([]models.BrowserSession, error) {
		return tx.EndSessions(ctx, c.OrgID, user)
	})
}
