package api

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"
)

// connectPath is what the addresses of the pages for one provider begin with, after
// rewrite. A consent that was begun without a redirect_uri returns to its callback
// too: Service.Authorize names it.
const connectPath = version2 + externalAuth + "/:provider/"

// isAdminConsent reports whether an admin of an organisation comes back who consented
// for all of it. Anybody can write that, so it finishes nothing.
func isAdminConsent(q url.Values) bool {
	return strings.EqualFold(q.Get("admin_consent"), "true")
}

// landing tells a person who comes back from a consent that a client of the API
// began, that the one who began it must finish it. The address holds a code, of which
// nothing is shown.
func (s *Server) landing(c echo.Context) error {
	if c.QueryParam("error") != "" {
		return s.show(c, http.StatusOK, "not-granted", nil)
	}
	return s.show(c, http.StatusOK, "almost-done", nil)
}
