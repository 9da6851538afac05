package api

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
)

// The pages are plain HTML that works without scripts, and comes with its one
// style sheet: nobody else learns who reads it.
//
//go:embed pages
var pageFiles embed.FS

var pages = template.Must(template.ParseFS(pageFiles, "pages/pages.html"))

const stylePath = "/assets/pico-2.1.1.css"

// pagesPolicy lets a page load its style sheet, send forms here and do nothing
// else.
const pagesPolicy = "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

func serveStyle(c echo.Context) error {
	h := c.Response().Header()
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	style, err := pageFiles.ReadFile("pages/pico-2.1.1.css")
	if err != nil {
		return err
	}
	return c.Blob(http.StatusOK, "text/css; charset=utf-8", style)
}

// show sends a page. Addresses of pages hold codes and states, so no page says
// where it was read (RFC 9700 section 4.2), and none is kept.
func show(c echo.Context, status int, name string, data any) error {
	var page bytes.Buffer
	if err := pages.ExecuteTemplate(&page, name, data); err != nil {
		return err
	}
	guardPage(c.Response().Header(), pagesPolicy)
	return c.Blob(status, "text/html; charset=utf-8", page.Bytes())
}

func guardPage(h http.Header, policy string) {
	h.Set("Content-Security-Policy", policy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", noStore)
}

// goTo redirects a person who followed a link.
func goTo(c echo.Context, address string) error {
	guardPage(c.Response().Header(), pagesPolicy)
	return c.Redirect(http.StatusSeeOther, address)
}

// goOn sends a person on who sent a form. It is a page and no redirect: browsers
// hold every redirect of a form against form-action, also those that an upstream
// makes later.
func goOn(c echo.Context, address string) error {
	c.Response().Header().Set("Refresh", "0; url="+address)
	return show(c, http.StatusOK, "onward", address)
}

// wantsPage reports whether a person asks, with a browser, and not a program.
func wantsPage(r *http.Request) bool { return strings.Contains(r.Header.Get("Accept"), "text/html") }

// fail says what went wrong, to a person as a page and to a program as the one
// error body. again is where to start again, "" for nowhere.
func (s *Server) fail(c echo.Context, err error, again string) error {
	r := c.Request()
	e := s.problem(r.Context(), err)
	if !wantsPage(r) {
		guardPage(c.Response().Header(), pagesPolicy)
		write(c, e)
		return nil
	}
	for name, values := range e.headers {
		c.Response().Header()[name] = values
	}
	return show(c, e.Status, "failed", map[string]string{
		"Message": strings.ReplaceAll(e.Message, "Start again with authorize.", "Start again."), "Again": again, "RequestID": e.RequestID,
	})
}
