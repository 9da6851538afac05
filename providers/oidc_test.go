package providers

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc/oidctest"
	"github.com/google/go-cmp/cmp"

	"github.com/grantd/grantd/models"
)

var signingKey = sync.OnceValue(func() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
})

// oidcMetadata is a whole document, below base.
func oidcMetadata(base string) map[string]any {
	return map[string]any{
		"issuer":                                base,
		"authorization_endpoint":                base + "/authorize",
		"token_endpoint":                        base + "/token",
		"revocation_endpoint":                   base + "/revoke",
		"userinfo_endpoint":                     base + "/userinfo",
		"jwks_uri":                              base + "/keys",
		"id_token_signing_alg_values_supported": []string{"ES256", "HS256", "none"},
	}
}

func asJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// oidcWith is an OpenID Provider with that metadata, "/" left to the test.
func oidcWith(t *testing.T, change func(m map[string]any)) (*fake, *Registry, Client) {
	t.Helper()
	f := newFake(t)
	m := oidcMetadata(f.URL)
	if change != nil {
		change(m)
	}
	f.says("GET /.well-known/openid-configuration", 200, asJSON(m))
	keys := &oidctest.Server{PublicKeys: []oidctest.PublicKey{{PublicKey: signingKey().Public(), KeyID: "k", Algorithm: "ES256"}}}
	f.mux.Handle("GET /keys", keys)
	r := newRegistry(t, Options{Allow: []string{f.host()}})
	return f, r, Client{Type: "oidc", ID: "id", Secret: theSecret, Config: map[string]any{"issuer": f.URL}}
}

func oidcUpstream(t *testing.T) (*fake, *Registry, Client) { return oidcWith(t, nil) }

// claims of a good id_token.
func claims(issuer string) map[string]any {
	now := time.Now().Unix()
	return map[string]any{"iss": issuer, "aud": "id", "sub": "u1", "nonce": "n", "iat": now, "exp": now + 300, "email": "ada@x.example"}
}

func sign(c map[string]any) models.Secret {
	return models.Secret(oidctest.SignIDToken(signingKey(), "k", "ES256", asJSON(c)))
}

// unsigned is an id_token with alg none.
func unsigned(c map[string]any) models.Secret {
	return models.Secret(b64(`{"alg":"none"}`) + "." + b64(asJSON(c)) + ".")
}

// symmetric is an id_token signed with the client secret, or anything public.
func symmetric(c map[string]any, key string) models.Secret {
	input := b64(`{"alg":"HS256","kid":"k"}`) + "." + b64(asJSON(c))
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(input))
	return models.Secret(input + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)))
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func TestProtocolRule10_IDToken(t *testing.T) {
	t.Parallel()
	now := time.Now().Unix()
	with := func(changes map[string]any) func(map[string]any) models.Secret {
		return func(c map[string]any) models.Secret {
			maps.Copy(c, changes)
			return sign(c)
		}
	}
	without := func(name string) func(map[string]any) models.Secret {
		return func(c map[string]any) models.Secret {
			delete(c, name)
			return sign(c)
		}
	}
	cases := []struct {
		name  string
		token func(c map[string]any) models.Secret
		ok    bool
	}{
		{"good", with(nil), true},
		{"none at all", func(map[string]any) models.Secret { return "" }, false},
		{"rubbish", func(map[string]any) models.Secret { return "a.b.c" }, false},
		{"alg none", unsigned, false},
		{"HS256 with the client secret", func(c map[string]any) models.Secret { return symmetric(c, theSecret) }, false},
		{"HS256 with the public key", func(c map[string]any) models.Secret { return symmetric(c, asJSON(signingKey().PublicKey)) }, false},
		{"signed by another", func(c map[string]any) models.Secret {
			other, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			return models.Secret(oidctest.SignIDToken(other, "k", "ES256", asJSON(c)))
		}, false},
		{"payload exchanged", func(c map[string]any) models.Secret {
			parts := strings.Split(sign(c).Reveal(), ".")
			c["sub"] = "u2"
			return models.Secret(parts[0] + "." + b64(asJSON(c)) + "." + parts[2])
		}, false},
		{"other issuer", with(map[string]any{"iss": "https://evil.example"}), false},
		{"other audience", with(map[string]any{"aud": "someone"}), false},
		{"audiences, ours as party", with(map[string]any{"aud": []string{"id", "x"}, "azp": "id"}), true},
		{"audiences without a party", with(map[string]any{"aud": []string{"id", "x"}}), false},
		{"other party", with(map[string]any{"azp": "x"}), false},
		{"other nonce", with(map[string]any{"nonce": "m"}), false},
		{"no nonce", without("nonce"), false},
		{"expired", with(map[string]any{"exp": now - 120}), false},
		{"expired within the skew", with(map[string]any{"exp": now - 30}), true},
		{"no expiry", without("exp"), false},
		{"from the future", with(map[string]any{"iat": now + 600}), false},
		{"from the future, within the skew", with(map[string]any{"iat": now + 30}), true},
		{"not yet", with(map[string]any{"nbf": now + 200}), false},
		{"no sub", without("sub"), false},
		{"other sub than user info", with(map[string]any{"sub": "u2"}), false},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f, r, c := oidcUpstream(t)
			f.says("GET /userinfo", 200, `{"sub":"u1"}`)
			user, err := r.At(c).Identify(t.Context(), Tokens{Access: theAccess, ID: tc.token(claims(f.URL))}, "n")
			if !tc.ok {
				want(t, err, KindProtocol, "")
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if user.Sub != "u1" || user.Email != "ada@x.example" {
				t.Errorf("%+v", user)
			}
		})
	}
}

// A nonce that was lost must not match a token that has none.
func TestProtocolRule10_EmptyNonceNeverMatches(t *testing.T) {
	t.Parallel()
	f, r, c := oidcUpstream(t)
	f.says("GET /userinfo", 200, `{"sub":"u1"}`)
	token := claims(f.URL)
	token["nonce"] = ""
	_, err := r.At(c).Identify(t.Context(), Tokens{Access: theAccess, ID: sign(token)}, "")
	want(t, err, KindProtocol, "")
	if _, err := r.At(c).AuthorizeURL(t.Context(), AuthorizeRequest{State: "s", Verifier: theVerifier}); err == nil {
		t.Error("asked for an id_token without a nonce")
	}
}

// A device flow asks for no nonce: an id_token with one is from somewhere else.
func TestProtocolRule10_ADeviceHasNoNonce(t *testing.T) {
	t.Parallel()
	f, r, c := oidcUpstream(t)
	f.says("GET /userinfo", 200, `{"sub":"u1"}`)
	token := claims(f.URL)
	_, err := r.At(c).IdentifyDevice(t.Context(), Tokens{Access: theAccess, ID: sign(token)})
	want(t, err, KindProtocol, "")
	delete(token, "nonce")
	user, err := r.At(c).IdentifyDevice(t.Context(), Tokens{Access: theAccess, ID: sign(token)})
	if err != nil || user.Sub != "u1" {
		t.Errorf("%+v, %v", user, err)
	}
	_, err = r.At(c).IdentifyDevice(t.Context(), Tokens{Access: theAccess})
	want(t, err, KindProtocol, "")
}

func TestOIDCKeysUnavailableIsTransient(t *testing.T) {
	t.Parallel()
	f, r, c := oidcWith(t, func(m map[string]any) { m["jwks_uri"] = m["jwks_uri"].(string) + "/gone" })
	f.says("GET /keys/gone", 503, "<html>")
	_, err := r.At(c).Identify(t.Context(), Tokens{Access: theAccess, ID: sign(claims(f.URL))}, "n")
	want(t, err, KindTransient, "")
}

func TestOIDCUser(t *testing.T) {
	t.Parallel()
	f, r, c := oidcUpstream(t)
	f.says("GET /userinfo", 200, `{"sub":"u1","name":"Ada L","given_name":"Ada","family_name":"L","preferred_username":"ada",
		"email":null,"picture":"http://pics.example/a.png","locale":"en","groups":["x"],"updated_at":1700000000}`)
	got, err := r.At(c).UserInfo(t.Context(), theAccess)
	if err != nil {
		t.Fatal(err)
	}
	if got.Raw["updated_at"] != json.Number("1700000000") {
		t.Errorf("raw %v", got.Raw)
	}
	got.Raw = nil
	want := models.User{Sub: "u1", Name: "Ada L", GivenName: "Ada", FamilyName: "L", NickName: "ada", Locale: "en"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestOIDCSignedUserInfo(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		token func(c map[string]any) models.Secret
		ok    bool
	}{
		"signed":   {sign, true},
		"unsigned": {unsigned, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, r, c := oidcUpstream(t)
			body := tc.token(map[string]any{"iss": f.URL, "sub": "u1"}).Reveal()
			f.mux.HandleFunc("GET /userinfo", reply(200, "application/jwt", body))
			user, err := r.At(c).UserInfo(t.Context(), theAccess)
			if tc.ok && (err != nil || user.Sub != "u1") {
				t.Errorf("%+v, %v", user, err)
			}
			if !tc.ok {
				want(t, err, KindProtocol, "")
			}
		})
	}
}

func TestOIDCWithoutUserInfoEndpoint(t *testing.T) {
	t.Parallel()
	f, r, c := oidcWith(t, func(m map[string]any) { delete(m, "userinfo_endpoint") })
	user, err := r.At(c).Identify(t.Context(), Tokens{Access: theAccess, ID: sign(claims(f.URL))}, "n")
	if err != nil || user.Sub != "u1" || user.Email != "ada@x.example" {
		t.Errorf("%+v, %v", user, err)
	}
	_, err = r.At(c).UserInfo(t.Context(), theAccess)
	want(t, err, KindRefused, "")
}

func TestS2_Sub(t *testing.T) {
	t.Parallel()
	for sub, ok := range map[string]bool{
		`"u1"`: true, `17`: true, `"` + strings.Repeat("x", 255) + `"`: true, `"{uuid-with-braces}"`: true,
		`""`: false, `null`: false, `1.5`: false, `["a"]`: false, `"a\u0000b"`: false, `"a\nb"`: false, `"a\u0085b"`: false,
		`"` + strings.Repeat("x", 256) + `"`: false,
	} {
		f, r, c := testUpstream(t)
		f.says("GET /userinfo", 200, `{"sub":`+sub+`}`)
		_, err := r.At(c).UserInfo(t.Context(), theAccess)
		if (err == nil) != ok {
			t.Errorf("sub %s: %v", sub, err)
		}
		if !ok {
			want(t, err, KindProtocol, "")
		}
	}
}

func TestS2_LinksAreHTTPSOrDropped(t *testing.T) {
	t.Parallel()
	for picture, ok := range map[string]bool{
		"https://x.example/a.png": true, "http://x.example/a.png": false, "javascript:alert(1)": false, "//x.example/a": false,
		"data:image/png;base64,AA": false, "https://u:p@x.example/": false, "https:///a": false, "https://x.example/" + strings.Repeat("a", maxURL): false,
	} {
		if got := link(picture); (got == picture) != ok || !ok && got != "" {
			t.Errorf("%q became %q", picture, got)
		}
	}
}

func TestOIDCAuthorizeURL(t *testing.T) {
	t.Parallel()
	_, r, c := oidcUpstream(t)
	cases := []struct {
		name         string
		scopes       []string
		client, flow bool
		prompt       string
	}{
		{"default", nil, false, false, "consent"},
		{"skipped by the flow", nil, false, true, ""},
		{"skipped by the client", nil, true, false, ""},
		{"not offline", []string{"openid"}, false, false, ""},
	}
	for _, tc := range cases {
		c.Scopes, c.SkipConsent = tc.scopes, tc.client
		_, q := authorizeQuery(t, r, c, AuthorizeRequest{State: "s", Nonce: "n", Verifier: theVerifier, SkipConsent: tc.flow})
		if q.Get("prompt") != tc.prompt || q.Get("nonce") != "n" {
			t.Errorf("%s: %v", tc.name, q)
		}
		if tc.scopes == nil && q.Get("scope") != "openid profile email offline_access" {
			t.Errorf("%s: scope %q", tc.name, q.Get("scope"))
		}
	}
}

func TestOIDCCheckIssuer(t *testing.T) {
	t.Parallel()
	for _, promised := range []bool{true, false} {
		_, r, c := oidcWith(t, func(m map[string]any) { m["authorization_response_iss_parameter_supported"] = promised })
		if err := r.At(c).CheckIssuer(t.Context(), "", true); (err == nil) == promised {
			t.Errorf("promised %v, missing: %v", promised, err)
		}
		if err := r.At(c).CheckIssuer(t.Context(), c.Config["issuer"].(string), true); err != nil {
			t.Error(err)
		}
		if err := r.At(c).CheckIssuer(t.Context(), "https://evil.example", false); err == nil {
			t.Error("another issuer passed")
		}
	}
}

func TestOIDCRevoke(t *testing.T) {
	t.Parallel()
	f, r, c := oidcUpstream(t)
	f.says("POST /revoke", 200, "")
	if outcome, err := r.At(c).Revoke(t.Context(), theTokens(), models.RevokeGrant); outcome != models.OutcomeRevoked || err != nil {
		t.Errorf("%q, %v", outcome, err)
	}
	_, r, c = oidcWith(t, func(m map[string]any) { delete(m, "revocation_endpoint") })
	if outcome, err := r.At(c).Revoke(t.Context(), theTokens(), models.RevokeGrant); outcome != models.OutcomeUnsupported || err != nil {
		t.Errorf("%q, %v", outcome, err)
	}
}

func TestOIDCAuthStyleFromMetadata(t *testing.T) {
	t.Parallel()
	cases := []struct {
		methods any
		header  bool
		kind    Kind
	}{
		{nil, true, ""},
		{[]string{"client_secret_post", "client_secret_basic"}, true, ""},
		{[]string{"client_secret_post"}, false, ""},
		{[]string{"private_key_jwt"}, false, KindProtocol},
	}
	for _, tc := range cases {
		f, r, c := oidcWith(t, func(m map[string]any) {
			if tc.methods != nil {
				m["token_endpoint_auth_methods_supported"] = tc.methods
			}
		})
		f.says("POST /token", 200, `{"access_token":"a"}`)
		_, err := exchange(t, r, c)
		if KindOf(err) != tc.kind {
			t.Errorf("%v: %v", tc.methods, err)
		}
		if err != nil {
			continue
		}
		got := f.last(t)
		if (got.header.Get("Authorization") != "") != tc.header || got.form(t).Has("client_secret") == tc.header {
			t.Errorf("%v: %v %s", tc.methods, got.header, got.body)
		}
	}
}

func TestProtocolRule33_Metadata(t *testing.T) {
	t.Parallel()
	set := func(name string, v any) func(map[string]any) { return func(m map[string]any) { m[name] = v } }
	bad := map[string]func(map[string]any){
		"issuer with a slash":  func(m map[string]any) { m["issuer"] = m["issuer"].(string) + "/" },
		"issuer of another":    set("issuer", "https://evil.example"),
		"no issuer":            set("issuer", ""),
		"no token endpoint":    set("token_endpoint", ""),
		"no keys":              set("jwks_uri", ""),
		"plain http":           set("token_endpoint", "http://idp.example/token"),
		"relative":             set("token_endpoint", "/token"),
		"private address":      set("revocation_endpoint", "https://169.254.169.254/"),
		"userinfo in the URL":  set("userinfo_endpoint", "https://u:p@idp.example/"),
		"script":               set("authorization_endpoint", "javascript:alert(1)"),
		"fragment":             set("authorization_endpoint", "https://idp.example/#x"),
		"endpoint of odd type": set("token_endpoint", 17),
		"plain http keys":      set("jwks_uri", "http://idp.example/keys"),
		"file":                 set("jwks_uri", "file:///etc/passwd"),
	}
	for name, change := range bad {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, r, c := oidcWith(t, change)
			_, err := r.At(c).AuthorizeURL(t.Context(), AuthorizeRequest{State: "s", Nonce: "n", Verifier: theVerifier})
			if e := failed(t, err); e.Kind != KindProtocol || e.Advice == "" {
				t.Errorf("%s %q: %s", e.Kind, e.Code, e.Advice)
			}
		})
	}
}

// Whatever metadata says or fails to say is no reason to expire a token.
func TestDiscoveryFailureEndsNobodysGrant(t *testing.T) {
	t.Parallel()
	for status, kind := range map[int]Kind{401: KindProtocol, 403: KindProtocol, 404: KindProtocol, 429: KindTransient, 500: KindTransient, 302: KindProtocol} {
		f := newFake(t)
		f.says("/", status, `{"error":"invalid_grant"}`)
		r := newRegistry(t, Options{Allow: []string{f.host()}})
		_, err := r.At(Client{Type: "oidc", ID: "id", Config: map[string]any{"issuer": f.URL}}).Refresh(t.Context(), theTokens())
		if KindOf(err) != kind {
			t.Errorf("%d: %v", status, err)
		}
	}
}

func TestDiscoveryIsCachedAndOutlivesTrouble(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	var fetches atomic.Int64
	var down atomic.Bool
	f.mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		fetches.Add(1)
		if down.Load() {
			w.WriteHeader(503)
			return
		}
		fmt.Fprint(w, asJSON(oidcMetadata(f.URL)))
	})
	var clock atomic.Int64
	r := newRegistry(t, Options{Allow: []string{f.host()}, Now: func() time.Time { return time.Unix(clock.Load(), 0) }})
	c := Client{Type: "oidc", ID: "id", Config: map[string]any{"issuer": f.URL}}
	ask := func(seconds, total int64) {
		t.Helper()
		clock.Store(seconds)
		if _, err := r.At(c).AuthorizeURL(t.Context(), AuthorizeRequest{State: "s", Nonce: "n", Verifier: theVerifier}); err != nil {
			t.Fatal(err)
		}
		if n := fetches.Load(); n != total {
			t.Errorf("after %d s: %d fetches, want %d", seconds, n, total)
		}
	}
	ask(0, 1)
	ask(3599, 1)
	ask(3600, 2)
	down.Store(true)
	ask(7200, 3) // served from before, and not asked again for a minute
	ask(7259, 3)
	ask(7260, 4)
	down.Store(false)
	ask(7320, 5)
	ask(7321, 5)
}

func TestDiscoveryOneFetchAtATime(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	const callers = 8
	arrived, release := make(chan struct{}, callers), make(chan struct{})
	f.mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-release
		fmt.Fprint(w, asJSON(oidcMetadata(f.URL)))
	})
	r := newRegistry(t, Options{Allow: []string{f.host()}})
	c := Client{Type: "oidc", ID: "id", Config: map[string]any{"issuer": f.URL}}
	ask := func(ctx context.Context) error {
		_, err := r.At(c).AuthorizeURL(ctx, AuthorizeRequest{State: "s", Nonce: "n", Verifier: theVerifier})
		return err
	}
	errs := make(chan error, callers)
	leaving, leave := context.WithCancel(t.Context())
	go func() { errs <- ask(leaving) }()
	<-arrived
	leave() // who began the fetch does not end it
	want(t, <-errs, KindTransient, "")
	for range callers {
		go func() { errs <- ask(t.Context()) }()
	}
	close(release)
	for range callers {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if n := len(f.requests()); n != 1 {
		t.Errorf("%d fetches", n)
	}
}
