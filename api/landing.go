package api

import (
	"bytes"
	_ "embed"
	"html/template"
	"net/http"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"
)

// connectPath is what the addresses of the pages for one provider begin with, after
// rewrite. A consent that was begun without a redirect_uri returns to its callback
// too: Service.Authorize names it.
const connectPath = version2 + externalAuth + "/:provider/"

//go:embed landing.html
var landingSource string

// The two pages there are: for a person, and for an admin who consented for a whole
// organisation.
var landingPage, adminLandingPage = renderLanding(false), renderLanding(true)

func renderLanding(admin bool) []byte {
	var page bytes.Buffer
	if err := template.Must(template.New("landing").Parse(landingSource)).Execute(&page, admin); err != nil {
		panic(err)
	}
	return page.Bytes()
}

// isAdminConsent reports whether an admin of an organisation comes back who consented
// for all of it. Anybody can write that, so it finishes nothing.
func isAdminConsent(q url.Values) bool {
	return strings.EqualFold(q.Get("admin_consent"), "true")
}

// landingPolicy lets the page use the styles in it and do nothing else.
const landingPolicy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// landing tells a person who comes back from a consent that a client of the API
// began, that the one who began it must finish it. The address holds a code, so the
// page sends it nowhere and is kept nowhere (RFC 9700 section 4.2), and none of it is
// shown.
func landing(c echo.Context) error { return showLanding(c, landingPage) }

func showLanding(c echo.Context, page []byte) error {
	guardPage(c.Response().Header(), landingPolicy)
	return c.Blob(http.StatusOK, "text/html; charset=utf-8", page)
}
