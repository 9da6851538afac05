package api

import (
	"errors"
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
		return showInstalled(c)
	case isAdminConsent(q):
		return showLanding(c, adminLandingPage)
	case q.Get("code") != "" || q.Get("state") != "":
		return s.fail(c, broker.ErrNotOfSession, connectAddress(c.Param("provider"), ""))
	}
	return s.begin(c)
}

// begin sends a person on to the provider who came by a link of ours or typed the
// address. Whom another site sent is asked first, and who is not signed in signs in.
func (s *Server) begin(c echo.Context) error {
	r := c.Request()
	name, to := c.Param("provider"), c.QueryParam("redirect")
	if err := s.service.CheckReturn(to); err != nil {
		return s.fail(c, err, "")
	}
	v, err := s.visitor(r.Context())
	if models.CodeOf(err) == models.CodeUnauthenticated {
		return goTo(c, signInAddress(name, to))
	}
	if err != nil {
		return s.fail(c, err, "")
	}
	if !s.meant(r) {
		return s.askToBegin(c, v, name, to)
	}
	target, err := s.service.BeginConnect(r.Context(), v, storable(name), to)
	if err != nil {
		return s.fail(c, err, "")
	}
	return goTo(c, target)
}

func (s *Server) askToBegin(c echo.Context, v broker.Visitor, name, to string) error {
	p, err := s.service.Connectable(c.Request().Context(), v.Caller, storable(name))
	if err != nil {
		return s.fail(c, err, "")
	}
	return show(c, http.StatusOK, "start", map[string]string{"ID": p.ID, "Name": p.Name, "Redirect": to})
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
		return s.fail(c, err, signInPath)
	}
	target, err := s.service.BeginConnect(r.Context(), v, storable(c.Param("provider")), r.PostForm.Get("redirect"))
	if err != nil {
		return s.fail(c, err, "")
	}
	return goOn(c, target)
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
	case err != nil && wasDenied(err):
		return s.showDenied(c, err, back)
	case err != nil:
		return s.notReturned(c, err, back.To)
	case back.Ask:
		return goTo(c, pageOf(back.ProviderID, "confirm")+"?"+url.Values{"flow": {back.Flow}}.Encode())
	}
	return goTo(c, afterwards(back.ProviderID, back.To))
}

func pageOf(provider, page string) string {
	return externalAuth + "/" + url.PathEscape(provider) + "/" + page
}

func afterwards(provider, to string) string {
	if to != "" {
		return to
	}
	return pageOf(provider, "connected")
}

// notReturned is for answers of a provider that are nobody's here: perhaps a
// client of the API waits for them, or an app was installed.
func (s *Server) notReturned(c echo.Context, err error, to string) error {
	name, q := c.Param("provider"), c.QueryParams()
	if e := models.CodeOf(err); e == models.CodeUnauthenticated || e == models.CodeNotFound || err == broker.ErrNotOfSession {
		elsewhere, findErr := s.service.CompletedElsewhere(c.Request().Context(), storable(name), q.Get("state"))
		switch {
		case findErr != nil:
			err = findErr
		case elsewhere:
			return landing(c)
		case isInstallation(q):
			return showInstalled(c)
		}
	}
	return s.fail(c, err, connectAddress(name, to))
}

// wasDenied reports whether the person chose not to consent.
func wasDenied(err error) bool {
	e, ok := errors.AsType[*models.Error](err)
	return ok && e.Detail == "access_denied"
}

// showDenied is for a person who chose not to consent: that is no failure, and there
// is a way back to where they came from.
func (s *Server) showDenied(c echo.Context, err error, back broker.Returned) error {
	if !wantsPage(c.Request()) {
		return s.fail(c, err, "")
	}
	s.problem(c.Request().Context(), err)
	return show(c, http.StatusBadRequest, "denied", map[string]string{"Back": back.To, "Again": connectAddress(back.ProviderID, back.To)})
}

func (s *Server) askAboutAccount(c echo.Context) error {
	ctx, flow := c.Request().Context(), c.QueryParam("flow")
	v, err := s.visitor(ctx)
	var asked broker.Question
	if err == nil {
		asked, err = s.service.AskedAbout(ctx, v, storable(c.Param("provider")), storable(flow))
	}
	switch {
	case err != nil:
		return s.fail(c, err, connectAddress(c.Param("provider"), ""))
	case asked.Now == "":
		return goTo(c, pageOf(c.Param("provider"), "connected"))
	}
	return show(c, http.StatusOK, "confirm", struct {
		broker.Question
		Flow string
	}{asked, flow})
}

func (s *Server) takeAccount(c echo.Context) error {
	r, name := c.Request(), storable(c.Param("provider"))
	ctx, flow := r.Context(), storable(r.PostForm.Get("flow"))
	v, err := s.visitor(ctx)
	if err != nil {
		return s.fail(c, err, signInPath)
	}
	if r.PostForm.Get("answer") != "connect" {
		if err := s.service.Decline(ctx, v, name, flow); err != nil {
			return s.fail(c, err, "")
		}
		return show(c, http.StatusOK, "kept", nil)
	}
	to, err := s.service.Confirm(ctx, v, name, flow)
	if err != nil {
		return s.fail(c, err, connectAddress(name, ""))
	}
	return goOn(c, afterwards(name, to))
}

func showConnected(c echo.Context) error { return show(c, http.StatusOK, "connected", nil) }

// isInstallation recognises what GitHub adds after an app was installed. Anybody
// can write such an address, so it proves nothing.
func isInstallation(q url.Values) bool {
	return q.Get("installation_id") != "" || q.Get("setup_action") != ""
}

func showInstalled(c echo.Context) error {
	return show(c, http.StatusOK, "installed", map[string]any{
		"Provider": c.Param("provider"), "Asked": c.QueryParam("setup_action") == "request",
	})
}
