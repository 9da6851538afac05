package providers

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// KeySource says where the public keys of an issuer come from whose bearer tokens are trusted, and what they may sign.
// The operator writes it, not a tenant.
type KeySource struct {
	Issuer string
	// URL is where the key set is, "" where File names it, or where the issuer's metadata does.
	URL string
	// File holds the key set. It is read again as often as a URL would be.
	File string
	// CA are PEM certificates that the server's certificate must lead to, "" for those of the system.
	CA string
	// TokenFile holds a bearer token that is sent with requests for metadata and keys, such as that of a Kubernetes
	// service account; "" for none. It is read anew each time.
	TokenFile string
	// Algorithms are those that a token may be signed with.
	Algorithms []string
}

// SignatureAlgorithms are the algorithms that bearer tokens may be signed with: none of them has a secret key.
func SignatureAlgorithms() []string { return slices.Clone(signatures) }

const (
	// issuerKeysFresh is how long keys are used before they are read again, beside whoever uses them.
	issuerKeysFresh = 10 * time.Minute
	// issuerKeysLife is how long keys are used that cannot be read again.
	issuerKeysLife = 24 * time.Hour
	// issuerKeysAgain is how long after a reading that failed the next one may begin, and how long after a reading for
	// an unknown key the next one of those may; issuerKeysFirst is the first of them while no keys are known.
	issuerKeysAgain = time.Minute
	issuerKeysFirst = 5 * time.Second
	// maxIssuerKeys is how many keys of a set are used.
	maxIssuerKeys = 100
	// MaxBearer is how long a bearer token may be, in bytes.
	MaxBearer = 8 << 10
)

// IssuerKeys are the public keys of one trusted issuer. They are read when they are made and then every ten minutes while
// they are used, without anybody waiting for it, and they are used for a day after they were read last. It is safe for
// concurrent use.
type IssuerKeys struct {
	source     KeySource
	algorithms []jose.SignatureAlgorithm
	allow      allowlist
	client     *http.Client
	now        func() time.Time
	failed     func(error)

	current atomic.Pointer[issuerKeySet] // nil until the keys were read
	mu      sync.Mutex
	tried   time.Time // when the last reading began
	sought  time.Time // when the last one began because of an unknown key
	flight  *keyFlight
}

// issuerKeySet is what one reading brought.
type issuerKeySet struct {
	keys   []jose.JSONWebKey
	marks  []KeyMark // of the keys, in the same order
	readAt time.Time
}

// KeyMark names a key by its content (RFC 7638).
type KeyMark string

// The reasons why a bearer token is not accepted. ErrKeysUnread says nothing about the token.
var (
	ErrKeysUnread = errors.New("the keys of the issuer could not be read")
	ErrUnknownKey = errors.New("the issuer has no key of this id")
	ErrUnverified = errors.New("the token is not a JWT that the issuer signed")
)

// IssuerKeys returns the keys at a source, and begins to read them. An address that the operator wrote there is dialled
// as it is, for these keys alone; where the issuer's metadata leads is judged like every other upstream (S1). failed is
// told of each reading that fails; its text is fit for a log.
func (r *Registry) IssuerKeys(s KeySource, failed func(error)) (*IssuerKeys, error) {
	k := &IssuerKeys{source: s, now: r.now, allow: r.allow, failed: failed}
	for _, name := range s.Algorithms {
		if !slices.Contains(signatures, name) {
			return nil, fmt.Errorf("the algorithm %q is not one of %s", name, strings.Join(signatures, ", "))
		}
		k.algorithms = append(k.algorithms, jose.SignatureAlgorithm(name))
	}
	if s.File == "" {
		if err := k.connect(r); err != nil {
			return nil, err
		}
	}
	k.begin()
	return k, nil
}

// connect makes the client that reads the keys.
func (k *IssuerKeys) connect(r *Registry) error {
	u, err := url.Parse(k.address())
	if err != nil || u.Host == "" {
		return errURL
	}
	if u.Scheme == "https" { // plain http needs the registry's own list
		host, port, err := splitHost(strings.ToLower(u.Host))
		if err != nil {
			return err
		}
		k.allow = r.allow.with(join(host, portOf(u.Scheme, port)))
	}
	if err := k.allow.checkURL(k.address(), true); err != nil {
		return err
	}
	config := &tls.Config{}
	if r.tls != nil {
		config = r.tls.Clone()
	}
	if k.source.CA != "" {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM([]byte(k.source.CA)) {
			return errNoCertificates
		}
	}
	_, kept := transports(newDialer(k.allow), config, r.instead)
	k.client = &http.Client{Transport: &transport{kept, Call{Class: CallMetadata}, r.observe, r.traces}, CheckRedirect: noRedirect, Timeout: readTimeout}
	return nil
}

var errNoCertificates = errors.New("must have certificates in PEM")

// address is where the first request goes: to the keys, or to the metadata that names their place.
func (k *IssuerKeys) address() string {
	if k.source.URL != "" {
		return k.source.URL
	}
	return strings.TrimSuffix(k.source.Issuer, "/") + "/.well-known/openid-configuration"
}

// BearerIssuer returns the issuer that a JWT names, without believing it, so that the issuer can be looked up before
// anything is verified; false for what is no JWT, or longer than 8 KiB.
func BearerIssuer(token string) (string, bool) {
	if len(token) > MaxBearer || strings.Count(token, ".") != 2 {
		return "", false
	}
	_, rest, _ := strings.Cut(token, ".")
	payload, _, _ := strings.Cut(rest, ".")
	var claims struct {
		Issuer string `json:"iss"`
	}
	if !decodePart(payload, &claims) || claims.Issuer == "" {
		return "", false
	}
	return claims.Issuer, true
}

// decodePart reads one part of a compact JWT.
func decodePart(part string, into any) bool {
	raw, err := base64.RawURLEncoding.DecodeString(part)
	return err == nil && json.Unmarshal(raw, into) == nil
}

// Verify returns the claims of a JWT that one of the keys signed, numbers as they are written, and which key that was. It
// judges the signature and nothing else. What the token's header says about keys other than their id is not looked at;
// critical headers are refused. It waits only while no keys are known.
func (k *IssuerKeys) Verify(ctx context.Context, token string) (map[string]any, KeyMark, error) {
	set, err := k.keys(ctx)
	if err != nil {
		return nil, "", err
	}
	header, _, _ := strings.Cut(token, ".")
	var says struct {
		KeyID    string          `json:"kid"`
		Critical json.RawMessage `json:"crit"`
	}
	if !decodePart(header, &says) || says.Critical != nil {
		return nil, "", ErrUnverified
	}
	signed, err := jose.ParseSignedCompact(token, k.algorithms)
	if err != nil {
		return nil, "", ErrUnverified
	}
	known := says.KeyID == ""
	for i, key := range set.keys {
		if says.KeyID != "" && key.KeyID != says.KeyID {
			continue
		}
		known = true
		if key.Algorithm != "" && key.Algorithm != signed.Signatures[0].Header.Algorithm {
			continue
		}
		payload, err := signed.Verify(key.Key)
		if err != nil {
			continue
		}
		var claims map[string]any
		if decode(payload, &claims) != nil || claims == nil {
			return nil, "", ErrUnverified
		}
		return claims, set.marks[i], nil
	}
	if !known {
		k.seek()
		return nil, "", ErrUnknownKey
	}
	return nil, "", ErrUnverified
}

// Current reports whether a key is still one of the issuer's.
func (k *IssuerKeys) Current(key KeyMark) bool {
	set := k.current.Load()
	if set == nil {
		return false
	}
	now := k.now()
	k.renew(set, now)
	return now.Sub(set.readAt) < issuerKeysLife && slices.Contains(set.marks, key)
}

// renew begins to read keys again that are no longer fresh.
func (k *IssuerKeys) renew(set *issuerKeySet, now time.Time) {
	if now.Sub(set.readAt) >= issuerKeysFresh {
		k.begin()
	}
}

// keys are the keys to verify with. Where there are none yet it waits for the reading under way.
func (k *IssuerKeys) keys(ctx context.Context) (*issuerKeySet, error) {
	usable := func() *issuerKeySet {
		if set := k.current.Load(); set != nil && k.now().Sub(set.readAt) < issuerKeysLife {
			return set
		}
		return nil
	}
	if set := usable(); set != nil {
		k.renew(set, k.now())
		return set, nil
	}
	f := k.begin()
	if f != nil {
		select {
		case <-f.done:
		case <-ctx.Done():
		}
	}
	if set := usable(); set != nil {
		return set, nil
	}
	return nil, ErrKeysUnread
}

// begin reads the keys beside its caller, unless they were tried to be read too short a while ago. It returns the reading
// under way, nil where there is none.
func (k *IssuerKeys) begin() *keyFlight {
	k.mu.Lock()
	defer k.mu.Unlock()
	again := issuerKeysAgain
	if k.current.Load() == nil {
		again = issuerKeysFirst
	}
	if k.tried.IsZero() || k.now().Sub(k.tried) >= again {
		k.start()
	}
	return k.flight
}

// seek reads the keys beside its caller because a token names one that is unknown, once a minute at most: anybody can make
// such tokens.
func (k *IssuerKeys) seek() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if now := k.now(); k.sought.IsZero() || now.Sub(k.sought) >= issuerKeysAgain {
		k.sought = now
		k.start()
	}
}

// start begins a reading, unless one is under way. k.mu is held.
func (k *IssuerKeys) start() {
	if k.flight == nil {
		k.tried, k.flight = k.now(), &keyFlight{done: make(chan struct{})}
		go k.read(k.flight)
	}
}

// read keeps the keys that are known where it fails, and where what it reads has no key at all.
func (k *IssuerKeys) read(f *keyFlight) {
	set, err := k.readSet(context.Background())
	if err == nil {
		k.current.Store(set)
	} else if k.failed != nil {
		k.failed(err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.flight = nil
	close(f.done)
}

// verifiesBearers reports whether a key of this use may verify tokens; SPIFFE has a word of its own.
func verifiesBearers(use string) bool { return use == "" || use == "sig" || use == "jwt-svid" }

func (k *IssuerKeys) readSet(ctx context.Context) (*issuerKeySet, error) {
	var published struct {
		Keys []map[string]any `json:"keys"`
	}
	set := &issuerKeySet{readAt: k.now()}
	raw, err := k.readDocument(ctx)
	if err != nil {
		return nil, err
	}
	if decode(raw, &published) != nil {
		return nil, fmt.Errorf("%w: what is published is no key set", ErrKeysUnread)
	}
	for _, fields := range published.Keys {
		key := jsonWebKey(fields)
		if key == nil || !verifiesBearers(key.Use) || len(set.keys) == maxIssuerKeys {
			continue
		}
		if mark, err := key.Thumbprint(crypto.SHA256); err == nil {
			set.keys, set.marks = append(set.keys, *key), append(set.marks, KeyMark(mark))
		}
	}
	if len(set.keys) == 0 {
		return nil, fmt.Errorf("%w: the key set has no key that verifies signatures", ErrKeysUnread)
	}
	return set, nil
}

// readDocument returns the key set as it is published.
func (k *IssuerKeys) readDocument(ctx context.Context) ([]byte, error) {
	switch {
	case k.source.File != "":
		return readFile(k.source.File)
	case k.source.URL != "":
		return k.get(ctx, k.source.URL, true)
	}
	raw, err := k.get(ctx, k.address(), true)
	if err != nil {
		return nil, err
	}
	var m struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if decode(raw, &m) != nil || m.Issuer != k.source.Issuer {
		return nil, fmt.Errorf("%w: the metadata is not the issuer's own", ErrKeysUnread)
	}
	return k.get(ctx, m.Keys, sameOrigins(m.Keys, k.source.Issuer))
}

// readFile reads no more of a file than of an answer.
func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxBody))
}

// get reads a document of the issuer's. The bearer token goes to the issuer's own origin only.
func (k *IssuerKeys) get(ctx context.Context, address string, ours bool) ([]byte, error) {
	if err := k.allow.checkURL(address, true); err != nil {
		return nil, fmt.Errorf("%w: its address %w", ErrKeysUnread, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, ErrKeysUnread
	}
	req.Header.Set("Accept", "application/json")
	if k.source.TokenFile != "" && ours {
		token, err := readFile(k.source.TokenFile)
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	a, err := send(k.client, req)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrKeysUnread, err)
	case !a.ok():
		return nil, fmt.Errorf("%w: the answer is %d", ErrKeysUnread, a.status)
	}
	return a.body, nil
}

// sameOrigins reports whether two URLs have one origin.
func sameOrigins(a, b string) bool {
	x, errX := url.Parse(a)
	y, errY := url.Parse(b)
	if errX != nil || errY != nil {
		return false
	}
	first, errX := originOf(x.Scheme, strings.ToLower(x.Host))
	second, errY := originOf(y.Scheme, strings.ToLower(y.Host))
	return errX == nil && errY == nil && first == second
}
