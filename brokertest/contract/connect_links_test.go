package contract_test

import (
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/testidp"
)

const appReturn = "https://app.example.com/connected?tab=1"

// linker is a web app: a service that may return to its origin.
func linker(t testing.TB, h *brokertest.Instance, provider string) brokertest.Person {
	t.Helper()
	return h.Limited(t, broker.NewAPIToken{OrgID: "acme", UserID: "app-web", Role: models.RoleService, Name: "Web app", Providers: []string{provider},
		ReturnOrigins: []string{"https://app.example.com", "http://127.0.0.1:*"}})
}

// link makes a connect link of ada's, with the given fields changed.
func link(t testing.TB, h *brokertest.Instance, who brokertest.Person, provider string, changes object) (id, path string) {
	t.Helper()
	body := object{"userId": "ada", "providerId": provider, "returnUrl": appReturn}
	for name, value := range changes {
		if body[name] = value; value == nil {
			delete(body, name)
		}
	}
	a := h.Do(t, who, "POST", root+"connectLinks/", body)
	made := want(t, 201, a)
	if a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("the address may be kept: %v", a.Header)
	}
	path, ours := strings.CutPrefix(text(t, made, "url"), h.URL)
	if !ours || len(path) != len("/connect/")+43 {
		t.Fatalf("the address is %s", made["url"])
	}
	wantTime(t, "expiresAt", made["expiresAt"])
	return text(t, made, "id"), path
}

func linkAt(id string) string { return root + "connectLinks/" + id + "/" }

// linkIs fails unless a link has the status, and the error where one is given.
func linkIs(t testing.TB, h *brokertest.Instance, id, status, failure string) object {
	t.Helper()
	got := want(t, 200, h.Do(t, h.Admin, "GET", linkAt(id), nil))
	if got["status"] != status || got["error"] != failure {
		t.Errorf("the link is %v %q, want %s %q", got["status"], got["error"], status, failure)
	}
	return got
}

// presses opens a link and presses its button.
func (s *surfer) presses(path string) page {
	s.t.Helper()
	shown := s.back(path)
	wantPage(s.t, shown, 200, `id="start"`)
	return s.post(path, url.Values{"answer": {"connect"}, "browser": {browserField(s.t, shown)}})
}

func browserField(t testing.TB, p page) string {
	t.Helper()
	_, rest, ok := strings.Cut(p.body, `name="browser" value="`)
	value, _, end := strings.Cut(rest, `"`)
	if !ok || !end {
		t.Fatalf("the page has no form: %.600s", p.body)
	}
	return value
}

// links goes the way to the upstream and back to the app, and returns the address of the return here and where that leads.
func (s *surfer) links(path, account string) (address, app string) {
	s.t.Helper()
	begun := s.presses(path)
	if begun.status != 200 || !strings.HasPrefix(begun.to, s.h.IdPURL) {
		s.t.Fatalf("the button leads with %d to %q: %.600s", begun.status, begun.to, begun.body)
	}
	address = s.approves(begun.to, account)
	back := s.back(address)
	if back.status != 303 || !strings.HasPrefix(back.to, appReturn+"&") {
		s.t.Fatalf("the return leads with %d to %q: %.600s", back.status, back.to, back.body)
	}
	return address, back.to
}

func confirm(t testing.TB, h *brokertest.Instance, who brokertest.Person, id, result, user string) brokertest.Answer {
	t.Helper()
	return h.Do(t, who, "POST", linkAt(id)+"confirm/", object{"result": result, "userId": user})
}

// The whole way: nothing is an authorization until the app has confirmed, and the same calls again have the same answers.
func TestAnAppConnectsAPersonWithALink(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "test")
		app, s := linker(t, h, p.ID), surf(t, h)
		id, path := link(t, h, app, p.ID, nil)
		linkIs(t, h, id, "open", "")

		shown := s.back(path)
		wantPage(t, shown, 200, "acme", ">Web app</q>", "test provider", host(t, h.IdPURL), "app.example.com", "See your name and profile <code>profile</code>", "See your e-mail address <code>email</code>")
		if shown.header.Get("Set-Cookie") != "" || strings.Contains(shown.body, id) {
			t.Errorf("looking at the page sets %q", shown.header.Get("Set-Cookie"))
		}
		linkIs(t, h, id, "open", "")

		form := url.Values{"answer": {"connect"}, "browser": {browserField(t, shown)}}
		first, second := s.post(path, form), s.post(path, form)
		if first.to != second.to || !strings.HasPrefix(first.to, h.IdPURL) || !strings.HasPrefix(first.header.Get("Set-Cookie"), "grantd_link_") {
			t.Errorf("the button leads to %q, and to %q: %v", first.to, second.to, first.header)
		}
		linkIs(t, h, id, "begun", "")
		if again := s.back(path); browserField(t, again) != form.Get("browser") {
			t.Error("the page that is opened again knows the browser no more")
		}

		address := s.approves(first.to, "ada")
		back := s.back(address)
		got := linkIs(t, h, id, "returned", "")
		if back.status != 303 || !strings.HasPrefix(back.to, appReturn+"&") || inside(t, back.to, "link") != id || got["authorizationId"] != nil {
			t.Fatalf("the app is told %q by %d %s, the link %v", back.to, back.status, back.body, got)
		}
		if again := s.back(address); again.to != back.to {
			t.Errorf("loaded again, the return leads to %q", again.to)
		}
		result := inside(t, back.to, "result")
		if len(ids(t, want(t, 200, h.Do(t, h.Admin, "GET", root+"authorizedProviders/", nil)))) != 0 {
			t.Error("there is an authorization before it was confirmed")
		}

		want(t, 400, confirm(t, h, app, id, strings.Repeat("A", len(result)), "ada"))
		want(t, 400, confirm(t, h, app, id, "", "mallory"))
		linkIs(t, h, id, "returned", "")
		done := want(t, 200, confirm(t, h, app, id, result, "ada"))
		again := want(t, 200, confirm(t, h, app, id, result, "ada"))
		if !same(done, again) || done["replaces"] != nil {
			t.Errorf("confirmed: %v, and again: %v", done, again)
		}
		want(t, 403, confirm(t, h, app, id, result, "grace"))
		a := text(t, done["authorizedProvider"].(object), "id")
		if got := linkIs(t, h, id, "connected", ""); got["authorizationId"] != a {
			t.Errorf("the link is %v", got)
		}
		accessToken(t, h, h.User, a)
		want(t, 201, h.Do(t, app, "POST", tokenOf(a)+"?userId=ada", nil))
		if again := s.back(address); again.to != back.to {
			t.Errorf("loaded after all, the return leads to %q", again.to)
		}
		want(t, 409, h.Do(t, app, "DELETE", linkAt(id), nil))
		wantPage(t, s.back(path), 410, "connected already")

		// Another account of hers is told to the app, and takes the first one's place.
		id, path = link(t, h, app, p.ID, object{"providerId": nil, "slug": p.Slug})
		_, to := s.links(path, "grace")
		if done := want(t, 200, confirm(t, h, app, id, inside(t, to, "result"), "ada")); done["replaces"] != a {
			t.Errorf("it replaces %v, want %s", done["replaces"], a)
		}
		if got := linkIs(t, h, id, "connected", ""); got["replaces"] != a {
			t.Errorf("the link replaces %v", got["replaces"])
		}
		for _, e := range want(t, 200, h.Do(t, h.Admin, "GET", root+"audit/?action=authorization.made", nil))["data"].([]any) {
			if e := e.(object); e["userId"] != "ada" || e["actor"] != "app-web" || e["tokenId"] != app.Caller.TokenID {
				t.Errorf("the event is %v", e)
			}
		}
	})
}

// A link that was sent on: whoever consents is not the link's person, and the app says so. The link ends, nothing was
// live at any time, and what was granted is revoked.
func TestD1_AForwardedLinkConnectsNobody(t *testing.T) {
	eachWith(t, brokertest.Options{}, func(t *testing.T, h *brokertest.Instance) {
		for _, typ := range []string{"test", "github"} {
			p := h.Provider(t, typ)
			app, victim := linker(t, h, p.ID), surf(t, h)
			id, path := link(t, h, app, p.ID, object{"userId": "mallory"})
			before := grants(h)
			_, to := victim.links(path, "ada")
			result := inside(t, to, "result")
			for range 2 {
				refused := want(t, 403, confirm(t, h, app, id, result, "ada"))
				if refused["detail"] != "another_user" {
					t.Errorf("%s: refused with %v", typ, refused)
				}
			}
			want(t, 403, confirm(t, h, app, id, result, "mallory")) // too late for the right name
			linkIs(t, h, id, "failed", "another_user")
			brokertest.Eventually(t, "the tokens are revoked", func() bool {
				return len(column(t, h, "SELECT id FROM authorizations WHERE provider_id = '"+p.ID+"' AND outcome = 'revoked'")) == 1
			})
			if n := grants(h); typ == "test" && n != before {
				t.Errorf("%s: %d grants live, %d before", typ, n, before)
			}
		}
	})
}

// Whoever was sent the link has connected the same account before, at an upstream that revokes whole grants only: the item
// of revocation knows the grant, so that nothing is sent while the connection that is there lives on it.
func TestD1_ARefusedLinkSparesTheConnectionThatIsThere(t *testing.T) {
	eachWith(t, brokertest.Options{WithoutWorker: true}, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, object{"type": "oauth2", "config": object{"authorizeUrl": h.IdPURL + "/authorize", "tokenUrl": h.IdPURL + "/token",
			"userInfoUrl": h.IdPURL + "/userinfo", "revokeUrl": h.IdPURL + "/revoke", "issuer": h.IdPURL, "authStyle": "basic"}})
		a := consent(t, h, h.User, p, "ada")
		app, s := linker(t, h, p), surf(t, h)
		id, path := link(t, h, app, p, object{"userId": "mallory"})
		_, to := s.links(path, "ada")
		want(t, 403, confirm(t, h, app, id, inside(t, to, "result"), "ada"))
		keys := column(t, h, "SELECT grant_key_v2 FROM authorizations")
		if len(keys) != 2 || keys[0] == "" || keys[0] != keys[1] {
			t.Fatalf("the grants are %q", keys)
		}
		refused := column(t, h, "SELECT id FROM authorizations WHERE unlinked_at IS NOT NULL")
		if err := h.Service.RevokeOne(ctx, refused[0]); err != nil {
			t.Fatal(err)
		}
		if n := h.IdP.Stats().Calls[testidp.Revoke]; n != 0 {
			t.Errorf("%d revocations were sent", n)
		}
		change(t, h, tokensAreDue)
		accessToken(t, h, h.User, a)
	})
}

// What is not confirmed within ten minutes of the consent is revoked, and so is what a link was withdrawn of.
func TestALinkThatIsNotConfirmedIsRevoked(t *testing.T) {
	h := embedded(t)
	p := h.Provider(t, "test")
	app, s := linker(t, h, p.ID), surf(t, h)
	revoked := func(n int) {
		t.Helper()
		brokertest.Eventually(t, "the tokens are revoked", func() bool {
			return len(column(t, h, "SELECT id FROM authorizations WHERE outcome = 'revoked'")) == n
		})
		if n := grants(h); n != 0 {
			t.Errorf("%d grants are left upstream", n)
		}
	}

	late, path := link(t, h, app, p.ID, nil)
	h.Clock.Advance(9 * time.Minute)
	lateAddress, to := s.links(path, "ada")
	h.Clock.Advance(9*time.Minute + 50*time.Second) // which the consent has begun anew
	linkIs(t, h, late, "returned", "")
	h.Clock.Advance(11 * time.Second)
	want(t, 410, confirm(t, h, app, late, inside(t, to, "result"), "ada"))
	linkIs(t, h, late, "failed", "expired")
	revoked(1)
	linkIs(t, h, late, "failed", "expired")
	want(t, 410, confirm(t, h, app, late, inside(t, to, "result"), "ada"))
	if again := s.back(lateAddress); inside(t, again.to, "error") != "expired" || inside(t, again.to, "result") != "" {
		t.Errorf("the return leads to %q", again.to)
	}

	withdrawn, path := link(t, h, app, p.ID, nil)
	_, to = s.links(path, "ada")
	want(t, 204, h.Do(t, app, "DELETE", linkAt(withdrawn), nil))
	want(t, 204, h.Do(t, app, "DELETE", linkAt(withdrawn), nil))
	want(t, 410, confirm(t, h, app, withdrawn, inside(t, to, "result"), "ada"))
	linkIs(t, h, withdrawn, "failed", "withdrawn")
	revoked(2)

	// Links end too where nobody opens them, or nobody comes back.
	unopened, path := link(t, h, app, p.ID, object{"expiresIn": 60})
	h.Clock.Advance(time.Minute)
	linkIs(t, h, unopened, "failed", "expired")
	wantPage(t, s.back(path), 410, "not used in time")
	begun, path := link(t, h, app, p.ID, nil)
	address := s.approves(s.presses(path).to, "ada")
	h.Clock.Advance(10 * time.Minute)
	if back := s.back(address); inside(t, back.to, "error") != "expired" {
		t.Errorf("after its time the return leads to %q: %s", back.to, back.body)
	}
	linkIs(t, h, begun, "failed", "expired")
	h.Clock.Advance(48 * time.Hour)
	brokertest.Eventually(t, "the links are forgotten", func() bool { return len(column(t, h, "SELECT id FROM connect_links")) == 0 })
}

// A deletion of the provider takes along what waits for a confirmation.
func TestD2_ADeletionTakesUnconfirmedLinksAlong(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "test")
		app, s := linker(t, h, p.ID), surf(t, h)
		id, path := link(t, h, app, p.ID, nil)
		_, to := s.links(path, "ada")
		job := deleted(t, h, p.ID)
		if got := details(t, job); job["status"] != "COMPLETED" || got["revoked"] != "1" || got["total"] != "1" {
			t.Errorf("the job is %v", job)
		}
		if n := grants(h); n != 0 {
			t.Errorf("%d grants are left upstream", n)
		}
		want(t, 404, confirm(t, h, app, id, inside(t, to, "result"), "ada"))
	})
}

// Between the consent and the confirmation the provider is switched off: nothing is connected, and the tokens are revoked.
func TestD2_AProviderThatWasSwitchedOffIsNotConfirmedAt(t *testing.T) {
	h := embedded(t)
	p := h.Provider(t, "test")
	app, s := linker(t, h, p.ID), surf(t, h)
	id, path := link(t, h, app, p.ID, nil)
	_, to := s.links(path, "ada")
	want(t, 200, h.Do(t, h.Admin, "PATCH", provider(p.ID), object{"status": "inactive"}))
	want(t, 404, confirm(t, h, app, id, inside(t, to, "result"), "ada"))
	brokertest.Eventually(t, "the tokens are revoked", func() bool { return grants(h) == 0 })
	want(t, 409, h.Do(t, app, "POST", root+"connectLinks/", object{"userId": "ada", "providerId": p.ID, "returnUrl": appReturn}))
}

// The person says no, here or at the upstream: the app is told, and nothing is left.
func TestTheAppIsToldThatAPersonSaysNo(t *testing.T) {
	h := embedded(t)
	p := h.Provider(t, "test")
	app, s := linker(t, h, p.ID), surf(t, h)
	told := func(what string, p page, id string) {
		t.Helper()
		if !strings.HasPrefix(p.to, appReturn+"&") || inside(t, p.to, "error") != "access_denied" || inside(t, p.to, "link") != id || inside(t, p.to, "result") != "" {
			t.Errorf("%s: the app is told %q by %d %.400s", what, p.to, p.status, p.body)
		}
		linkIs(t, h, id, "failed", "access_denied")
	}

	id, path := link(t, h, app, p.ID, nil)
	form := url.Values{"answer": {"cancel"}, "browser": {browserField(t, s.back(path))}}
	told("cancelled", s.post(path, form), id)
	told("cancelled twice", s.post(path, form), id)
	wantPage(t, s.back(path), 410, "You chose not to connect")
	wantPage(t, s.post(path, url.Values{"answer": {"connect"}, "browser": form["browser"]}), 410, "You chose not to connect")

	id, path = link(t, h, app, p.ID, nil)
	s.presses(path)
	told("cancelled after it was begun", s.post(path, url.Values{"answer": {"cancel"}, "browser": {browserField(t, s.back(path))}}), id)

	id, path = link(t, h, app, p.ID, nil)
	target := s.presses(path).to
	address := connectAt(p.ID) + "?" + url.Values{"error": {"access_denied"}, "state": {inside(t, target, "state")}, "iss": {h.IdPURL}}.Encode()
	told("denied", s.back(address), id)
	told("denied, loaded again", s.back(address), id)

	id, path = link(t, h, app, p.ID, object{"returnUrl": nil, "confirm": false, "signIn": true})
	s.signIn(h.User)
	wantPage(t, s.post(path, url.Values{"answer": {"cancel"}, "browser": {browserField(t, s.back(path))}}), 200, "You chose not to connect")
	linkIs(t, h, id, "failed", "access_denied")
}

// The link lives in the browser that it was opened in: another one is told nothing of it, and uses nothing up.
func TestA2_ALinkLivesInOneBrowser(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "test")
		app, s, other := linker(t, h, p.ID), surf(t, h), surf(t, h)
		id, path := link(t, h, app, p.ID, nil)
		begun := s.presses(path)
		wantPage(t, other.back(path), 410, "opened in another browser")
		for _, answer := range []string{"connect", "cancel"} {
			wantPage(t, other.post(path, url.Values{"answer": {answer}, "browser": {strings.Repeat("A", 43)}}), 410, "opened in another browser")
		}
		address := s.approves(begun.to, "ada")
		wantPage(t, other.back(address), 401, "Nobody is signed in here")
		other.signIn(h.User) // also ada herself finds nothing of it elsewhere
		wantPage(t, other.back(address), 400, "belongs to no connection")
		back := object{"providerId": p.ID, "state": inside(t, begun.to, "state"), "code": inside(t, address, "code")}
		for _, who := range []brokertest.Person{h.User, h.Admin} {
			want(t, 400, h.Do(t, who, "POST", callback, back))
		}
		want(t, 400, h.Do(t, app, "POST", callback+"?userId=ada", back))
		linkIs(t, h, id, "begun", "")

		declined := connectAt(p.ID) + "?" + url.Values{"error": {"access_denied"}, "state": {inside(t, begun.to, "state")}}.Encode()
		wantPage(t, other.back(declined), 400, "belongs to no connection")
		if got := s.back(address); inside(t, got.to, "result") == "" {
			t.Errorf("the browser of the link is told %q by %d %s", got.to, got.status, got.body)
		}
		wantPage(t, s.back(strings.Replace(address, "code=", "code=x", 1)), 400)
		if got := s.back(declined); got.status != 400 { // what was consented to is not declined any more
			t.Errorf("declined afterwards: %d to %q", got.status, got.to)
		}
		linkIs(t, h, id, "returned", "")
		if n := h.IdP.Stats().CodesReused; n != 0 {
			t.Errorf("%d codes were sent twice", n)
		}
	})
}

// Forms of other sites, addresses that are looked at ahead of time, and guesses do nothing.
func TestNobodyElseOpensALink(t *testing.T) {
	t.Parallel()
	h := brokertest.New(t, &brokertest.Options{Limits: broker.Limits{Failures: 3}})
	p := h.Provider(t, "test")
	app, s := linker(t, h, p.ID), surf(t, h)
	id, path := link(t, h, app, p.ID, nil)
	form := url.Values{"answer": {"connect"}, "browser": {browserField(t, s.back(path))}}
	for _, site := range []string{"cross-site", "same-site"} {
		for _, answer := range []string{"connect", "cancel"} {
			form.Set("answer", answer)
			if got := s.send("POST", path, form.Encode(), from(site)); got.status != 403 || got.header.Get("Set-Cookie") != "" {
				t.Errorf("%s from %s: %d", answer, site, got.status)
			}
		}
	}
	if got := s.send("GET", path, "", map[string][]string{"Sec-Purpose": {"prefetch"}, "Accept": {"text/html"}}); got.status != 425 {
		t.Errorf("fetched ahead of time: %d", got.status)
	}
	wantPage(t, s.post(path, url.Values{"answer": {"connect"}, "browser": {"chosen"}}), 400)
	linkIs(t, h, id, "open", "")
	guess := "/connect/" + strings.Repeat("A", 43)
	for range 3 {
		wantPage(t, s.back(guess), 404, "no such link")
	}
	if got := s.back(guess); got.status != 429 {
		t.Errorf("guesses are answered with %d", got.status)
	}
	wantPage(t, s.back(path), 200) // who has the address is not refused
	for _, secret := range []string{strings.TrimPrefix(path, "/connect/"), form.Get("browser")} {
		if strings.Contains(h.Log.String(), secret) {
			t.Error("the log has what nobody is to know")
		}
	}
}

// What a link may be made of.
func TestA1_WhatALinkIsMadeOf(t *testing.T) {
	t.Parallel()
	h := brokertest.New(t, &brokertest.Options{RedirectAllow: []string{"https://allowed.example.com"}, SignIn: broker.SignIn{Name: "corp", Issuer: "https://corp.example.com", UserClaim: "sub"}})
	p := h.Provider(t, "test")
	app := linker(t, h, p.ID)
	for _, c := range []struct {
		about   string
		changes object
		wrong   string // the field, "" for none
	}{
		{"its own origin", object{}, ""},
		{"an origin of the operator's", object{"returnUrl": "https://allowed.example.com/x"}, ""},
		{"loopback, with any port as it is listed", object{"returnUrl": "http://127.0.0.1:5173/x"}, ""},
		{"another loopback address", object{"returnUrl": "http://localhost:5173/x"}, "returnUrl"},
		{"another origin", object{"returnUrl": "https://app.example.com.evil.example/"}, "returnUrl"},
		{"another port", object{"returnUrl": "https://app.example.com:8443/"}, "returnUrl"},
		{"no https", object{"returnUrl": "http://app.example.com/"}, "returnUrl"},
		{"grantd itself", object{"returnUrl": h.URL + "/"}, ""}, // on the loopback address that is listed
		{"a user name", object{"returnUrl": "https://app.example.com@evil.example/"}, "returnUrl"},
		{"a fragment", object{"returnUrl": "https://app.example.com/#x"}, "returnUrl"},
		{"a backslash", object{"returnUrl": `https://app.example.com\@evil.example/`}, "returnUrl"},
		{"a script", object{"returnUrl": "javascript:alert(1)"}, "returnUrl"},
		{"a path", object{"returnUrl": "/connected"}, "returnUrl"},
		{"a result of its own", object{"returnUrl": "https://app.example.com/?result=x"}, "returnUrl"},
		{"a link of its own", object{"returnUrl": "https://app.example.com/?a=b&link=x"}, "returnUrl"},
		{"an error of its own", object{"returnUrl": "https://app.example.com/?%65rror=x"}, "returnUrl"},
		{"no address", object{"returnUrl": nil}, "returnUrl"},
		{"no address, to sign in", object{"returnUrl": nil, "signIn": true}, ""},
		{"no address, to sign in and confirm", object{"returnUrl": nil, "signIn": true, "confirm": true}, "returnUrl"},
		{"no address, in a window", object{"returnUrl": nil, "signIn": true, "popup": true}, "returnUrl"},
		{"neither way", object{"confirm": false}, "confirm"},
		{"nobody", object{"userId": ""}, "userId"},
		{"what is no user", object{"userId": "a b"}, "userId"},
		{"a user of the issuer", object{"userId": "corp:1", "signIn": true}, ""},
		{"a user of another issuer", object{"userId": "other:1", "signIn": true}, "userId"},
		{"a user of another issuer, to confirm", object{"userId": "other:1"}, ""},
		{"a machine", object{"userId": "app-x", "signIn": true}, "userId"},
		{"too long", object{"expiresIn": 3601}, "expiresIn"},
		{"no time", object{"expiresIn": 0}, "expiresIn"},
		{"an hour", object{"expiresIn": 3600}, ""},
		{"some scopes", object{"scopes": []any{"email"}}, ""},
		{"more than the provider asks for", object{"scopes": []any{"email", "admin"}}, "scopes"},
		{"no provider", object{"providerId": nil}, "providerId"},
		{"two names of a provider", object{"slug": p.Slug}, "providerId"},
	} {
		t.Run(c.about, func(t *testing.T) {
			body := object{"userId": "ada", "providerId": p.ID, "returnUrl": appReturn}
			for name, value := range c.changes {
				if body[name] = value; value == nil {
					delete(body, name)
				}
			}
			a := h.Do(t, app, "POST", root+"connectLinks/", body)
			if c.wrong != "" {
				wantFields(t, a, c.wrong)
				return
			}
			want(t, 201, a)
		})
	}
	want(t, 404, h.Do(t, app, "POST", root+"connectLinks/", object{"userId": "ada", "slug": "nothing", "returnUrl": appReturn}))
	want(t, 404, h.Do(t, app, "POST", root+"connectLinks/", object{"userId": "ada", "slug": text(t, create(t, h, object{"slug": "elsewhere"}), "slug"), "returnUrl": appReturn}))
	wantFields(t, h.Do(t, h.Admin, "POST", root+"connectLinks/", object{"userId": "ada", "providerId": p.ID, "returnUrl": appReturn}), "returnUrl") // whose token lists nothing

	_, path := link(t, h, app, p.ID, object{"scopes": []any{"email"}})
	s := surf(t, h)
	if shown := s.back(path); strings.Contains(shown.body, "<code>profile</code>") {
		t.Error("the page tells of scopes that are not asked for")
	}
	if scope := inside(t, s.presses(path).to, "scope"); scope != "email" {
		t.Errorf("asked for %q", scope)
	}
}

// A link is its maker's: another service, and another token of a user, do not find it; a new token of the service does.
func TestALinkIsItsMakers(t *testing.T) {
	h := embedded(t)
	p := h.Provider(t, "test")
	app, s := linker(t, h, p.ID), surf(t, h)
	id, path := link(t, h, app, p.ID, nil)
	_, to := s.links(path, "ada")
	result := inside(t, to, "result")
	another := h.Limited(t, broker.NewAPIToken{OrgID: "acme", UserID: "app-other", Role: models.RoleService, Providers: []string{p.ID}})
	namesake := h.Limited(t, broker.NewAPIToken{OrgID: "globex", UserID: "app-web", Role: models.RoleService, Providers: []string{createForeign(t, h)}})
	for _, who := range []brokertest.Person{another, namesake, h.Admin, h.Other} {
		want(t, 404, confirm(t, h, who, id, result, "ada"))
	}
	for _, who := range []brokertest.Person{another, namesake, h.Other} {
		want(t, 404, h.Do(t, who, "GET", linkAt(id), nil))
		want(t, 404, h.Do(t, who, "DELETE", linkAt(id), nil))
	}
	want(t, 403, confirm(t, h, h.User, id, result, "ada"))
	// The one of a link is none of another.
	otherID, otherPath := link(t, h, app, p.ID, nil)
	_, otherTo := s.links(otherPath, "ada")
	want(t, 400, confirm(t, h, app, otherID, result, "ada"))
	want(t, 400, confirm(t, h, app, id, inside(t, otherTo, "result"), "ada"))

	if _, err := h.Service.RevokeAPIToken(ctx, app.Caller.TokenID, false); err != nil {
		t.Fatal(err)
	}
	want(t, 200, confirm(t, h, linker(t, h, p.ID), id, result, "ada"))
}

func createForeign(t testing.TB, h *brokertest.Instance) string {
	t.Helper()
	return text(t, want(t, 201, h.Do(t, h.Other, "POST", root+"providers/", newProvider(nil))), "id")
}

// With signIn the page wants the person signed in as the link's user, before it tells anything.
func TestALinkForAPersonWhoSignsIn(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "test")
		app, s, other := linker(t, h, p.ID), surf(t, h), surf(t, h)
		id, path := link(t, h, app, p.ID, object{"signIn": true})

		for _, sent := range []page{s.back(path), s.post(path, url.Values{"answer": {"connect"}, "browser": {strings.Repeat("A", 43)}})} {
			if sent.status != 303 || sent.to != "/sign-in?redirect="+url.QueryEscape(path) {
				t.Errorf("who is not signed in is sent with %d to %q", sent.status, sent.to)
			}
		}
		if in := s.post("/sign-in", url.Values{"token": {secret(h.User.Token)}, "redirect": {path}}); in.to != path {
			t.Errorf("who has signed in is sent to %q", in.to)
		}
		other.signIn(h.Colleague)
		for _, got := range []page{other.back(path), other.post(path, url.Values{"answer": {"connect"}, "browser": {strings.Repeat("A", 43)}}), other.post(path, url.Values{"answer": {"cancel"}})} {
			wantPage(t, got, 403, "somebody else")
			if regexp.MustCompile(`\bada\b`).MatchString(got.body) || strings.Contains(got.body, "Web app") {
				t.Errorf("another person is told %s", got.body)
			}
		}
		linkIs(t, h, id, "open", "")

		address := s.approves(s.presses(path).to, "ada")
		s.post("/sign-out", nil)
		wantPage(t, s.back(address), 403, "signed out meanwhile")
		s.signIn(h.Colleague)
		wantPage(t, s.back(address), 403, "somebody else")
		linkIs(t, h, id, "begun", "")
		s.signIn(h.User)
		for range 2 {
			if back := s.back(address); back.to != appReturn+"&link="+id {
				t.Errorf("the app is told %q by %d %s", back.to, back.status, back.body)
			}
		}
		a := text(t, linkIs(t, h, id, "connected", ""), "authorizationId")
		accessToken(t, h, h.User, a)
		want(t, 409, confirm(t, h, app, id, "anything", "ada"))

		// Nowhere to return to: the person stays here.
		id, path = link(t, h, app, p.ID, object{"signIn": true, "returnUrl": nil})
		if back := s.back(s.approves(s.presses(path).to, "ada")); back.to != "/external-auth/"+p.ID+"/connected" {
			t.Errorf("the person is sent to %q", back.to)
		}
		linkIs(t, h, id, "connected", "")

		// Both ways at once.
		id, path = link(t, h, app, p.ID, object{"signIn": true, "confirm": true})
		_, to := s.links(path, "ada")
		linkIs(t, h, id, "returned", "")
		want(t, 200, confirm(t, h, app, id, inside(t, to, "result"), "ada"))

		// Signing out everywhere ends what was begun.
		id, path = link(t, h, app, p.ID, object{"signIn": true})
		s.presses(path)
		want(t, 204, h.Do(t, h.Admin, "DELETE", root+"sessions/?userId=ada", nil))
		linkIs(t, h, id, "failed", "signed_out")
	})
}

// T2: one user's links, opened or not, leave the others and the person's own consents some.
func TestT2_LinksAreLimited(t *testing.T) {
	t.Parallel()
	h := brokertest.New(t, &brokertest.Options{WithoutWorker: true, Limits: broker.Limits{PersonConsents: 2}})
	p := h.Provider(t, "test")
	app, s := linker(t, h, p.ID), surf(t, h)
	var paths []string
	for range 2 {
		_, path := link(t, h, app, p.ID, nil)
		paths = append(paths, path)
	}
	body := object{"userId": "ada", "providerId": p.ID, "returnUrl": appReturn}
	wantRetryAfter(t, h.Do(t, app, "POST", root+"connectLinks/", body))
	want(t, 429, h.Do(t, app, "POST", root+"connectLinks/", body))
	link(t, h, app, p.ID, object{"userId": "grace"})
	for _, path := range paths {
		s.presses(path)
	}
	_, third := link(t, h, app, p.ID, nil)
	wantPage(t, s.presses(third), 429)
	s.signIn(h.User)
	if begun := s.get(connectAt(p.ID)); begun.status != 303 {
		t.Errorf("ada's own consent is answered with %d", begun.status)
	}
}

// Whatever an app and an admin call things, the page shows it as text.
func TestALinksPageShowsNamesAsText(t *testing.T) {
	h := embedded(t)
	const evil = `"><script>alert(1)</script><img src=x onerror=alert(1)>`
	p := createID(t, h, object{"name": evil, "description": evil})
	app := h.Limited(t, broker.NewAPIToken{OrgID: "acme", UserID: "app-web", Role: models.RoleService, Name: evil, Providers: []string{p}, ReturnOrigins: []string{"https://app.example.com"}})
	_, path := link(t, h, app, p, nil)
	shown := surf(t, h).back(path)
	wantPage(t, shown, 200, "&lt;script&gt;")
	if strings.Contains(shown.body, "<script>") || strings.Contains(shown.body, "<img src=x") {
		t.Errorf("the page is %s", shown.body)
	}
}
