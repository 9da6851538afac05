package pages

import (
	"context"
	"net/http"
	"net/netip"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/models"
)

// The cookies end with the browser. They are sent along when a person comes back from another site.
const (
	sessionCookie = "grantd_session" // what the session is found by
	signInCookie  = "grantd_signin"  // kept while the person is at the sign-in issuer
)

// cookie is one of ours. On https it belongs to this host alone, and travels encrypted only; where the public URL has a
// path, nobody else on this host is sent it. "" as its value deletes it.
func (p *Pages) cookie(name, value string) *http.Cookie {
	c := &http.Cookie{Name: p.cookieName(name), Value: value, Path: p.cookiePath(), HttpOnly: true, Secure: p.secure(), SameSite: http.SameSiteLaxMode}
	if value == "" {
		c.MaxAge = -1
	}
	return c
}

func (p *Pages) secure() bool { return strings.HasPrefix(p.publicURL, "https://") }

func (p *Pages) cookiePath() string {
	if p.prefix != "" {
		return p.prefix
	}
	return "/"
}

// cookieName makes browsers hold the cookie to what we say of it. __Host- is the stricter prefix, and is refused with any
// path but the whole host's.
func (p *Pages) cookieName(name string) string {
	switch {
	case !p.secure():
		return name
	case p.cookiePath() == "/":
		return "__Host-" + name
	}
	return "__Secure-" + name
}

// kept returns what the browser keeps in one of our cookies, "" where it keeps none.
func (p *Pages) kept(r *http.Request, name string) models.Secret {
	c, err := r.Cookie(p.cookieName(name))
	if err != nil {
		return ""
	}
	return models.Secret(c.Value)
}

// Page mounts a handler of pages, which has the session and answers its own errors.
func (p *Pages) Page(h echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if isPrefetch(r.Header) {
			return refusePrefetch(c)
		}
		c.SetRequest(r.WithContext(context.WithValue(r.Context(), visitKey{}, &visit{token: p.kept(r, sessionCookie)})))
		c.Response().Header().Add("Vary", "Cookie")
		return h(c)
	}
}

// signIn begins a session for somebody, in place of the one that the browser had.
func (p *Pages) signIn(c echo.Context, in broker.SignedIn) error {
	ctx := c.Request().Context()
	token, err := p.service.BeginSession(ctx, in, clientAddress(c), visitOf(ctx).token)
	if err != nil {
		return err
	}
	p.remember(c, token)
	return nil
}

// clientAddress is where the request comes from, as far as it is known, "" otherwise.
func clientAddress(c echo.Context) string {
	address, err := netip.ParseAddr(c.RealIP())
	if err != nil {
		return ""
	}
	return address.Unmap().WithZone("").String()
}

// forget signs the browser out, after its session was ended.
func (p *Pages) forget(c echo.Context) { p.remember(c, "") }

func (p *Pages) remember(c echo.Context, token models.Secret) {
	*visitOf(c.Request().Context()) = visit{token: token}
	c.SetCookie(p.cookie(sessionCookie, token.Reveal()))
}

// visit is what is known during one request of who is signed in.
type visit struct {
	token   models.Secret // of the session
	found   bool
	visitor broker.Visitor
	err     error
}

type visitKey struct{}

func visitOf(ctx context.Context) *visit { return ctx.Value(visitKey{}).(*visit) }

// Visitor returns who is signed in. Where nobody is, the error's code is models.CodeUnauthenticated. It is found out once
// per request.
func (p *Pages) Visitor(ctx context.Context) (broker.Visitor, error) {
	known := visitOf(ctx)
	if !known.found {
		known.found = true
		known.visitor, known.err = p.service.Session(ctx, known.token)
		if known.err == nil {
			*p.edge.Caller(ctx) = known.visitor.Caller
		}
	}
	return known.visitor, known.err
}

// LimitedVisitor is Visitor for the pages that the limit on requests at once may refuse: not those that complete a consent
// or end a session (T2).
func (p *Pages) LimitedVisitor(ctx context.Context) (broker.Visitor, error) {
	v, err := p.Visitor(ctx)
	if err == nil {
		err = p.edge.TakePlace(ctx)
	}
	return v, err
}

// mySession is a session on the page that lists a person's.
type mySession struct {
	models.BrowserSession
	Here bool // in the browser that asks
}

func (p *Pages) showSessions(c echo.Context) error {
	ctx := c.Request().Context()
	v, err := p.LimitedVisitor(ctx)
	var all []models.BrowserSession
	if err == nil {
		all, err = p.service.MySessions(ctx, v)
	}
	if err != nil {
		return p.fail(c, err, p.orSignIn(err))
	}
	shown := make([]mySession, len(all))
	for i, b := range all {
		shown[i] = mySession{b, b.ID == v.Session.Reveal()}
	}
	return p.show(c, http.StatusOK, "sessions", shown)
}

// takeEndSession ends one session of the person's.
func (p *Pages) takeEndSession(c echo.Context) error {
	ctx, id := c.Request().Context(), models.Storable(c.Param("id"))
	v, err := p.Visitor(ctx)
	if err == nil {
		err = p.service.EndMySession(ctx, v, id)
	}
	if models.CodeOf(err) == models.CodeNotFound { // ended meanwhile: what was asked for holds
		err = nil
	}
	switch {
	case err != nil:
		return p.fail(c, err, p.orSignIn(err))
	case id == v.Session.Reveal():
		p.forget(c)
		return p.show(c, http.StatusOK, "signed-out", nil)
	}
	return p.GoTo(c, sessionsPath)
}

// takeEndSessions signs the person out everywhere.
func (p *Pages) takeEndSessions(c echo.Context) error {
	ctx := c.Request().Context()
	v, err := p.Visitor(ctx)
	if err == nil {
		err = p.service.EndMySessions(ctx, v)
	}
	if err != nil {
		return p.fail(c, err, p.orSignIn(err))
	}
	p.forget(c)
	return p.show(c, http.StatusOK, "signed-out", map[string]bool{"Everywhere": true})
}
