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
	if !c.IsAdmin() {
		if q.UserID != "" && q.UserID != c.UserID {
			return Page[models.Authorization]{Data: []models.Authorization{}}, nil
		}
		f.UserID = c.UserID
	}
	rows, err := s.store.Authorizations(ctx, c.OrgID, f)
	return cut(rows, limit, after,
		func(l store.Linked) store.Position {
			return store.Position{CreatedAt: l.Authorization.CreatedAt, ID: l.Authorization.ID}
		}, show), found(err, "OAuth provider authorizations")
}

// show completes an authorization with what is derived when it is read.
func show(l store.Linked) models.Authorization {
	a, p := l.Authorization, l.Provider
	a.Status, a.Provider, a.RefreshTokenExpiresAt = statusOf(l), &p, l.Credential.RefreshExpiresAt
	if a.Status == models.AuthorizationExpired {
		a.Reason = l.Credential.VerdictReason
	}
	return a
}

// statusOf derives the status, as the store does for filters and counts. A provider that is off, or that is no longer the
// client the tokens were minted for, comes before any verdict.
func statusOf(l store.Linked) models.AuthorizationStatus {
	switch {
	case !l.Provider.Usable() || !l.Authorization.SameClient(l.Provider):
		return models.AuthorizationInvalidProviderState
	case hasVerdict(l, models.VerdictExpired):
		return models.AuthorizationExpired
	case hasVerdict(l, models.VerdictInvalidClient):
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
