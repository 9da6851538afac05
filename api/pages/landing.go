package pages

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"
)

// isAdminConsent reports whether an admin of an organisation comes back who consented
// for all of it. Anybody can write that, so it finishes nothing.
func isAdminConsent(q url.Values) bool {
	return strings.EqualFold(q.Get("admin_consent"), "true")
}

// landing tells a person who comes back from a consent that a client of the API
// began, that the one who began it must finish it. The address holds a code, of which
// nothing is shown.
func (p *Pages) landing(c echo.Context) error {
	if c.QueryParam("error") != "" {
		return p.show(c, http.StatusOK, "not-granted", nil)
	}
	return p.show(c, http.StatusOK, "almost-done", nil)
}
