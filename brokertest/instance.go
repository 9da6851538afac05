package brokertest

import (
	"bytes"
	"cmp"
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/grantd/grantd/api"
	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/client"
	"github.com/grantd/grantd/jobs"
	"github.com/grantd/grantd/metrics"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/providers"
	"github.com/grantd/grantd/secrets"
	"github.com/grantd/grantd/store"
	"github.com/grantd/grantd/testidp"
	"github.com/grantd/grantd/traces"
	"github.com/grantd/grantd/worker"
)

// ClientID and ClientSecret are the client that an instance's authorization server
// knows. The characters are those that hand-made Basic headers get wrong; a colon
// in the id is beyond RFC 7617, which GitHub's REST endpoints use.
const (
	ClientID     = "grantd+tests%client"
	ClientSecret = "s3cret/+%:&=never-in-a-log"
)

// Options change an instance. Nil or zero fields mean good defaults.
type Options struct {
	Backend Backend // Embedded
	// DatabaseURL and RedisURL are for a second instance on the first one's.
	DatabaseURL, RedisURL string
	Clock                 *Clock // of SQLite; the first instance's, when time is to pass for both
	Keys                  *secrets.Keyring
	IdP                   *testidp.Server
	IdPURL                string

	// Timing is the service's; but callers wait for half a minute by default, since
	// the race detector slows SQLite down tenfold and more.
	Timing        broker.Timing
	Concurrency   int
	Refreshes     int
	RedirectAllow []string
	// PublicURL is where a proxy in front of the instance is reached; by default the
	// instance's own URL.
	PublicURL      string
	Allow          []string // further upstreams that may be dialled
	WebhookAllow   []string // receivers of webhooks that may be dialled
	WithoutWorker  bool
	Limits         broker.Limits
	SignIn         broker.SignIn
	Sessions       broker.SessionLife
	Issuers        []broker.TrustedIssuer
	TokensByAdmins bool
	Traces         *traces.Tracer
	Between        *store.Between
	BodyTime       time.Duration // how long a request's body may take to arrive; 0 is the default
}

// Instance is the whole service in one process, on real HTTP, with the test
// authorization server as its upstream.
type Instance struct {
	Service *broker.Service
	Store   *store.Store
	Keys    *secrets.Keyring
	Clock   *Clock
	IdP     *testidp.Server
	IdPURL  string
	URL     string // of the API
	// MetricsURL is where Prometheus would read, which is not the API's address.
	MetricsURL string
	Log        *LogBuffer
	// Upstream may be changed before anything is asked, for what types there may be.
	Upstream *providers.Registry

	DatabaseURL, RedisURL string

	// Admin and User belong to the organisation "acme", Other to "globex".
	Admin, User, Colleague, Other Person

	worker *worker.Worker
}

// Person is somebody with an API token.
type Person struct {
	Caller models.Caller
	Token  models.Secret
	Client *client.Client
}

// New builds an instance that is torn down with the test.
func New(t testing.TB, o *Options) *Instance {
	t.Helper()
	if o == nil {
		o = &Options{}
	}
	h := &Instance{Clock: cmp.Or(o.Clock, &Clock{}), Log: &LogBuffer{}, Keys: o.Keys, IdP: o.IdP, IdPURL: o.IdPURL,
		DatabaseURL: o.DatabaseURL, RedisURL: o.RedisURL}
	if h.DatabaseURL == "" {
		backend := o.Backend
		if backend == "" {
			backend = Embedded
		}
		h.DatabaseURL, h.RedisURL = backend.Migrated(t)
	}
	if h.IdP == nil {
		h.startIdP(t)
	}
	if h.Keys == nil {
		h.Keys = must(secrets.Generate())(t)
	}
	h.Store = openStore(t, store.Options{URL: h.DatabaseURL, Clock: h.Clock.Now, Traces: o.Traces, Between: o.Between})
	h.serve(t, *o)
	h.Admin = h.Person(t, "acme", "root", models.RoleAdmin)
	h.User = h.Person(t, "acme", "ada", models.RoleUser)
	h.Colleague = h.Person(t, "acme", "grace", models.RoleUser)
	h.Other = h.Person(t, "globex", "boss", models.RoleAdmin)
	return h
}

func (h *Instance) startIdP(t testing.TB) {
	h.IdP, h.IdPURL = testidp.Start(t, testidp.Options{AutoConsent: true, Clients: []testidp.Client{{ID: ClientID, Secret: ClientSecret}}})
}

func (h *Instance) serve(t testing.TB, o Options) {
	o.Timing.CallerWait = cmp.Or(o.Timing.CallerWait, 30*time.Second)
	o.Timing.Events = cmp.Or(o.Timing.Events, 100*time.Millisecond)
	o.Timing.Forget = cmp.Or(o.Timing.Forget, time.Nanosecond) // tests make rows old between two sweeps
	ctx := context.Background()
	log := slog.New(slog.NewTextHandler(h.Log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	redis := must(jobs.OpenRedis(h.RedisURL))(t)
	bell, pace := jobs.NewBell(redis), jobs.NewPace(redis)
	t.Cleanup(func() { pace.Close(); bell.Close(); redis.Close() })
	counted := metrics.New("test")
	h.Upstream = must(providers.New(providers.Options{TestHost: h.IdPURL, Allow: append(o.Allow, strings.TrimPrefix(h.IdPURL, "http://")), Observe: counted.UpstreamCalled, Traces: o.Traces}))(t)
	listener := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	h.URL = "http://" + listener.Addr().String()
	public := cmp.Or(o.PublicURL, h.URL)
	h.Service = must(broker.New(ctx, broker.Options{
		Store: h.Store, Upstream: h.Upstream, Receivers: must(providers.NewReceivers(o.WebhookAllow, nil))(t), Keys: h.Keys, Bell: bell, Pace: pace, PublicURL: public, RedirectAllow: o.RedirectAllow,
		Log: log, Metrics: counted, Timing: o.Timing, Concurrency: o.Concurrency, Refreshes: o.Refreshes, Limits: o.Limits, SignIn: o.SignIn, Issuers: o.Issuers, Sessions: o.Sessions, TokensByAdmins: o.TokensByAdmins,
	}))(t)
	counted.Watch(h.Service.MetricSources(!o.WithoutWorker))
	edge := api.New(api.Options{Service: h.Service, PublicURL: public, Version: "test", Log: log, Metrics: counted, Traces: o.Traces,
		TrustedProxies: []netip.Prefix{}, BodyTime: o.BodyTime})
	server := httptest.NewUnstartedServer(edge)
	scraped := httptest.NewServer(edge.MetricsHandler())
	t.Cleanup(scraped.Close)
	h.MetricsURL = scraped.URL
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	t.Cleanup(func() {
		server.Close()
		wait, cancel := context.WithTimeout(ctx, 50*time.Second)
		defer cancel()
		h.Service.Wait(wait)
	})
	if o.WithoutWorker {
		return
	}
	h.worker = must(worker.New(worker.Options{Service: h.Service, Redis: redis, Log: log, Metrics: counted, Traces: o.Traces, SweepEvery: 100 * time.Millisecond}))(t)
	if err := h.worker.Start(); err != nil {
		t.Fatalf("starting the worker: %v", err)
	}
	t.Cleanup(h.worker.Shutdown)
}

// Person makes somebody with an API token of their own.
func (h *Instance) Person(t testing.TB, org, user string, role models.Role) Person {
	t.Helper()
	return h.Limited(t, broker.NewAPIToken{OrgID: org, UserID: user, Role: role})
}

// Limited makes somebody with an API token as it is asked for, such as one that is limited to providers.
func (h *Instance) Limited(t testing.TB, n broker.NewAPIToken) Person {
	t.Helper()
	row, token, err := h.Service.CreateAPIToken(context.Background(), n)
	if err != nil {
		t.Fatalf("making a token for %s: %v", n.UserID, err)
	}
	return Person{Caller: row.Caller(), Token: token, Client: client.New(h.URL, token, nil).Once()}
}

// Bearer is somebody who authenticates with a token of a trusted issuer.
func (h *Instance) Bearer(t testing.TB, token models.Secret) Person {
	t.Helper()
	caller, err := h.Service.Authenticate(context.Background(), token)
	if err != nil {
		t.Fatalf("a token of a trusted issuer is not accepted: %v", err)
	}
	return Person{Caller: caller, Token: token, Client: client.New(h.URL, token, nil).Once()}
}

// Provider registers the authorization server's client as a provider of the type
// test or github.
func (h *Instance) Provider(t testing.TB, typ string) models.Provider {
	t.Helper()
	n := models.ProviderInput{Name: typ + " provider", Type: typ, ClientID: ClientID, ClientSecret: ClientSecret}
	if typ != "test" {
		n.Metadata.Host = h.IdPURL
	}
	p, err := h.Service.CreateProvider(context.Background(), h.Admin.Caller, n)
	if err != nil {
		t.Fatalf("registering a provider: %v", err)
	}
	return p
}

// Callback is where consents return to. Nothing listens there: the harness reads
// the address of the redirect instead.
const Callback = "http://localhost:5173/oauth/callback"

// Consent lets an account at the upstream consent, and returns the authorization
// that who has from then on.
func (h *Instance) Consent(t testing.TB, who Person, p models.Provider, account string) models.Authorization {
	t.Helper()
	back := h.Approve(t, h.Authorize(t, who, p), account)
	back.ProviderID = p.ID
	var done broker.Completed
	Eventually(t, "the consent of "+account+" completes", func() bool {
		var err error
		done, err = h.Service.Complete(context.Background(), who.Caller, back)
		if err != nil && models.CodeOf(err) != models.CodeUpstream { // slow, on a busy machine: ask again, as a client does
			t.Fatalf("completing the consent of %s: %v", account, err)
		}
		return err == nil
	})
	return done.Authorization
}

// Authorize begins a consent and returns where to send the person.
func (h *Instance) Authorize(t testing.TB, who Person, p models.Provider) broker.AuthorizeAnswer {
	t.Helper()
	answer, err := h.Service.Authorize(context.Background(), who.Caller, broker.AuthorizeRequest{ProviderID: p.ID, RedirectURI: Callback})
	if err != nil {
		t.Fatalf("beginning a consent: %v", err)
	}
	return answer
}

// Approve follows the address as the account's browser would, and returns what
// comes back to the callback, less the provider.
func (h *Instance) Approve(t testing.TB, a broker.AuthorizeAnswer, account string) models.Callback {
	t.Helper()
	target := must(url.Parse(a.RedirectURL))(t)
	q := target.Query()
	q.Set("login_hint", account)
	q.Set("login", account) // GitHub's word for it
	target.RawQuery = q.Encode()
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := browser.Get(target.String())
	if err != nil {
		t.Fatalf("asking for consent: %v", err)
	}
	answer.Body.Close()
	back, err := answer.Location()
	if err != nil {
		t.Fatalf("the authorization server answered %s without a redirect", answer.Status)
	}
	got := back.Query()
	return models.Callback{State: models.Secret(got.Get("state")), Code: models.Secret(got.Get("code")),
		Error: got.Get("error"), ErrorDescription: got.Get("error_description"), Iss: got.Get("iss")}
}

// LogBuffer keeps what was logged, for tests that look for secrets in it.
type LogBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *LogBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *LogBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
