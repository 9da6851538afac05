package pages

import (
	_ "embed"
	"errors"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/models"
)

// The pages of connect links: an app sends people here to connect an account. They need not be signed in, unless the link
// says so; the browser that a link was opened in is known by a cookie for that link.

// linkCookieLife is how many seconds the cookie of a link is kept for: as long as the consent and its confirmation may take,
// and some more, so that the page of the return may be loaded again.
const linkCookieLife = 30 * 60

func linkCookie(link string) string { return "grantd_link_" + strings.ReplaceAll(link, "-", "") }

// linkSecret returns what this browser keeps for a link, "" for nothing.
func (p *Pages) linkSecret(c echo.Context) func(link string) models.Secret {
	return func(link string) models.Secret { return p.kept(c.Request(), linkCookie(link)) }
}

// person is who is signed in, nil for nobody.
func (p *Pages) person(c echo.Context) (*broker.Visitor, error) {
	v, err := p.Visitor(c.Request().Context())
	if models.CodeOf(err) == models.CodeUnauthenticated {
		return nil, nil
	}
	return &v, err
}

// showLink is what the address of a link opens. It uses nothing up.
func (p *Pages) showLink(c echo.Context) error {
	ctx := c.Request().Context()
	person, err := p.person(c)
	if err != nil {
		return p.fail(c, err, onwards{})
	}
	page, err := p.service.LinkPage(ctx, linkKey(c), p.linkSecret(c), person)
	if err == nil {
		*p.edge.Caller(ctx) = page.Link.Caller()
		err = p.edge.TakePlace(ctx)
	}
	if err != nil {
		return p.noLink(c, err)
	}
	return p.show(c, http.StatusOK, "link", page)
}

func linkKey(c echo.Context) models.Secret { return models.Secret(c.Param("key")) }

// noLink says why a link cannot be opened here. Who guesses addresses is counted like who guesses API tokens (T2).
func (p *Pages) noLink(c echo.Context, err error) error {
	switch {
	case models.CodeOf(err) == models.CodeUnauthenticated:
		return goTo(c, p.signInAddress(broker.SignInFor{Redirect: p.At(c.Request().URL.EscapedPath())}))
	case errors.Is(err, broker.ErrNoLink):
		if tooMany := p.edge.CountFailure(c, broker.ErrSignedOut); models.CodeOf(tooMany) == models.CodeRateLimited {
			err = tooMany
		}
	}
	return p.fail(c, err, onwards{})
}

// takeLink is the form of the page, with two buttons: to go on to the provider, and not to connect.
func (p *Pages) takeLink(c echo.Context) error {
	r := c.Request()
	person, err := p.person(c)
	if err != nil {
		return p.fail(c, err, onwards{})
	}
	v := broker.LinkVisitor{Secret: models.Secret(r.PostForm.Get("browser")), Person: person}
	if r.PostForm.Get("answer") != "connect" {
		back, err := p.service.CancelLink(r.Context(), linkKey(c), v)
		if err != nil {
			return p.noLink(c, err)
		}
		return p.leaveLink(c, back)
	}
	l, target, err := p.service.BeginLink(r.Context(), linkKey(c), v)
	if err != nil {
		return p.noLink(c, err)
	}
	kept := p.cookie(linkCookie(l.ID), v.Secret.Reveal())
	kept.MaxAge = linkCookieLife
	c.SetCookie(kept)
	return p.goOn(c, target)
}

// takeLinkReturn completes the consent of a link, and reports whether the answer of the provider is one to a link that was
// opened in this browser.
func (p *Pages) takeLinkReturn(c echo.Context, cb models.Callback) (bool, error) {
	person, err := p.person(c)
	if err != nil {
		return true, p.fail(c, err, onwards{})
	}
	back, mine, err := p.service.CompleteLink(c.Request().Context(), cb, p.linkSecret(c), person)
	switch {
	case err != nil:
		return true, p.fail(c, err, onwards{To: back.To})
	case !mine:
		return false, nil
	}
	return true, p.leaveLink(c, back)
}

// leaveLink sends the browser back to the app. What goes on after a form is a page and no redirect, see goOn.
func (p *Pages) leaveLink(c echo.Context, back broker.LinkReturn) error {
	switch {
	case back.To == "" && back.Error != "":
		return p.show(c, http.StatusOK, "link-failed", back)
	case back.To == "":
		return goTo(c, p.pageOf(back.Link.ProviderID, "connected"))
	case back.Link.Popup:
		c.Response().Header().Set("Refresh", "1; url="+back.To) // where no script runs, or the window cannot be closed
		return p.showOf(c, p.templates, scriptedPolicy, http.StatusOK, "link-popup", back)
	case c.Request().Method != http.MethodGet:
		return p.goOn(c, back.To)
	}
	return goTo(c, back.To)
}

// linkScript tells the window that opened a link's window what became of it. Without it the browser goes on to the app a
// second later.
//
//go:embed link.js
var linkModule []byte

var linkScript = newScript(linkModule)
