package contract_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/grantd/grantd/brokertest"
)

// openIDFake is an OpenID Provider that can be told to answer with somebody else's
// tokens. Old access tokens live on after a refresh, as JWTs do.
type openIDFake struct {
	*httptest.Server
	key *ecdsa.PrivateKey

	mu         sync.Mutex
	count      int
	nonce      string            // of the consent under way
	tokens     map[string]string // live access tokens, and whose they are
	refreshes  map[string]string // live refresh tokens, and whose they are
	revoked    []string
	idSub      string                                      // of the next refresh's id_token; "" = as the tokens
	owner      string                                      // whom the next refresh's tokens belong to; "" = who had them
	says       func(c map[string]any)                      // changes the id_token of a consent
	claims     func(c map[string]any)                      // changes an id_token of a refresh
	introspect func(owner string) (status int, answer any) // nil = by the RFC
	userInfo   []http.HandlerFunc                          // instead of the next answers
	forbids    bool                                        // user info answers 403 {} where it does not accept a token
}

func newOpenIDFake(t *testing.T) *openIDFake {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	f := &openIDFake{key: key, tokens: map[string]string{}, refreshes: map[string]string{}}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

func (f *openIDFake) host() string { return strings.TrimPrefix(f.URL, "http://") }

// set changes the fake while nobody is being answered.
func (f *openIDFake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *openIDFake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	say := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(v)
	}
	bearer := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		say(200, object{"issuer": f.URL, "authorization_endpoint": f.URL + "/authorize", "token_endpoint": f.URL + "/token",
			"userinfo_endpoint": f.URL + "/userinfo", "jwks_uri": f.URL + "/keys", "introspection_endpoint": f.URL + "/introspect",
			"revocation_endpoint": f.URL + "/revoke"})
	case "/keys":
		say(200, object{"keys": []any{object{"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"},
			object{"kty": "EC", "crv": "P-256", "x": b64(f.key.X.FillBytes(make([]byte, 32))), "y": b64(f.key.Y.FillBytes(make([]byte, 32)))}}})
	case "/token":
		f.token(r, say)
	case "/userinfo":
		if len(f.userInfo) > 0 {
			f.userInfo[0](w, r)
			f.userInfo = f.userInfo[1:]
			return
		}
		if owner := f.tokens[bearer]; owner != "" {
			say(200, object{"sub": owner})
			return
		}
		if f.forbids {
			say(403, object{})
			return
		}
		say(401, object{"error": "invalid_token"})
	case "/introspect":
		owner := f.tokens[r.FormValue("token")]
		if f.introspect != nil {
			say(f.introspect(owner))
			return
		}
		say(200, object{"active": owner != "", "sub": "internal-" + owner})
	case "/revoke":
		f.revoked = append(f.revoked, r.FormValue("token"))
		delete(f.tokens, r.FormValue("token"))
		say(200, object{})
	default:
		http.NotFound(w, r)
	}
}

func (f *openIDFake) token(r *http.Request, say func(int, any)) {
	owner, nonce := "ada", f.nonce
	if r.FormValue("grant_type") == "refresh_token" {
		had, ok := f.refreshes[r.FormValue("refresh_token")]
		if !ok {
			say(400, object{"error": "invalid_grant"})
			return
		}
		delete(f.refreshes, r.FormValue("refresh_token"))
		owner, nonce = had, ""
		if f.owner != "" {
			owner = f.owner
		}
	}
	f.count++
	access, refresh := fmt.Sprintf("access-%d-of-%s", f.count, owner), fmt.Sprintf("refresh-%d-of-%s", f.count, owner)
	f.tokens[access], f.refreshes[refresh] = owner, owner
	sub := owner
	if nonce == "" && f.idSub != "" {
		sub = f.idSub
	}
	say(200, object{"access_token": access, "refresh_token": refresh, "expires_in": 3600, "token_type": "Bearer", "id_token": f.idToken(sub, nonce)})
}

func (f *openIDFake) idToken(sub, nonce string) string {
	now := time.Now().Unix()
	c := map[string]any{"iss": f.URL, "aud": brokertest.ClientID, "sub": sub, "iat": now, "exp": now + 300}
	if nonce != "" {
		c["nonce"] = nonce
		if f.says != nil {
			f.says(c)
		}
	} else if f.claims != nil {
		f.claims(c)
	}
	body, _ := json.Marshal(c)
	input := b64([]byte(`{"alg":"ES256"}`)) + "." + b64(body)
	sum := sha256.Sum256([]byte(input))
	x, y, err := ecdsa.Sign(rand.Reader, f.key, sum[:])
	if err != nil {
		panic(err)
	}
	return input + "." + b64(append(x.FillBytes(make([]byte, 32)), y.FillBytes(make([]byte, 32))...))
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// strange runs a test against such a server, on both backends.
func strange(t *testing.T, test func(*testing.T, *brokertest.Instance, *openIDFake, string)) {
	t.Parallel()
	brokertest.Each(t, func(t *testing.T, b brokertest.Backend) {
		f := newOpenIDFake(t)
		h := brokertest.New(t, &brokertest.Options{Backend: b, Allow: []string{f.host()}})
		test(t, h, f, createID(t, h, object{"type": "oidc", "config": object{"issuer": f.URL}}))
	})
}

// ada's approval, which the callback takes.
func (f *openIDFake) approval(t *testing.T, h *brokertest.Instance, p string) object {
	t.Helper()
	begun := begin(t, h, h.User, p, nil)
	to, err := url.Parse(begun.RedirectURL)
	if err != nil {
		t.Fatal(err)
	}
	f.set(func() { f.nonce = to.Query().Get("nonce") })
	return object{"providerId": p, "state": to.Query().Get("state"), "code": "code"}
}

func (f *openIDFake) consent(t *testing.T, h *brokertest.Instance, p string) string {
	t.Helper()
	done := want(t, 200, h.Do(t, h.User, "POST", callback, f.approval(t, h, p)))
	return text(t, done["authorizedProvider"].(object), "id")
}
