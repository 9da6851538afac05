package pages

import (
	"github.com/labstack/echo/v4"
)

// Brand is how the operator's pages look.
type Brand struct {
	Name string // "" for grantd
	Logo []byte // a PNG or SVG image, nil for our own mark
	// LogoType is the media type of the logo.
	LogoType string
	// SupportURL is where people find help, "" for nowhere.
	SupportURL string
}

func (b Brand) logo() asset { return newAsset("logo-", "", b.LogoType, b.Logo) }

// logoPath is where the logo is; "" where there is none.
func (b Brand) logoPath() string {
	if len(b.Logo) == 0 {
		return ""
	}
	return b.logo().path
}

// logoPolicy has an SVG that somebody opens by itself do nothing: no script runs in it, and nothing is loaded.
const logoPolicy = "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'"

func (b Brand) serveLogo(c echo.Context) error {
	h := c.Response().Header()
	guardPage(h, logoPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	return b.logo().serve(c)
}
