package providers

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"
)

const (
	metadataTTL = time.Hour
	// retryStale is how long old metadata is used before a failed fetch is tried
	// again, so that not every caller waits for an upstream that is down.
	retryStale = time.Minute
)

// issuers remembers the metadata of issuers.
type issuers struct {
	r       *Registry
	mu      sync.Mutex
	entries remembered[issuer]
}

// issuer is what is known about one: endpoints, once they were read, and the fetch
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
	return &issuers{r: r, entries: remembered[issuer]{}}
}

// endpoints returns what the issuer's metadata says, at most an hour old unless
// it cannot be read again. There is one fetch at a time per owner and issuer, with a
// time-out of its own; ctx only limits how long this caller waits.
func (d *issuers) endpoints(ctx context.Context, owner, name string) (Endpoints, error) {
	d.mu.Lock()
	entry := d.entry(owner, name)
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

// remembered returns what an issuer's metadata said last, however long ago; nothing if
// it was not read.
func (d *issuers) remembered(owner, name string) Endpoints {
	d.mu.Lock()
	defer d.mu.Unlock()
	if entry, ok := d.entries[owner][name]; ok {
		return entry.endpoints
	}
	return Endpoints{}
}

func (d *issuers) entry(owner, name string) *issuer {
	return d.entries.at(owner, name, func() *issuer { return &issuer{} })
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

// completedBy is e, the endpoints that config names, with those that metadata names
// beside.
func (e Endpoints) completedBy(metadata Endpoints) Endpoints {
	all := metadata
	all.Issuer, all.Public = e.Issuer, e.Public
	all.AuthStyle = cmp.Or(e.AuthStyle, metadata.AuthStyle)
	all.Revoke = cmp.Or(e.Revoke, metadata.Revoke)
	all.Introspect = cmp.Or(e.Introspect, metadata.Introspect)
	return all
}

// discover reads and judges an issuer's metadata. Whatever is wrong with it says
// nothing about anybody's tokens: the error is KindTransient or KindProtocol.
func (r *Registry) discover(ctx context.Context, issuer string) (Endpoints, error) {
	if err := r.allow.checkURL(issuer, false); err != nil {
		return Endpoints{}, unreachable(errBlocked, false)
	}
	a, err := r.readMetadata(ctx, strings.TrimSuffix(issuer, "/")+"/.well-known/openid-configuration")
	if err != nil {
		return Endpoints{}, err
	}
	if !a.ok() {
		return Endpoints{}, noMetadata(a, r.now())
	}
	var m metadata
	if decode(a.body, &m) != nil {
		return Endpoints{}, misconfigured("metadata_not_json", "What is at /.well-known/openid-configuration below config.issuer is not OpenID Connect metadata. An admin must correct config.issuer.")
	}
	return r.endpointsOf(m, issuer)
}

// readMetadata follows one redirect to the same origin (S1): Django OAuth Toolkit
// keeps its metadata at the same address with a slash.
func (r *Registry) readMetadata(ctx context.Context, at string) (*answer, error) {
	a, err := r.readJSON(ctx, at)
	if err != nil || a.status/100 != 3 {
		return a, err
	}
	next := r.sameOrigin(at, a.header.Get("Location"))
	if next == "" {
		return a, nil
	}
	return r.readJSON(ctx, next)
}

func (r *Registry) readJSON(ctx context.Context, at string) (*answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, protocol("the address of the metadata is not a URL")
	}
	req.Header.Set("Accept", "application/json")
	return r.read(req)
}

// sameOrigin returns where a Location leads, "" for another origin or nowhere.
func (r *Registry) sameOrigin(from, location string) string {
	base, err := url.Parse(from)
	if err != nil || location == "" {
		return ""
	}
	to, err := base.Parse(location)
	if err != nil || r.allow.checkURL(to.String(), true) != nil {
		return ""
	}
	if !sameOrigins(from, to.String()) {
		return ""
	}
	return to.String()
}

// noMetadata makes the Error for an answer that is no success.
func noMetadata(a *answer, now time.Time) *Error {
	e := failure(a, now)
	if e.Kind != KindTransient {
		e.Kind = KindProtocol
	}
	switch {
	case a.down() || a.throttled():
	case a.status/100 == 3:
		e.Code, e.Advice = "issuer_redirects", "The metadata of config.issuer redirects to another address. An admin must set config.issuer to the issuer's own address."
	case a.status/100 == 4:
		e.Code, e.Advice = "no_metadata", "There is no OpenID Connect metadata at /.well-known/openid-configuration below config.issuer. An admin must correct config.issuer, or use a provider type that does not need the metadata."
	}
	return e
}

// misconfigured makes the Error for what an admin must correct.
func misconfigured(code, advice string) *Error {
	return &Error{Kind: KindProtocol, Code: code, Advice: advice}
}

func (r *Registry) endpointsOf(m metadata, issuer string) (Endpoints, error) {
	if m.Issuer != issuer {
		return Endpoints{}, misconfigured("issuer_mismatch", "The metadata of config.issuer names another issuer"+slashApart(issuer, m.Issuer)+". An admin must set config.issuer to exactly what the metadata says.")
	}
	for _, endpoint := range []struct {
		name, url string
		required  bool
	}{{"authorization_endpoint", m.Authorize, true}, {"token_endpoint", m.Token, true}, {"jwks_uri", m.Keys, true},
		{"device_authorization_endpoint", m.Device, false}, {"revocation_endpoint", m.Revoke, false},
		{"introspection_endpoint", m.Introspect, false}, {"userinfo_endpoint", m.UserInfo, false}} {
		if endpoint.url == "" && !endpoint.required {
			continue
		}
		if err := r.allow.checkURL(endpoint.url, true); err != nil {
			return Endpoints{}, misconfigured("metadata_endpoint", "The provider's metadata cannot be used: its "+endpoint.name+" "+err.Error()+".")
		}
	}
	return Endpoints{
		Endpoint:   oauth2.Endpoint{AuthURL: m.Authorize, TokenURL: m.Token, DeviceAuthURL: m.Device, AuthStyle: authStyle(m.AuthStyles)},
		Revoke:     m.Revoke,
		Introspect: m.Introspect,
		UserInfo:   m.UserInfo,
		Issuer:     issuer,
		SaysIssuer: m.SaysIssuer,
		Keys:       m.Keys,
	}, nil
}

// slashApart points out the commonest difference between two issuers.
func slashApart(ours, theirs string) string {
	switch {
	case ours+"/" == theirs:
		return ", the same with a slash at the end"
	case ours == theirs+"/":
		return ", the same without the slash at the end"
	}
	return ""
}

// authStyle picks how the client authenticates. Unsaid means Basic (RFC 8414
// §2); a list of only "none" is for public clients, which send their id. Zero is a
// list of nothing that is supported.
func authStyle(supported []string) oauth2.AuthStyle {
	switch {
	case len(supported) == 0, slices.Contains(supported, "client_secret_basic"):
		return oauth2.AuthStyleInHeader
	case slices.Contains(supported, "client_secret_post"), slices.Contains(supported, "none"):
		return oauth2.AuthStyleInParams
	}
	return 0
}
