package providers

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

const (
	metadataTTL = time.Hour
	// retryStale is how long old metadata is used before a failed fetch is tried
	// again, so that not every caller waits for an upstream that is down.
	retryStale = time.Minute
	maxIssuers = 1000
)

// issuers remembers the metadata of issuers.
type issuers struct {
	r       *Registry
	mu      sync.Mutex
	entries map[string]*issuer
}

// issuer is what is known of one: endpoints, once they were read, and the fetch
// under way, if any.
type issuer struct {
	endpoints Endpoints
	read      bool
	until     time.Time
	flight    *flight
}

// flight is one fetch, shared by all who wait for it.
type flight struct {
	done      chan struct{}
	endpoints Endpoints
	err       error
}

func newIssuers(r *Registry) *issuers {
	return &issuers{r: r, entries: map[string]*issuer{}}
}

// endpoints returns what the issuer's metadata says, at most an hour old unless
// it cannot be read again. There is one fetch at a time per issuer, with a
// time-out of its own; ctx only limits how long this caller waits.
func (d *issuers) endpoints(ctx context.Context, name string) (Endpoints, error) {
	d.mu.Lock()
	entry := d.entry(name)
	if entry.read && d.r.now().Before(entry.until) {
		defer d.mu.Unlock()
		return entry.endpoints, nil
	}
	f := entry.flight
	if f == nil {
		f = &flight{done: make(chan struct{})}
		entry.flight = f
		go d.fetch(context.WithoutCancel(ctx), name, entry)
	}
	d.mu.Unlock()

	select {
	case <-f.done:
		return f.endpoints, f.err
	case <-ctx.Done():
		return Endpoints{}, unreachable(ctx.Err(), false)
	}
}

// entry finds or makes the issuer's entry. Issuers are named by tenants, so what
// is remembered is bounded.
func (d *issuers) entry(name string) *issuer {
	entry, ok := d.entries[name]
	if !ok {
		if len(d.entries) >= maxIssuers {
			clear(d.entries) // a flight under way keeps its own entry
		}
		entry = &issuer{}
		d.entries[name] = entry
	}
	return entry
}

// fetch ends the entry's flight. When it fails, metadata that was read before is
// used on.
func (d *issuers) fetch(ctx context.Context, name string, entry *issuer) {
	endpoints, err := d.r.discover(ctx, name)
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case err == nil:
		entry.endpoints, entry.read, entry.until = endpoints, true, d.r.now().Add(metadataTTL)
	case entry.read:
		endpoints, err, entry.until = entry.endpoints, nil, d.r.now().Add(retryStale)
	}
	f := entry.flight
	f.endpoints, f.err, entry.flight = endpoints, err, nil
	close(f.done)
}

// metadata is what is used of OpenID Discovery §3 and RFC 8414 §2. PKCE is sent
// whatever it says: Entra supports it and does not say so.
type metadata struct {
	Issuer     string   `json:"issuer"`
	Authorize  string   `json:"authorization_endpoint"`
	Token      string   `json:"token_endpoint"`
	Device     string   `json:"device_authorization_endpoint"`
	Revoke     string   `json:"revocation_endpoint"`
	Introspect string   `json:"introspection_endpoint"`
	UserInfo   string   `json:"userinfo_endpoint"`
	Keys       string   `json:"jwks_uri"`
	AuthStyles []string `json:"token_endpoint_auth_methods_supported"`
	SaysIssuer bool     `json:"authorization_response_iss_parameter_supported"`
}

// discover reads and judges an issuer's metadata. Whatever is wrong with it says
// nothing about anybody's tokens: the error is KindTransient or KindProtocol.
func (r *Registry) discover(ctx context.Context, issuer string) (Endpoints, error) {
	if err := r.allow.checkURL(issuer, false); err != nil {
		return Endpoints{}, unreachable(errBlocked, false)
	}
	wellKnown := strings.TrimSuffix(issuer, "/") + "/.well-known/openid-configuration"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, wellKnown, nil)
	if err != nil {
		return Endpoints{}, protocol("issuer is not a URL")
	}
	req.Header.Set("Accept", "application/json")
	a, err := r.read(req)
	if err != nil {
		return Endpoints{}, err
	}
	if !a.ok() {
		e := failure(a, r.now())
		if e.Kind != KindTransient {
			e.Kind = KindProtocol
		}
		return Endpoints{}, e
	}
	var m metadata
	if decode(a.body, &m) != nil {
		return Endpoints{}, protocol("the metadata is not JSON")
	}
	return r.endpointsOf(m, issuer)
}

func (r *Registry) endpointsOf(m metadata, issuer string) (Endpoints, error) {
	if m.Issuer != issuer {
		return Endpoints{}, protocol("the metadata is that of another issuer")
	}
	for _, endpoint := range []struct {
		url      string
		required bool
	}{{m.Authorize, true}, {m.Token, true}, {m.Keys, true}, {m.Device, false}, {m.Revoke, false}, {m.Introspect, false}, {m.UserInfo, false}} {
		if endpoint.url == "" && !endpoint.required {
			continue
		}
		if err := r.allow.checkURL(endpoint.url, true); err != nil {
			return Endpoints{}, protocol("the metadata has an endpoint that %w", err)
		}
	}
	style, err := authStyle(m.AuthStyles)
	if err != nil {
		return Endpoints{}, err
	}
	keys := oidc.NewRemoteKeySet(oidc.ClientContext(context.Background(), r.reads), m.Keys)
	return Endpoints{
		Endpoint:   oauth2.Endpoint{AuthURL: m.Authorize, TokenURL: m.Token, DeviceAuthURL: m.Device, AuthStyle: style},
		Revoke:     m.Revoke,
		Introspect: m.Introspect,
		UserInfo:   m.UserInfo,
		Issuer:     issuer,
		SaysIssuer: m.SaysIssuer,
		keys:       keys,
	}, nil
}

// authStyle picks how the client authenticates. Unsaid means Basic (RFC 8414
// §2); a list of only "none" is for public clients, which send their id.
func authStyle(supported []string) (oauth2.AuthStyle, error) {
	switch {
	case len(supported) == 0, slices.Contains(supported, "client_secret_basic"):
		return oauth2.AuthStyleInHeader, nil
	case slices.Contains(supported, "client_secret_post"), slices.Contains(supported, "none"):
		return oauth2.AuthStyleInParams, nil
	}
	return 0, &Error{Kind: KindProtocol, Err: errors.New("the upstream wants a client authentication that is not supported")}
}
