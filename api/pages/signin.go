package pages

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/models"
)

const (
	signInPath       = "/sign-in"
	signInIssuerPath = "/sign-in/issuer"
	signOutPath      = "/sign-out"
	sessionsPath     = "/sessions"
)

// signInForm is the page that asks who is there. It remembers which provider was to be connected, and where to go then.
type signInForm struct {
	broker.SignInFor
	Asker, Problem string
	Issuer         string // that people may sign in at, "" for none
}

func (p *Pages) newSignInForm(to broker.SignInFor) signInForm {
	form := signInForm{SignInFor: to, Issuer: p.service.SignInName()}
	if to.Redirect != "" && p.service.CheckReturn(to.Redirect) == nil {
		form.Asker = asker(to.Redirect)
	}
	return form
}

func (p *Pages) askToSignIn(c echo.Context) error {
	_, err := p.Visitor(c.Request().Context())
	switch models.CodeOf(err) {
	case "":
		if c.QueryParam("again") == "" {
			return p.GoTo(c, "/")
		}
	case models.CodeUnauthenticated:
	default:
		return p.fail(c, err, onwards{})
	}
	return p.show(c, http.StatusOK, "sign-in", p.newSignInForm(signInFor(c.QueryParams())))
}

func signInFor(form url.Values) broker.SignInFor {
	return broker.SignInFor{Provider: form.Get("provider"), Redirect: form.Get("redirect"), Again: form.Get("again") != ""}
}

// takeSignIn is the form with an API token.
func (p *Pages) takeSignIn(c echo.Context) error {
	r := c.Request()
	asked := p.newSignInForm(signInFor(r.PostForm))
	caller, err := p.edge.Authenticate(r.Context(), models.Secret(r.PostForm.Get("token")))
	err = p.edge.CountFailure(c, err)
	if models.CodeOf(err) == models.CodeUnauthenticated {
		asked.Problem = "This API token is unknown, expired or revoked."
		return p.show(c, http.StatusUnauthorized, "sign-in", asked)
	}
	if err == nil {
		err = p.signIn(c, broker.SignedIn{Caller: caller})
	}
	if err != nil {
		return p.fail(c, err, onwards{Again: p.At(signInPath)})
	}
	return p.goOn(c, p.afterSignIn(asked.SignInFor))
}

// afterSignIn is on this site, whatever the form said: where a provider is connected, or a page of ours.
func (p *Pages) afterSignIn(to broker.SignInFor) string {
	switch {
	case to.Provider != "":
		return p.connectAddress(to.Provider, to.Redirect)
	case strings.HasPrefix(to.Redirect, "/") && p.service.CheckReturn(to.Redirect) == nil:
		return to.Redirect
	}
	return p.At("/")
}

// beginSignIn is the button that leads to the sign-in issuer.
func (p *Pages) beginSignIn(c echo.Context) error {
	r := c.Request()
	to := signInFor(r.PostForm)
	address, kept, err := p.service.BeginSignIn(r.Context(), to)
	if err != nil {
		return p.fail(c, err, onwards{Again: p.At(signInPath)})
	}
	c.SetCookie(p.cookie(signInCookie, kept.Reveal()))
	return p.goOn(c, address)
}

// takeSignedIn is where the issuer sends the person back to. What goes on is a page and no redirect: after a redirect
// from another site the next page would have to ask whether the person meant to come.
func (p *Pages) takeSignedIn(c echo.Context) error {
	r, q := c.Request(), c.QueryParams()
	kept := p.kept(r, signInCookie)
	if kept == "" { // loaded again, perhaps
		if _, err := p.Visitor(r.Context()); err == nil {
			return p.GoTo(c, "/")
		}
	}
	in, to, err := p.service.CompleteSignIn(r.Context(), kept, models.Callback{
		State: models.Secret(q.Get("state")), Code: models.Secret(q.Get("code")), Error: q.Get("error"), Iss: q.Get("iss")})
	if err == nil {
		err = p.signIn(c, in)
	}
	switch models.CodeOf(err) {
	case "":
	case models.CodeBadRequest, models.CodeForbidden: // counted like an API token that is wrong
		if tooMany := p.edge.CountFailure(c, broker.ErrSignedOut); models.CodeOf(tooMany) == models.CodeRateLimited {
			err = tooMany
		}
		fallthrough
	default:
		return p.fail(c, err, onwards{Again: p.signInAddress(to)})
	}
	c.SetCookie(p.cookie(signInCookie, ""))
	return p.goOn(c, p.afterSignIn(to))
}

func (p *Pages) signOut(c echo.Context) error {
	ctx := c.Request().Context()
	if err := p.service.EndSession(ctx, visitOf(ctx).token); err != nil {
		return p.fail(c, err, onwards{})
	}
	p.forget(c)
	return p.show(c, http.StatusOK, "signed-out", nil)
}

// signInAddress is where somebody signs in who wants to connect a provider.
func (p *Pages) signInAddress(to broker.SignInFor) string {
	q := url.Values{}
	if to.Provider != "" {
		q.Set("provider", to.Provider)
	}
	if to.Redirect != "" {
		q.Set("redirect", to.Redirect)
	}
	if to.Again {
		q.Set("again", "1")
	}
	if len(q) == 0 {
		return p.At(signInPath)
	}
	return p.At(signInPath) + "?" + q.Encode()
}
