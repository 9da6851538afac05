package brokertest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/providers"
)

// Issuer is an issuer of bearer tokens, with its metadata and keys on loopback. Instances trust it where their options
// say so.
type Issuer struct {
	URL string

	mu     sync.Mutex
	keys   []jose.JSONWebKey // private; the first one signs
	asked  int
	broken bool
}

// Audience is whom an Issuer's tokens are for, unless the test says otherwise.
const Audience = "https://grantd.test"

// NewIssuer starts an issuer with one key, which ends with the test.
func NewIssuer(t testing.TB) *Issuer {
	t.Helper()
	i := &Issuer{}
	i.Rotate(t)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": i.URL, "jwks_uri": i.URL + "/keys"})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.asked++
		if i.broken {
			http.Error(w, "away", http.StatusServiceUnavailable)
			return
		}
		var public jose.JSONWebKeySet
		for _, key := range i.keys {
			public.Keys = append(public.Keys, key.Public())
		}
		_ = json.NewEncoder(w).Encode(public)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	i.URL = server.URL
	return i
}

// Source is where instances read the keys; Host is what they must list to do so (Options.Allow).
func (i *Issuer) Source() providers.KeySource {
	return providers.KeySource{Issuer: i.URL, Algorithms: []string{"ES256"}}
}

// Host is the issuer's host:port.
func (i *Issuer) Host() string { return strings.TrimPrefix(i.URL, "http://") }

// Asked is how many times the keys were read.
func (i *Issuer) Asked() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.asked
}

// Break has the key server answer that it is away, or as it should again.
func (i *Issuer) Break(broken bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.broken = broken
}

// Rotate signs with a new key from now on, and no longer publishes the former.
func (i *Issuer) Rotate(t testing.TB) {
	t.Helper()
	private := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	key := jose.JSONWebKey{Key: private, Algorithm: "ES256", Use: "sig"}
	key.KeyID = hex.EncodeToString(must(key.Thumbprint(crypto.SHA256))(t)[:8])
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = []jose.JSONWebKey{key}
}

// Key is what the issuer signs with.
func (i *Issuer) Key() jose.JSONWebKey {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.keys[0]
}

// Claims are those of a token of the issuer's for sub, which lives for an hour, with changes. A claim that is changed to
// nil is left out.
func (i *Issuer) Claims(sub string, changes map[string]any) map[string]any {
	now := time.Now()
	claims := map[string]any{"iss": i.URL, "aud": Audience, "sub": sub, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	return claims
}

// Bearer signs a token for sub, with changes to its claims.
func (i *Issuer) Bearer(t testing.TB, sub string, changes map[string]any) models.Secret {
	t.Helper()
	key := i.Key()
	return Sign(t, jose.SigningKey{Algorithm: jose.ES256, Key: key}, i.Claims(sub, changes), nil)
}

// Sign makes a compact JWT, with further members of its header.
func Sign(t testing.TB, by jose.SigningKey, claims map[string]any, header map[string]any) models.Secret {
	t.Helper()
	options := &jose.SignerOptions{}
	for name, value := range header {
		options = options.WithHeader(jose.HeaderKey(name), value)
	}
	signer := must(jose.NewSigner(by, options.WithType("JWT")))(t)
	payload := must(json.Marshal(claims))(t)
	signed := must(signer.Sign(payload))(t)
	return models.Secret(must(signed.CompactSerialize())(t))
}
