package contract_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
)

// signingIn is an instance whose people sign in at a fake issuer, as users of acme.
func signingIn(t *testing.T, o brokertest.Options, change func(*broker.SignIn)) (*brokertest.Instance, *openIDFake) {
	t.Helper()
	issuer := newOpenIDFake(t)
	o.Allow = []string{issuer.host()}
	o.SignIn = broker.SignIn{Name: "corp", Issuer: issuer.URL, ClientID: brokertest.ClientID, ClientSecret: brokertest.ClientSecret,
		Scopes: []string{"openid"}, Org: "acme", UserClaim: "sub"}
	if change != nil {
		change(&o.SignIn)
	}
	return brokertest.New(t, &o), issuer
}

// goesToIssuer presses the button and returns the address that the issuer sends the browser back to.
func (s *surfer) goesToIssuer(issuer *openIDFake, form url.Values) string {
	s.t.Helper()
	begun := s.post("/sign-in/issuer", form)
	if begun.status != 200 || !strings.HasPrefix(begun.to, issuer.URL+"/authorize?") {
		s.t.Fatalf("%d to %q: %s", begun.status, begun.to, begun.body)
	}
	asked, err := url.Parse(begun.to)
	if err != nil {
		s.t.Fatal(err)
	}
	q := asked.Query()
	if q.Get("code_challenge_method") != "S256" || q.Get("code_challenge") == "" || q.Get("nonce") == "" || q.Get("redirect_uri") != s.h.URL+"/sign-in/callback" {
		s.t.Errorf("the issuer is asked %s", begun.to)
	}
	issuer.set(func() { issuer.nonce = q.Get("nonce") })
	return "/sign-in/callback?" + url.Values{"state": {q.Get("state")}, "code": {"a-code"}, "iss": {issuer.URL}}.Encode()
}

func (s *surfer) signsInAt(issuer *openIDFake) {
	s.t.Helper()
	if got := s.back(s.goesToIssuer(issuer, nil)); got.status != 200 || got.to != "/" {
		s.t.Fatalf("signing in: %d to %q: %s", got.status, got.to, got.body)
	}
}

func sessions(t testing.TB, h *brokertest.Instance) int {
	t.Helper()
	return len(column(t, h, "SELECT id FROM browser_sessions"))
}

// A person signs in at the issuer, connects an account as the user that the issuer names, and is shown by a name that
// cannot be anything but text.
func TestA5_APersonSignsInAtTheIssuer(t *testing.T) {
	t.Parallel()
	brokertest.Each(t, func(t *testing.T, b brokertest.Backend) {
		h, issuer := signingIn(t, brokertest.Options{Backend: b}, func(o *broker.SignIn) {
			o.Org, o.OrgClaim, o.Orgs = "", "orgs", []string{"acme", "globex"}
			o.AdminIf = broker.Match{Claim: "groups", Value: "admins"}
		})
		issuer.says = func(c map[string]any) {
			c["sub"], c["name"], c["orgs"], c["groups"] = "auth0|ada", "Ada\u202e <script>alert(1)</script>", []string{"other", "acme"}, "admins-of-nothing"
		}
		p := h.Provider(t, "test").ID
		s := surf(t, h)
		asked := s.get(connectAt(p) + "?redirect=/done")
		wantPage(t, s.get(asked.to), 200, "Sign in with corp", `name="token"`, `value="/done"`)
		in := s.back(s.goesToIssuer(issuer, url.Values{"provider": {p}, "redirect": {"/done"}}))
		if in.status != 200 || in.to != connectAt(p)+"?redirect=%2Fdone" {
			t.Fatalf("signed in: %d to %q: %s", in.status, in.to, in.body)
		}
		if strings.Contains(in.body, "<script") || !strings.Contains(in.body, "Signed in as Ada &lt;script&gt;alert(1)&lt;/script&gt; (corp:auth0%7Cada) of acme") {
			t.Errorf("the page: %s", in.body)
		}
		s.connects(in.to, "ada", "/done")
		if got := column(t, h, "SELECT user_id FROM authorizations"); len(got) != 1 || got[0] != "corp:auth0%7Cada" {
			t.Errorf("connected as %v", got)
		}
		if got := column(t, h, "SELECT role || ' ' || issuer || ' ' || address FROM browser_sessions"); len(got) != 1 || got[0] != "user corp 127.0.0.1" {
			t.Errorf("the session is %v", got)
		}
		if again := s.back("/sign-in/callback?state=x&code=y"); again.status != 303 || again.to != "/" {
			t.Errorf("loaded again: %d to %q", again.status, again.to)
		}
		// An admin revokes everything of a user whom an issuer named.
		want(t, 202, h.Do(t, h.Admin, "DELETE", root+"authorizedProviders/?userId="+url.QueryEscape("corp:auth0%7Cada"), nil))
		wantPage(t, s.post("/sign-out", nil), 200, "Signed out")
		if sessions(t, h) != 0 {
			t.Error("the session is kept")
		}
		events := column(t, h, "SELECT action || ' ' || user_id || ' ' || CASE WHEN token_id = 'issuer:corp' OR token_id = 'session:' || code THEN 'named' ELSE token_id END FROM audit_events WHERE action LIKE 'session.%' ORDER BY at, id")
		if got, want := strings.Join(events, ", "), "session.begun corp:auth0%7Cada named, session.ended corp:auth0%7Cada named"; got != want {
			t.Errorf("audited: %s", got)
		}

		issuer.set(func() {
			issuer.says = func(c map[string]any) { c["orgs"], c["groups"] = "globex", []string{"x", "admins"} }
		})
		s.signsInAt(issuer)
		if got := column(t, h, "SELECT org_id || ' ' || user_id || ' ' || role FROM browser_sessions"); len(got) != 1 || got[0] != "globex corp:ada admin" {
			t.Errorf("the session is %v", got)
		}
		if strings.Contains(h.Log.String(), "a-code") || strings.Contains(h.Log.String(), "<script") {
			t.Error("the log tells what the issuer said")
		}
	})
}

// Whatever is not what the issuer said to this browser about this sign-in signs nobody in.
func TestA5_WhatDoesNotProveWhoSomebodyIsSignsNobodyIn(t *testing.T) {
	t.Parallel()
	h, issuer := signingIn(t, brokertest.Options{}, func(o *broker.SignIn) {
		o.Org, o.OrgClaim, o.Orgs = "", "org", []string{"acme", "globex"}
		o.Require = []broker.Match{{Claim: "hd", Value: "example.com"}}
		o.UserClaim = "oid"
	})
	good := func(c map[string]any) { c["org"], c["hd"], c["oid"] = "acme", "example.com", "u1" }
	claim := func(name string, value any) func(map[string]any) { return func(c map[string]any) { c[name] = value } }
	without := func(name string) func(map[string]any) { return func(c map[string]any) { delete(c, name) } }
	ask := func(name, value string) func(url.Values) { return func(q url.Values) { q.Set(name, value) } }
	for _, c := range []struct {
		name   string
		claims func(map[string]any)
		answer func(url.Values)
		status int
		says   string
	}{
		{"another state", nil, ask("state", "guessed"), 400, "does not belong to a sign-in"},
		{"no state", nil, func(q url.Values) { q.Del("state") }, 400, "does not belong to a sign-in"},
		{"no code", nil, func(q url.Values) { q.Del("code") }, 400, "does not belong to a sign-in"},
		{"another issuer answers", nil, ask("iss", "https://evil.example"), 400, "does not prove"},
		{"declined", nil, ask("error", "access_denied"), 400, "You did not sign in at corp"},
		{"an error nobody knows", nil, ask("error", "<script>"), 400, "(other)"},
		{"another nonce", claim("nonce", "of-another-sign-in"), nil, 400, "does not prove"},
		{"no nonce", without("nonce"), nil, 400, "does not prove"},
		{"another audience", claim("aud", "another-client"), nil, 400, "does not prove"},
		{"another party", claim("azp", "another-client"), nil, 400, "does not prove"},
		{"another issuer's token", claim("iss", "https://evil.example"), nil, 400, "does not prove"},
		{"expired", claim("exp", time.Now().Add(-time.Hour).Unix()), nil, 400, "does not prove"},
		{"no subject", without("sub"), nil, 400, "does not prove"},
		{"a foreign organisation", claim("org", "initech"), nil, 403, "may not sign in"},
		{"an organisation in another case", claim("org", "Acme"), nil, 403, "may not sign in"},
		{"two organisations", claim("org", []string{"acme", "globex"}), nil, 403, "may not sign in"},
		{"no organisation", without("org"), nil, 403, "may not sign in"},
		{"an organisation that is no text", claim("org", map[string]any{"acme": "acme"}), nil, 403, "may not sign in"},
		{"an unmet requirement", claim("hd", "example.com.evil.example"), nil, 403, "may not sign in"},
		{"a missing requirement", without("hd"), nil, 403, "may not sign in"},
		{"no user", without("oid"), nil, 403, "may not sign in"},
		{"a user that is a number", claim("oid", 7), nil, 403, "may not sign in"},
		{"an endless user", claim("oid", strings.Repeat("x", 600)), nil, 403, "may not sign in"},
	} {
		t.Run(c.name, func(t *testing.T) {
			issuer.set(func() {
				issuer.says = func(m map[string]any) {
					good(m)
					if c.claims != nil {
						c.claims(m)
					}
				}
			})
			s := surf(t, h)
			address, err := url.Parse(s.goesToIssuer(issuer, nil))
			if err != nil {
				t.Fatal(err)
			}
			q := address.Query()
			if c.answer != nil {
				c.answer(q)
			}
			got := s.back("/sign-in/callback?" + q.Encode())
			wantPage(t, got, c.status, c.says)
			if got.header.Get("Set-Cookie") != "" || sessions(t, h) != 0 {
				t.Errorf("somebody is signed in: %v", got.header)
			}
		})
	}
	issuer.set(func() { issuer.says = good })
	s, other := surf(t, h), surf(t, h)
	address := s.goesToIssuer(issuer, nil)
	wantPage(t, other.back(address), 400, "does not belong to a sign-in") // sent to somebody else
	other.goesToIssuer(issuer, nil)
	wantPage(t, other.back(address), 400, "does not belong to a sign-in")
	change(t, h, "DELETE FROM browser_sessions")
	s.signsInAt(issuer)
	if sessions(t, h) != 1 {
		t.Error("what is right signs nobody in")
	}
	for _, told := range []string{"requirement_not_met", "no_listed_organisation", "no_usable_user_claim"} {
		if !strings.Contains(h.Log.String(), told) {
			t.Errorf("the log does not say %s", told)
		}
	}
}

// Signing in leads nowhere else, is begun by our own pages only, and makes the session's id again.
func TestA1_SigningInAtTheIssuerLeadsNowhereElse(t *testing.T) {
	t.Parallel()
	h, issuer := signingIn(t, brokertest.Options{}, nil)
	p := h.Provider(t, "test").ID
	s := surf(t, h)
	for _, to := range []string{"//evil.example", "https://evil.example/", `/\evil.example`, "javascript:alert(1)"} {
		wantPage(t, s.post("/sign-in/issuer", url.Values{"provider": {p}, "redirect": {to}}), 400, "redirect must be")
	}
	if got := s.back(s.goesToIssuer(issuer, url.Values{"provider": {"//evil.example/"}})); !strings.HasPrefix(got.to, "/external-auth/%2F%2Fevil.example%2F/") {
		t.Errorf("sent to %q", got.to)
	}
	for to, end := range map[string]string{"/sessions": "/sessions", "https://evil.example/": "/", "//evil.example": "/", `/\evil.example`: "/"} {
		if in := surf(t, h).post("/sign-in", url.Values{"token": {secret(h.User.Token)}, "redirect": {to}}); in.to != end {
			t.Errorf("%q leads to %q", to, in.to)
		}
	}
	change(t, h, "DELETE FROM browser_sessions WHERE user_id = 'ada'")
	for _, path := range []string{"/sign-in/issuer", "/sessions/end", "/sessions/x/end", "/sign-out"} {
		wantPage(t, s.send("POST", path, "", from("cross-site")), 403, "another site")
	}
	wantPage(t, s.get("/"), 200, "Signed in as corp:ada of acme")

	site, _ := url.Parse(h.URL)
	first := sessionOf(s, site)
	s.signsInAt(issuer)
	if second := sessionOf(s, site); second == first || sessions(t, h) != 1 {
		t.Errorf("signing in again keeps the session: %d sessions", sessions(t, h))
	}
	thief := surf(t, h)
	thief.http.Jar.SetCookies(site, []*http.Cookie{{Name: "grantd_session", Value: first, Path: "/"}})
	wantPage(t, thief.get("/sign-in"), 200, `name="token"`)
	if kept := dump(t, h); strings.Contains(kept, sessionOf(s, site)) || strings.Contains(kept, issuer.nonce) {
		t.Error("the database keeps what the cookies hold")
	}
}

// Who is signed in proves again who they are: an issuer that answers from a session of its own proves nothing.
func TestSigningInAgainIsAskedOfTheIssuer(t *testing.T) {
	t.Parallel()
	h, issuer := signingIn(t, brokertest.Options{}, nil)
	s := surf(t, h)
	s.signsInAt(issuer)
	if got := s.get("/sign-in"); got.to != "/" {
		t.Errorf("sent to %q", got.to)
	}
	wantPage(t, s.get("/sign-in?again=1&redirect=/sessions"), 200, `name="again"`, `value="/sessions"`)
	form := url.Values{"again": {"1"}, "redirect": {"/sessions"}}
	if begun := s.post("/sign-in/issuer", form); inside(t, begun.to, "prompt") != "login" || inside(t, begun.to, "max_age") != "0" {
		t.Errorf("the issuer is asked %s", begun.to)
	}
	for at, status := range map[any]int{nil: 403, "now": 403, time.Now().Add(-time.Hour).Unix(): 403, time.Now().Unix(): 200} {
		issuer.set(func() { issuer.says = func(c map[string]any) { c["auth_time"] = at } })
		if got := s.back(s.goesToIssuer(issuer, form)); got.status != status || status == 200 && got.to != "/sessions" {
			t.Errorf("signed in there at %v: %d to %q", at, got.status, got.to)
		}
	}
}

// Failed sign-ins count for the address that they come from, like API tokens that are wrong.
func TestT2_FailedSignInsAreCountedByAddress(t *testing.T) {
	t.Parallel()
	h, issuer := signingIn(t, brokertest.Options{Limits: broker.Limits{Failures: 2}}, nil)
	s := surf(t, h)
	for _, status := range []int{400, 400, 429} {
		if got := s.back("/sign-in/callback?state=guessed&code=guessed"); got.status != status {
			t.Errorf("%d, want %d", got.status, status)
		}
	}
	s.signsInAt(issuer) // a good answer is never refused for its address
}

func sessionOf(s *surfer, site *url.URL) string {
	for _, c := range s.http.Jar.Cookies(site) {
		if c.Name == "grantd_session" {
			return c.Value
		}
	}
	return ""
}

// A person sees where they are signed in, ends one session or all; what they had begun in the pages is void then.
func TestAPersonEndsSessions(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, nil)
		here, there, colleague := surf(t, h), surf(t, h), surf(t, h)
		here.signIn(h.User)
		there.signIn(h.User)
		colleague.signIn(h.Colleague)
		wantPage(t, here.get("/sessions"), 200, "This browser", "Another browser", "an API token", "127.0.0.1")
		ids := column(t, h, "SELECT id FROM browser_sessions WHERE user_id = 'ada' ORDER BY created_at, id")
		wantPage(t, colleague.get("/sessions"), 200, "This browser")
		if got := colleague.post("/sessions/"+ids[1]+"/end", nil); got.to != "/sessions" || sessions(t, h) != 3 {
			t.Errorf("a colleague ended a session: %d %q", got.status, got.to)
		}
		if got := here.post("/sessions/"+ids[1]+"/end", nil); got.status != 303 || got.to != "/sessions" {
			t.Errorf("%d to %q", got.status, got.to)
		}
		wantPage(t, there.get("/sessions"), 401)
		there.signIn(h.User)
		begun := there.get(connectAt(p))
		wantPage(t, here.post("/sessions/end", nil), 200, "signed out in every browser")
		if got := column(t, h, "SELECT failure FROM flows"); len(got) != 1 || got[0] != "signed_out" {
			t.Errorf("the consent under way: %v", got)
		}
		there.signIn(h.User)
		wantPage(t, there.back(there.approves(begun.to, "ada")), 400, "Start again")
		wantPage(t, colleague.get("/"), 200, "Signed in as grace")
		if ended := column(t, h, "SELECT DISTINCT user_id FROM audit_events WHERE action = 'session.ended'"); len(ended) != 1 || ended[0] != "ada" {
			t.Errorf("audited for %v", ended)
		}
		if n, err := h.Service.EndSessionsOf(ctx, "globex", "grace"); n != 0 || err != nil {
			t.Errorf("%d sessions of another organisation, %v", n, err)
		}
		if n, err := h.Service.EndSessionsOf(ctx, "", "grace"); n != 1 || err != nil {
			t.Errorf("%d sessions ended, %v", n, err)
		}
		wantPage(t, colleague.get("/"), 200, `id="sign-in"`)
	})
}

// Sessions end when they are not used, and in any case after a time; those of admins sooner.
func TestSessionsEndByThemselves(t *testing.T) {
	h, issuer := signingIn(t, brokertest.Options{Clock: &brokertest.Clock{}}, func(o *broker.SignIn) { o.AdminIf = broker.Match{Claim: "groups", Value: "admins"} })
	for _, c := range []struct {
		group       string
		every, last time.Duration // used that often, and for how long
	}{{"none", 23 * time.Hour, 7 * 24 * time.Hour}, {"admins", 55 * time.Minute, 12 * time.Hour}} {
		issuer.set(func() { issuer.says = func(m map[string]any) { m["groups"] = []string{c.group} } })
		signedIn := func(s *surfer) bool { return strings.Contains(s.get("/connections").body, "Signed in as corp:ada") }
		s, idle := surf(t, h), surf(t, h)
		s.signsInAt(issuer)
		idle.signsInAt(issuer)
		used := time.Duration(0)
		for ; used+c.every < c.last; used += c.every {
			h.Clock.Advance(c.every)
			if !signedIn(s) {
				t.Fatalf("%s: signed out after %s", c.group, used+c.every)
			}
		}
		if signedIn(idle) {
			t.Errorf("%s: an unused session lives after %s", c.group, used)
		}
		h.Clock.Advance(c.last - used + time.Second)
		if signedIn(s) {
			t.Errorf("%s: signed in after %s", c.group, c.last)
		}
	}
}

// The name of an issuer stays bound to it: under another issuer other people would become the same users.
func TestA5_ANameBelongsToOneIssuer(t *testing.T) {
	t.Parallel()
	h, issuer := signingIn(t, brokertest.Options{}, nil)
	o := broker.Options{Store: h.Store, Upstream: h.Upstream, Keys: h.Keys, PublicURL: h.URL,
		SignIn: broker.SignIn{Name: "corp", Issuer: issuer.URL, ClientID: "another", Org: "acme", UserClaim: "sub"}}
	if _, err := broker.New(ctx, o); err != nil {
		t.Error(err)
	}
	o.SignIn.Issuer = "https://evil.example"
	if _, err := broker.New(ctx, o); err == nil || !strings.Contains(err.Error(), "GRANTD_SIGNIN_NAME") {
		t.Errorf("another issuer has the same name: %v", err)
	}
}

// A user named by shared claims is the one that API tokens know; any other name is refused.
func TestA5_SharedUsersAreTakenAsTheyAre(t *testing.T) {
	t.Parallel()
	h, issuer := signingIn(t, brokertest.Options{}, func(o *broker.SignIn) { o.Shared, o.UserClaim = true, "employee" })
	for employee, ok := range map[string]bool{"ada": true, "corp:ada": false, "a b": false, "app-ada": false, "": false} {
		issuer.set(func() { issuer.says = func(c map[string]any) { c["employee"] = employee } })
		s := surf(t, h)
		if in := s.back(s.goesToIssuer(issuer, nil)); (in.status == 200) != ok {
			t.Errorf("%q: %d %s", employee, in.status, in.body)
		}
		if ok && !strings.Contains(s.get("/").body, fmt.Sprintf("Signed in as %s of acme", h.User.Caller.UserID)) {
			t.Errorf("%q is somebody else", employee)
		}
	}
}
