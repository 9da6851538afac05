package providers

import (
	"net/http"
	"strings"
	"testing"

	"github.com/grantd/grantd/models"
)

// withKeys is an OpenID Provider whose key set holds those keys, KEY for the one that
// signs.
func withKeys(t *testing.T, keys string) (*fake, *Registry, Client) {
	t.Helper()
	f, r, c := oidcWith(t, func(m map[string]any) { m["jwks_uri"] = m["jwks_uri"].(string) + "/set" })
	good := strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(keysDocument()), `{"keys":[`), `]}`)
	f.says("GET /keys/set", 200, `{"keys":[`+strings.ReplaceAll(keys, "KEY", good)+`]}`)
	f.says("GET /userinfo", 200, `{"sub":"u1"}`)
	return f, r, c
}

// Finding K8: one key that could not be used made every consent impossible, and the
// message said that the server is unreachable. Such keys are skipped (RFC 7517 §5).
func TestAKeyThatCannotBeUsedIsSkipped(t *testing.T) {
	t.Parallel()
	const x = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
	for name, odd := range map[string]string{
		"secp256k1":         `{"kty":"EC","crv":"secp256k1","kid":"o","x":"` + x + `","y":"` + x + `"}`,
		"EC without y":      `{"kty":"EC","crv":"P-256","kid":"o","x":"` + x + `"}`,
		"off the curve":     `{"kty":"EC","crv":"P-256","kid":"o","x":"` + x + `","y":"` + x + `"}`,
		"no kty":            `{"kid":"o","use":"sig"}`,
		"unknown kty":       `{"kty":"AKP","alg":"ML-DSA-44","pub":"AA","kid":"o"}`,
		"bad x5c":           `{"kty":"RSA","n":"` + x + `","e":"AQAB","x5c":["bad"]}`,
		"symmetric":         `{"kty":"oct","k":"AAAA"}`,
		"for encryption":    `{"kty":"EC","crv":"P-256","use":"enc","x":"` + x + `","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`,
		"fields of numbers": `{"kty":7,"kid":7}`,
		"empty":             `{}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, keys := range []string{odd + ",KEY", "KEY," + odd} {
				f, r, c := withKeys(t, keys)
				user, err := r.At(c).Identify(t.Context(), Tokens{Access: theAccess, ID: sign(claims(f.URL))}, "n")
				if err != nil || user.Sub != "u1" {
					t.Errorf("%s: %v", keys, err)
				}
			}
			f, r, c := withKeys(t, odd)
			_, err := r.At(c).Identify(t.Context(), Tokens{Access: theAccess, ID: sign(claims(f.URL))}, "n")
			want(t, err, KindProtocol, "") // read, and no outage
		})
	}
}

// Finding K8: signed user info should name issuer and audience, and need not (OIDC Core
// §5.3.2); it was refused without. Wrong ones are refused.
func TestSignedUserInfoMayLeaveOutIssuerAndAudience(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		claims map[string]any
		ok     bool
	}{
		"neither":          {map[string]any{}, true},
		"both":             {map[string]any{"iss": "BASE", "aud": "id"}, true},
		"issuer alone":     {map[string]any{"iss": "BASE"}, true},
		"audience alone":   {map[string]any{"aud": []string{"x", "id"}}, true},
		"another issuer":   {map[string]any{"iss": "https://evil.example", "aud": "id"}, false},
		"another audience": {map[string]any{"iss": "BASE", "aud": "x"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, r, c := oidcUpstream(t)
			tc.claims["sub"] = "u1"
			if tc.claims["iss"] == "BASE" {
				tc.claims["iss"] = f.URL
			}
			f.mux.HandleFunc("GET /userinfo", reply(200, "application/jwt", sign(tc.claims).Reveal()))
			user, err := r.At(c).UserInfo(t.Context(), theAccess)
			if tc.ok && (err != nil || user.Sub != "u1") {
				t.Errorf("%v", err)
			}
			if !tc.ok {
				want(t, err, KindProtocol, "")
			}
		})
	}
}

// R12: an id_token of a refresh names its account once it is verified; what cannot be
// verified names nobody, and nobody waits for keys.
func TestR12_WhomTheIDTokenOfARefreshNames(t *testing.T) {
	t.Parallel()
	with := func(name string, v any) func(string) models.Secret {
		return func(issuer string) models.Secret {
			c := claims(issuer)
			c[name] = v
			return sign(c)
		}
	}
	for name, tc := range map[string]struct {
		id    func(issuer string) models.Secret
		named string
		flag  bool
	}{
		"the same":         {func(i string) models.Secret { return sign(claims(i)) }, "u1", false},
		"another":          {with("sub", "u2"), "u2", false},
		"no nonce":         {with("nonce", nil), "u1", false},
		"expired":          {with("exp", 1), "u1", false},
		"none":             {func(string) models.Secret { return "" }, "", false},
		"another issuer":   {with("iss", "https://evil.example"), "", true},
		"another audience": {with("aud", "x"), "", true},
		"unsigned":         {func(i string) models.Secret { return unsigned(claims(i)) }, "", true},
		"broken":           {func(string) models.Secret { return "a.b.c" }, "", true},
		"without a sub":    {with("sub", nil), "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, r, c := oidcUpstream(t)
			f.says("GET /userinfo", 200, `{"sub":"u1"}`)
			if _, err := r.At(c).Identify(t.Context(), Tokens{Access: theAccess, ID: sign(claims(f.URL))}, "n"); err != nil {
				t.Fatal(err) // the keys are known from here on
			}
			f.says("POST /token", 200, asJSON(map[string]any{"access_token": "a", "id_token": tc.id(f.URL).Reveal()}))
			got, err := r.At(c).Refresh(t.Context(), theTokens())
			if err != nil || got.Account.ID != tc.named || (len(got.Flags) > 0) != tc.flag {
				t.Errorf("%+v %v, %v", got.Account, got.Flags, err)
			}
			if tc.named != "" && got.Account.Source != SourceUser {
				t.Errorf("by %s", got.Account.Source)
			}
		})
	}
}

// R12: a refresh never waits for a key set.
func TestR12_ARefreshWaitsForNoKeys(t *testing.T) {
	t.Parallel()
	f, r, c := oidcWith(t, func(m map[string]any) { m["jwks_uri"] = m["jwks_uri"].(string) + "/slow" })
	release := make(chan struct{})
	f.mux.HandleFunc("GET /keys/slow", func(http.ResponseWriter, *http.Request) { <-release })
	f.says("POST /token", 200, asJSON(map[string]any{"access_token": "a", "id_token": sign(claims(f.URL)).Reveal()}))
	got, err := r.At(c).Refresh(t.Context(), theTokens()) // would hang otherwise
	close(release)
	if err != nil || got.Access != "a" || got.Account != (Account{}) {
		t.Errorf("%+v, %v", got, err)
	}
}

// Finding G4: zitadel's user info answers 403 {} for an invalid token, which was "try again
// shortly" until the token expired. Introspection knows.
func TestA403OfUserInfoIsExplainedByIntrospection(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		body, introspection string
		status              int
		kind                Kind
	}{
		"invalid":            {`{}`, `{"active":false}`, 200, KindDenied},
		"a policy":           {`{}`, `{"active":true}`, 200, KindRefused},
		"a scope":            {`{"error":"insufficient_scope"}`, `{"active":false}`, 200, KindRefused},
		"nobody knows":       {`{}`, `{}`, 401, KindRefused},
		"a rate limit":       {`{"message":"You have exceeded a secondary rate limit."}`, `{"active":false}`, 200, KindTransient},
		"introspection down": {`{}`, ``, 503, KindRefused},
		"invalid, no body":   {``, `{"active":false}`, 200, KindDenied},
		"a gateway's page":   {`<html>Forbidden</html>`, `{"active":true}`, 200, KindTransient},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, r, c := testUpstream(t)
			f.says("GET /userinfo", 403, tc.body)
			f.says("POST /introspect", tc.status, tc.introspection)
			_, err := r.At(c).UserInfo(t.Context(), theAccess)
			if KindOf(err) != tc.kind {
				t.Errorf("%v", err)
			}
		})
	}
}
