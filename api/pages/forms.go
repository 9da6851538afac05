package pages

import (
	"errors"
	"net/http"
	"net/url"
	"os"

	"github.com/labstack/echo/v4"

	"github.com/grantd/grantd/models"
)

// Form mounts what takes a form. Forms of other sites are refused, by what
// browsers say about where a request comes from.
func (p *Pages) Form(h echo.HandlerFunc) echo.HandlerFunc {
	return p.Page(func(c echo.Context) error {
		r := c.Request()
		r.Body = http.MaxBytesReader(c.Response(), r.Body, maxForm)
		if err := p.origins.Check(r); err != nil {
			return p.fail(c, models.Errorf(models.CodeForbidden, "This form was sent from another site. Nothing was done."), onwards{})
		}
		switch err := r.ParseForm(); {
		case tooSlow(err):
			return echo.NewHTTPError(http.StatusRequestTimeout)
		case err != nil:
			return p.fail(c, models.Errorf(models.CodeBadRequest, "The form could not be read."), onwards{})
		}
		return h(c)
	})
}

const maxForm = 64 << 10

// newOrigins knows the public URL as our own origin, also behind a proxy that
// changes the Host.
func newOrigins(publicURL string) *http.CrossOriginProtection {
	p := http.NewCrossOriginProtection()
	if u, err := url.Parse(publicURL); err == nil && u.Host != "" {
		_ = p.AddTrustedOrigin(u.Scheme + "://" + u.Host) // fails on an address with a path only
	}
	return p
}

// tooSlow reports whether a body could not be read because it did not arrive in time.
func tooSlow(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
