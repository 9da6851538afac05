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
	f := store.AuthorizationFilter{UserID: q.UserID, ProviderID: q.ProviderID, Status: models.AuthorizationStatus(q.Status), After: after, Limit: limit + 1}
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
		return Page[models.Authorization]{}, found(err, "OAuth provider authorizations")
	}
	page := cut(rows, limit, after,
		func(l store.Linked) store.Position {
			return store.Position{CreatedAt: l.Authorization.CreatedAt, ID: l.Authorization.ID}
		}, detailed)
	return page, s.addLastFetches(ctx, page.Data)
}

// Authorization returns one authorization, for its owner and for admins.
func (s *Service) Authorization(ctx context.Context, c models.Caller, id string) (models.Authorization, error) {
	l, err := s.store.Linked(ctx, id)
	if err == nil && !maySee(c, l.Authorization) {
		err = store.ErrNotFound
	}
	if err != nil {
		return models.Authorization{}, found(err, "OAuth provider authorization")
	}
	one := []models.Authorization{detailed(l)}
	err = s.addLastFetches(ctx, one)
	return one[0], err
}

// detailed shows an authorization with its account and its times.
func detailed(l store.Linked) models.Authorization {
	a := show(l)
	a.Account = &models.AuthorizedAccount{Sub: a.Sub, Login: a.Login, Email: a.Email}
	a.ExpiresAt, a.RefreshedAt = l.Credential.ExpiresAt, &l.Credential.SavedAt
	return a
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
		return unavailable(err)
	}
	for i, a := range shown {
		if at, fetched := last[a.ID]; fetched {
			shown[i].LastFetchedAt = &at
		}
	}
	return nil
}

// show completes an authorization with what is derived when it is read.
func show(l store.Linked) models.Authorization {
	a, p := l.Authorization, l.Provider
	a.Status, a.Provider, a.RefreshTokenExpiresAt = statusOf(l), &p, l.Credential.RefreshExpiresAt
	if a.Status == models.AuthorizationExpired {
		a.Reason = whyExpired(l)
		a.ReasonMessage = a.Reason.Message()
	}
	return a
}

// whyExpired tells why an authorization has expired. Without a verdict its only token has
// ended, or has been revoked.
func whyExpired(l store.Linked) models.Reason {
	switch {
	case hasVerdict(l, models.VerdictExpired):
		return models.Reason(l.Credential.VerdictReason)
	case suspected(l):
		return models.ReasonTokenRevoked
	}
	return models.ReasonNoRefreshToken
}

// statusOf derives the status, as the store does for filters and counts. A provider that is off, or that is no longer the
// client the tokens were minted for, comes before any verdict.
func statusOf(l store.Linked) models.AuthorizationStatus {
	switch {
	case !l.Provider.Usable() || !l.Authorization.SameClient(l.Provider):
		return models.AuthorizationInvalidProviderState
	case hasVerdict(l, models.VerdictExpired):
		return models.AuthorizationExpired
	case l.Provider.InTrouble() == models.TroubleClient && l.Credential.HasRefreshToken:
		return models.AuthorizationInvalidOAuthClient
	case !served(l) && !l.Credential.HasRefreshToken:
		return models.AuthorizationExpired
	}
	return models.AuthorizationActive
}

// hasVerdict reports whether v holds: a verdict is void as soon as the tokens or
// the client secret it was reached with have changed (R5). Version 0 is that of no
// secret: such a verdict does not depend on it (R12).
func hasVerdict(l store.Linked, v models.Verdict) bool {
	c := l.Credential
	return c.Verdict != nil && *c.Verdict == v &&
		c.VerdictGeneration == c.Generation && (c.VerdictSecretVersion == l.Provider.SecretVersion || c.VerdictSecretVersion == 0)
}

// served reports whether the access token may be handed out: it lives, nobody
// suspects it, and it is the account's.
func served(l store.Linked) bool { return alive(l) && !suspected(l) && !mismatched(l) }

// suspected reports whether somebody asked for this very access token to be revoked.
func suspected(l store.Linked) bool {
	return l.Credential.Suspected != 0 && l.Credential.Suspected == l.Credential.Generation
}

// alive reports whether the access token can still be used, as far as is known.
func alive(l store.Linked) bool {
	e := l.Credential.ExpiresAt
	return e == nil || l.Now.Before(*e)
}
