package pages

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/models"
)

// connectionsPath is where a person sees their connections, an admin too.
const connectionsPath = "/connections"

// home is the page at the root: a person's connections, if they are signed in, and for an admin the console. A program
// that asks for JSON is told where the API is, and any other gets the answer of a path that does not exist.
func (p *Pages) home(c echo.Context) error {
	r := c.Request()
	switch {
	case wantsPage(r):
	case strings.Contains(r.Header.Get("Accept"), "application/json"):
		return p.pointToAPI(c)
	default:
		return echo.ErrNotFound
	}
	if v, err := p.Visitor(r.Context()); err == nil && v.Caller.IsAdmin() && p.console != "" {
		return p.GoTo(c, p.console)
	}
	return p.showConnections(c)
}

func (p *Pages) showConnections(c echo.Context) error {
	r := c.Request()
	v, err := p.LimitedVisitor(r.Context())
	if models.CodeOf(err) == models.CodeUnauthenticated {
		return p.show(c, http.StatusOK, "welcome", nil)
	}
	var mine broker.MyConnections
	if err == nil {
		mine, err = p.service.MyConnections(r.Context(), v, models.Storable(c.QueryParam("after")))
	}
	if err != nil {
		return p.fail(c, err, onwards{})
	}
	return p.show(c, http.StatusOK, "home", mine)
}

// pointToAPI tells a program that came to the root where the API is described.
func (p *Pages) pointToAPI(c echo.Context) error {
	guardPage(c.Response().Header(), pagesPolicy)
	return c.JSON(http.StatusOK, struct {
		Message       string `json:"message"`
		OpenAPI       string `json:"openapi"`
		Documentation string `json:"documentation"`
	}{"This is grantd. Its API is described in the OpenAPI document.", p.publicURL + p.document, p.publicURL + "/docs"})
}

func (p *Pages) askToDisconnect(c echo.Context) error {
	ctx := c.Request().Context()
	v, err := p.Visitor(ctx)
	var mine broker.MyConnection
	if err == nil {
		mine, err = p.service.MyConnection(ctx, v, c.Param("id"))
	}
	if err != nil {
		return p.fail(c, err, p.orSignIn(err))
	}
	return p.show(c, http.StatusOK, "disconnect", mine)
}

// takeDisconnect ends the connection and sends the person on to a page that tells its outcome, which may be loaded
// again.
func (p *Pages) takeDisconnect(c echo.Context) error {
	ctx, id := c.Request().Context(), c.Param("id")
	v, err := p.Visitor(ctx)
	if err == nil {
		err = p.service.DisconnectMine(ctx, v, id)
	}
	if err != nil {
		_ = p.edge.CountFailure(c, err) // counted, but a disconnect is never refused (T2)
		return p.fail(c, err, p.orSignIn(err))
	}
	return p.GoTo(c, "/connections/"+id+"/disconnected")
}

func (p *Pages) showDisconnected(c echo.Context) error {
	ctx := c.Request().Context()
	v, err := p.Visitor(ctx)
	var gone broker.Disconnected
	if err == nil {
		gone, err = p.service.DisconnectedAt(ctx, v, c.Param("id"))
	}
	if err != nil {
		return p.fail(c, err, p.orSignIn(err))
	}
	return p.show(c, http.StatusOK, "disconnected", gone)
}

// orSignIn leads to the sign-in where nobody is signed in, and else to the person's connections.
func (p *Pages) orSignIn(err error) onwards {
	if models.CodeOf(err) == models.CodeUnauthenticated {
		return onwards{Again: p.At(signInPath)}
	}
	return onwards{To: p.At(connectionsPath)}
}
