package pages

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/grantd/grantd/models"
)

// The pages are plain HTML that works without scripts, and comes with its one
// style sheet: nobody else learns who reads it.
//
//go:embed templates
var templateFiles embed.FS

//go:embed pages.css
var style []byte

var styleSheet = newAsset("", ".css", "text/css; charset=utf-8", style)

// pagesPolicy lets a page load its style sheet, send forms here and do nothing
// else.
const pagesPolicy = "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// scriptedPolicy is pagesPolicy for pages that have a module of ours, which asks nobody but us.
const scriptedPolicy = pagesPolicy + "; script-src 'self'; connect-src 'self'"

// view is what the templates get.
type view struct {
	Caller  models.Caller // who is signed in, if anybody
	Name    string        // what the sign-in issuer calls them, "" where it does not say
	Unknown bool          // whether that could not be found out
	Data    any
}

// show sends a page. Addresses of pages hold codes and states, so no page says
// where it was read (RFC 9700 section 4.2), and none is kept.
func (p *Pages) show(c echo.Context, status int, name string, data any) error {
	return p.showOf(c, p.templates, pagesPolicy, status, name, data)
}

func (p *Pages) showOf(c echo.Context, all *template.Template, policy string, status int, name string, data any) error {
	v, err := p.Visitor(c.Request().Context())
	unknown := err != nil && models.CodeOf(err) != models.CodeUnauthenticated
	var page bytes.Buffer
	if err := all.ExecuteTemplate(&page, name, view{v.Caller, v.Name, unknown, data}); err != nil {
		return err
	}
	guardPage(c.Response().Header(), policy)
	return c.Blob(status, "text/html; charset=utf-8", page.Bytes())
}

func guardPage(h http.Header, policy string) {
	h.Set("Content-Security-Policy", policy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
}

// goTo redirects a person who followed a link.
func goTo(c echo.Context, address string) error {
	guardPage(c.Response().Header(), pagesPolicy)
	return c.Redirect(http.StatusSeeOther, address)
}

// goOn sends a person on who sent a form. It is a page and no redirect: browsers
// hold every redirect of a form against form-action, also those that an upstream
// makes later.
func (p *Pages) goOn(c echo.Context, address string) error {
	c.Response().Header().Set("Refresh", "0; url="+address)
	return p.show(c, http.StatusOK, "onward", address)
}

// onwards are the ways that lead on from a page where something ended: back to the
// application, if there is one, and to another try. "" leaves one out.
type onwards struct{ To, Again string }

// Asker names the application that a person goes back to, for pages.
func (o onwards) Asker() string { return asker(o.To) }

// asker is the host of the application that sent a person here to connect an
// account, "" where it is this host or unknown. It names where the person is sent
// afterwards, which an operator allowed (Service.CheckReturn), so it is no claim of
// the person who made the link.
func asker(redirect string) string {
	u, err := url.Parse(redirect)
	if err != nil {
		return ""
	}
	return u.Host
}

// wantsPage reports whether a person asks, with a browser, and not a program.
func wantsPage(r *http.Request) bool { return strings.Contains(r.Header.Get("Accept"), "text/html") }

// fail says what went wrong, to a person as a page and to a program as the one
// error body.
func (p *Pages) fail(c echo.Context, err error, on onwards) error {
	e := p.edge.Problem(c.Request().Context(), err)
	if !wantsPage(c.Request()) {
		guardPage(c.Response().Header(), pagesPolicy)
		e.WriteJSON(c)
		return nil
	}
	for name, values := range e.Header {
		c.Response().Header()[name] = values
	}
	return p.show(c, e.Status, "failed", struct {
		onwards
		Message, RequestID string
	}{on, strings.ReplaceAll(e.Message, "Start again with authorize", "Start again"), e.RequestID})
}
