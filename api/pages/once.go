package pages

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/models"
)

// OncePath is where a code signs a browser in, once.
const OncePath = "/sign-in/once"

// showOnce is what the address opens. It uses nothing up: a browser that looks ahead signs nobody in.
func (p *Pages) showOnce(c echo.Context) error {
	return p.show(c, http.StatusOK, "once", c.QueryParam("code"))
}

func (p *Pages) takeOnce(c echo.Context) error {
	caller, err := p.service.TakeOnce(models.Secret(c.Request().PostForm.Get("code")))
	if err == nil {
		err = p.signIn(c, broker.SignedIn{Caller: caller})
	}
	if err != nil {
		return p.fail(c, p.edge.CountFailure(c, err), onwards{Again: p.At(signInPath)})
	}
	return p.goOn(c, p.At("/"))
}
