package providers

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"net/http"
	"sync"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
)

// keySet verifies signatures by the keys that an upstream publishes (RFC 7517). It
// remembers them, and reads them again for a signature that none of them made.
type keySet struct {
	r      *Registry
	url    string
	mu     sync.Mutex
	keys   *oidc.StaticKeySet // nil until they were read
	flight *keyFlight
}

// keyFlight is one reading of the keys, shared by all who wait for it.
type keyFlight struct {
	done chan struct{}
	err  error
}

// errUnreadKeys is a signature that could not be judged, because the keys could not
// be had.
var errUnreadKeys = errors.New("the keys of the upstream could not be read")

// keysAt returns the keys at a jwks_uri.
func (u *upstream) keysAt(url string) *keySet {
	u.keysMu.Lock()
	defer u.keysMu.Unlock()
	return u.keySets.at(u.c.Owner, url, func() *keySet { return &keySet{r: u.Registry, url: url} })
}

// VerifySignature implements oidc.KeySet.
func (k *keySet) VerifySignature(ctx context.Context, jwt string) ([]byte, error) {
	if payload, err := k.verify(ctx, jwt); err == nil {
		return payload, nil
	}
	f := k.begin()
	select {
	case <-f.done:
	case <-ctx.Done():
		return nil, errUnreadKeys
	}
	if f.err != nil {
		return nil, f.err
	}
	return k.verify(ctx, jwt)
}

// verify uses the keys that are remembered.
func (k *keySet) verify(ctx context.Context, jwt string) ([]byte, error) {
	k.mu.Lock()
	keys := k.keys
	k.mu.Unlock()
	if keys == nil {
		return nil, errUnreadKeys
	}
	return keys.VerifySignature(ctx, jwt)
}

// known reports whether the keys were read once.
func (k *keySet) known() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.keys != nil
}

// begin reads the keys, beside its caller, or joins a reading under way. It takes
// nothing of the caller's context, which notes who answered the call proper.
func (k *keySet) begin() *keyFlight {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.flight == nil {
		k.flight = &keyFlight{done: make(chan struct{})}
		go k.read(context.Background(), k.flight)
	}
	return k.flight
}

func (k *keySet) read(ctx context.Context, f *keyFlight) {
	keys, err := k.r.readKeys(ctx, k.url)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err == nil {
		k.keys = keys
	}
	f.err, k.flight = err, nil
	close(f.done)
}

// readKeys skips what it cannot use, as RFC 7517 §5 has it: a key of an unknown kind,
// or a broken one, is no reason to refuse the others. Certificates are not looked at.
func (r *Registry) readKeys(ctx context.Context, url string) (*oidc.StaticKeySet, error) {
	if r.allow.checkURL(url, true) != nil {
		return nil, errUnreadKeys
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, errUnreadKeys
	}
	req.Header.Set("Accept", "application/json")
	a, err := r.read(req)
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	if err != nil || !a.ok() || decode(a.body, &set) != nil {
		return nil, errUnreadKeys
	}
	keys := &oidc.StaticKeySet{}
	for _, fields := range set.Keys {
		if key := publicKey(fields); key != nil {
			keys.PublicKeys = append(keys.PublicKeys, key)
		}
	}
	return keys, nil
}

// publicKey reads one key that signatures can be verified with, nil for any other.
func publicKey(fields map[string]any) any {
	if key := jsonWebKey(fields); key != nil && key.Use != "enc" {
		return key.Key
	}
	return nil
}

// jsonWebKey reads one public key, with what its publisher says of it, nil for what is none.
func jsonWebKey(fields map[string]any) *jose.JSONWebKey {
	for _, certificate := range []string{"x5c", "x5t", "x5t#S256", "x5u"} {
		delete(fields, certificate)
	}
	raw, err := json.Marshal(fields)
	if err != nil {
		return nil
	}
	var key jose.JSONWebKey
	if key.UnmarshalJSON(raw) != nil || !key.Valid() {
		return nil
	}
	switch key.Key.(type) {
	case *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey:
		return &key
	}
	return nil
}

// readAlready are the keys as they are remembered: nobody waits for them. Those that
// do not know a signature are read again beside.
type readAlready struct{ *keySet }

// VerifySignature implements oidc.KeySet.
func (k readAlready) VerifySignature(ctx context.Context, jwt string) ([]byte, error) {
	payload, err := k.verify(ctx, jwt)
	if err != nil {
		k.begin()
	}
	return payload, err
}
