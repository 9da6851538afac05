package pages

import (
	"cmp"
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
func (p *Pages) connect(c echo.Context) error {
	q := c.QueryParams()
	switch {
	case q.Get("code") != "" && q.Get("state") != "", q.Get("error") != "":
		return p.takeReturn(c)
	case isInstallation(q):
		return p.showInstalled(c)
	case isAdminConsent(q):
		return p.show(c, http.StatusOK, "admin-consent", nil)
	case q.Get("code") != "" || q.Get("state") != "":
		return p.fail(c, broker.ErrNotOfSession, p.startAgain(c.Param("provider"), ""))
	}
	return p.begin(c)
}

// begin sends a person on to the provider who came by a link of ours or typed the
// address. Whom another site sent is asked first, and who is not signed in signs in.
func (p *Pages) begin(c echo.Context) error {
	r := c.Request()
	name, to := c.Param("provider"), c.QueryParam("redirect")
	if err := p.service.CheckReturn(to); err != nil {
		return p.fail(c, err, onwards{})
	}
	v, err := p.LimitedVisitor(r.Context())
	if models.CodeOf(err) == models.CodeUnauthenticated {
		return goTo(c, p.signInAddress(broker.SignInFor{Provider: name, Redirect: to}))
	}
	if err != nil {
		return p.fail(c, err, onwards{})
	}
	if !p.meant(r) {
		return p.askToBegin(c, v, name, to)
	}
	target, err := p.service.BeginConnect(r.Context(), v, models.Storable(name), to)
	if err != nil {
		return p.fail(c, err, onwards{})
	}
	return goTo(c, target)
}

func (p *Pages) askToBegin(c echo.Context, v broker.Visitor, name, to string) error {
	connection, err := p.service.ConnectionAt(c.Request().Context(), v, models.Storable(name))
	if err != nil {
		return p.fail(c, err, onwards{})
	}
	return p.show(c, http.StatusOK, "start", struct {
		Connection      broker.Connection
		Redirect, Asker string
	}{connection, to, asker(to)})
}

// meant reports whether the person came here on purpose: from a page of ours, or
// from no page at all.
func (p *Pages) meant(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return true
	case "":
		return strings.HasPrefix(r.Referer(), p.publicURL+"/")
	}
	return false
}

// takeBegin is the button of the page that askToBegin shows.
func (p *Pages) takeBegin(c echo.Context) error {
	r := c.Request()
	v, err := p.LimitedVisitor(r.Context())
	if err != nil {
		return p.fail(c, p.edge.CountFailure(c, err), onwards{Again: p.At(signInPath)})
	}
	target, err := p.service.BeginConnect(r.Context(), v, models.Storable(c.Param("provider")), r.PostForm.Get("redirect"))
	if err != nil {
		return p.fail(c, err, onwards{})
	}
	return p.goOn(c, target)
}

// takeReturn completes the consent, and sends the person away from an address with
// a code in it.
func (p *Pages) takeReturn(c echo.Context) error {
	ctx, q := c.Request().Context(), c.QueryParams()
	cb := models.Callback{
		ProviderID: models.Storable(c.Param("provider")), State: models.Secret(q.Get("state")), Code: models.Secret(q.Get("code")),
		Error: q.Get("error"), ErrorDescription: q.Get("error_description"), Iss: q.Get("iss"),
	}
	if taken, err := p.takeLinkReturn(c, cb); taken {
		return err
	}
	v, err := p.Visitor(ctx)
	var back broker.Returned
	if err == nil {
		back, err = p.service.CompleteConnect(ctx, v, cb)
	}
	switch {
	case err != nil:
		return p.notReturned(c, back, err)
	case back.Trial && back.Flow != "":
		return goTo(c, back.To+"?"+url.Values{"flow": {back.Flow}}.Encode())
	case back.Ask:
		return goTo(c, p.pageOf(back.ProviderID, "confirm")+"?"+url.Values{"flow": {back.Flow}}.Encode())
	}
	return goTo(c, p.afterwards(back.ProviderID, back.To))
}

// pageOf is on this site, whatever the provider's name is said to be.
func (p *Pages) pageOf(provider, page string) string {
	return p.At(ConnectPath + "/" + url.PathEscape(provider) + "/" + page)
}

func (p *Pages) afterwards(provider, to string) string {
	return cmp.Or(to, p.pageOf(provider, "connected"))
}

// connectAddress is where connecting a provider begins.
func (p *Pages) connectAddress(provider, redirect string) string {
	address := p.pageOf(provider, "callback")
	if redirect != "" {
		address += "?" + url.Values{"redirect": {redirect}}.Encode()
	}
	return address
}

// startAgain leads back to the application, or to another try that leads there.
func (p *Pages) startAgain(provider, redirect string) onwards {
	return onwards{To: redirect, Again: p.connectAddress(provider, redirect)}
}

// notReturned is for answers of a provider that are nobody's here: perhaps a
// client of the API waits for them, or an app was installed.
func (p *Pages) notReturned(c echo.Context, back broker.Returned, err error) error {
	name, q := c.Param("provider"), c.QueryParams()
	if e := models.CodeOf(err); e == models.CodeUnauthenticated || e == models.CodeNotFound || errors.Is(err, broker.ErrNotOfSession) {
		elsewhere, findErr := p.service.CompletedElsewhere(c.Request().Context(), models.Storable(name), q.Get("state"))
		switch {
		case findErr != nil:
			err = findErr
		case elsewhere:
			return p.landing(c)
		case isInstallation(q):
			return p.showInstalled(c)
		}
	}
	on := p.startAgain(name, back.To)
	if back.Trial {
		on = onwards{To: back.To}
	}
	switch {
	case errors.Is(err, broker.ErrKept):
		return p.show(c, http.StatusOK, "kept", onwards{To: back.To})
	case broker.IsDeclined(err) && wantsPage(c.Request()):
		return p.show(c, http.StatusOK, "declined", struct {
			onwards
			Provider string
		}{on, back.Provider})
	default:
		return p.fail(c, err, on)
	}
}

func (p *Pages) askAboutAccount(c echo.Context) error {
	ctx, flow := c.Request().Context(), c.QueryParam("flow")
	v, err := p.Visitor(ctx)
	var asked broker.Question
	if err == nil {
		asked, err = p.service.AskedAbout(ctx, v, models.Storable(c.Param("provider")), models.Storable(flow))
	}
	switch {
	case errors.Is(err, broker.ErrKept):
		return p.show(c, http.StatusOK, "kept", onwards{To: asked.To})
	case err != nil:
		return p.fail(c, err, p.startAgain(c.Param("provider"), asked.To))
	case asked.Now == "":
		return goTo(c, p.afterwards(c.Param("provider"), asked.To))
	}
	return p.show(c, http.StatusOK, "confirm", struct {
		broker.Question
		Flow string
	}{asked, flow})
}

func (p *Pages) takeAccount(c echo.Context) error {
	r, name := c.Request(), models.Storable(c.Param("provider"))
	ctx, flow := r.Context(), models.Storable(r.PostForm.Get("flow"))
	v, err := p.Visitor(ctx)
	if err != nil {
		_ = p.edge.CountFailure(c, err) // counted, but a confirmation is never refused (T2)
		return p.fail(c, err, onwards{Again: p.At(signInPath)})
	}
	if r.PostForm.Get("answer") != "connect" {
		to, err := p.service.Decline(ctx, v, name, flow)
		if err != nil {
			return p.fail(c, err, onwards{})
		}
		return p.show(c, http.StatusOK, "kept", onwards{To: to})
	}
	to, err := p.service.Confirm(ctx, v, name, flow)
	if err != nil {
		return p.fail(c, err, p.startAgain(name, ""))
	}
	return p.goOn(c, p.afterwards(name, to))
}

// showConnected tells who the person is connected as, if they are signed in.
func (p *Pages) showConnected(c echo.Context) error {
	ctx := c.Request().Context()
	var shown struct{ Connection *broker.Connection }
	v, err := p.LimitedVisitor(ctx)
	if models.CodeOf(err) == models.CodeUnauthenticated {
		return p.show(c, http.StatusOK, "connected", shown)
	}
	var connection broker.Connection
	if err == nil {
		connection, err = p.service.ConnectionAt(ctx, v, models.Storable(c.Param("provider")))
	}
	if err != nil {
		return p.fail(c, err, onwards{})
	}
	shown.Connection = &connection
	return p.show(c, http.StatusOK, "connected", shown)
}

// isInstallation recognises what GitHub adds after an app was installed. Anybody
// can write such an address, so it proves nothing.
func isInstallation(q url.Values) bool {
	return q.Get("installation_id") != "" || q.Get("setup_action") != ""
}

func (p *Pages) showInstalled(c echo.Context) error {
	return p.show(c, http.StatusOK, "installed", map[string]any{
		"Provider": c.Param("provider"), "Asked": c.QueryParam("setup_action") == "request",
	})
}
