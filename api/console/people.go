package console

import (
	"github.com/labstack/echo/v4"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/models"
)

// Whose connections and sessions there are, and how an admin ends them.

func (k *Console) listConnections(c echo.Context, v broker.Visitor) error {
	q := broker.AuthorizationQuery{UserID: query(c, "userId"), Account: query(c, "account"), ProviderID: query(c, "providerId"), Status: query(c, "status"),
		Limit: pageSize, Cursor: query(c, "cursor")}
	page, err := k.service.Authorizations(c.Request().Context(), v.Caller, q)
	return k.answer(c, err, "console-connections", screen{"connections", "Connections", struct {
		broker.Page[models.Authorization]
		Query    broker.AuthorizationQuery
		Statuses []models.AuthorizationStatus
	}{page, q, models.AuthorizationStatuses}})
}

func (k *Console) askToDisconnect(c echo.Context, v broker.Visitor) error {
	a, err := k.service.Authorization(c.Request().Context(), v.Caller, id(c))
	return k.answer(c, err, "console-disconnect", screen{"connections", "Disconnect", a})
}

// takeDisconnect ends a connection. To end it a second time changes nothing.
func (k *Console) takeDisconnect(c echo.Context, v broker.Visitor) error {
	err := k.service.Disconnect(c.Request().Context(), v.Caller, id(c))
	if err != nil && models.CodeOf(err) != models.CodeNotFound {
		return k.frame.Fail(c, err, Path+"connections")
	}
	return k.frame.GoTo(c, Path+"connections")
}

func (k *Console) askToRevoke(c echo.Context, v broker.Visitor) error {
	user := query(c, "userId")
	page, err := k.service.Authorizations(c.Request().Context(), v.Caller, broker.AuthorizationQuery{UserID: user, Limit: pageSize})
	if user == "" {
		page.Data = nil
	}
	return k.answer(c, err, "console-revoke", screen{"connections", "Revoke everything of a user", struct {
		broker.Page[models.Authorization]
		UserID string
	}{page, user}})
}

// takeRevoke has everything revoked that a user granted, and leads to the job.
func (k *Console) takeRevoke(c echo.Context, v broker.Visitor) error {
	j, err := k.service.RevokeUser(c.Request().Context(), v.Caller, models.Storable(c.Request().PostForm.Get("userId")))
	if err != nil {
		return k.frame.Fail(c, err, Path+"connections/revoke")
	}
	return k.frame.GoTo(c, Path+"jobs/"+j.ID)
}

func (k *Console) listSessions(c echo.Context, v broker.Visitor) error {
	q := broker.SessionQuery{UserID: query(c, "userId"), Limit: pageSize, Cursor: query(c, "cursor")}
	page, err := k.service.Sessions(c.Request().Context(), v.Caller, q)
	return k.answer(c, err, "console-sessions", screen{"sessions", "Sessions", struct {
		broker.Page[models.BrowserSession]
		UserID, Here string
	}{page, q.UserID, v.Session.Reveal()}})
}

func (k *Console) askToEndSession(c echo.Context, _ broker.Visitor) error {
	return k.answer(c, nil, "console-end-session", screen{"sessions", "Sign somebody out", id(c)})
}

// takeEndSession signs somebody out of one browser. To do so a second time changes nothing.
func (k *Console) takeEndSession(c echo.Context, v broker.Visitor) error {
	err := k.service.EndSessionOf(c.Request().Context(), v.Caller, id(c))
	if err != nil && models.CodeOf(err) != models.CodeNotFound {
		return k.frame.Fail(c, err, Path+"sessions")
	}
	return k.frame.GoTo(c, Path+"sessions")
}
