package contract_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/client"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/testidp"
)

// recorder remembers the requests that a client makes.
type recorder struct {
	mu   sync.Mutex
	sent []string // method and path
}

func (r *recorder) RoundTrip(request *http.Request) (*http.Response, error) {
	r.mu.Lock()
	r.sent = append(r.sent, request.Method+" "+request.URL.Path)
	r.mu.Unlock()
	return http.DefaultTransport.RoundTrip(request)
}

// matches reports whether a path is one of a template's.
func matches(template, path string) bool {
	want, have := strings.Split(strings.Trim(template, "/"), "/"), strings.Split(strings.Trim(path, "/"), "/")
	return slices.EqualFunc(want, have, func(w, h string) bool { return w == h || strings.HasPrefix(w, "{") && h != "import" && h != "callback" })
}

// Finding G8: the documents said that the Go client does all of this, and 7 of 25
// operations had no method. Now one method at least calls each operation of the
// document, of both APIs, on a real instance.
func TestTheGoClientHasEveryOperation(t *testing.T) {
	t.Parallel()
	h := brokertest.New(t, &brokertest.Options{RedirectAllow: []string{"https://app.example.com"}})
	record := &recorder{}
	as := func(who brokertest.Person) *client.Client {
		return client.New(h.URL, who.Token, &http.Client{Transport: record, Timeout: 30 * time.Second})
	}
	admin, user := as(h.Admin), as(h.User)
	try := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	all := func(what string, n int, err error) {
		t.Helper()
		try(what, err)
		if n == 0 {
			t.Errorf("%s: nothing is listed", what)
		}
	}

	p, err := admin.CreateProvider(ctx, models.ProviderInput{Name: "Test", Type: "test", ClientID: brokertest.ClientID, ClientSecret: brokertest.ClientSecret,
		Config: map[string]any{"device": true}})
	try("create provider", err)
	_, err = user.Provider(ctx, p.ID)
	try("provider", err)
	name := "Renamed"
	_, err = admin.ChangeProvider(ctx, p.ID, models.ProviderPatch{Name: &name})
	try("change provider", err)
	n, err := count(user.Providers(ctx, client.ProviderQuery{}))
	all("providers", n, err)

	me, err := user.Me(ctx)
	try("who am I", err)
	if me.OrgID != "acme" || me.UserID != "ada" || me.Role != models.RoleUser || len(me.Providers) != 0 || me.TokenID != h.User.Caller.TokenID {
		t.Errorf("the user is %+v", me)
	}

	begun, err := user.Authorize(ctx, p.ID, client.AuthorizeRequest{RedirectURI: brokertest.Callback})
	try("authorize", err)
	back := h.Approve(t, brokerAnswer(begun), "ada")
	done, err := user.Complete(ctx, models.Callback{ProviderID: p.ID, State: back.State, Code: back.Code, Iss: back.Iss})
	try("callback", err)
	id := done.Authorization.ID
	n, err = count(user.Authorizations(ctx, client.AuthorizationQuery{}))
	all("authorizations", n, err)
	one, err := user.Authorization(ctx, id)
	try("authorization", err)
	if one.ID != id || one.Account == nil || one.Account.Sub == "" || one.RefreshedAt == nil {
		t.Errorf("the authorization is %+v", one)
	}
	_, err = user.UserInfo(ctx, id)
	try("user info", err)

	token, err := user.Token(ctx, id)
	try("token", err)
	check, err := user.CheckToken(ctx, id)
	try("check", err)
	if !check.Valid {
		t.Error("a token that lives is not valid")
	}
	reset, err := user.ResetToken(ctx, id)
	try("reset", err)
	if reset.AccessToken == "" || reset.AccessToken == token.AccessToken {
		t.Error("the token was not replaced")
	}
	revoked, err := user.RevokeToken(ctx, id)
	try("revoke token", err)
	if revoked.Outcome != models.OutcomeRevoked || revoked.Status != models.AuthorizationActive {
		t.Errorf("revoked: %+v", revoked)
	}

	_, refresh := h.IdP.Mint(brokertest.ClientID, "grace")
	imported, err := user.ImportToken(ctx, models.Import{ProviderID: p.ID, RefreshToken: models.Secret(refresh)})
	try("import", err)
	device, err := user.BeginDevice(ctx, p.ID)
	try("begin device", err)
	if _, err := user.PollDevice(ctx, p.ID, device.DeviceCode); err == nil {
		t.Error("a device that nobody approved got through")
	}
	try("disconnect", user.Disconnect(ctx, imported.Authorization.ID))

	// An app that takes a token source gets a token that the upstream takes, at each call.
	var source oauth2.TokenSource = client.NewTokenSource(ctx, user, id, func(t client.Token) *oauth2.Token {
		return &oauth2.Token{AccessToken: t.AccessToken.Reveal(), Expiry: t.Expiry()}
	})
	app := &http.Client{Transport: &oauth2.Transport{Source: source}}
	for range 2 {
		answer, err := app.Get(h.IdPURL + "/userinfo")
		try("the app's call", err)
		body, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if answer.StatusCode != 200 || !strings.Contains(string(body), "ada") {
			t.Errorf("the upstream answered the app with %d %s", answer.StatusCode, body)
		}
		h.IdP.ExpireAccessTokens()
		change(t, h, tokensHaveDied)
	}

	lasting, err := user.TokenFor(ctx, id, time.Minute)
	try("token that lasts", err)
	exchanged, err := user.Exchange(ctx, client.ExchangeRequest{Audience: p.Slug, Scopes: done.Authorization.Scopes})
	try("exchange", err)
	if exchanged.AccessToken != lasting.AccessToken || exchanged.ExpiresAt == nil || len(exchanged.Scopes) == 0 {
		t.Errorf("exchanged: %+v", exchanged)
	}
	service := client.New(h.URL, h.Limited(t, broker.NewAPIToken{OrgID: "acme", UserID: "app-web", Role: models.RoleService, Providers: []string{p.ID}}).Token, nil)
	shown, err := service.Introspect(ctx, exchanged.AccessToken)
	try("introspect", err)
	if !shown.Active || shown.UserID != "ada" || shown.ProviderID != p.ID || shown.ExpiresAt == 0 {
		t.Errorf("introspected: %+v", shown)
	}
	externalOperations(t, h, user, p, try)
	try("alive", user.Alive(ctx))
	try("ready", user.Ready(ctx))

	made, err := admin.CreateAPIToken(ctx, client.NewAPIToken{Name: "CI", Role: models.RoleUser, UserID: "app-ci", Providers: []string{p.Slug}})
	try("create API token", err)
	n, err = count(admin.APITokens(ctx, client.APITokenQuery{UserID: "app-ci"}))
	all("API tokens", n, err)
	kept, err := admin.APIToken(ctx, made.ID)
	try("API token", err)
	if kept.Role != models.RoleUser || len(kept.Providers) != 1 || made.Token == "" {
		t.Errorf("the API token is %+v", kept)
	}
	try("revoke API token", admin.RevokeAPIToken(ctx, made.ID, true))

	link, err := admin.CreateConnectLink(ctx, client.NewConnectLink{UserID: "grace", Slug: p.Slug, ReturnURL: appReturn, ExpiresIn: 60})
	try("create connect link", err)
	_, to := surf(t, h).links(strings.TrimPrefix(link.URL, h.URL), "grace")
	confirmed, err := admin.ConfirmConnectLink(ctx, link.ID, models.Secret(inside(t, to, "result")), "grace")
	try("confirm connect link", err)
	linked, err := admin.ConnectLink(ctx, link.ID)
	try("connect link", err)
	if linked.Status != models.LinkConnected || linked.AuthorizationID == nil || *linked.AuthorizationID != confirmed.Authorization.ID {
		t.Errorf("the connect link is %+v, and what was confirmed %+v", linked, confirmed)
	}
	link, err = admin.CreateConnectLink(ctx, client.NewConnectLink{UserID: "ada", ProviderID: p.ID, SignIn: true})
	try("create connect link to sign in", err)
	for l, err := range admin.ConnectLinks(ctx, client.ConnectLinkFilter{UserID: "ada", ProviderID: p.ID, Open: true}) {
		try("connect links", err)
		if l.ID != link.ID || l.Status != models.LinkOpen {
			t.Errorf("the list has the connect link %+v", l)
		}
	}
	if n, err := count(admin.ConnectLinks(ctx, client.ConnectLinkFilter{})); n != 2 || err != nil {
		t.Errorf("%d connect links are listed: %v", n, err)
	}
	try("withdraw connect link", admin.WithdrawConnectLink(ctx, link.ID))

	hook, err := admin.CreateWebhook(ctx, client.NewWebhook{URL: "https://app.example.test/webhooks", Events: []models.EventType{models.EventJobFinished}})
	try("create webhook", err)
	n, err = count(admin.Webhooks(ctx))
	all("webhooks", n, err)
	off, renamed := models.WebhookOff, "Reminders"
	changed, err := admin.ChangeWebhook(ctx, hook.ID, client.WebhookPatch{Status: &off, Description: &renamed})
	try("change webhook", err)
	read, err := admin.Webhook(ctx, hook.ID)
	try("webhook", err)
	if changed.OffReason != models.OffByAdmin || read.Description != renamed || hook.Secret == "" {
		t.Errorf("the webhook is %+v", read)
	}
	rotated, err := admin.RotateWebhook(ctx, hook.ID)
	try("rotate webhook", err)
	if rotated.Secret == hook.Secret {
		t.Error("the secret is the same")
	}
	if err := admin.TestWebhook(ctx, hook.ID); err == nil {
		t.Error("a webhook that is off was tested")
	}
	brokertest.Eventually(t, "the test event is queued", func() bool {
		n, err = count(admin.Deliveries(ctx, hook.ID, models.DeliveryPending))
		return n == 1 && err == nil
	})
	if _, err := admin.ReplayDelivery(ctx, hook.ID, hook.ID); err == nil {
		t.Error("a delivery that is not there was replayed")
	}
	try("delete webhook", admin.DeleteWebhook(ctx, hook.ID))
	following, leave := context.WithCancel(ctx)
	leave()
	for _, err := range admin.Events(following, nil) {
		if err == nil {
			t.Error("a stream that was left goes on")
		}
		break
	}

	stats, err := admin.StartStats(ctx)
	try("stats", err)
	_, err = admin.WaitJob(ctx, stats, 10*time.Millisecond, nil)
	try("the statistics' job", err)
	n, err = count(admin.Jobs(ctx, client.JobQuery{}))
	all("jobs", n, err)
	n, err = count(admin.Audit(ctx, client.AuditQuery{ProviderID: p.ID, Actions: []models.Action{models.ActionProviderCreated}, To: time.Now().Add(time.Hour)}))
	all("audit", n, err)
	_, err = admin.Statistics(ctx, 7)
	try("statistics", err)
	var lines strings.Builder
	try("export audit", admin.ExportAudit(ctx, client.AuditQuery{ProviderID: p.ID, Actions: []models.Action{models.ActionProviderCreated}}, &lines))
	if strings.Count(lines.String(), "\n") != 1 || !strings.Contains(lines.String(), p.ID) {
		t.Errorf("exported: %q", lines.String())
	}
	resetAll, err := admin.ResetProvider(ctx, p.ID)
	try("reset provider", err)
	var last models.Job
	for j, err := range admin.WatchJob(ctx, resetAll) {
		try("watching", err)
		last = j
	}
	if last.Status != models.JobCompleted {
		t.Errorf("the watched job ended as %+v", last)
	}
	for range 2 {
		_, err = h.Service.BeginSession(ctx, broker.SignedIn{Caller: h.User.Caller}, "", "")
		try("sign-in", err)
	}
	for session, err := range admin.Sessions(ctx, "ada") {
		try("sessions", err)
		try("end session", admin.EndSession(ctx, session.ID))
		break
	}
	n, err = count(admin.Sessions(ctx, ""))
	all("sessions that are left", n, err)
	try("end sessions", admin.EndSessions(ctx, "ada"))
	if n, err = count(admin.Sessions(ctx, "ada")); n != 0 || err != nil {
		t.Errorf("%d sessions are left: %v", n, err)
	}

	left, err := admin.RevokeUser(ctx, "ada")
	try("revoke user", err)
	_, err = admin.WaitJob(ctx, left, 10*time.Millisecond, nil)
	try("the user's job", err)
	n, err = count(admin.JobItems(ctx, left))
	all("items", n, err)
	_, err = user.DeleteExternalAuth(ctx, p.ID)
	if !errors.Is(err, client.ErrNotFound) {
		t.Errorf("disconnecting what was revoked: %v", err)
	}
	_, err = admin.DeleteProvider(ctx, p.ID)
	try("delete provider", err)
	if h.IdP.Stats().Calls[testidp.Refresh] == 0 {
		t.Error("nothing was refreshed")
	}

	// accessToken/ is token/ under an older name.
	for _, op := range operations(t, h) {
		if op.id == "getAccessToken" {
			continue
		}
		if !slices.ContainsFunc(record.sent, func(sent string) bool {
			method, path, _ := strings.Cut(sent, " ")
			return method == op.method && matches(op.path, path)
		}) {
			t.Errorf("no method of the client calls %s (%s %s)", op.id, op.method, op.path)
		}
	}
}

// externalOperations calls those of the external-auth API, for a user who has connected one account at p.
func externalOperations(t *testing.T, h *brokertest.Instance, user *client.Client, p models.Provider, try func(string, error)) {
	t.Helper()
	all, err := user.ExternalAuths(ctx)
	try("external auths", err)
	if len(all.Providers) != 1 || len(all.Links) != 1 || !all.Links[0].Authenticated {
		t.Errorf("the external auths are %+v", all)
	}
	one, err := user.ExternalAuth(ctx, p.Slug)
	try("external auth", err)
	if !one.Authenticated || one.User == nil || one.User.Login == "" {
		t.Errorf("the external auth is %+v", one)
	}
	git, err := user.GitToken(ctx, client.GitTokenQuery{Provider: p.Slug})
	try("git token", err)
	if git.AccessToken == "" || git.Username == "" {
		t.Error("git got no token")
	}
	device, err := user.BeginExternalDevice(ctx, p.Slug)
	try("begin external device", err)
	if err := user.PollExternalDevice(ctx, p.Slug, device.DeviceCode); err == nil {
		t.Error("a device that nobody approved got through")
	}
	stranger := client.New(h.URL, h.Colleague.Token, &http.Client{Transport: http.DefaultTransport})
	_, err = stranger.GitToken(ctx, client.GitTokenQuery{Provider: p.Slug})
	if refused, ok := errors.AsType[*client.Error](err); !ok || !errors.Is(err, client.ErrConsentNeeded) || !strings.HasPrefix(refused.ConnectURL, h.URL) {
		t.Errorf("a user who has connected nothing: %v", err)
	}
	_, err = stranger.Exchange(ctx, client.ExchangeRequest{Audience: p.Slug})
	if refused, ok := errors.AsType[*client.Error](err); !ok || !errors.Is(err, client.ErrConsentNeeded) || !strings.HasPrefix(refused.ConnectURL, h.URL) {
		t.Errorf("an exchange for a user who has connected nothing: %v", err)
	}
}

func count[T any](list func(func(T, error) bool)) (n int, err error) {
	for _, err := range list {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

func brokerAnswer(c client.Consent) broker.AuthorizeAnswer {
	return broker.AuthorizeAnswer{RedirectURL: c.RedirectURL, State: c.State}
}
