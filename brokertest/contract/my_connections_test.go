package contract_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/testidp"
)

func disconnectAt(id string) string { return "/connections/" + id + "/disconnect" }

// connectionOf returns the id of a person's only connection.
func connectionOf(t *testing.T, h *brokertest.Instance, who brokertest.Person) string {
	t.Helper()
	all := want(t, 200, h.Do(t, who, "GET", root+"authorizedProviders/?limit=2", nil))["data"].([]any)
	if len(all) != 1 {
		t.Fatalf("%d connections", len(all))
	}
	return text(t, all[0].(object), "id")
}

// A person sees what they have connected, disconnects it, and reads whether the provider took it back. Everything may be
// sent or loaded twice.
func TestAPersonDisconnectsTheirOwnConnection(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, nil)
		s := surf(t, h)
		s.signIn(h.User)
		wantPage(t, s.get("/"), 200, "Your connections", "Nothing is connected yet", `id="connect-`+p+`"`)
		s.connects(connectAt(p)+"?redirect=/", "ada", "/")
		id := connectionOf(t, h, h.User)
		wantPage(t, s.get("/"), 200, `id="connection-`+id+`"`, "ada", "Works", "Granted", disconnectAt(id), "never, or long ago")
		accessToken(t, h, h.User, id)

		wantPage(t, s.get(disconnectAt(id)), 200, `<strong id="account">ada</strong>`, `<form method="post" action="`+disconnectAt(id)+`">`)
		accessToken(t, h, h.User, id) // looking at the page ended nothing
		for range 2 {
			done := s.post(disconnectAt(id), nil)
			if done.status != 303 || done.to != "/connections/"+id+"/disconnected" {
				t.Fatalf("%d to %q: %s", done.status, done.to, done.body)
			}
			wantPage(t, s.get(done.to), 200, "Disconnected", "has revoked what you granted")
		}
		want(t, 404, h.Do(t, h.User, "POST", root+"authorizedProviders/"+id+"/token/", nil))
		wantPage(t, s.get(disconnectAt(id)), 404, "no such connection", `id="back"`)
		wantPage(t, s.get("/"), 200, "Nothing is connected yet")
	})
}

// Where the provider has not taken the token back, the page says so instead of a success.
func TestThePageTellsThatTheProviderHasNotRevokedYet(t *testing.T) {
	h := embedded(t)
	p := createID(t, h, nil)
	s := surf(t, h)
	s.signIn(h.User)
	s.connects(connectAt(p), "ada", "/external-auth/"+p+"/connected")
	id := connectionOf(t, h, h.User)
	h.IdP.Inject(testidp.Fault{Endpoint: testidp.Revoke, Status: 503})
	done := s.post(disconnectAt(id), nil)
	wantPage(t, s.get(done.to), 200, "has not taken everything back yet")
	if got := s.get(done.to); strings.Contains(got.body, "has revoked") {
		t.Errorf("the page claims a success: %s", got.body)
	}
}

// Only a person's own connections are shown and can be ended in the pages, also to an admin, and only by a form of ours.
func TestConnectionsOfOthersAreNotFoundInThePages(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, nil)
		s := surf(t, h)
		s.signIn(h.User)
		s.connects(connectAt(p), "ada", "/external-auth/"+p+"/connected")
		id := connectionOf(t, h, h.User)
		for name, who := range map[string]brokertest.Person{"an admin": h.Admin, "a colleague": h.Person(t, "acme", "colleague", models.RoleUser), "another organisation": h.Person(t, "elsewhere", "eve", models.RoleAdmin)} {
			other := surf(t, h)
			other.signIn(who)
			if home := other.get("/connections"); strings.Contains(home.body, id) || home.status != 200 {
				t.Errorf("%s sees the connection, or %d", name, home.status)
			}
			wantPage(t, other.get(disconnectAt(id)), 404)
			wantPage(t, other.post(disconnectAt(id), nil), 404)
			wantPage(t, other.get("/connections/"+id+"/disconnected"), 404)
		}
		wantPage(t, surf(t, h).post(disconnectAt(id), nil), 401, "Nobody is signed in", `href="/sign-in"`)
		wantPage(t, surf(t, h).get(disconnectAt(id)), 401)
		for _, site := range []string{"cross-site", "same-site"} {
			wantPage(t, s.send("POST", disconnectAt(id), "", from(site)), 403, "another site")
		}
		wantPage(t, s.get("/connections/made%00up/disconnect"), 404)
		wantPage(t, s.get("/connections/"+unknownID+"/disconnected"), 404)
		accessToken(t, h, h.User, id)
	})
}

// A program that comes to the root learns where the API is.
func TestTheRootPointsProgramsToTheAPI(t *testing.T) {
	h := embedded(t)
	s := surf(t, h)
	got := s.send("GET", "/", "", http.Header{"Accept": {"application/json"}})
	if got.status != 200 || !strings.Contains(got.body, `"openapi":"`+h.URL+`/api/v2/openapi.json"`) {
		t.Errorf("%d %s", got.status, got.body)
	}
	r, err := http.NewRequest("GET", h.URL+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if res := bare(t, r); res.StatusCode != 404 {
		t.Errorf("a program that asks for nothing in particular gets %s", res.Status)
	}
}

// In a real browser with JavaScript switched off: connect, reconnect, connect another account, disconnect. The texts that
// an admin and the upstream chose are markup, and none of it becomes part of the page.
func TestAPersonKeepsTheirConnectionsInABrowser(t *testing.T) {
	t.Parallel()
	b := openBrowser(t, told(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}))
	h := asking(t)
	const markup = `<img id="xss" src=x onerror=alert(1)>"'`
	p := createID(t, h, object{"name": markup, "type": "github", "metadata": object{"host": h.IdPURL}})
	css := func(s string) chromedp.CSS { return chromedp.CSS(s) }

	b.do(t, chromedp.Navigate(h.URL+"/"), chromedp.Click(css("#sign-in")), chromedp.WaitVisible(css("input[name=token]")),
		chromedp.SendKeys(css("input[name=token]"), secret(h.User.Token)), chromedp.Click(css("button[type=submit]:not(.link)")),
		chromedp.WaitVisible(css("#connect-"+p)), chromedp.Click(css("#connect-"+p)), chromedp.WaitVisible(css("button[value=allow]")),
		chromedp.Click(css("input[value=ada]")), chromedp.Click(css("button[value=allow]")), chromedp.WaitVisible(css("#all")))
	change(t, h, "UPDATE authorizations SET login = '"+strings.ReplaceAll(markup, "'", "''")+"', email = '<script>', scopes = '[\"<b>\"]', missing_scopes = '[\"</code><i id=xss>\"]'")
	id := connectionOf(t, h, h.User)
	b.do(t, chromedp.Click(css("#all")), chromedp.WaitVisible(css("#connection-"+id)))
	shown := b.shows(t, css("#connection-"+id))
	for _, text := range []string{markup, "<script>", "<b>", "</code><i id=xss>"} {
		if !strings.Contains(shown, text) {
			t.Errorf("the page does not show %q: %s", text, shown)
		}
	}
	b.do(t, chromedp.WaitNotPresent(css("#xss")), chromedp.Click(css("#connection-"+id+" a[href$=disconnect]")), chromedp.WaitVisible(css("#disconnect")),
		chromedp.WaitNotPresent(css("#xss")), chromedp.Click(css("#disconnect")), chromedp.WaitVisible(css("#upstream")), chromedp.WaitNotPresent(css("#xss")))
	b.landed(t, h.URL+"/connections/"+id+"/disconnected")
	b.wantQuiet(t, host(t, h.URL), host(t, h.IdPURL))
}
