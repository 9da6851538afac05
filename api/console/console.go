package console

import (
	"context"
	"embed"
	"errors"
	"html/template"
	"io/fs"
	"net/http"
	"path"

	"github.com/labstack/echo/v4"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/models"
)

// Path is what the addresses of the console begin with.
const Path = "/console/"

// Options are what the console is made of.
type Options struct {
	Service *broker.Service
	Frame   Frame
}

// Frame is what the console shares with the pages for people. Paths are without the public URL's, addresses with it.
type Frame struct {
	// Page and Form mount handlers of pages and of forms: with the session, and for a form the check that a page of ours
	// sent it.
	Page, Form func(echo.HandlerFunc) echo.HandlerFunc
	// Visitor returns who is signed in; LimitedVisitor is for what the limit on requests at once may refuse (T2).
	Visitor, LimitedVisitor func(context.Context) (broker.Visitor, error)
	// SignIn sends somebody to the sign-in, and from there to an address of ours.
	SignIn func(c echo.Context, to string, again bool) error
	// At is the address of a path; GoTo sends somebody there.
	At   func(path string) string
	GoTo func(c echo.Context, path string) error
	// Leave sends somebody on from a form, to an address that may be elsewhere.
	Leave func(c echo.Context, address string) error
	// Templates parses the console's templates, and Show sends a page of them.
	Templates func(fs.FS, template.FuncMap) *template.Template
	Show      func(c echo.Context, all *template.Template, status int, name string, data any) error
	// Fail says what went wrong, and leads to a path.
	Fail func(c echo.Context, err error, path string) error
	// Script is where a module is served, and what serves it.
	Script func(module []byte) (path string, serve echo.HandlerFunc)
	// Guard gives an answer that is no page the headers of one.
	Guard func(c echo.Context)
	// FollowJob sends the states of a job as server-sent events until it ends, each as render makes it. still is asked
	// before each, and ends the stream with its error.
	FollowJob func(c echo.Context, caller models.Caller, id string, render func(models.Job) ([]byte, error), still func() error) error
	// ExportAudit sends the events that a query asks for, as JSON lines. still is asked before each page of them, and ends
	// the answer with its error.
	ExportAudit func(c echo.Context, caller models.Caller, q broker.AuditQuery, still func() error) error
}

// Console answers what admins' browsers ask for.
type Console struct {
	service   *broker.Service
	frame     Frame
	templates *template.Template

	scriptPath  string
	serveScript echo.HandlerFunc
}

//go:embed templates
var templateFiles embed.FS

// New builds the console. It opens nothing.
func New(o Options) *Console {
	path, serve := o.Frame.Script(script)
	return &Console{service: o.Service, frame: o.Frame, scriptPath: path, serveScript: serve, templates: o.Frame.Templates(templateFiles, functions(o.Frame.At(path)))}
}

// Mount adds the routes. What a form does is the last part of its path, and the page that it leads back to is the path
// before that.
func (k *Console) Mount(e *echo.Echo) {
	e.GET(k.scriptPath, k.serveScript)
	e.GET("/console", k.page(k.overview))
	e.GET("/console/", k.page(k.overview))
	e.GET("/console/providers", k.page(k.listProviders))
	e.GET("/console/providers/new", k.page(k.askForProvider))
	e.POST("/console/providers/new", k.form(k.takeProvider))
	e.GET("/console/providers/:id", k.page(k.showProvider))
	e.GET("/console/providers/:id/edit", k.page(k.askForChanges))
	e.POST("/console/providers/:id/edit", k.form(k.takeChanges))
	e.GET("/console/providers/:id/secret", k.page(k.askForSecret))
	e.POST("/console/providers/:id/secret", k.form(k.takeSecret))
	e.GET("/console/providers/:id/try", k.page(k.showTrial))
	e.POST("/console/providers/:id/try", k.form(k.beginTrial))
	e.POST("/console/providers/:id/try/keep", k.form(k.keepTrial))
	e.POST("/console/providers/:id/try/remove", k.form(k.endTrial))
	e.POST("/console/providers/:id/former-secret", k.form(k.takeFormerEnd))
	e.POST("/console/providers/:id/status", k.form(k.switchProvider))
	e.GET("/console/providers/:id/delete", k.lasting(k.askToDelete))
	e.POST("/console/providers/:id/delete", k.lastingForm(k.takeDelete))
	e.GET("/console/jobs", k.page(k.listJobs))
	e.GET("/console/jobs/:id", k.page(k.showJob))
	e.GET("/console/jobs/:id/events", k.waiting(k.followJob))
	e.GET("/console/connections", k.page(k.listConnections))
	e.GET("/console/connections/revoke", k.lasting(k.askToRevoke))
	e.POST("/console/connections/revoke", k.lastingForm(k.takeRevoke))
	e.GET("/console/connections/:id/disconnect", k.lasting(k.askToDisconnect))
	e.POST("/console/connections/:id/disconnect", k.lastingForm(k.takeDisconnect))
	e.GET("/console/links", k.page(k.listLinks))
	e.GET("/console/links/:id/withdraw", k.lasting(k.askToWithdrawLink))
	e.POST("/console/links/:id/withdraw", k.lastingForm(k.takeWithdrawLink))
	e.GET("/console/audit", k.page(k.listAudit))
	e.GET("/console/audit/export", k.page(k.exportAudit))
	e.GET("/console/statistics", k.page(k.statistics))
	e.POST("/console/statistics/count", k.form(k.takeCount))
	e.GET("/console/tokens", k.page(k.listTokens))
	e.GET("/console/tokens/new", k.lasting(k.askForToken))
	e.POST("/console/tokens/new", k.lastingForm(k.takeToken))
	e.GET("/console/tokens/:id/revoke", k.lasting(k.askToRevokeToken))
	e.POST("/console/tokens/:id/revoke", k.lastingForm(k.takeRevokeToken))
	e.GET("/console/webhooks", k.page(k.listWebhooks))
	e.GET("/console/webhooks/new", k.lasting(k.askForWebhook))
	e.POST("/console/webhooks/new", k.lastingForm(k.takeWebhook))
	e.GET("/console/webhooks/:id", k.page(k.showWebhook))
	e.POST("/console/webhooks/:id/test", k.form(k.takeWebhookTest))
	e.POST("/console/webhooks/:id/status", k.form(k.switchWebhook))
	e.POST("/console/webhooks/:id/replay", k.form(k.takeReplay))
	e.GET("/console/webhooks/:id/rotate", k.lasting(k.askAboutWebhook("console-rotate-webhook", "New secret")))
	e.POST("/console/webhooks/:id/rotate", k.lastingForm(k.takeRotation))
	e.GET("/console/webhooks/:id/delete", k.lasting(k.askAboutWebhook("console-delete-webhook", "Delete a webhook")))
	e.POST("/console/webhooks/:id/delete", k.lastingForm(k.takeDeleteWebhook))
	e.GET("/console/sessions", k.page(k.listSessions))
	e.GET("/console/sessions/:id/end", k.lasting(k.askToEndSession))
	e.POST("/console/sessions/:id/end", k.lastingForm(k.takeEndSession))
}

// handler answers a request of an admin's.
type handler func(c echo.Context, v broker.Visitor) error

// page mounts a page of the console, which the limit on requests at once may refuse.
func (k *Console) page(h handler) echo.HandlerFunc {
	return k.frame.Page(k.forAdmins(k.frame.LimitedVisitor, here, h))
}

// waiting mounts what follows something: it is counted among what waits, and not among the requests at once.
func (k *Console) waiting(h handler) echo.HandlerFunc {
	return k.frame.Page(k.forAdmins(k.frame.Visitor, before, h))
}

// form mounts what takes a form. Nobody is kept from ending something by a limit (T2).
func (k *Console) form(h handler) echo.HandlerFunc {
	return k.frame.Form(k.forAdmins(k.frame.Visitor, before, h))
}

// lasting mounts the page that asks whether to do what cannot be undone, and lastingForm what does it: for who has signed
// in a short while ago.
func (k *Console) lasting(h handler) echo.HandlerFunc {
	return k.frame.Page(k.forAdmins(k.frame.Visitor, here, k.recent(h)))
}

func (k *Console) lastingForm(h handler) echo.HandlerFunc {
	return k.frame.Form(k.forAdmins(k.frame.Visitor, here, k.recent(h)))
}

// here and before are where to go on after signing in: the page that was asked for, or the one before a form.
func here(r *http.Request) string {
	if r.Method == http.MethodGet {
		return r.URL.RequestURI()
	}
	return r.URL.EscapedPath()
}

func before(r *http.Request) string { return path.Dir(r.URL.EscapedPath()) }

func (k *Console) forAdmins(visitor func(context.Context) (broker.Visitor, error), onwards func(*http.Request) string, h handler) echo.HandlerFunc {
	return func(c echo.Context) error {
		v, err := visitor(c.Request().Context())
		switch {
		case models.CodeOf(err) == models.CodeUnauthenticated:
			return k.frame.SignIn(c, k.frame.At(onwards(c.Request())), false)
		case err != nil:
			return k.frame.Fail(c, err, Path)
		case !v.Caller.IsAdmin():
			return k.frame.Show(c, k.templates, http.StatusForbidden, "only-admins", nil)
		}
		return h(c, v)
	}
}

func (k *Console) recent(h handler) handler {
	return func(c echo.Context, v broker.Visitor) error {
		err := k.service.SignedInRecently(c.Request().Context(), v)
		if errors.Is(err, broker.ErrSignInAgain) {
			return k.frame.SignIn(c, k.frame.At(here(c.Request())), true)
		}
		if err != nil {
			return k.frame.Fail(c, err, Path)
		}
		return h(c, v)
	}
}

// screen is what the templates get: which part of the console it is, its title, and what it shows.
type screen struct {
	Section, Title string
	Of             any
}

// answer shows a page, or says what went wrong.
func (k *Console) answer(c echo.Context, err error, name string, s screen) error {
	if err != nil {
		return k.frame.Fail(c, err, Path)
	}
	return k.frame.Show(c, k.templates, http.StatusOK, name, s)
}

// id is the id in the address. One that cannot be an id matches nothing.
func id(c echo.Context) string { return models.Storable(c.Param("id")) }

// query is a parameter of the address, fit to be looked for.
func query(c echo.Context, name string) string { return models.Storable(c.QueryParam(name)) }

// pageSize is how many rows a list shows at a time.
const pageSize = 50
