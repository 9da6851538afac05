package api

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/models"
)

// connect is where connecting an account begins, and where the provider sends the
// person back to: one address, because it stands in the vendor's console.
func (s *Server) connect(c echo.Context) error {
	q := c.QueryParams()
	switch {
	case q.Get("code") != "" && q.Get("state") != "", q.Get("error") != "":
		return s.takeReturn(c)
	case isInstallation(q):
		return s.showInstalled(c)
	case isAdminConsent(q):
		return s.show(c, http.StatusOK, "admin-consent", nil)
	case q.Get("code") != "" || q.Get("state") != "":
		return s.fail(c, broker.ErrNotOfSession, s.startAgain(c.Param("provider"), ""))
	}
	return s.begin(c)
}

// begin sends a person on to the provider who came by a link of ours or typed the
// address. Whom another site sent is asked first, and who is not signed in signs in.
func (s *Server) begin(c echo.Context) error {
	r := c.Request()
	name, to := c.Param("provider"), c.QueryParam("redirect")
	if err := s.service.CheckReturn(to); err != nil {
		return s.fail(c, err, onwards{})
	}
	v, err := s.visitor(r.Context())
	if models.CodeOf(err) == models.CodeUnauthenticated {
		return goTo(c, s.signInAddress(name, to))
	}
	if err != nil {
		return s.fail(c, err, onwards{})
	}
	if !s.meant(r) {
		return s.askToBegin(c, v, name, to)
	}
	target, err := s.service.BeginConnect(r.Context(), v, storable(name), to)
	if err != nil {
		return s.fail(c, err, onwards{})
	}
	return goTo(c, target)
}

func (s *Server) askToBegin(c echo.Context, v broker.Visitor, name, to string) error {
	connection, err := s.service.ConnectionAt(c.Request().Context(), v, storable(name))
	if err != nil {
		return s.fail(c, err, onwards{})
	}
	return s.show(c, http.StatusOK, "start", struct {
		Connection      broker.Connection
		Redirect, Asker string
	}{connection, to, asker(to)})
}

// meant reports whether the person came here on purpose: from a page of ours, or
// from no page at all.
func (s *Server) meant(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return true
	case "":
		return strings.HasPrefix(r.Referer(), s.publicURL+"/")
	}
	return false
}

// takeBegin is the button of the page that askToBegin shows.
func (s *Server) takeBegin(c echo.Context) error {
	r := c.Request()
	v, err := s.visitor(r.Context())
	if err != nil {
		return s.fail(c, err, onwards{Again: s.at(signInPath)})
	}
	target, err := s.service.BeginConnect(r.Context(), v, storable(c.Param("provider")), r.PostForm.Get("redirect"))
	if err != nil {
		return s.fail(c, err, onwards{})
	}
	return s.goOn(c, target)
}

// takeReturn completes the consent, and sends the person away from an address with
// a code in it.
func (s *Server) takeReturn(c echo.Context) error {
	ctx, q := c.Request().Context(), c.QueryParams()
	v, err := s.visitor(ctx)
	var back broker.Returned
	if err == nil {
		back, err = s.service.CompleteConnect(ctx, v, broker.Callback{
			ProviderID: storable(c.Param("provider")), State: q.Get("state"), Code: models.Secret(q.Get("code")),
			Error: q.Get("error"), ErrorDescription: q.Get("error_description"), Iss: q.Get("iss"),
		})
	}
	switch {
	case err != nil:
		return s.notReturned(c, back, err)
	case back.Ask:
		return goTo(c, s.pageOf(back.ProviderID, "confirm")+"?"+url.Values{"flow": {back.Flow}}.Encode())
	}
	return goTo(c, s.afterwards(back.ProviderID, back.To))
}

// pageOf is on this site, whatever the provider's name is said to be.
func (s *Server) pageOf(provider, page string) string {
	return s.at(externalAuth + "/" + url.PathEscape(provider) + "/" + page)
}

func (s *Server) afterwards(provider, to string) string {
	return cmp.Or(to, s.pageOf(provider, "connected"))
}

// connectAddress is where connecting a provider begins.
func (s *Server) connectAddress(provider, redirect string) string {
	address := s.pageOf(provider, "callback")
	if redirect != "" {
		address += "?" + url.Values{"redirect": {redirect}}.Encode()
	}
	return address
}

// startAgain leads back to the application, or to another try that leads there.
func (s *Server) startAgain(provider, redirect string) onwards {
	return onwards{To: redirect, Again: s.connectAddress(provider, redirect)}
}

// notReturned is for answers of a provider that are nobody's here: perhaps a
// client of the API waits for them, or an app was installed.
func (s *Server) notReturned(c echo.Context, back broker.Returned, err error) error {
	name, q := c.Param("provider"), c.QueryParams()
	if e := models.CodeOf(err); e == models.CodeUnauthenticated || e == models.CodeNotFound || err == broker.ErrNotOfSession {
		elsewhere, findErr := s.service.CompletedElsewhere(c.Request().Context(), storable(name), q.Get("state"))
		switch {
		case findErr != nil:
			err = findErr
		case elsewhere:
			return s.landing(c)
		case isInstallation(q):
			return s.showInstalled(c)
		}
	}
	switch on := s.startAgain(name, back.To); {
	case err == broker.ErrKept:
		return s.show(c, http.StatusOK, "kept", onwards{To: back.To})
	case broker.IsDeclined(err) && wantsPage(c.Request()):
		return s.show(c, http.StatusOK, "declined", struct {
			onwards
			Provider string
		}{on, back.Provider})
	default:
		return s.fail(c, err, on)
	}
}

func (s *Server) askAboutAccount(c echo.Context) error {
	ctx, flow := c.Request().Context(), c.QueryParam("flow")
	v, err := s.visitor(ctx)
	var asked broker.Question
	if err == nil {
		asked, err = s.service.AskedAbout(ctx, v, storable(c.Param("provider")), storable(flow))
	}
	switch {
	case err == broker.ErrKept:
		return s.show(c, http.StatusOK, "kept", onwards{To: asked.To})
	case err != nil:
		return s.fail(c, err, s.startAgain(c.Param("provider"), asked.To))
	case asked.Now == "":
		return goTo(c, s.afterwards(c.Param("provider"), asked.To))
	}
	return s.show(c, http.StatusOK, "confirm", struct {
		broker.Question
		Flow string
	}{asked, flow})
}

func (s *Server) takeAccount(c echo.Context) error {
	r, name := c.Request(), storable(c.Param("provider"))
	ctx, flow := r.Context(), storable(r.PostForm.Get("flow"))
	v, err := s.visitor(ctx)
	if err != nil {
		return s.fail(c, err, onwards{Again: s.at(signInPath)})
	}
	if r.PostForm.Get("answer") != "connect" {
		to, err := s.service.Decline(ctx, v, name, flow)
		if err != nil {
			return s.fail(c, err, onwards{})
		}
		return s.show(c, http.StatusOK, "kept", onwards{To: to})
	}
	to, err := s.service.Confirm(ctx, v, name, flow)
	if err != nil {
		return s.fail(c, err, s.startAgain(name, ""))
	}
	return s.goOn(c, s.afterwards(name, to))
}

// showConnected tells who the person is connected as, if they are signed in.
func (s *Server) showConnected(c echo.Context) error {
	ctx := c.Request().Context()
	var shown struct{ Connection *broker.Connection }
	v, err := s.visitor(ctx)
	if models.CodeOf(err) == models.CodeUnauthenticated {
		return s.show(c, http.StatusOK, "connected", shown)
	}
	var connection broker.Connection
	if err == nil {
		connection, err = s.service.ConnectionAt(ctx, v, storable(c.Param("provider")))
	}
	if err != nil {
		return s.fail(c, err, onwards{})
	}
	shown.Connection = &connection
	return s.show(c, http.StatusOK, "connected", shown)
}

// home is the page at the root: for people who are signed in, what they can connect.
// A program gets the answer of any path that is none of ours.
func (s *Server) home(c echo.Context) error {
	if !wantsPage(c.Request()) {
		return echo.ErrNotFound
	}
	ctx := c.Request().Context()
	connections, err := s.connections(ctx)
	if err != nil {
		return s.fail(c, err, onwards{})
	}
	return s.show(c, http.StatusOK, "home", connections)
}

func (s *Server) connections(ctx context.Context) ([]broker.Connection, error) {
	v, err := s.visitor(ctx)
	if models.CodeOf(err) == models.CodeUnauthenticated {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return s.service.Connections(ctx, v)
}

// isInstallation recognises what GitHub adds after an app was installed. Anybody
// can write such an address, so it proves nothing.
func isInstallation(q url.Values) bool {
	return q.Get("installation_id") != "" || q.Get("setup_action") != ""
}

func (s *Server) showInstalled(c echo.Context) error {
	return s.show(c, http.StatusOK, "installed", map[string]any{
		"Provider": c.Param("provider"), "Asked": c.QueryParam("setup_action") == "request",
	})
}
