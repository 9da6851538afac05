package contract_test

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/testidp"
)

// surfer is a browser as far as HTTP goes: it keeps cookies, says where a request
// comes from, and follows nothing by itself.
type surfer struct {
	t    *testing.T
	h    *brokertest.Instance
	http *http.Client
}

// page is what a surfer got.
type page struct {
	status int
	to     string // where it is sent, by redirect or by Refresh
	header http.Header
	body   string
}

func surf(t *testing.T, h *brokertest.Instance) *surfer {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &surfer{t, h, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// from says in which header where a request comes from; nil says nothing.
func from(site string) http.Header { return http.Header{"Sec-Fetch-Site": {site}} }

func (s *surfer) send(method, address, body string, header http.Header) page {
	s.t.Helper()
	if strings.HasPrefix(address, "/") {
		address = s.h.URL + address
	}
	r, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html,application/xhtml+xml;q=0.9")
	if method == "POST" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for name, values := range header {
		r.Header[name] = values
	}
	res, err := s.http.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	all, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	got := page{status: res.StatusCode, to: res.Header.Get("Location"), header: res.Header, body: string(all)}
	if after, ok := strings.CutPrefix(res.Header.Get("Refresh"), "0; url="); ok {
		got.to = after
	}
	s.guarded(method+" "+address, got)
	return got
}

// guarded fails unless a page is kept nowhere, tells nobody its address, and loads
// nothing from elsewhere.
func (s *surfer) guarded(what string, p page) {
	s.t.Helper()
	policy := p.header.Get("Content-Security-Policy")
	if p.header.Get("Cache-Control") != "no-store" || p.header.Get("Referrer-Policy") != "no-referrer" || p.header.Get("X-Content-Type-Options") != "nosniff" ||
		!strings.HasPrefix(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(policy, "http") {
		s.t.Errorf("%.100s: %v", what, p.header)
	}
	if p.status >= 300 && p.status < 400 && p.status != 303 && p.status != 302 {
		s.t.Errorf("%.100s: redirected with %d", what, p.status)
	}
}

func (s *surfer) get(address string) page  { return s.send("GET", address, "", from("none")) }
func (s *surfer) back(address string) page { return s.send("GET", address, "", from("cross-site")) }
func (s *surfer) post(address string, form url.Values) page {
	return s.send("POST", address, form.Encode(), from("same-origin"))
}

func (s *surfer) signIn(who brokertest.Person) {
	s.t.Helper()
	if got := s.post("/sign-in", url.Values{"token": {secret(who.Token)}}); got.status != 200 || got.to != "/" {
		s.t.Fatalf("signing in: %d to %q: %s", got.status, got.to, got.body)
	}
}

func connectAt(p string) string { return "/external-auth/" + p + "/callback" }

// consents begins, consents as the account, and returns the address that the
// upstream sends the browser back to.
func (s *surfer) consents(address, account string) string {
	s.t.Helper()
	begun := s.get(address)
	if begun.status != 303 || !strings.HasPrefix(begun.to, s.h.IdPURL) {
		s.t.Fatalf("beginning at %s: %d to %q: %s", address, begun.status, begun.to, begun.body)
	}
	return s.approves(begun.to, account)
}

func (s *surfer) approves(target, account string) string {
	s.t.Helper()
	back := s.h.Approve(s.t, broker.AuthorizeAnswer{RedirectURL: target}, account)
	q := url.Values{"state": {secret(back.State)}, "code": {secret(back.Code)}}
	if back.Iss != "" {
		q.Set("iss", back.Iss)
	}
	u, err := url.Parse(inside(s.t, target, "redirect_uri"))
	if err != nil {
		s.t.Fatal(err)
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// connects goes the whole way and fails unless the person ends where it should.
func (s *surfer) connects(address, account, end string) {
	s.t.Helper()
	if done := s.back(s.consents(address, account)); done.status != 303 || done.to != end {
		s.t.Fatalf("connecting %s: %d to %q, want %q: %s", account, done.status, done.to, end, done.body)
	}
}

// wantPage fails unless the page has the status and says all of it.
func wantPage(t testing.TB, p page, status int, says ...string) {
	t.Helper()
	if p.status != status || !strings.HasPrefix(p.header.Get("Content-Type"), "text/html") {
		t.Errorf("got %d %s, want a page with %d: %.500s", p.status, p.header.Get("Content-Type"), status, p.body)
	}
	for _, s := range says {
		if !strings.Contains(p.body, s) {
			t.Errorf("the page does not say %q: %.800s", s, p.body)
		}
	}
}

func login(t testing.TB, h *brokertest.Instance, who brokertest.Person, p string) string {
	t.Helper()
	got := shown(t, h, who, p)
	if got.User == nil {
		return ""
	}
	return got.User.Login
}

func TestAPersonConnectsAnAccount(t *testing.T) {
	eachWith(t, brokertest.Options{RedirectAllow: []string{"https://app.example.com"}}, func(t *testing.T, h *brokertest.Instance) {
		for _, typ := range []string{"test", "github"} {
			p := h.Provider(t, typ).ID
			s := surf(t, h)

			asked := s.get(connectAt(p) + "?redirect=/settings%3Ftab%3D1")
			if asked.status != 303 || !strings.HasPrefix(asked.to, "/sign-in?") {
				t.Fatalf("signed out: %d to %q", asked.status, asked.to)
			}
			form := s.get(asked.to)
			wantPage(t, form, 200, `name="token"`, `value="/settings?tab=1"`, `value="`+p+`"`)
			wrong := s.post("/sign-in", url.Values{"token": {madeUp}, "provider": {p}, "redirect": {"/settings?tab=1"}})
			wantPage(t, wrong, 401, "unknown, expired or revoked", `value="`+p+`"`)
			if strings.Contains(wrong.body, madeUp) || wrong.header.Get("Set-Cookie") != "" {
				t.Errorf("a wrong token is answered with %v %s", wrong.header, wrong.body)
			}
			in := s.post("/sign-in", url.Values{"token": {secret(h.User.Token)}, "provider": {p}, "redirect": {"/settings?tab=1"}})
			if in.status != 200 || in.to != connectAt(p)+"?redirect=%2Fsettings%3Ftab%3D1" {
				t.Fatalf("signed in: %d to %q", in.status, in.to)
			}
			address := s.consents(in.to, "ada")
			if !strings.HasPrefix(address, h.URL+connectAt(p)+"?") {
				t.Errorf("the person comes back to %s", address)
			}
			if done := s.back(address); done.status != 303 || done.to != "/settings?tab=1" {
				t.Fatalf("connected: %d to %q: %s", done.status, done.to, done.body)
			}
			if got := login(t, h, h.User, p); got != "ada" {
				t.Errorf("%s is connected", got)
			}
			if again := s.back(address); again.status != 303 || again.to != "/settings?tab=1" {
				t.Errorf("loaded again: %d to %q: %s", again.status, again.to, again.body)
			}
			other := strings.Replace(address, "code=", "code=x", 1)
			wantPage(t, s.back(other), 400, "Start again", `id="back"`) // another code with the same state
			if n := h.IdP.Stats().CodesReused; n != 0 {
				t.Errorf("a code was sent %d times again", n)
			}
			s.connects(connectAt(p)+"?redirect="+url.QueryEscape("https://app.example.com/done#top"[:28]), "ada", "https://app.example.com/done")
			s.connects(connectAt(p), "ada", "/external-auth/"+p+"/connected")
			wantPage(t, s.get("/external-auth/"+p+"/connected"), 200, "Connected", `<dd id="account">ada</dd>`, "<code>", "Signed in as ada of acme")
		}
	})
}

// A2: a consent completes in the session that began it, and nowhere else; whatever
// comes back elsewhere spends nothing.
func TestA2_AConsentOfThePagesCompletesInItsSessionAlone(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, nil)
		s, again, colleague, nobodyAtAll := surf(t, h), surf(t, h), surf(t, h), surf(t, h)
		s.signIn(h.User)
		again.signIn(h.User) // the same person in another session
		colleague.signIn(h.Colleague)
		address := s.consents(connectAt(p), "ada")
		q, _ := url.Parse(address)
		wantPage(t, again.back(address), 400)
		wantPage(t, colleague.back(address), 400)
		wantPage(t, nobodyAtAll.back(address), 401, "Sign in")
		want(t, 400, h.Do(t, h.User, "POST", callback, object{"providerId": p, "state": q.Query().Get("state"), "code": q.Query().Get("code")}))
		declined := connectAt(p) + "?" + url.Values{"state": {q.Query().Get("state")}, "error": {"access_denied"}}.Encode()
		wantPage(t, colleague.back(declined), 400)
		if done := s.back(address); done.status != 303 {
			t.Fatalf("in its own session: %d %s", done.status, done.body)
		}
		if got := login(t, h, h.User, p); got != "ada" || login(t, h, h.Colleague, p) != "" {
			t.Errorf("%q is connected", got)
		}
		// signing in again is another session.
		late := s.consents(connectAt(p), "ada")
		s.signIn(h.User)
		wantPage(t, s.back(late), 400)
		// Nor do other providers, states and times do.
		other := createID(t, h, object{"name": "Other"})
		fresh := s.consents(connectAt(p), "ada")
		wantPage(t, s.back(strings.Replace(fresh, p, other, 1)), 400)
		wantPage(t, s.back(connectAt(p)+"?code=x&state="+unknownID), 400)
		wantPage(t, s.back(connectAt(p)+"?code=x"), 400)
		wantPage(t, s.back(connectAt(p)+"?state=x"), 400)
		change(t, h, statesAreTooOld)
		wantPage(t, s.back(fresh), 400)
		// A program reads the one error body.
		r, _ := http.NewRequest("GET", h.URL+connectAt(p)+"?code=x&state=xxxxxxxx", nil)
		res := bare(t, r)
		if body := read(t, res); res.StatusCode != 401 || res.Header.Get("Content-Type") != "application/json" || !strings.Contains(body, `"message":"`) {
			t.Errorf("a program gets %s %s", res.Status, body)
		}
	})
}

// Consents that a client of the API began return here too, where the person reads
// that the client must finish them, signed in or not.
func TestA2_AConsentOfTheAPIIsNotCompletedInThePages(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, nil)
		begun := begin(t, h, h.User, p, url.Values{})
		s := surf(t, h)
		address := s.approves(begun.RedirectURL, "ada")
		wantPage(t, s.back(address), 200, "Almost done")
		s.signIn(h.User)
		wantPage(t, s.back(address), 200, "Almost done")
		q, _ := url.Parse(address)
		want(t, 200, h.Do(t, h.User, "POST", callback, object{"providerId": p, "state": begun.State, "code": q.Query().Get("code")}))
	})
}

func TestTwoTabsTwoProviders(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		first, second := createID(t, h, nil), createID(t, h, gitHubAt(h, nil))
		s := surf(t, h)
		s.signIn(h.User)
		one := s.consents(connectAt(first), "ada")
		two := s.consents(connectAt(second)+"?redirect=/two", "grace")
		three := s.consents(connectAt(first), "ada") // and once more in a third
		if done := s.back(two); done.to != "/two" {
			t.Errorf("the second tab ends at %q: %s", done.to, done.body)
		}
		for _, address := range []string{one, three} {
			if done := s.back(address); done.to != "/external-auth/"+first+"/connected" {
				t.Errorf("the first tab ends at %q: %s", done.to, done.body)
			}
		}
		if a, b := login(t, h, h.User, first), login(t, h, h.User, second); a != "ada" || b != "grace" {
			t.Errorf("connected are %q and %q", a, b)
		}
	})
}

// Whom another site sends is asked first; forms of other sites do nothing.
func TestAStartFromAnotherSiteIsAskedAbout(t *testing.T) {
	h := embedded(t)
	p := createID(t, h, object{"name": `<b>"Tools"</b>`})
	s := surf(t, h)
	s.signIn(h.User)
	flows := func() string { return strings.Join(column(t, h, `SELECT id FROM flows`), " ") }
	for name, header := range map[string]http.Header{
		"another site": from("cross-site"), "a neighbour": from("same-site"), "a browser that does not say": nil,
		"one that says where": {"Referer": {"https://evil.example/"}}, "one that begins alike": {"Referer": {h.URL + ".evil.example/"}},
	} {
		got := s.send("GET", connectAt(p)+"?redirect=/x", "", header)
		wantPage(t, got, 200, `<form method="post" action="/external-auth/`+p+`/callback">`, `value="/x"`, "&lt;b&gt;")
		if got.to != "" || flows() != "" {
			t.Errorf("%s: begun, to %q", name, got.to)
		}
	}
	form := url.Values{"redirect": {"/x"}}.Encode()
	for name, header := range map[string]http.Header{
		"another site": from("cross-site"), "a neighbour": from("same-site"), "no origin": {"Origin": {"null"}}, "another origin": {"Origin": {"https://evil.example"}},
	} {
		for _, path := range []string{connectAt(p), "/external-auth/" + p + "/confirm", "/sign-in", "/sign-out"} {
			got := s.send("POST", path, form+"&token="+url.QueryEscape(secret(h.Colleague.Token)), header)
			wantPage(t, got, 403, "another site")
			if flows() != "" || got.header.Get("Set-Cookie") != "" {
				t.Errorf("%s: a form to %s did something: %v", name, path, got.header)
			}
		}
	}
	if begun := s.send("GET", connectAt(p), "", http.Header{"Referer": {h.URL + "/sign-in"}}); begun.status != 303 {
		t.Errorf("from a page of ours, in a browser that does not say: %d", begun.status)
	}
	begun := s.post(connectAt(p), url.Values{"redirect": {"/x"}})
	if begun.status != 200 || !strings.HasPrefix(begun.to, h.IdPURL) {
		t.Fatalf("the button: %d to %q", begun.status, begun.to)
	}
	if done := s.back(s.approves(begun.to, "ada")); done.to != "/x" {
		t.Errorf("it ends at %q: %s", done.to, done.body)
	}
	wantPage(t, surf(t, h).post(connectAt(p), nil), 401)
}

// Who a person acts as does not change without a word.
func TestAnotherAccountIsAskedAbout(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		// Other people at each, since both providers are one client to the upstream.
		for typ, people := range map[string][2]string{"test": {"ada", "grace"}, "github": {"linus", "eve"}} {
			p, first, second := h.Provider(t, typ).ID, people[0], people[1]
			s, other := surf(t, h), surf(t, h)
			s.signIn(h.User)
			other.signIn(h.User)
			connected := "/external-auth/" + p + "/connected"
			s.connects(connectAt(p), first, connected)
			// A token without an owner is revoked alone, so tokens are counted.
			living := func() int64 { return h.IdP.Stats().LiveAccessTokens }
			left := living()

			askedAt := func() (string, url.Values) {
				t.Helper()
				asked := s.back(s.consents(connectAt(p)+"?redirect=/home", second))
				if asked.status != 303 || !strings.HasPrefix(asked.to, "/external-auth/"+p+"/confirm?flow=") {
					t.Fatalf("asked: %d to %q: %s", asked.status, asked.to, asked.body)
				}
				return asked.to, url.Values{"flow": {inside(t, asked.to, "flow")}}
			}
			question, form := askedAt()
			wantPage(t, s.get(question), 200, `<strong id="was">`+first+`</strong>`, `<strong id="now">`+second+`</strong>`)
			if got := login(t, h, h.User, p); got != first {
				t.Errorf("before the answer %q is connected", got)
			}
			form.Set("answer", "connect")
			wantPage(t, other.get(question), 400)
			wantPage(t, other.post("/external-auth/"+p+"/confirm", form), 400)
			form.Set("answer", "keep")
			wantPage(t, other.post("/external-auth/"+p+"/confirm", form), 400)
			if living() != left+1 {
				t.Errorf("%d tokens upstream while asking", living())
			}
			wantPage(t, s.post("/external-auth/"+p+"/confirm", form), 200, "Nothing changed")
			brokertest.Eventually(t, "what was declined is revoked", func() bool { return living() == left })
			form.Set("answer", "connect")
			wantPage(t, s.post("/external-auth/"+p+"/confirm", form), 400) // too late
			form.Set("answer", "keep")
			wantPage(t, s.post("/external-auth/"+p+"/confirm", form), 200, "Nothing changed", `href="/home"`) // the same answer again
			wantPage(t, s.get(question), 200, "Nothing changed")

			// Nobody answers: revoked with the flow.
			askedAt()
			change(t, h, statesAreTooOld)
			brokertest.Eventually(t, "what nobody answered for is revoked", func() bool { return living() == left })
			if got := login(t, h, h.User, p); got != first {
				t.Errorf("%q is connected", got)
			}

			question, form = askedAt()
			form.Set("answer", "connect")
			if strings.HasPrefix(h.DatabaseURL, "sqlite:") {
				h.Clock.Advance(time.Second)
			}
			if done := s.post("/external-auth/"+p+"/confirm", form); done.status != 200 || done.to != "/home" {
				t.Errorf("confirmed: %d to %q: %s", done.status, done.to, done.body)
			}
			if got := login(t, h, h.User, p); got != second {
				t.Errorf("after the answer %q is connected", got)
			}
			if again := s.get(question); again.status != 303 || again.to != "/home" {
				t.Errorf("the question, answered: %d to %q", again.status, again.to)
			}
			if page := want(t, 200, h.Do(t, h.User, "GET", root+"authorizedProviders/?providerId="+p, nil)); page["count"] != 2.0 {
				t.Errorf("%v authorizations", page["count"])
			}
		}
	})
}

// A session ends with its token, and with signing out.
func TestASessionEndsWithItsToken(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, nil)
		signedOut := func(s *surfer, why string) {
			t.Helper()
			if got := s.get(connectAt(p)); got.status != 303 || !strings.HasPrefix(got.to, "/sign-in") {
				t.Errorf("%s: %d to %q", why, got.status, got.to)
			}
			wantPage(t, s.get("/sign-in"), 200, `name="token"`)
		}
		for why, end := range map[string]func(*surfer, brokertest.Person){
			"revoked": func(_ *surfer, who brokertest.Person) {
				if _, err := h.Service.RevokeAPIToken(ctx, who.Caller.TokenID, false); err != nil {
					t.Fatal(err)
				}
			},
			"expired": func(_ *surfer, who brokertest.Person) {
				change(t, h, `UPDATE api_tokens SET expires_at = created_at WHERE id = '`+who.Caller.TokenID+`'`)
			},
			"signed out": func(s *surfer, _ brokertest.Person) { wantPage(t, s.post("/sign-out", nil), 200, "Signed out") },
			"out of time": func(*surfer, brokertest.Person) {
				change(t, h, `UPDATE browser_sessions SET expires_at = '2020-01-01 00:00:00'`)
			},
		} {
			who := h.Person(t, "acme", "eve", models.RoleUser)
			s := surf(t, h)
			s.signIn(who)
			wantPage(t, s.get("/"), 200, "Signed in as eve of acme")
			address := s.consents(connectAt(p), "ada")
			end(s, who)
			wantPage(t, s.back(address), 401)
			signedOut(s, why)
		}
		brokertest.Eventually(t, "sessions that are over are forgotten", func() bool {
			return len(column(t, h, `SELECT 'x' FROM browser_sessions WHERE expires_at < '2021-01-01'`)) == 0
		})
	})
}

// A session id that somebody planted is worth nothing, and the table of sessions
// signs nobody in.
func TestSessionsCannotBePlantedOrCopied(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		site, _ := url.Parse(h.URL)
		s := surf(t, h)
		planted := &http.Cookie{Name: "grantd_session", Value: "planted-by-somebody-else-00000000000000000", Path: "/"}
		s.http.Jar.SetCookies(site, []*http.Cookie{planted})
		in := s.post("/sign-in", url.Values{"token": {secret(h.User.Token)}})
		cookie := in.header.Get("Set-Cookie")
		for _, flag := range []string{"Path=/", "HttpOnly", "SameSite=Lax"} {
			if !strings.Contains(cookie, flag) {
				t.Errorf("the cookie is %s", cookie)
			}
		}
		first := s.http.Jar.Cookies(site)[0].Value
		if first == planted.Value || strings.Contains(cookie, "Expires") {
			t.Errorf("the planted id stays: %s", cookie)
		}
		s.signIn(h.User)
		second := s.http.Jar.Cookies(site)[0].Value
		if second == first {
			t.Error("signing in again keeps the id")
		}
		for _, id := range []string{planted.Value, first} {
			thief := surf(t, h)
			thief.http.Jar.SetCookies(site, []*http.Cookie{{Name: "grantd_session", Value: id, Path: "/"}})
			wantPage(t, thief.get("/sign-in"), 200, `name="token"`)
		}
		if kept := dump(t, h); strings.Contains(kept, second) || strings.Contains(kept, secret(h.User.Token)) {
			t.Error("the database keeps what the cookie holds")
		}
		// The session counts for the pages alone.
		r, _ := http.NewRequest("GET", h.URL+externalAuth, nil)
		r.AddCookie(&http.Cookie{Name: "grantd_session", Value: second})
		want(t, 401, h.Send(t, r))
	})
}

func TestA1_NobodyIsSentElsewhere(t *testing.T) {
	t.Parallel()
	h := brokertest.New(t, &brokertest.Options{RedirectAllow: []string{"https://app.example.com"}})
	p := createID(t, h, nil)
	s := surf(t, h)
	s.signIn(h.User)
	for _, to := range []string{
		"//evil.example", `/\evil.example`, `\\evil.example`, `/\/evil.example`, "https://evil.example/", "http://app.example.com/", "https://app.example.com.evil.example/",
		"https://app.example.com@evil.example/", "https://app.example.com:444/", "javascript:alert(1)", "data:text/html,x", "https:evil.example", "https:/evil.example",
		"/\t/evil.example", "/\n/evil.example", " //evil.example", "evil.example", "///evil.example", "http://localhost:5173/", "http://127.0.0.1:1/", "/" + strings.Repeat("x", 2000),
	} {
		q := "?redirect=" + url.QueryEscape(to)
		wantPage(t, s.get(connectAt(p)+q), 400, "redirect must be")
		wantPage(t, surf(t, h).get(connectAt(p)+q), 400) // nor by way of signing in
		if got := s.post(connectAt(p), url.Values{"redirect": {to}}); got.status != 400 || got.to != "" {
			t.Errorf("%q: %d to %q", to, got.status, got.to)
		}
		in := surf(t, h).post("/sign-in", url.Values{"token": {secret(h.User.Token)}, "provider": {p}, "redirect": {to}})
		if !strings.HasPrefix(in.to, connectAt(p)) {
			t.Errorf("signing in leads to %q", in.to)
		}
		if in = surf(t, h).post("/sign-in", url.Values{"token": {secret(h.User.Token)}, "provider": {to}}); !strings.HasPrefix(in.to, "/external-auth/") || strings.ContainsAny(in.to, "\\\n") {
			t.Errorf("signing in leads to %q", in.to)
		}
	}
	for _, to := range []string{"/", "/a/b?c=d", "/%2f%2fevil.example", h.URL + "/x", "https://app.example.com/x?y"} {
		if begun := s.get(connectAt(p) + "?redirect=" + url.QueryEscape(to)); begun.status != 303 {
			t.Errorf("%q: %d %s", to, begun.status, begun.body)
		}
	}
}

// A list of redirect addresses that leaves out our own keeps people from consents
// that could not return here.
func TestA1_TheListOfAProviderCountsForThePagesToo(t *testing.T) {
	h := embedded(t)
	p := createID(t, h, object{"redirectUris": []any{"https://app.example.com/callback"}})
	s := surf(t, h)
	s.signIn(h.User)
	wantPage(t, s.get(connectAt(p)), 409, "redirectUris")
	want(t, 200, h.Do(t, h.Admin, "PATCH", provider(p), object{"redirectUris": []any{"https://app.example.com/callback", h.URL + connectAt(p)}}))
	s.connects(connectAt(p), "ada", "/external-auth/"+p+"/connected")
}

// A3: the test server promises an iss in every answer; in the pages one that lacks
// it is refused.
func TestA3_ThePagesInsistOnAPromisedIssuer(t *testing.T) {
	h := embedded(t)
	p := createID(t, h, nil)
	s := surf(t, h)
	s.signIn(h.User)
	for _, iss := range []string{"", "https://evil.example"} {
		address, _ := url.Parse(s.consents(connectAt(p), "ada"))
		q := address.Query()
		q.Set("iss", iss)
		wantPage(t, s.back(connectAt(p)+"?"+q.Encode()), 400, "a different issuer")
	}
	if grants := h.IdP.Stats().Calls[testidp.Exchange]; grants != 0 {
		t.Errorf("%d codes were spent", grants)
	}
}

func TestAPersonDeclinesInThePages(t *testing.T) {
	h := embedded(t)
	p := createID(t, h, nil)
	s := surf(t, h)
	s.signIn(h.User)
	begun := s.get(connectAt(p) + "?redirect=%2Fsettings")
	q := url.Values{"state": {inside(t, begun.to, "state")}, "error": {"access_denied"}, "error_description": {madeUp}, "iss": {h.IdPURL}}
	got := s.back(connectAt(p) + "?" + q.Encode())
	wantPage(t, got, 200, "You chose not to connect", `id="back" href="/settings"`, `id="again" class="quiet" href="`+connectAt(p)+`?redirect=%2Fsettings"`)
	wantPage(t, s.back(connectAt(p)+"?"+q.Encode()), 200, "You chose not to connect") // loaded again
	if strings.Contains(got.body, madeUp) {
		t.Errorf("the page repeats what the address says: %s", got.body)
	}
	wantPage(t, s.back(s.approves(begun.to, "ada")), 400) // the state is spent
}

// Finding 6: people who pressed Deny lost where they had come from, and read that their
// choice "did not work".
func TestWhoDeclinesInThePagesFindsTheWayBack(t *testing.T) {
	h := embedded(t)
	p := createID(t, h, nil)
	s := surf(t, h)
	s.signIn(h.User)
	for code, page := range map[string]struct {
		status int
		says   string
	}{"access_denied": {200, "You chose not to connect"}, "invalid_scope": {400, "invalid_scope"}} {
		begun := s.get(connectAt(p) + "?redirect=" + url.QueryEscape("/app?from=grantd"))
		q := url.Values{"state": {inside(t, begun.to, "state")}, "error": {code}, "iss": {h.IdPURL}}
		wantPage(t, s.back(connectAt(p)+"?"+q.Encode()), page.status, page.says, `id="back" href="/app?from=grantd"`, `href="/external-auth/`+p+`/callback?redirect=%2Fapp%3Ffrom%3Dgrantd"`)
	}
}

// What comes after installing a GitHub App proves nothing and connects nobody.
func TestTrap23_AnInstalledAppConnectsNobody(t *testing.T) {
	h := embedded(t)
	p := createID(t, h, gitHubAt(h, object{"appSlug": "our-app"}))
	s := surf(t, h)
	for range 2 {
		wantPage(t, s.back(connectAt(p)+"?installation_id=7&setup_action=install"), 200, `href="/external-auth/`+p+`/callback"`, "connects nobody")
		wantPage(t, s.back(connectAt(p)+"?setup_action=request"), 200, "approve")
		wantPage(t, s.back(connectAt(p)+"?code=made-up&installation_id=7&setup_action=install"), 200, "connects nobody")
		wantPage(t, s.back(connectAt(p)+"?code=made-up&state=made-up-too&installation_id=7&setup_action=install"), 200, "connects nobody")
		s.signIn(h.User)
	}
	// With a consent of the session it is one.
	address := s.consents(connectAt(p), "ada")
	if done := s.back(address + "&installation_id=7&setup_action=install"); done.status != 303 {
		t.Errorf("%d %s", done.status, done.body)
	}
}

// Neither the log, nor the database, nor a page tells a code, a state or a token.
func TestThePagesTellNoSecret(t *testing.T) {
	t.Parallel()
	brokertest.Each(t, func(t *testing.T, b brokertest.Backend) {
		h, spy := spied(t, brokertest.Options{Backend: b})
		p := createID(t, h, nil)
		s := surf(t, h)
		spy.learn("API token", secret(h.User.Token))
		s.signIn(h.User)
		site, _ := url.Parse(h.URL)
		spy.learn("session", s.http.Jar.Cookies(site)[0].Value)
		var pages strings.Builder
		for _, account := range []string{"ada", "grace"} {
			begun := s.get(connectAt(p))
			spy.learn("state", inside(t, begun.to, "state"))
			address := s.approves(begun.to, account)
			done := s.back(address)
			replayed := s.back(address)
			wrong := s.back(connectAt(p) + "?state=" + url.QueryEscape(madeUp) + "&code=" + url.QueryEscape(madeUp))
			spy.learn("made-up", madeUp)
			next := s.get(done.to)
			for _, got := range []page{done, replayed, wrong, next} {
				pages.WriteString(got.body + got.to)
			}
		}
		reads[sdkAgent](t, sdk(t, h, h.User, "GET", agentAuth+"?id="+p))
		for name, told := range map[string]string{"the log": h.Log.String(), "the pages": pages.String(), "the database": dump(t, h)} {
			if found := spy.leaks(told); found != nil {
				t.Errorf("%s: %v", name, found)
			}
		}
		if kinds := spy.kinds(); !slices.Contains(kinds, "code") || !slices.Contains(kinds, "access_token") || !slices.Contains(kinds, "state") {
			t.Errorf("met only %v", kinds)
		}
	})
}
