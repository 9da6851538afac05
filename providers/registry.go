package providers

import (
	"context"
	"crypto/tls"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/traces"
)

// Client is an OAuth client registered at an upstream: what a provider row and
// its opened secret say. It travels by value and is never kept.
type Client struct {
	// Owner is whose share of what is remembered the client counts against.
	Owner  string
	Type   string
	ID     string
	Secret models.Secret // "" for a public client
	// Former returns the secret that Secret has replaced, "" for none: it is asked for where the upstream refuses Secret. nil
	// is for none. FormerTaken is called where the upstream took that one instead.
	Former      func(context.Context) models.Secret
	FormerTaken func(context.Context)
	Host        string   // metadata.host, "" = the type's public one
	Scopes      []string // to be requested; nil = the type's default
	// SkipConsent asks the upstream not to prompt people who have consented
	// before.
	SkipConsent bool
	// Config holds the settings Validate knows: the common ones, such as pkce, and
	// those of the type, such as issuer for oidc.
	Config map[string]any
}

// setting returns a setting that is a string, else "".
func (c Client) setting(name string) string {
	s, _ := c.Config[name].(string)
	return s
}

// Tokens is a token endpoint's answer in plain text. It lives in memory only.
type Tokens struct {
	Access, Refresh, ID models.Secret
	// Scopes are the granted ones; nil = not said, that is as requested.
	Scopes []string
	// Missing are the requested scopes that were not granted.
	Missing          []string
	ExpiresIn        time.Duration // counted from when the request was sent; 0 = unknown or never
	RefreshExpiresIn time.Duration // 0 = unknown or never
	// Account is whose the tokens are, as far as this answer says.
	Account Account
	// Flags name oddities of the answer that did not keep the tokens from being
	// saved, such as FlagBadExpiry.
	Flags []string
}

// Options says how a Registry reaches upstreams. The zero value is right for
// production.
type Options struct {
	// Allow lists hosts, host:port pairs and CIDRs that may be dialled although
	// they are private or loopback. Plain http is spoken only to a host:port
	// that is listed.
	Allow []string
	// TestHost is the base URL of the test authorization server, admitted as if
	// it were in Allow. Without it the type "test" does not exist.
	TestHost string
	Now      func() time.Time // nil = time.Now
	TLS      *tls.Config      // nil = Go's defaults; tests bring roots of their own
	// Transport makes every call to an upstream in the place of the network, and no
	// address is judged then. It is for simulations; nil = the network.
	Transport http.RoundTripper
	// Observe is told of every call to an upstream; nil tells nobody.
	Observe func(Call)
	// Traces gets a span for each of them; nil for none.
	Traces *traces.Tracer
}

// Registry knows the provider types and speaks to their upstreams. It is safe
// for concurrent use.
type Registry struct {
	types  map[string]*Type
	names  []string
	allow  allowlist
	now    func() time.Time
	dialer *dialer
	tls    *tls.Config
	// instead makes the calls in the place of the network, nil for the network.
	instead http.RoundTripper
	issuers *issuers

	keysMu  sync.Mutex
	keySets remembered[keySet]

	// Token calls get a fresh connection each, the others share (see transport.go).
	fresh, kept http.RoundTripper
	observe     func(Call)
	traces      *traces.Tracer
	clients     // for what is asked for no provider: metadata and key sets
	clientsOf   map[string]clients
}

// New returns a Registry of all types. An error names the entry of Allow, or
// the TestHost, that cannot be understood.
func New(o Options) (*Registry, error) {
	allow, err := parseAllow(o.Allow)
	if err != nil {
		return nil, err
	}
	if o.TestHost, err = allow.admitTestHost(o.TestHost); err != nil {
		return nil, err
	}
	r := &Registry{allow: allow, now: o.Now, types: map[string]*Type{}, keySets: remembered[keySet]{}, clientsOf: map[string]clients{}, observe: o.Observe, traces: o.Traces}
	if r.observe == nil {
		r.observe = func(Call) {}
	}
	if r.now == nil {
		r.now = time.Now
	}
	for _, t := range list(o.TestHost) {
		r.types[t.Name] = t
		r.names = append(r.names, t.Name)
	}
	slices.Sort(r.names)
	r.dialer = newDialer(allow)
	r.fresh, r.kept = transports(r.dialer, o.TLS, o.Transport)
	r.clients = r.clientsFor("", CallMetadata)
	for name := range r.types {
		r.clientsOf[name] = r.clientsFor(name, CallAPI)
	}
	r.tls, r.instead = o.TLS, o.Transport
	r.issuers = newIssuers(r)
	return r, nil
}

// At returns c's upstream. It asks nothing of the network, and c may be of no type at all:
// what is asked of the value says so.
func (r *Registry) At(c Client) Upstream { return Upstream{registry: r, client: c} }

// Upstream is what a client is registered at: its type, and whatever the type and the
// client's settings say about the server. It travels by value, as the client does.
type Upstream struct {
	registry *Registry
	client   Client
}

// Type returns the type of that name.
func (r *Registry) Type(name string) (*Type, bool) {
	t, ok := r.types[name]
	return t, ok
}

// Names returns the names of all types, sorted.
func (r *Registry) Names() []string { return slices.Clone(r.names) }
