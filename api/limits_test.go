package api

import (
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/grantd/grantd/models"
)

func TestT2_WhichAddressAFailedAuthenticationCountsFor(t *testing.T) {
	for _, c := range []struct {
		what, trusted, peer string
		header, value       string
		counts              string // "" for nobody
		warns               string
	}{
		{what: "a direct connection", peer: "192.0.2.1:1000", counts: "192.0.2.1"},
		{what: "a direct connection by IPv6", peer: "[2001:db8::1]:1000", counts: "2001:db8::1"},
		{what: "a trusted proxy", trusted: "10.0.0.0/8", peer: "10.0.0.1:1000", header: "X-Forwarded-For", value: "192.0.2.1", counts: "192.0.2.1"},
		{what: "a client that writes the header itself", trusted: "10.0.0.0/8", peer: "10.0.0.1:1000", header: "X-Forwarded-For", value: "198.51.100.9, 192.0.2.1", counts: "192.0.2.1"},
		{what: "a direct connection beside a trusted proxy", trusted: "10.0.0.0/8", peer: "192.0.2.7:1000", counts: "192.0.2.7"},
		{what: "a proxy where none is trusted", peer: "10.0.0.1:1000", header: "X-Forwarded-For", value: "192.0.2.1", warns: "does not name"},
		{what: "a proxy that is not the trusted one", trusted: "10.0.0.2", peer: "10.0.0.1:1000", header: "X-Forwarded-For", value: "192.0.2.1", warns: "does not name"},
		{what: "a proxy that sends Forwarded", peer: "10.0.0.1:1000", header: "Forwarded", value: "for=192.0.2.1", warns: "does not name"},
		{what: "a proxy that sends X-Real-IP", peer: "10.0.0.1:1000", header: "X-Real-IP", value: "192.0.2.1", warns: "does not name"},
		{what: "a trusted proxy that names no client", trusted: "10.0.0.1", peer: "10.0.0.1:1000", warns: "does not tell"},
		{what: "a trusted proxy that sends another header", trusted: "10.0.0.1", peer: "10.0.0.1:1000", header: "X-Real-IP", value: "192.0.2.1", warns: "does not tell"},
		{what: "a trusted proxy by another spelling", trusted: "10.0.0.0/8", peer: "[::ffff:10.0.0.1]:1000", header: "X-Forwarded-For", value: "192.0.2.1", counts: "192.0.2.1"},
		{what: "a unix socket", peer: "@"},
	} {
		t.Run(c.what, func(t *testing.T) {
			var proxies []netip.Prefix
			if c.trusted != "" {
				if !strings.Contains(c.trusted, "/") {
					c.trusted += "/32"
				}
				proxies = append(proxies, netip.MustParsePrefix(c.trusted))
			}
			s := newTestServer(t)
			s.Server = New(Options{PublicURL: "https://grantd.example.com", Log: slog.New(slog.NewTextHandler(s.log, nil)), TrustedProxies: proxies})
			s.callerOf = newTestServer(t).callerOf
			var counted []string
			s.addFailure = func(a netip.Addr) error { counted = append(counted, a.String()); return nil }
			for range 2 {
				r := httptest.NewRequest("GET", root+"providers/", nil)
				r.RemoteAddr = c.peer
				if c.header != "" {
					r.Header.Set(c.header, c.value)
				}
				if got := s.send(t, r); got.status != 401 {
					t.Fatalf("answered %d", got.status)
				}
			}
			want := strings.TrimPrefix(c.counts+" "+c.counts, " ")
			if got := strings.Join(counted, " "); got != want {
				t.Errorf("counted for %q, want %q", got, want)
			}
			warnings := strings.Count(s.log.String(), "not limited by address")
			if c.warns == "" && warnings != 0 || c.warns != "" && (warnings != 1 || !strings.Contains(s.log.String(), c.warns)) {
				t.Errorf("%d warnings, want %q once: %s", warnings, c.warns, s.log)
			}
		})
	}
}

func TestT2_TheOperationsThatAreNeverRefusedExist(t *testing.T) {
	s := newTestServer(t)
	exists := map[string]bool{}
	for _, path := range s.huma.OpenAPI().Paths {
		for _, method := range []string{"GET", "POST", "PATCH", "DELETE"} {
			if op := registered(path, method); op != nil {
				exists[op.OperationID] = true
			}
		}
	}
	for id := range neverRefused {
		if !exists[id] {
			t.Errorf("there is no operation %s", id)
		}
	}
}

// A request's place is given back when it has been answered, whatever became of it.
func TestT2_APlaceIsGivenBackAfterEachRequest(t *testing.T) {
	s := newTestServer(t)
	taken, held := 0, 0
	s.beginRequest = func(models.Caller) (func(), error) {
		taken, held = taken+1, held+1
		return func() { held-- }, nil
	}
	for path, status := range map[string]int{
		root + "providers/":              500, // the handler panics
		root + "providers/?limit=x":      422,
		root + "authorizedProviders/?x=": 500,
	} {
		if got := s.ask(t, "GET", path, ""); got.status != status {
			t.Errorf("%s: %d", path, got.status)
		}
	}
	if taken != 3 || held != 0 {
		t.Errorf("%d places were taken, and %d are still held", taken, held)
	}
}

// deadlines notes the deadlines for reading that a server sets.
type deadlines struct {
	*httptest.ResponseRecorder
	set []time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error { d.set = append(d.set, t); return nil }

func TestT2_ABodyHasOneDeadline(t *testing.T) {
	s := newTestServer(t)
	r := httptest.NewRequest("POST", root+"providers/", strings.NewReader(`{"name":1}`))
	r.Header.Set("Authorization", "Bearer good")
	r.Header.Set("Content-Type", "application/json")
	w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	s.ServeHTTP(w, r)
	if w.Code != 422 {
		t.Fatalf("answered %d: %s", w.Code, w.Body)
	}
	if len(w.set) != 2 || w.set[0].IsZero() || !w.set[1].IsZero() {
		t.Errorf("the deadlines were %v, want one, which ends with the body", w.set)
	}
}
