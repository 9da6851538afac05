package pages

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

func (p *Pages) newSignInForm(provider, redirect string) signInForm {
	form := signInForm{Provider: provider, Redirect: redirect}
	if redirect != "" && p.service.CheckReturn(redirect) == nil {
		form.Asker = asker(redirect)
	}
	return form
}

func (p *Pages) askToSignIn(c echo.Context) error {
	_, err := p.visitor(c.Request().Context())
	switch models.CodeOf(err) {
	case "":
		return goTo(c, p.at("/"))
	case models.CodeUnauthenticated:
		return p.show(c, http.StatusOK, "sign-in", p.newSignInForm(c.QueryParam("provider"), c.QueryParam("redirect")))
	}
	return p.fail(c, err, onwards{})
}

func (p *Pages) takeSignIn(c echo.Context) error {
	r := c.Request()
	asked := p.newSignInForm(r.PostForm.Get("provider"), r.PostForm.Get("redirect"))
	caller, err := p.edge.Authenticate(r.Context(), models.Secret(r.PostForm.Get("token")))
	err = p.edge.CountFailure(c, err)
	if models.CodeOf(err) == models.CodeUnauthenticated {
		asked.Problem = "This API token is unknown, expired or revoked."
		return p.show(c, http.StatusUnauthorized, "sign-in", asked)
	}
	if err == nil {
		err = p.signIn(r.Context(), caller)
	}
	if err == nil {
		err = p.service.RecordSignIn(r.Context(), caller, true)
	}
	if err != nil {
		return p.fail(c, err, onwards{Again: p.at(signInPath)})
	}
	if asked.Provider == "" {
		return p.goOn(c, p.at("/"))
	}
	return p.goOn(c, p.connectAddress(asked.Provider, asked.Redirect))
}

func (p *Pages) signOut(c echo.Context) error {
	ctx := c.Request().Context()
	v, err := p.visitor(ctx)
	if err == nil {
		err = p.service.RecordSignIn(ctx, v.Caller, false)
	}
	if models.CodeOf(err) == models.CodeUnauthenticated { // the session had ended already
		err = nil
	}
	if err := errors.Join(err, p.endSession(ctx)); err != nil {
		return p.fail(c, err, onwards{})
	}
	return p.show(c, http.StatusOK, "signed-out", nil)
}

// signInAddress is where somebody signs in who wants to connect a provider.
func (p *Pages) signInAddress(provider, redirect string) string {
	q := url.Values{"provider": {provider}}
	if redirect != "" {
		q.Set("redirect", redirect)
	}
	return p.at(signInPath) + "?" + q.Encode()
}
