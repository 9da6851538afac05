package api

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"github.com/grantd/grantd/models"
)

const (
	signInPath  = "/sign-in"
	signOutPath = "/sign-out"
)

// signInForm is the page that asks for an API token. It remembers which provider
// was to be connected, and where to go then.
type signInForm struct{ Provider, Redirect, Problem string }

func (s *Server) askToSignIn(c echo.Context) error {
	v, err := s.visitor(c.Request().Context())
	switch models.CodeOf(err) {
	case "":
		return show(c, http.StatusOK, "signed-in", v.Caller)
	case models.CodeUnauthenticated:
		return show(c, http.StatusOK, "sign-in", signInForm{Provider: c.QueryParam("provider"), Redirect: c.QueryParam("redirect")})
	}
	return s.fail(c, err, "")
}

func (s *Server) takeSignIn(c echo.Context) error {
	r := c.Request()
	asked := signInForm{Provider: r.PostForm.Get("provider"), Redirect: r.PostForm.Get("redirect")}
	caller, err := s.callerOf(r.Context(), models.Secret(r.PostForm.Get("token")))
	if models.CodeOf(err) == models.CodeUnauthenticated {
		asked.Problem = "This API token is unknown, expired or revoked."
		return show(c, http.StatusUnauthorized, "sign-in", asked)
	}
	if err == nil {
		err = s.signIn(r.Context(), caller)
	}
	if err == nil {
		err = s.service.RecordSignIn(r.Context(), caller, true)
	}
	if err != nil {
		return s.fail(c, err, signInPath)
	}
	callOf(r.Context()).caller = caller
	if asked.Provider == "" {
		return goOn(c, signInPath)
	}
	return goOn(c, connectAddress(asked.Provider, asked.Redirect))
}

func (s *Server) signOut(c echo.Context) error {
	ctx := c.Request().Context()
	v, err := s.visitor(ctx)
	if err == nil {
		err = s.service.RecordSignIn(ctx, v.Caller, false)
	}
	if models.CodeOf(err) == models.CodeUnauthenticated { // the session had ended already
		err = nil
	}
	if err := errors.Join(err, s.sessions.Destroy(ctx)); err != nil {
		return s.fail(c, err, "")
	}
	return show(c, http.StatusOK, "signed-out", nil)
}

// signInAddress is where somebody signs in who wants to connect a provider.
func signInAddress(provider, redirect string) string {
	q := url.Values{"provider": {provider}}
	if redirect != "" {
		q.Set("redirect", redirect)
	}
	return signInPath + "?" + q.Encode()
}

// connectAddress is where connecting a provider begins, on this site whatever the
// provider's name is said to be.
func connectAddress(provider, redirect string) string {
	address := externalAuth + "/" + url.PathEscape(provider) + "/callback"
	if redirect != "" {
		address += "?" + url.Values{"redirect": {redirect}}.Encode()
	}
	return address
}
