package providers

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"github.com/grantd/grantd/models"
)

func authorizeQuery(t *testing.T, r *Registry, c Client, req AuthorizeRequest) (string, url.Values) {
	t.Helper()
	raw, err := r.At(c).AuthorizeURL(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u.Scheme + "://" + u.Host + u.Path, u.Query()
}

func TestProtocolRule05_PKCE(t *testing.T) {
	t.Parallel()
	for _, make := range []func(*testing.T) (*fake, *Registry, Client){testUpstream, githubUpstream, oidcUpstream} {
		f, r, c := make(t)
		f.mux.HandleFunc("POST /", reply(200, "application/json", `{"access_token":"a"}`))
		req := AuthorizeRequest{State: "s", RedirectURI: "https://broker.example/cb", Nonce: "n", Verifier: theVerifier}

		_, q := authorizeQuery(t, r, c, req)
		if q.Get("code_challenge_method") != "S256" || q.Get("code_challenge") != oauth2.S256ChallengeFromVerifier(theVerifier) {
			t.Errorf("%s: %v", c.Type, q)
		}
		if strings.Contains(q.Encode(), theVerifier) {
			t.Errorf("%s: the verifier is in the URL", c.Type)
		}
		if _, err := exchange(t, r, c); err != nil {
			t.Fatal(err)
		}
		if got := f.last(t).form(t).Get("code_verifier"); got != theVerifier {
			t.Errorf("%s: code_verifier %q", c.Type, got)
		}

		req.Verifier = ""
		if _, err := r.At(c).AuthorizeURL(t.Context(), req); err == nil {
			t.Errorf("%s: went without PKCE unasked", c.Type)
		}

		config := map[string]any{"pkce": false}
		if c.Config != nil {
			config["issuer"] = c.Config["issuer"]
		}
		c.Config = config
		req.Verifier = theVerifier
		if _, q = authorizeQuery(t, r, c, req); q.Has("code_challenge") || q.Has("code_challenge_method") {
			t.Errorf("%s: switched off, sent all the same", c.Type)
		}
		if _, err := exchange(t, r, c); err != nil {
			t.Fatal(err)
		}
		if f.last(t).form(t).Has("code_verifier") {
			t.Errorf("%s: switched off, verifier sent all the same", c.Type)
		}
	}
}

func TestNewVerifier(t *testing.T) {
	t.Parallel()
	a, b := NewVerifier().Reveal(), NewVerifier().Reveal()
	if a == b || len(a) < 43 || len(a) > 128 {
		t.Errorf("%d characters", len(a))
	}
}

func TestProtocolRule06_SameRedirectURI(t *testing.T) {
	t.Parallel()
	f, r, c := testUpstream(t)
	f.says("POST /token", 200, `{"access_token":"a"}`)
	const uri = "http://localhost:5173/oauth/callback?providerId=a%2Fb&x=1"
	at, q := authorizeQuery(t, r, c, AuthorizeRequest{State: "s", RedirectURI: uri, Verifier: theVerifier})
	if at != f.URL+"/authorize" || q.Get("redirect_uri") != uri || q.Get("state") != "s" || q.Get("response_type") != "code" {
		t.Errorf("%s %v", at, q)
	}
	if _, err := r.At(c).Exchange(t.Context(), ExchangeRequest{Code: theCode, RedirectURI: uri}); err != nil {
		t.Fatal(err)
	}
	form := f.last(t).form(t)
	if form.Get("redirect_uri") != uri || form.Get("code") != theCode || form.Get("grant_type") != "authorization_code" {
		t.Errorf("sent %v", form)
	}
}

// A3 and RFC 9207. GitHub sends an iss it does not promise, or none.
func TestProtocolRule07_MixUpIssuer(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, Options{TestHost: "http://localhost:9000"})
	github := Client{Type: "github", ID: "id"}
	ghes := Client{Type: "github", ID: "id", Host: "git.example.com"}
	promised := Client{Type: "test", ID: "id"}
	strict := Client{Type: "github", ID: "id", Config: map[string]any{"requireIss": true}}
	cases := []struct {
		name    string
		c       Client
		iss     string
		browser bool
		ok      bool
	}{
		{"equal, not promised", github, "https://github.com/login/oauth", true, true},
		{"equal on the api channel", github, "https://github.com/login/oauth", false, true},
		{"other", github, "https://evil.example", true, false},
		{"other on the api channel", github, "https://evil.example", false, false},
		{"not byte-equal", github, "https://github.com/login/oauth/", true, false},
		{"of another host", ghes, "https://github.com/login/oauth", true, false},
		{"of that host", ghes, "https://git.example.com/login/oauth", true, true},
		{"missing, not promised", github, "", true, true},
		{"missing, not promised, api", github, "", false, true},
		{"missing though promised, A3", promised, "", true, false},
		{"missing though promised, api, A3", promised, "", false, true},
		{"promised and equal", promised, "http://localhost:9000", true, true},
		{"missing though required, A3", strict, "", true, false},
		{"missing though required, api, A3", strict, "", false, false},
	}
	for _, tc := range cases {
		err := r.At(tc.c).CheckIssuer(t.Context(), tc.iss, tc.browser)
		if (err == nil) != tc.ok {
			t.Errorf("%s: %v", tc.name, err)
		}
		if err != nil {
			want(t, err, KindRefused, "invalid_iss")
		}
	}
}

// Trap 29 too: a redirect would post the client secret to wherever it points.
func TestProtocolRule12_TokenRequest(t *testing.T) {
	t.Parallel()

	t.Run("shape", func(t *testing.T) {
		t.Parallel()
		f, r, c := testUpstream(t)
		f.says("POST /token", 200, `{"access_token":"a"}`)
		if _, err := exchange(t, r, c); err != nil {
			t.Fatal(err)
		}
		got := f.last(t)
		if got.method != "POST" || got.header.Get("Accept") != "application/json" ||
			got.header.Get("Content-Type") != "application/x-www-form-urlencoded" {
			t.Errorf("%s %v", got.method, got.header)
		}
	})

	for _, status := range []int{301, 302, 303, 307, 308} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			t.Parallel()
			redirect := reply(status, "text/plain", "", "Location", "/stolen") // to a host that may be dialled
			for _, call := range everyCall(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/stolen" {
					t.Errorf("trap 29: followed with %s", r.Method)
				}
				redirect(w, r)
			}) {
				if err := call(); err == nil {
					t.Error("a redirect passed for an answer")
				}
			}
		})
	}

	t.Run("body cap", func(t *testing.T) {
		t.Parallel()
		f, r, c := testUpstream(t)
		f.says("POST /token", 200, `{"access_token":"a","x":"`+strings.Repeat("x", maxBody+maxBody/10)+`"}`)
		_, err := exchange(t, r, c)
		want(t, err, KindProtocol, "")
	})

	t.Run("header cap", func(t *testing.T) {
		t.Parallel()
		f, r, c := testUpstream(t)
		f.mux.HandleFunc("POST /token", reply(200, "application/json", `{"access_token":"a"}`, "X-Long", strings.Repeat("x", 2*maxHeader)))
		_, err := exchange(t, r, c)
		want(t, err, KindTransient, "")
	})
}

// Trap 25: a secret with + / % : breaks a Basic header that is not form-encoded
// first. Rule 13: and one that is, at GitHub's REST API.
func TestProtocolRule13_ClientAuthentication(t *testing.T) {
	t.Parallel()
	basic := func(t *testing.T, r request) string {
		t.Helper()
		raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(r.header.Get("Authorization"), "Basic "))
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	encoded := url.QueryEscape("my id") + ":" + url.QueryEscape(theSecret)

	t.Run("basic", func(t *testing.T) {
		t.Parallel()
		f, r, c := testUpstream(t)
		c.ID = "my id"
		f.says("POST /token", 200, `{"access_token":"a"}`)
		f.says("POST /revoke", 200, ``)
		exchange(t, r, c)
		r.At(c).Revoke(t.Context(), theTokens(), models.RevokeGrant)
		if len(f.requests()) != 3 {
			t.Fatalf("%d requests", len(f.requests()))
		}
		for _, got := range f.requests() {
			if basic(t, got) != encoded {
				t.Errorf("%s: trap 25: %q", got.path, basic(t, got))
			}
			if form := got.form(t); form.Has("client_secret") || form.Has("client_id") {
				t.Errorf("%s: both styles", got.path)
			}
		}
	})

	t.Run("post", func(t *testing.T) {
		t.Parallel()
		f, r, c := githubUpstream(t)
		f.says("POST /login/oauth/access_token", 200, githubAppTokens)
		exchange(t, r, c)
		got := f.last(t)
		form := got.form(t)
		if form.Get("client_id") != c.ID || form.Get("client_secret") != theSecret || got.header.Get("Authorization") != "" {
			t.Errorf("%v %v", form, got.header)
		}
	})

	t.Run("github rest is plain", func(t *testing.T) {
		t.Parallel()
		f, r, c := githubUpstream(t)
		f.says("DELETE /api/v3/applications/{id}/grant", 204, "")
		r.At(c).Revoke(t.Context(), theTokens(), models.RevokeGrant)
		if got := basic(t, f.last(t)); got != c.ID+":"+theSecret {
			t.Errorf("%q", got)
		}
	})

	t.Run("public client", func(t *testing.T) {
		t.Parallel()
		f, r, c := testUpstream(t)
		c.Secret = ""
		f.says("POST /token", 200, `{"access_token":"a"}`)
		exchange(t, r, c)
		form := f.last(t).form(t)
		if form.Get("client_id") != c.ID || form.Has("client_secret") || f.last(t).header.Get("Authorization") != "" {
			t.Errorf("%v", form)
		}
	})
}

// Trap 3: x/oauth2's auto-detection tries a one-time code in both styles.
func TestTrap03_AuthStyleIsExplicit(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, Options{TestHost: "http://localhost:9000"})
	for _, name := range r.Names() {
		typ, _ := r.Type(name)
		if e := typ.at(Client{}, "https://x.example"); !typ.discovers && e.AuthStyle == oauth2.AuthStyleAutoDetect {
			t.Errorf("%s has no auth style", name)
		}
	}
	f, r, c := testUpstream(t)
	f.says("POST /token", 401, `{"error":"invalid_client"}`)
	_, err := exchange(t, r, c)
	want(t, err, KindClient, "invalid_client")
	if n := len(f.requests()); n != 1 {
		t.Errorf("the code was sent %d times", n)
	}
}

// Rule 25: a 401 is the token's end, a 403 is not. Trap 26: the token travels in
// the header only.
func TestProtocolRule25_UserInfoErrors(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name      string
		status    int
		challenge string
		body      string
		kind      Kind
		code      string
	}{
		{"invalid", 401, `Bearer realm="x", error="invalid_token", error_description="y"`, "{}", KindDenied, "invalid_token"},
		{"invalid, without an explanation", 401, "", notFound, KindDenied, ""},
		{"scope", 403, `Bearer error="insufficient_scope"`, "{}", KindRefused, "insufficient_scope"},
		{"policy", 403, "", notFound, KindRefused, ""},
		{"403 never ends a token", 403, "", `{"error":"invalid_token"}`, KindRefused, "invalid_token"},
		{"rate limit", 403, "", `{"message":"You have exceeded a secondary rate limit."}`, KindTransient, ""},
		{"down", 503, `Bearer error="invalid_token"`, "{}", KindTransient, "invalid_token"},
		{"gone", 404, "", notFound, KindRefused, ""},
		{"gateway", 200, "", htmlPage, KindTransient, ""},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f, r, c := testUpstream(t)
			f.mux.HandleFunc("GET /userinfo", reply(tc.status, "application/json", tc.body, "WWW-Authenticate", tc.challenge))
			_, err := r.At(c).UserInfo(t.Context(), theAccess)
			want(t, err, tc.kind, tc.code)
			got := f.requests()[0]
			if got.header.Get("Authorization") != "Bearer "+theAccess || strings.Contains(got.path, theAccess) {
				t.Errorf("trap 26: %s %v", got.path, got.header)
			}
		})
	}
}

func TestProtocolRule26_RevokeByForm(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name            string
		tokens          Tokens
		refresh, access string // JSON of a 400, "" for 200
		outcome         models.Outcome
		kind            Kind
		sent            []string
	}{
		{"both, refresh first", theTokens(), "", "", models.OutcomeRevoked, "", []string{"refresh_token", "access_token"}},
		{"access only", Tokens{Access: theAccess}, "", "", models.OutcomeRevoked, "", []string{"access_token"}},
		{"nothing", Tokens{}, "", "", models.OutcomeNoLiveToken, "", nil},
		{"already invalid", theTokens(), "invalid_token", "invalid_token", models.OutcomeAlreadyRevoked, "", []string{"refresh_token", "access_token"}},
		{"refresh token invalid, access token valid", theTokens(), "invalid_token", "", models.OutcomeRevoked, "", []string{"refresh_token", "access_token"}},
		{"only access tokens", theTokens(), "unsupported_token_type", "", models.OutcomeRevoked, "", []string{"refresh_token", "access_token"}},
		{"only refresh tokens", theTokens(), "", "unsupported_token_type", models.OutcomeRevoked, "", []string{"refresh_token", "access_token"}},
		{"neither", theTokens(), "unsupported_token_type", "unsupported_token_type", models.OutcomeUnsupported, "", []string{"refresh_token", "access_token"}},
		{"bad client", theTokens(), "invalid_client", "", "", KindClient, []string{"refresh_token"}},
		{"busy", theTokens(), "temporarily_unavailable", "", "", KindTransient, []string{"refresh_token"}},
		{"refused", theTokens(), "invalid_request", "", "", KindRefused, []string{"refresh_token"}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f, r, c := testUpstream(t)
			f.mux.HandleFunc("POST /revoke", func(w http.ResponseWriter, _ *http.Request) {
				code := tc.refresh
				if f.last(t).form(t).Get("token_type_hint") == "access_token" {
					code = tc.access
				}
				if code != "" {
					reply(400, "application/json", `{"error":"`+code+`"}`)(w, nil)
				}
			})
			outcome, err := r.At(c).Revoke(t.Context(), tc.tokens, models.RevokeGrant)
			if outcome != tc.outcome || KindOf(err) != tc.kind {
				t.Errorf("%q, %v", outcome, err)
			}
			values := map[string]string{"refresh_token": theRefresh, "access_token": theAccess}
			got := f.requests()
			if len(got) != len(tc.sent) {
				t.Fatalf("%d requests, want %v", len(got), tc.sent)
			}
			for i, hint := range tc.sent {
				form := got[i].form(t)
				if form.Get("token_type_hint") != hint || form.Get("token") != values[hint] {
					t.Errorf("request %d: %v, want the %s", i, form, hint)
				}
			}
		})
	}
}
