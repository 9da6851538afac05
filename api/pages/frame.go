package pages

import (
	"html/template"
	"io/fs"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/models"
)

// What other rooms' pages share with these: the session, the check of forms, and what is around a page. The server hands
// it to them, so that no room knows the other.

// SignIn sends somebody to the sign-in, and from there to an address of ours. again has who is signed in prove once more
// who they are.
func (p *Pages) SignIn(c echo.Context, to string, again bool) error {
	if c.Request().Method != http.MethodGet && !again { // a stranger's form is counted like a wrong API token
		if err := p.edge.CountFailure(c, broker.ErrSignedOut); models.CodeOf(err) == models.CodeRateLimited {
			return p.fail(c, err, onwards{})
		}
	}
	return goTo(c, p.signInAddress(broker.SignInFor{Redirect: to, Again: again}))
}

// GoTo sends somebody on to a path of ours.
func (p *Pages) GoTo(c echo.Context, path string) error { return goTo(c, p.At(path)) }

// Leave sends a person on from a form, to an address that may be elsewhere.
func (p *Pages) Leave(c echo.Context, address string) error { return p.goOn(c, address) }

// Templates parses further templates, which may use those of the pages: "head" and "foot" are around every page.
func (p *Pages) Templates(files fs.FS, functions template.FuncMap) *template.Template {
	all := template.Must(p.templates.Clone())
	return template.Must(all.Funcs(functions).ParseFS(files, "templates/*.html"))
}

// Show sends a page of such templates. They get its data, and who is signed in, as those of the pages do. Their template
// "in-head" may name a module of ours.
func (p *Pages) Show(c echo.Context, all *template.Template, status int, name string, data any) error {
	return p.showOf(c, all, scriptedPolicy, status, name, data)
}

// Script is where a module is served, at a path that changes with it, and what serves it.
func (p *Pages) Script(module []byte) (path string, serve echo.HandlerFunc) {
	s := newScript(module)
	return s.path, s.serve
}

// Guard gives an answer that is no page the headers of one: it is kept nowhere, and loads nothing.
func (p *Pages) Guard(c echo.Context) { guardPage(c.Response().Header(), pagesPolicy) }

// Fail says what went wrong, and leads to a path of ours.
func (p *Pages) Fail(c echo.Context, err error, path string) error {
	return p.fail(c, err, onwards{To: p.At(path)})
}
