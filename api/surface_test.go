package api

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"testing"
)

// document is as much of OpenAPI as the tests look at.
type document struct {
	OpenAPI string
	Servers []struct{ URL string }
	Paths   map[string]map[string]struct {
		OperationID, Summary string
		Security             []map[string][]string
		Responses            map[string]struct {
			Description string
			Content     map[string]any
		}
	}
	Components struct {
		Schemas         map[string]struct{ Required []string }
		SecuritySchemes map[string]any
	}
}

func TestTheDocumentIsComplete(t *testing.T) {
	s := newTestServer(t)
	got := s.send(t, httptest.NewRequest("GET", documentPath, nil))
	var d document
	if err := json.Unmarshal([]byte(got.raw), &d); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(d.OpenAPI, "3.1") || len(d.Servers) != 1 || d.Servers[0].URL != "https://grantd.example.com" {
		t.Errorf("OpenAPI %s, servers %v", d.OpenAPI, d.Servers)
	}
	seen := map[string]bool{}
	for path, operations := range d.Paths {
		for method, op := range operations {
			name := method + " " + path
			if op.OperationID == "" || op.Summary == "" || seen[op.OperationID] {
				t.Errorf("%s: id %q, summary %q", name, op.OperationID, op.Summary)
			}
			seen[op.OperationID] = true
			for status, r := range op.Responses {
				if r.Description == "" || status >= "400" && r.Content["application/json"] == nil {
					t.Errorf("%s: %s is not described", name, status)
				}
			}
			if strings.HasPrefix(path, root) && (len(op.Security) != 2 || op.Responses["401"].Description == "" || !strings.HasSuffix(path, "/")) {
				t.Errorf("%s: %+v", name, op)
			}
		}
	}
	if len(seen) < 16 { // the surface only grows
		t.Errorf("%d operations", len(seen))
	}
	for _, name := range []string{"Provider", "Authorization", "Job", "Token", "User", "Error"} {
		if len(d.Components.Schemas[name].Required) == 0 {
			t.Errorf("the schema %s is missing", name)
		}
	}
}

func TestTheDocsLoadNothingFromElsewhere(t *testing.T) {
	s := newTestServer(t)
	for _, path := range []string{"/docs", "/docs/"} {
		got := s.send(t, httptest.NewRequest("GET", path, nil))
		if got.status != 200 || regexp.MustCompile(`(?:https?:)?//[a-z]`).MatchString(got.raw) {
			t.Errorf("%s: %d %s", path, got.status, got.raw)
		}
		if p := got.header.Get("Content-Security-Policy"); !strings.HasPrefix(p, "default-src 'none'") || strings.Contains(p, "http") || strings.Contains(p, "*") {
			t.Errorf("%s: policy %q", path, p)
		}
		for _, file := range regexp.MustCompile(`(?:src|href|spec-url)="(/[^"]+)"`).FindAllStringSubmatch(got.raw, -1) {
			if r := s.send(t, httptest.NewRequest("GET", file[1], nil)); r.status != 200 || len(r.raw) < 1000 {
				t.Errorf("%s: %d, %d bytes", file[1], r.status, len(r.raw))
			}
		}
	}
}

func TestDrainingIsNotReadyButAlive(t *testing.T) {
	s := newTestServer(t)
	s.Drain()
	ready := s.send(t, httptest.NewRequest("GET", "/readyz", nil))
	if ready.status != 503 || ready.field("draining") == "" || ready.header.Get("Retry-After") == "" {
		t.Errorf("readyz: %d %s", ready.status, ready.raw)
	}
	if alive := s.send(t, httptest.NewRequest("GET", "/healthz", nil)); alive.status != 200 || alive.raw != `{"status":"ok"}`+"\n" {
		t.Errorf("healthz: %d %s", alive.status, alive.raw)
	}
}

func TestMetricsNamePatternsAndNeverIDs(t *testing.T) {
	s := newTestServer(t)
	s.ask(t, "GET", root+"providers/some.id/", "")
	s.ask(t, "GET", "/made/up/by/a/client", "")
	s.ask(t, "BREW", root+"providers/", "")
	answer := httptest.NewRecorder()
	s.MetricsHandler().ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	got := answer.Body.String()
	for _, want := range []string{
		`grantd_http_requests_total{method="GET",route="/api/v2/externalOAuth/providers/:id/",status="404"} 1`,
		`grantd_http_requests_total{method="GET",route="unmatched",status="404"} 1`,
		`method="other"`, "go_goroutines",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is missing in %s", want, got)
		}
	}
	if strings.Contains(got, "some.id") || strings.Contains(got, "made/up") || strings.Contains(got, "BREW") {
		t.Error("clients can make up labels")
	}
}

func TestTheAPIsAddressHasNoMetrics(t *testing.T) {
	s := newTestServer(t)
	if got := s.send(t, httptest.NewRequest("GET", "/metrics", nil)); got.status != 404 {
		t.Errorf("got %d", got.status)
	}
}

func TestTheAccessLogTellsNoPathAndNoQuery(t *testing.T) {
	s := newTestServer(t)
	s.ask(t, "POST", root+"providers/a/authorize/?state=%ff&code="+secretInBody, "")
	line := s.log.String()
	if !strings.Contains(line, "route=/api/v2/externalOAuth/providers/:id/authorize/") || !strings.Contains(line, "org=o user=u") {
		t.Errorf("logged %s", line)
	}
	if strings.Contains(line, secretInBody) || strings.Contains(line, "good") {
		t.Errorf("logged %s", line)
	}
}

// Finding 11: the log called every unknown path "unmatched", and whether a proxy had
// added or removed a part of it could not be seen.
func TestAProxysWrongPathCanBeFound(t *testing.T) {
	for path, want := range map[string]misplaced{
		"/grantd/api/v2/externalOAuth/providers/": pathPrefixed, "/x/external-auth/github/callback": pathPrefixed,
		"/externalOAuth/providers/": pathCut, "/v2/externalOAuth/jobs/": pathCut, "/providers/" + secretInBody: pathCut, "/v2/external-auth": pathCut,
		"/api/v2/externalOAuth/" + secretInBody: pathNoOperation, "/api/v2/external-auth/a/b/c/d": pathNoOperation,
		"/" + secretInBody: pathUnknown, "/favicon.ico": pathUnknown,
	} {
		s := newTestServer(t)
		got := s.ask(t, "GET", path, "")
		if got.status != 404 || !strings.Contains(got.err.Message, root) || strings.Contains(got.raw, secretInBody) {
			t.Errorf("%s: got %d %s", path, got.status, got.raw)
		}
		if line := s.log.String(); !strings.Contains(line, "route=unmatched") || !strings.Contains(line, "path="+string(want)) || strings.Contains(line, secretInBody) {
			t.Errorf("%s: logged %s", path, line)
		}
	}
}

func TestForwardedAddressesAreBelievedFromTrustedProxiesOnly(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}
	for _, c := range []struct {
		trusted    []netip.Prefix
		from, want string
	}{
		{nil, "10.1.2.3:5", "10.1.2.3"},
		{proxies, "10.1.2.3:5", "203.0.113.9"},
		{proxies, "10.2.2.3:5", "10.2.2.3"},
		{proxies, "127.0.0.1:5", "127.0.0.1"},
	} {
		r := httptest.NewRequest("GET", "/healthz", nil)
		r.RemoteAddr = c.from
		r.Header.Set("X-Forwarded-For", "203.0.113.9")
		if got := newEcho(c.trusted).IPExtractor(r); got != c.want {
			t.Errorf("from %s: got %s, want %s", c.from, got, c.want)
		}
	}
}

// silent takes an answer without keeping it.
type silent struct{ header http.Header }

func (s silent) Header() http.Header         { return s.header }
func (s silent) Write(p []byte) (int, error) { return len(p), nil }
func (s silent) WriteHeader(int)             {}

// The cost of everything around a handler.
func BenchmarkARequest(b *testing.B) {
	s := newTestServer(b)
	s.Server.log = slog.New(slog.DiscardHandler)
	r := httptest.NewRequest("GET", root+"providers/a.b/", nil)
	r.Header.Set("Authorization", "Bearer good")
	b.ReportAllocs()
	for b.Loop() {
		s.ServeHTTP(silent{http.Header{}}, r)
	}
}
