package pages

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/labstack/echo/v4"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/models"
)

// What a session keeps: the id of the API token that the person signed in with,
// never the token, and a secret that consents are bound to.
const (
	keptTokenID = "token"
	keptSecret  = "secret"
)

const sessionLife = 12 * time.Hour

// newSessions keeps sessions in SQL, so that any replica serves them and Redis is
// not needed. The cookie ends with the browser.
func newSessions(service *broker.Service, publicURL, prefix string) *scs.SessionManager {
	m := scs.New()
	m.Store = sessionStore{service}
	m.Lifetime = sessionLife
	m.Cookie.Name = "grantd_session"
	m.Cookie.Persist = false
	m.Cookie.SameSite = http.SameSiteLaxMode // the person comes back from another site
	m.Cookie.HttpOnly = true
	if prefix != "" { // nobody else on this host is sent it
		m.Cookie.Path = prefix
	}
	if m.Cookie.Secure = strings.HasPrefix(publicURL, "https://"); m.Cookie.Secure {
		m.Cookie.Name = cookiePrefix(m.Cookie.Path) + m.Cookie.Name
	}
	return m
}

// sessionStore implements scs.CtxStore. The methods without a context are there
// for the interface alone.
type sessionStore struct{ service *broker.Service }

func (s sessionStore) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	return s.service.Session(ctx, token)
}

func (s sessionStore) CommitCtx(ctx context.Context, token string, data []byte, expiry time.Time) error {
	return s.service.SaveSession(ctx, token, data, expiry)
}

func (s sessionStore) DeleteCtx(ctx context.Context, token string) error {
	return s.service.EndSession(ctx, token)
}

func (s sessionStore) Find(token string) ([]byte, bool, error) {
	return s.FindCtx(context.Background(), token)
}

func (s sessionStore) Commit(token string, data []byte, expiry time.Time) error {
	return s.CommitCtx(context.Background(), token, data, expiry)
}

func (s sessionStore) Delete(token string) error { return s.DeleteCtx(context.Background(), token) }

// page mounts a handler of pages, which has the session and answers its own
// errors.
func (p *Pages) page(h echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if isPrefetch(c.Request().Header) {
			return refusePrefetch(c)
		}
		var failed, sessionFailed error
		next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c.SetRequest(r.WithContext(withVisit(r.Context())))
			c.SetResponse(echo.NewResponse(w, c.Echo()))
			failed = h(c)
		})
		sessions := *p.sessions
		sessions.ErrorFunc = func(_ http.ResponseWriter, _ *http.Request, err error) { sessionFailed = err }
		sessions.LoadAndSave(next).ServeHTTP(c.Response(), c.Request())
		return errors.Join(failed, sessionFailed)
	}
}

// signIn begins a session anew for the caller: an id that somebody knew before is
// worth nothing afterwards.
func (p *Pages) signIn(ctx context.Context, caller models.Caller) error {
	if err := p.sessions.Clear(ctx); err != nil {
		return err
	}
	if err := p.sessions.RenewToken(ctx); err != nil {
		return err
	}
	p.sessions.Put(ctx, keptTokenID, caller.TokenID)
	p.sessions.Put(ctx, keptSecret, rand.Text())
	*visitOf(ctx) = visit{}
	return nil
}

// endSession ends the session.
func (p *Pages) endSession(ctx context.Context) error {
	*visitOf(ctx) = visit{}
	return p.sessions.Destroy(ctx)
}

// visitor returns who is signed in. A session ends with the token that it was
// begun with: the error's code is then models.CodeUnauthenticated. It is found out
// once per request.
func (p *Pages) visitor(ctx context.Context) (broker.Visitor, error) {
	known := visitOf(ctx)
	if !known.found {
		v, err := p.findVisitor(ctx)
		*known = visit{true, v, err}
	}
	return known.visitor, known.err
}

func (p *Pages) findVisitor(ctx context.Context) (broker.Visitor, error) {
	id := p.sessions.GetString(ctx, keptTokenID)
	if id == "" {
		return broker.Visitor{}, errSignedOut
	}
	caller, err := p.service.CallerOf(ctx, id)
	if models.CodeOf(err) == models.CodeUnauthenticated {
		if err := p.sessions.Destroy(ctx); err != nil {
			return broker.Visitor{}, err
		}
		return broker.Visitor{}, errSignedOut
	}
	if err != nil {
		return broker.Visitor{}, err
	}
	*p.edge.Caller(ctx) = caller
	return broker.Visitor{Caller: caller, Session: models.Secret(p.sessions.GetString(ctx, keptSecret))}, nil
}

// visit is what is known during one request of who is signed in.
type visit struct {
	found   bool
	visitor broker.Visitor
	err     error
}

type visitKey struct{}

func withVisit(ctx context.Context) context.Context {
	return context.WithValue(ctx, visitKey{}, &visit{})
}

func visitOf(ctx context.Context) *visit { return ctx.Value(visitKey{}).(*visit) }

// limitedVisitor is visitor for the pages that the limit on requests at once may
// refuse: not those that complete a consent or end a session (T2).
func (p *Pages) limitedVisitor(ctx context.Context) (broker.Visitor, error) {
	v, err := p.visitor(ctx)
	if err == nil {
		err = p.edge.TakePlace(ctx)
	}
	return v, err
}

var errSignedOut = models.Errorf(models.CodeUnauthenticated, "Nobody is signed in here, or the session has ended. Sign in, and start again.")

// cookiePrefix makes browsers hold the cookie to what we say of it. __Host- is the
// stricter one, and is refused with any path but the whole host's.
func cookiePrefix(path string) string {
	if path == "/" {
		return "__Host-"
	}
	return "__Secure-"
}
