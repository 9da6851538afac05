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
type signInForm struct{ Provider, Redirect, Asker, Problem string }

func (s *Server) newSignInForm(provider, redirect string) signInForm {
	form := signInForm{Provider: provider, Redirect: redirect}
	if redirect != "" && s.service.CheckReturn(redirect) == nil {
		form.Asker = asker(redirect)
	}
	return form
}

func (s *Server) askToSignIn(c echo.Context) error {
	_, err := s.visitor(c.Request().Context())
	switch models.CodeOf(err) {
	case "":
		return goTo(c, s.at("/"))
	case models.CodeUnauthenticated:
		return s.show(c, http.StatusOK, "sign-in", s.newSignInForm(c.QueryParam("provider"), c.QueryParam("redirect")))
	}
	return s.fail(c, err, onwards{})
}

func (s *Server) takeSignIn(c echo.Context) error {
	r := c.Request()
	asked := s.newSignInForm(r.PostForm.Get("provider"), r.PostForm.Get("redirect"))
	caller, err := s.callerOf(r.Context(), models.Secret(r.PostForm.Get("token")))
	if models.CodeOf(err) == models.CodeUnauthenticated {
		asked.Problem = "This API token is unknown, expired or revoked."
		return s.show(c, http.StatusUnauthorized, "sign-in", asked)
	}
	if err == nil {
		err = s.signIn(r.Context(), caller)
	}
	if err == nil {
		err = s.service.RecordSignIn(r.Context(), caller, true)
	}
	if err != nil {
		return s.fail(c, err, onwards{Again: s.at(signInPath)})
	}
	callOf(r.Context()).caller = caller
	if asked.Provider == "" {
		return s.goOn(c, s.at("/"))
	}
	return s.goOn(c, s.connectAddress(asked.Provider, asked.Redirect))
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
		return s.fail(c, err, onwards{})
	}
	callOf(c.Request().Context()).caller = models.Caller{}
	return s.show(c, http.StatusOK, "signed-out", nil)
}

// signInAddress is where somebody signs in who wants to connect a provider.
func (s *Server) signInAddress(provider, redirect string) string {
	q := url.Values{"provider": {provider}}
	if redirect != "" {
		q.Set("redirect", redirect)
	}
	return s.at(signInPath) + "?" + q.Encode()
}
