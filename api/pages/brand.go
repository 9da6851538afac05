package pages

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"

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

// logoPath changes with the image, so that browsers may keep it for ever; "" where there is none.
func (b Brand) logoPath() string {
	if len(b.Logo) == 0 {
		return ""
	}
	sum := sha256.Sum256(b.Logo)
	return "/assets/logo-" + hex.EncodeToString(sum[:6])
}

// logoPolicy has an SVG that somebody opens by itself do nothing: no script runs in it, and nothing is loaded.
const logoPolicy = "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'"

func (b Brand) serveLogo(c echo.Context) error {
	h := c.Response().Header()
	guardPage(h, logoPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	return c.Blob(http.StatusOK, b.LogoType, b.Logo)
}
