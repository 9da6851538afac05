package api

import (
	_ "embed"
	"net/http"

	"github.com/labstack/echo/v4"
)

// landingPath is where a consent returns to that was begun without a
// redirect_uri: Service.Authorize names it.
const landingPath = "/external-auth/:provider/callback"

//go:embed landing.html
var landingPage []byte

// landing tells the person that the one who began the consent must finish it. The
// address holds a code, so the page sends it nowhere and is kept nowhere (RFC 9700
// section 4.2), and it is the same page whatever the address says.
func landing(c echo.Context) error {
	h := c.Response().Header()
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	return c.Blob(http.StatusOK, "text/html; charset=utf-8", landingPage)
}
