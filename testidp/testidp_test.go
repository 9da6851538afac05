package testidp_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/grantd/grantd/testidp"
)

const (
	clientID = "app"
	secret   = "s3cret"
	callback = "https://app.test/callback?keep=1"
	verifier = "a-verifier-that-is-long-enough-to-be-one-0123456789"
)

// bench is a server, and a client that follows no redirects.
type bench struct {
	*testing.T
	idp  *testidp.Server
	url  string
	http *http.Client
}

func setup(t *testing.T, o testidp.Options) *bench {
	t.Helper()
	if o.Clients == nil {
		o.Clients = []testidp.Client{{ID: clientID, Secret: secret, RedirectURIs: []string{callback}}}
	}
	idp, url := testidp.Start(t, o)
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return &bench{t, idp, url, client}
}

// answer is a response that has been read.
type answer struct {
	status int
	header http.Header
	text   string
	fields map[string]any // of a JSON object
}

func (a answer) str(name string) string { s, _ := a.fields[name].(string); return s }

func (b *bench) do(r *http.Request) answer {
	b.Helper()
	resp, err := b.http.Do(r)
	if err != nil {
		b.Fatalf("%s %s: %v", r.Method, r.URL.Path, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.Fatalf("%s %s: %v", r.Method, r.URL.Path, err)
	}
	a := answer{status: resp.StatusCode, header: resp.Header, text: string(body)}
	json.Unmarshal(body, &a.fields)
	return a
}

func (b *bench) request(method, path, body string) *http.Request {
	b.Helper()
	r, err := http.NewRequestWithContext(b.Context(), method, b.url+path, strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	return r
}

// post sends a form with the client's credentials in it.
func (b *bench) post(path string, pairs ...string) answer {
	b.Helper()
	return b.postForm(path, append([]string{"client_id", clientID, "client_secret", secret}, pairs...)...)
}

func (b *bench) postForm(path string, pairs ...string) answer {
	b.Helper()
	r := b.request("POST", path, form(pairs...).Encode())
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	return b.do(r)
}

func form(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Add(pairs[i], pairs[i+1])
	}
	return v
}

func (b *bench) get(path, access string) answer {
	b.Helper()
	r := b.request("GET", path, "")
	if access != "" {
		r.Header.Set("Authorization", "Bearer "+access)
	}
	return b.do(r)
}

// authorize makes a sound authorization request, changed by pairs; an empty
// value removes a parameter.
func (b *bench) authorize(path string, pairs ...string) answer {
	b.Helper()
	sum := sha256.Sum256([]byte(verifier))
	v := form("response_type", "code", "client_id", clientID, "redirect_uri", callback, "scope", "profile email",
		"state", "st", "code_challenge", base64.RawURLEncoding.EncodeToString(sum[:]), "code_challenge_method", "S256")
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
		if pairs[i+1] == "" {
			v.Del(pairs[i])
		}
	}
	return b.get(path+"?"+v.Encode(), "")
}

// returned is the query the client gets back.
func (b *bench) returned(a answer) url.Values {
	b.Helper()
	u, err := url.Parse(a.header.Get("Location"))
	if err != nil || u.Host != "app.test" {
		b.Fatalf("status %d to %q, want a redirect to the client", a.status, a.header.Get("Location"))
	}
	return u.Query()
}

func (b *bench) code(path string, pairs ...string) string {
	b.Helper()
	return b.returned(b.authorize(path, pairs...)).Get("code")
}

func (b *bench) exchange(code string, pairs ...string) answer {
	b.Helper()
	return b.post("/token", append([]string{"grant_type", "authorization_code", "code", code,
		"redirect_uri", callback, "code_verifier", verifier}, pairs...)...)
}

func (b *bench) refresh(token string, pairs ...string) answer {
	b.Helper()
	return b.post("/token", append([]string{"grant_type", "refresh_token", "refresh_token", token}, pairs...)...)
}

// alive says whether the access token opens userinfo.
func (b *bench) alive(access string) bool {
	b.Helper()
	return b.get("/userinfo", access).status == 200
}

func (a answer) want(t *testing.T, status int, oauthError string) {
	t.Helper()
	if a.status != status || a.str("error") != oauthError {
		t.Errorf("got %d %q, want %d %q; body %s", a.status, a.str("error"), status, oauthError, a.text)
	}
}

func TestCodeFlow(t *testing.T) {
	t.Parallel()
	b := setup(t, testidp.Options{AutoConsent: true, AccessTTL: 10 * time.Minute})

	back := b.returned(b.authorize("/authorize", "login_hint", "grace"))
	if diff := cmp.Diff([]string{"1", "st", b.url}, []string{back.Get("keep"), back.Get("state"), back.Get("iss")}); diff != "" {
		t.Errorf("keep, state, iss (-want +got):\n%s", diff)
	}
	tokens := b.exchange(back.Get("code"))
	tokens.want(t, 200, "")
	if got := tokens.fields["expires_in"]; got != 600.0 {
		t.Errorf("expires_in = %v, want 600", got)
	}
	if got := tokens.str("scope"); got != "profile email" {
		t.Errorf("scope = %q", got)
	}
	if got := tokens.header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control = %q", got)
	}

	me := b.get("/userinfo", tokens.str("access_token"))
	if me.str("sub") != "grace" || me.str("name") != "Grace Hopper" {
		t.Errorf("userinfo = %s", me.text)
	}
	if picture := b.get(strings.TrimPrefix(me.str("picture"), b.url), ""); !strings.Contains(picture.text, ">G</text>") {
		t.Errorf("picture = %s", picture.text)
	}
	seen := b.post("/introspect", "token", tokens.str("access_token"))
	if seen.fields["active"] != true || seen.str("username") != "grace" {
		t.Errorf("introspection = %s", seen.text)
	}
}

func TestMetadataNamesWhatIsThere(t *testing.T) {
	t.Parallel()
	b := setup(t, testidp.Options{})
	doc := b.get("/.well-known/oauth-authorization-server", "")
	if doc.str("issuer") != b.url {
		t.Errorf("issuer = %q, want %q", doc.str("issuer"), b.url)
	}
	for name, value := range doc.fields {
		if !strings.HasSuffix(name, "_endpoint") {
			continue
		}
		path := strings.TrimPrefix(value.(string), b.url)
		if got := b.postForm(path).status; got == 404 {
			t.Errorf("%s: nothing at %s", name, path)
		}
	}
}

func TestAuthorizeRefusals(t *testing.T) {
	t.Parallel()
	b := setup(t, testidp.Options{AutoConsent: true})

	toClient := map[string][]string{
		"unsupported_response_type": {"response_type", "token"},
		"invalid_request":           {"code_challenge_method", "plain"},
	}
	for want, change := range toClient {
		if got := b.returned(b.authorize("/authorize", change...)).Get("error"); got != want {
			t.Errorf("%v: error %q, want %q", change, got, want)
		}
	}
	// A challenge without a method means plain.
	if got := b.returned(b.authorize("/authorize", "code_challenge_method", "")).Get("error"); got != "invalid_request" {
		t.Errorf("no method: error %q", got)
	}
	for _, change := range [][]string{
		{"client_id", "nobody"},
		{"redirect_uri", "https://evil.test/"},
	} {
		a := b.authorize("/authorize", change...)
		if a.status != 400 || a.header.Get("Location") != "" {
			t.Errorf("%v: %d to %q, want an error page", change, a.status, a.header.Get("Location"))
		}
	}
}

func TestExchangeRefusals(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change []string
		want   string
	}{
		{"wrong verifier", []string{"code_verifier", strings.Repeat("x", 43)}, "invalid_grant"},
		{"no verifier", []string{"code_verifier", ""}, "invalid_grant"},
		{"other redirect_uri", []string{"redirect_uri", callback + "x"}, "invalid_grant"},
		{"no redirect_uri", []string{"redirect_uri", ""}, "invalid_grant"},
		{"unknown code", []string{"code", "x"}, "invalid_grant"},
		{"no grant_type", []string{"grant_type", ""}, "invalid_request"},
		{"other grant_type", []string{"grant_type", "password"}, "unsupported_grant_type"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, testidp.Options{AutoConsent: true})
			v := form("client_id", clientID, "client_secret", secret, "grant_type", "authorization_code",
				"code", b.code("/authorize"), "redirect_uri", callback, "code_verifier", verifier)
			v.Set(test.change[0], test.change[1])
			if test.change[1] == "" {
				v.Del(test.change[0])
			}
			var pairs []string
			for name := range v {
				pairs = append(pairs, name, v.Get(name))
			}
			b.postForm("/token", pairs...).want(t, 400, test.want)
		})
	}
}

func TestVerifierWithoutChallengeIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, testidp.Options{AutoConsent: true})
	code := b.code("/authorize", "code_challenge", "", "code_challenge_method", "")
	b.exchange(code).want(t, 400, "invalid_grant")
}

func TestPublicClientMustUsePKCE(t *testing.T) {
	t.Parallel()
	b := setup(t, testidp.Options{AutoConsent: true, Clients: []testidp.Client{{ID: clientID}}})
	back := b.returned(b.authorize("/authorize", "code_challenge", "", "code_challenge_method", ""))
	if back.Get("error") != "invalid_request" {
		t.Errorf("error = %q", back.Get("error"))
	}
	b.postForm("/token", "client_id", clientID, "grant_type", "authorization_code", "code", b.code("/authorize"),
		"redirect_uri", callback, "code_verifier", verifier).want(t, 200, "")
}

func TestCodeReuseTakesTheTokensBack(t *testing.T) {
	t.Parallel()
	b := setup(t, testidp.Options{AutoConsent: true})
	code := b.code("/authorize")
	first := b.exchange(code)
	b.exchange(code).want(t, 400, "invalid_grant")
	if b.alive(first.str("access_token")) {
		t.Error("the access token survived the reuse of its code")
	}
	if got := b.idp.Stats(); got.CodesReused != 1 || got.LiveGrants != 0 {
		t.Errorf("stats = %+v", got)
	}
}

func TestCodesExpire(t *testing.T) {
	t.Parallel()
	var clock clock
	b := setup(t, testidp.Options{AutoConsent: true, CodeTTL: time.Minute, Now: clock.now})
	code := b.code("/authorize")
	clock.advance(time.Minute)
	b.exchange(code).want(t, 400, "invalid_grant")
}

func TestClientAuthentication(t *testing.T) {
	t.Parallel()
	// Everything that a careless client breaks: RFC 6749 encodes it, RFC 7617 does not.
	const id, odd = "app%2B:/", "a+b/c%2Fd:e f"
	b := setup(t, testidp.Options{Clients: []testidp.Client{{ID: id, Secret: odd}, {ID: "plain", Secret: odd}}})
	_, token := b.idp.Mint(id, "ada")

	basic := func(id, secret string, pairs ...string) answer {
		r := b.request("POST", "/introspect", form(append(pairs, "token", token)...).Encode())
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth(id, secret)
		return b.do(r)
	}
	basic(url.QueryEscape(id), url.QueryEscape(odd)).want(t, 200, "")
	raw := basic(id, odd)
	raw.want(t, 401, "invalid_client")
	if raw.header.Get("WWW-Authenticate") == "" {
		t.Error("no WWW-Authenticate")
	}
	b.postForm("/introspect", "token", token, "client_id", id, "client_secret", odd).want(t, 200, "")
	b.postForm("/introspect", "token", token, "client_id", id, "client_secret", "wrong").want(t, 401, "invalid_client")
	basic(url.QueryEscape(id), url.QueryEscape(odd), "client_secret", odd).want(t, 400, "invalid_request")
	basic(url.QueryEscape(id), url.QueryEscape(odd), "client_id", "plain").want(t, 400, "invalid_request")
	b.postForm("/introspect", "token", token, "client_id", id, "client_id", id, "client_secret", odd).want(t, 400, "invalid_request")

	b.idp.SetSecret(id, "new")
	b.postForm("/introspect", "token", token, "client_id", id, "client_secret", odd).want(t, 401, "invalid_client")
	b.postForm("/introspect", "token", token, "client_id", id, "client_secret", "new").want(t, 200, "")
}

func TestMintAccessGivesNothingElse(t *testing.T) {
	t.Parallel()
	b := setup(t, testidp.Options{})
	access := b.idp.MintAccess(clientID, "ada")
	if s := b.idp.Stats(); s.LiveAccessTokens != 1 || s.LiveRefreshTokens != 0 || s.LiveGrants != 1 {
		t.Errorf("%d access tokens, %d refresh tokens and %d grants live; want 1, 0, 1", s.LiveAccessTokens, s.LiveRefreshTokens, s.LiveGrants)
	}
	b.post("/revoke", "token", access).want(t, 200, "")
	if n := b.idp.Stats().LiveGrants; n != 0 {
		t.Errorf("%d grants live after their only token was revoked", n)
	}
}

func TestRefreshRotates(t *testing.T) {
	t.Parallel()
	b := setup(t, testidp.Options{})
	access, refresh := b.idp.Mint(clientID, "ada")

	second := b.refresh(refresh)
	second.want(t, 200, "")
	if b.alive(access) || !b.alive(second.str("access_token")) {
		t.Error("the old access token should die and the new one live")
	}
	b.refresh(second.str("refresh_token"), "scope", "profile everything").want(t, 400, "invalid_scope")
	third := b.refresh(second.str("refresh_token"), "scope", "profile")
	if third.str("scope") != "profile" {
		t.Errorf("scope = %q, want profile", third.str("scope"))
	}

	b.refresh(refresh).want(t, 400, "invalid_grant")
	if b.alive(third.str("access_token")) {
		t.Error("reuse must kill the whole grant")
	}
	b.refresh(third.str("refresh_token")).want(t, 400, "invalid_grant")
	if got := b.idp.Stats(); got.RefreshReused != 1 || got.LiveGrants != 0 || got.Calls[testidp.Refresh] != 5 {
		t.Errorf("stats = %+v", got)
	}
}

func TestRefreshTokensBelongToTheirClient(t *testing.T) {
	t.Parallel()
	b := setup(t, testidp.Options{})
	b.idp.AddClient(testidp.Client{ID: "other", Secret: "x"})
	access, refresh := b.idp.Mint(clientID, "ada")
	other := []string{"client_id", "other", "client_secret", "x"}

	b.postForm("/token", append(other, "grant_type", "refresh_token", "refresh_token", refresh)...).want(t, 400, "invalid_grant")
	b.postForm("/revoke", append(other, "token", refresh)...).want(t, 400, "unauthorized_client")
	if seen := b.postForm("/introspect", append(other, "token", access)...); seen.fields["active"] != false {
		t.Errorf("introspection by another client = %s", seen.text)
	}
	b.refresh(refresh).want(t, 200, "")
}

func TestTokensExpire(t *testing.T) {
	t.Parallel()
	var clock clock
	b := setup(t, testidp.Options{RefreshTTL: time.Hour, Now: clock.now})
	b.idp.SetAccessTTL(time.Minute)
	access, refresh := b.idp.Mint(clientID, "ada")
	clock.advance(time.Minute)
	if b.alive(access) {
		t.Error("the access token outlived its time")
	}
	renewed := b.refresh(refresh)
	if n := b.idp.ExpireAccessTokens(); n != 1 {
		t.Errorf("expired %d, want 1", n)
	}
	if b.alive(renewed.str("access_token")) {
		t.Error("ExpireAccessTokens left one valid")
	}
	clock.advance(time.Hour)
	b.refresh(renewed.str("refresh_token")).want(t, 400, "invalid_grant")
	if got := b.idp.Stats().LiveGrants; got != 0 {
		t.Errorf("%d live grants", got)
	}
}

func TestRevoke(t *testing.T) {
	t.Parallel()
	b := setup(t, testidp.Options{})

	access, refresh := b.idp.Mint(clientID, "ada")
	b.post("/revoke", "token", access).want(t, 200, "")
	if b.alive(access) {
		t.Error("the access token was revoked and lives")
	}
	renewed := b.refresh(refresh)
	renewed.want(t, 200, "")

	b.post("/revoke", "token", refresh).want(t, 200, "") // spent: invalid already
	if !b.alive(renewed.str("access_token")) {
		t.Error("revoking a spent refresh token did something")
	}
	_, sibling := b.idp.Mint(clientID, "ada")
	b.post("/revoke", "token", renewed.str("refresh_token")).want(t, 200, "")
	if b.alive(renewed.str("access_token")) {
		t.Error("the access token survived its refresh token")
	}
	b.post("/revoke", "token", "unknown").want(t, 200, "")
	b.post("/revoke").want(t, 400, "invalid_request")
	b.refresh(sibling).want(t, 200, "") // another consent of the same person
}

func TestConcurrentRefreshesSucceedAtMostOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, testidp.Options{})
	_, refresh := b.idp.Mint(clientID, "ada")
	body := form("client_id", clientID, "client_secret", secret, "grant_type", "refresh_token", "refresh_token", refresh).Encode()

	statuses := make(chan int, 50)
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			resp, err := b.http.Post(b.url+"/token", "application/x-www-form-urlencoded", strings.NewReader(body))
			if err != nil {
				t.Error(err)
				return
			}
			resp.Body.Close()
			statuses <- resp.StatusCode
		})
	}
	all.Wait()
	close(statuses)
	got := map[int]int{}
	for s := range statuses {
		got[s]++
	}
	if diff := cmp.Diff(map[int]int{200: 1, 400: 49}, got); diff != "" {
		t.Errorf("statuses (-want +got):\n%s", diff)
	}
	if s := b.idp.Stats(); s.RefreshReused == 0 || s.LiveGrants != 0 {
		t.Errorf("the reuse went unnoticed: %+v", s)
	}
}

func TestConsentPage(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/authorize", "/login/oauth/authorize"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			b := setup(t, testidp.Options{})
			jar, _ := cookiejar.New(nil)
			b.http.Jar = jar

			page := b.authorize(path, "login_hint", "<i>zoe</i>", "scope", "profile things:read")
			for _, want := range []string{`lang="en"`, "<title>", "app.test", "profile", "things:read", "Ada Lovelace", "&lt;i&gt;zoe"} {
				if !strings.Contains(page.text, want) {
					t.Errorf("the page lacks %q", want)
				}
			}
			handle := regexp.MustCompile(`name="handle" value="([^"]+)"`).FindStringSubmatch(page.text)[1]

			denied := b.returned(b.postForm(path, "handle", handle, "person", "linus", "decision", "deny"))
			if denied.Get("error") != "access_denied" || denied.Get("state") != "st" || denied.Get("code") != "" {
				t.Errorf("denied = %v", denied)
			}
			allowed := b.postForm(path, "handle", handle, "person", "linus", "decision", "allow")
			if allowed.status != http.StatusSeeOther {
				t.Errorf("status = %d, want 303", allowed.status)
			}
			tokens := b.exchange(b.returned(allowed).Get("code"))
			if me := b.get("/userinfo", tokens.str("access_token")); me.str("sub") != "linus" {
				t.Errorf("userinfo = %s", me.text)
			}

			if got := b.postForm(path, "handle", handle+"x", "person", "linus", "decision", "allow").status; got != 400 {
				t.Errorf("a forged handle: status %d", got)
			}
			b.http.Jar = nil
			if got := b.postForm(path, "handle", handle, "person", "linus", "decision", "allow").status; got != 400 {
				t.Errorf("another browser: status %d", got)
			}
		})
	}
}

func TestPrompt(t *testing.T) {
	t.Parallel()
	asking := setup(t, testidp.Options{})
	if got := asking.returned(asking.authorize("/authorize", "prompt", "none")).Get("error"); got != "login_required" {
		t.Errorf("prompt=none: error %q", got)
	}
	auto := setup(t, testidp.Options{AutoConsent: true})
	for _, prompt := range []string{"none", "consent", "select_account"} {
		if auto.code("/authorize", "prompt", prompt) == "" {
			t.Errorf("prompt=%s: no code", prompt)
		}
	}
}

func TestNothingPrintsSecrets(t *testing.T) {
	t.Parallel()
	o := testidp.Options{Clients: []testidp.Client{{ID: clientID, Secret: secret}}}
	idp := testidp.New(o)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d"} {
		for _, v := range []any{o, o.Clients[0], &o.Clients[0], idp} {
			if got := fmt.Sprintf(verb, v); strings.Contains(got, secret) {
				t.Errorf("%s of %T prints the secret", verb, v)
			}
		}
	}
	if b, _ := json.Marshal(o.Clients); strings.Contains(string(b), secret) {
		t.Error("JSON shows the secret")
	}
}

// clock is a time that stands still until told otherwise.
type clock struct {
	mu     sync.Mutex
	offset time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Unix(1_700_000_000, 0).Add(c.offset)
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset += d
}
