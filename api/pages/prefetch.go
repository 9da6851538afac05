package pages

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
)

// isPrefetch reports whether a browser asks for a page that nobody has opened yet.
func isPrefetch(h http.Header) bool {
	for _, name := range []string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"} {
		purpose := strings.ToLower(h.Get(name))
		if strings.Contains(purpose, "prefetch") || strings.Contains(purpose, "prerender") || purpose == "preview" {
			return true
		}
	}
	return false
}

// refusePrefetch does nothing, because opening one of our pages may begin or complete
// a consent (T5). Browsers drop an answer that is no success, and ask again when the
// person opens the page.
func refusePrefetch(c echo.Context) error {
	guardPage(c.Response().Header(), pagesPolicy)
	return echo.NewHTTPError(http.StatusTooEarly)
}
