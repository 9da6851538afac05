package api

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humaecho"
	"github.com/labstack/echo/v4"

	"github.com/grantd/grantd/api/console"
	"github.com/grantd/grantd/api/pages"
	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/metrics"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/traces"
)

// maxBody is how much a request may send.
const maxBody = 1 << 20

// Options are what a Server is made of.
type Options struct {
	Service *broker.Service
	// PublicURL is where clients reach this instance. Links in answers start
	// with it.
	PublicURL string
	Version   string
	// Log defaults to none.
	Log *slog.Logger
	// TrustedProxies are the networks whose X-Forwarded-For is believed; without
	// any, the address of the connection counts.
	TrustedProxies []netip.Prefix
	// Metrics defaults to some of the server's own.
	Metrics *metrics.Metrics
	// Traces gets a span for each request; nil for none.
	Traces *traces.Tracer
	// EventBeat is how often a stream in which nothing happens shows that it is
	// alive; 0 means 15 s.
	EventBeat time.Duration
	// Brand is what the operator calls the service, on pages.
	Brand pages.Brand
	// BodyTime is how long a request's body may take to arrive; 0 means 10 s.
	BodyTime time.Duration
}

// Server answers the HTTP API.
type Server struct {
	service      *broker.Service
	callerOf     func(context.Context, models.Secret) (models.Caller, error)
	beginRequest func(models.Caller) (done func(), err error)
	addFailure   func(netip.Addr) error // to authenticate
	proxies      []netip.Prefix         // that are trusted
	proxyWarning sync.Once
	publicURL    string
	prefix       string          // the public URL's path, "" for none
	segments     map[string]bool // that our paths begin with
	pages        *pages.Pages
	console      *console.Console
	log          *slog.Logger
	echo         *echo.Echo
	handler      http.Handler // echo, with the deadline for bodies
	bodyTime     time.Duration
	huma         huma.API
	document     func() []byte
	metrics      *requests
	traces       *traces.Tracer
	patterns     map[string]bool
	beat         time.Duration

	serving context.Context // ends when the server drains
	drain   context.CancelFunc
}

// New builds a Server. It opens nothing and starts nothing.
func New(o Options) *Server {
	s := &Server{
		service:      o.Service,
		callerOf:     o.Service.Authenticate,
		beginRequest: o.Service.BeginRequest,
		addFailure:   o.Service.AddFailure,
		proxies:      o.TrustedProxies,
		publicURL:    strings.TrimRight(o.PublicURL, "/"),
		prefix:       pathOf(o.PublicURL),
		log:          o.Log,
		echo:         newEcho(o.TrustedProxies),
		metrics:      newRequests(o.Metrics),
		traces:       o.Traces,
		patterns:     map[string]bool{},
		beat:         cmp.Or(o.EventBeat, 15*time.Second),
		bodyTime:     cmp.Or(o.BodyTime, defaultBodyTime),
	}
	s.handler = withBodyDeadline(s.bodyTime, s.echo)
	s.pages = pages.New(pages.Options{Service: o.Service, PublicURL: o.PublicURL, Prefix: s.prefix, Document: documentPath, Edge: s.edge(), Brand: o.Brand, Console: console.Path})
	s.console = console.New(console.Options{Service: o.Service, Frame: s.frame()})
	s.serving, s.drain = context.WithCancel(context.Background())
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.echo.HTTPErrorHandler = s.answerEchoError
	s.echo.Use(s.observe)
	s.huma = humaecho.NewV4(s.echo, humaConfig(s.publicURL, o.Version))
	s.huma.UseMiddleware(keepBodyDeadline)
	s.routes()
	for _, r := range s.echo.Routes() {
		s.patterns[r.Path] = true
	}
	s.segments = firstSegments(s.echo.Routes())
	s.document = s.openAPI()
	return s
}

// frame is what the console shares with the pages.
func (s *Server) frame() console.Frame {
	p := s.pages
	return console.Frame{
		Page: p.Page, Form: p.Form, Visitor: p.Visitor, LimitedVisitor: p.LimitedVisitor, SignIn: p.SignIn, At: p.At, GoTo: p.GoTo, Leave: p.Leave,
		Templates: p.Templates, Show: p.Show, Fail: p.Fail, Guard: p.Guard, Script: p.Script, ExportAudit: s.exportAuditTo, FollowJob: s.followJob,
	}
}

func newEcho(proxies []netip.Prefix) *echo.Echo {
	e := echo.New()
	e.IPExtractor = echo.ExtractIPDirect()
	if len(proxies) > 0 {
		e.IPExtractor = echo.ExtractIPFromXFFHeader(trust(proxies)...)
	}
	return e
}

// trust names the proxies that are believed, and none else: Echo would believe
// every private address too.
func trust(proxies []netip.Prefix) []echo.TrustOption {
	options := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
	for _, p := range proxies {
		p = p.Masked()
		mask := net.CIDRMask(p.Bits(), p.Addr().BitLen())
		options = append(options, echo.TrustIPRange(&net.IPNet{IP: p.Addr().AsSlice(), Mask: mask}))
	}
	return options
}

// edge is what the pages use of this server.
func (s *Server) edge() pages.Edge {
	return pages.Edge{
		Authenticate: func(ctx context.Context, token models.Secret) (models.Caller, error) { return s.callerOf(ctx, token) },
		Caller:       func(ctx context.Context) *models.Caller { return &callOf(ctx).caller },
		TakePlace:    s.takePlace,
		CountFailure: s.countFailure,
		Problem: func(ctx context.Context, err error) pages.Problem {
			e := s.problem(ctx, err)
			return pages.Problem{Status: e.Status, Message: e.Message, RequestID: e.RequestID, Header: e.headers, WriteJSON: func(c echo.Context) { write(c, e) }}
		},
	}
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.stripPrefix(r.URL)
	rewrite(r.URL)
	s.handler.ServeHTTP(w, r)
}

// Drain makes /readyz answer 503 from now on, so that no new clients are sent
// here. Requests are answered as before, those that wait for a job at once, and
// streams end.
func (s *Server) Drain() { s.drain() }

// whileServing ends with the request, and when the server drains: it is for what
// waits as long as the client likes, and would hold up the end of the process.
func (s *Server) whileServing(ctx context.Context) (context.Context, context.CancelFunc) {
	callOf(ctx).waits = true
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.serving, cancel)
	return ctx, func() { stop(); cancel() }
}

// MetricsHandler serves the metrics in Prometheus' format, for a listener that the
// public does not reach: ServeHTTP does not serve them.
func (s *Server) MetricsHandler() http.Handler {
	return withBodyDeadline(s.bodyTime, s.metrics.handler())
}

// OpenAPI returns the document that /api/v2/openapi.json serves.
func (s *Server) OpenAPI() []byte { return s.document() }
