package testidp

import (
	"cmp"
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Options say what a [Server] starts with. The zero value is a server that
// knows no client and asks before it grants.
type Options struct {
	// Clients are registered from the start; see also [Server.AddClient].
	Clients []Client

	// AutoConsent answers every authorization request with a code at once,
	// whatever its prompt says. The person is the one named by login_hint (or
	// GitHub's login), otherwise ada.
	AutoConsent bool

	// Issuer is the base URL, without a slash at its end. Empty means: as the
	// request's Host has it.
	Issuer string

	AccessTTL  time.Duration // life of access tokens, default 1 hour
	RefreshTTL time.Duration // life of refresh tokens, default 183 days, as GitHub's
	CodeTTL    time.Duration // life of authorization and device codes, default 10 minutes

	// DeviceInterval is how long a device must wait between two polls, in whole
	// seconds; default 1 second, because RFC 8628's five make tests slow.
	DeviceInterval time.Duration

	Now  func() time.Time // default time.Now
	Rand io.Reader        // default crypto/rand

	// Watch is told of every token that begins or ends, in the order in which that
	// happens. It must not call the server.
	Watch func(Change)
}

// Change is what became of a token: it was issued, or it is not accepted any more since
// it was spent, replaced or revoked. That its time is over is no change.
type Change struct {
	Token        string
	Refresh      bool // it is a refresh token
	Client, User string
	Ended        bool
	At           time.Time // when it was issued; zero where it ended
	Expires      time.Time // of one that was issued
}

// Server is an authorization server. It is made by [New] and safe for
// concurrent use.
type Server struct {
	issuer      string
	autoConsent bool
	accessTTL   atomic.Int64
	refreshTTL  time.Duration
	codeTTL     time.Duration
	now         func() time.Time
	handleKey   []byte

	deviceInterval time.Duration

	randMu sync.Mutex
	rand   io.Reader

	clients  registry
	ledger   *ledger
	faults   faultBox
	counters counters
	mux      *http.ServeMux

	closeOnce sync.Once
	closed    chan struct{}
}

// New makes a server. Serve it with net/http or httptest.
func New(o Options) *Server {
	s := &Server{
		issuer:      o.Issuer,
		autoConsent: o.AutoConsent,
		refreshTTL:  cmp.Or(o.RefreshTTL, 183*24*time.Hour),
		codeTTL:     cmp.Or(o.CodeTTL, 10*time.Minute),
		now:         o.Now,
		rand:        cmp.Or[io.Reader](o.Rand, rand.Reader),
		ledger:      newLedger(),
		counters:    newCounters(),
		closed:      make(chan struct{}),

		deviceInterval: cmp.Or(o.DeviceInterval, time.Second),
	}
	if s.now == nil {
		s.now = time.Now
	}
	s.ledger.watch = o.Watch
	s.SetAccessTTL(cmp.Or(o.AccessTTL, time.Hour))
	s.handleKey = s.random(32)
	for _, c := range o.Clients {
		s.AddClient(c)
	}
	s.mux = s.routes()
	return s
}

// routes is the whole surface but for the control API.
func (s *Server) routes() *http.ServeMux {
	mux := http.NewServeMux()

	mux.Handle("GET /authorize", s.guard(named(Authorize), nil, s.authorize(standard)))
	mux.HandleFunc("POST /authorize", s.decide)
	mux.Handle("POST /device", s.guard(named(Device), failStandard, s.beginDevice(standard)))
	mux.HandleFunc("GET "+standard.devicePage, s.activate)
	mux.HandleFunc("POST "+standard.devicePage, s.decide)
	mux.Handle("POST /token", s.guard(byGrantType, failStandard, s.token(standard)))
	mux.Handle("POST /revoke", s.guard(named(Revoke), failStandard, s.revoke))
	mux.Handle("POST /introspect", s.guard(named(Introspect), failStandard, s.introspect))
	mux.Handle("GET /userinfo", s.guard(named(UserInfo), failBearer, s.userInfo))
	mux.Handle("POST /userinfo", s.guard(named(UserInfo), failBearer, s.userInfo))
	mux.Handle("GET /.well-known/oauth-authorization-server", s.guard(named(Metadata), failStandard, s.metadata))
	mux.HandleFunc("GET /avatars/{file}", avatar)

	mux.Handle("GET /login/oauth/authorize", s.guard(named(Authorize), nil, s.authorize(gitHub)))
	mux.HandleFunc("POST /login/oauth/authorize", s.decide)
	mux.Handle("POST /login/device/code", s.guard(named(Device), failGitHub, s.beginDevice(gitHub)))
	mux.HandleFunc("GET "+gitHub.devicePage, s.activate)
	mux.HandleFunc("POST "+gitHub.devicePage, s.decide)
	mux.Handle("POST /login/oauth/access_token", s.guard(byGrantType, failGitHub, s.token(gitHub)))

	const api = "/api/v3"
	mux.Handle("GET "+api+"/user", s.guard(named(UserInfo), failAPI, s.apiUser))
	mux.Handle("GET "+api+"/user/emails", s.guard(named(UserInfo), failAPI, s.apiEmails))
	mux.Handle("GET "+api+"/user/installations", s.guard(named(Installations), failAPI, s.apiInstallations))
	const application = api + "/applications/{client_id}"
	mux.Handle("DELETE "+application+"/grant", s.guard(named(GrantDelete), failAPI, s.application(s.deleteGrant)))
	mux.Handle("DELETE "+application+"/token", s.guard(named(TokenDelete), failAPI, s.application(s.deleteToken)))
	mux.Handle("POST "+application+"/token", s.guard(named(TokenCheck), failAPI, s.application(s.checkToken)))
	mux.Handle("PATCH "+application+"/token", s.guard(named(TokenReset), failAPI, s.application(s.resetToken)))

	s.controlRoutes(mux)
	return mux
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Close lets go of every request that a fault holds back. Call it before
// closing the HTTP server, which waits for them.
func (s *Server) Close() { s.closeOnce.Do(func() { close(s.closed) }) }

// SetAccessTTL changes the life of access tokens issued from now on.
func (s *Server) SetAccessTTL(d time.Duration) { s.accessTTL.Store(int64(d)) }

// ExpireAccessTokens ends the life of every access token now, leaves the
// refresh tokens alone, and says how many it was.
func (s *Server) ExpireAccessTokens() int { return s.ledger.expireAccess(s.now()) }

// Reset forgets all grants, codes, faults and counts. Clients, their secrets
// and the lives of tokens stay as they are.
func (s *Server) Reset() {
	s.ledger.reset()
	s.ClearFaults()
	s.counters.reset()
}

// Format keeps secrets and tokens out of whatever prints a Server.
func (s *Server) Format(f fmt.State, _ rune) { io.WriteString(f, "testidp.Server[redacted]") }

// base is the issuer: the configured one, or the URL the request came to.
func (s *Server) base(r *http.Request) string {
	switch {
	case s.issuer != "":
		return s.issuer
	case r.TLS != nil:
		return "https://" + r.Host
	default:
		return "http://" + r.Host
	}
}

// random reads n bytes. The lock is for readers handed in by tests.
func (s *Server) random(n int) []byte {
	s.randMu.Lock()
	defer s.randMu.Unlock()
	b := make([]byte, n)
	if _, err := io.ReadFull(s.rand, b); err != nil {
		panic(fmt.Errorf("testidp: reading randomness: %w", err))
	}
	return b
}

// secret returns a fresh unguessable string of 160 bits.
func (s *Server) secret(prefix string) string {
	return prefix + base32.StdEncoding.EncodeToString(s.random(20))
}
