package providers

import (
	"compress/gzip"
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// resolving makes the registry resolve every name to the addresses, and record
// what it dials without dialling it.
func resolving(r *Registry, addrs ...string) (dialled func() []string) {
	var mu sync.Mutex
	var got []string
	r.dialer.lookup = func(context.Context, string, string) ([]netip.Addr, error) {
		var ips []netip.Addr
		for _, a := range addrs {
			ips = append(ips, netip.MustParseAddr(a))
		}
		return ips, nil
	}
	record := func(_ context.Context, _, addr string) (net.Conn, error) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, addr)
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("recorded")}
	}
	r.dialer.judged, r.dialer.listed = record, record
	return func() []string { mu.Lock(); defer mu.Unlock(); return slices.Clone(got) }
}

func TestS1_WhoMayBeDialled(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name  string
		allow []string
		host  string
		addrs []string
		want  []string
	}{
		{"public", nil, "git.example.com", []string{"140.82.121.4"}, []string{"140.82.121.4:443"}},
		{"public, its own port", nil, "git.example.com:8443", []string{"140.82.121.4"}, []string{"140.82.121.4:8443"}},
		{"one after the other", nil, "git.example.com", []string{"2606:4700::1", "140.82.121.4"}, []string{"[2606:4700::1]:443", "140.82.121.4:443"}},
		{"loopback", nil, "git.example.com", []string{"127.0.0.1"}, nil},
		{"private", nil, "git.example.com", []string{"10.1.2.3"}, nil},
		{"link-local metadata service", nil, "git.example.com", []string{"169.254.169.254"}, nil},
		{"mapped", nil, "git.example.com", []string{"::ffff:127.0.0.1"}, nil},
		{"loopback v6", nil, "git.example.com", []string{"::1"}, nil},
		{"nat64", nil, "git.example.com", []string{"64:ff9b::7f00:1"}, nil},
		{"6to4", nil, "git.example.com", []string{"2002:7f00:1::"}, nil},
		{"unspecified", nil, "git.example.com", []string{"0.0.0.0"}, nil},
		{"one private among public ones", nil, "git.example.com", []string{"140.82.121.4", "10.1.2.3"}, nil},
		{"listed host, by name", []string{"git.example.com"}, "git.example.com", []string{"10.1.2.3"}, []string{"git.example.com:443"}},
		{"listed host:port, by name", []string{"git.example.com:8443"}, "git.example.com:8443", []string{"10.1.2.3"}, []string{"git.example.com:8443"}},
		{"listed with another port", []string{"git.example.com:8443"}, "git.example.com", []string{"10.1.2.3"}, nil},
		{"a name below a listed one", []string{"example.com"}, "git.example.com", []string{"10.1.2.3"}, nil},
		{"listed CIDR", []string{"10.0.0.0/8"}, "git.example.com", []string{"10.1.2.3"}, []string{"10.1.2.3:443"}},
		{"outside the CIDR", []string{"10.0.0.0/8"}, "git.example.com", []string{"192.168.0.1"}, nil},
		{"listed v6 CIDR", []string{"fd00::/8"}, "git.example.com", []string{"fd00::1"}, []string{"[fd00::1]:443"}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newRegistry(t, Options{Allow: tc.allow})
			dialled := resolving(r, tc.addrs...)
			_, err := exchange(t, r, Client{Type: "github", ID: "id", Host: tc.host})
			if e := want(t, err, KindTransient, ""); e.Ambiguous {
				t.Error("ambiguous")
			}
			if diff := cmp.Diff(tc.want, dialled()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The guard stands at the socket too: an address that slipped through is still
// not connected to.
func TestS1_TheSocketIsGuarded(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	r := newRegistry(t, Options{})
	if conn, err := r.dialer.judged(t.Context(), "tcp", f.host()); err == nil {
		conn.Close()
		t.Error("connected to loopback")
	}
}

func TestS1_RefusedBlockedAndTimedOutLookTheSame(t *testing.T) {
	t.Parallel()
	refused := newFake(t)
	refused.Close()
	lookup := func(err error, addrs ...netip.Addr) func(*Registry) {
		return func(r *Registry) {
			r.dialer.lookup = func(context.Context, string, string) ([]netip.Addr, error) { return addrs, err }
		}
	}
	cases := map[string]struct {
		host string
		prep func(*Registry)
	}{
		"refused":      {refused.URL, func(*Registry) {}},
		"blocked":      {"git.example.com", lookup(nil, netip.MustParseAddr("127.0.0.1"))},
		"timed out":    {"git.example.com", lookup(context.DeadlineExceeded)},
		"unknown name": {"git.example.com", lookup(&net.DNSError{Err: "no such host", Name: "git.example.com", IsNotFound: true})},
		"not allowed":  {"http://git.example.com:8080", func(*Registry) {}},
	}
	sentences := map[string]bool{}
	for name, tc := range cases {
		r := newRegistry(t, Options{Allow: []string{refused.host()}})
		tc.prep(r)
		_, err := exchange(t, r, Client{Type: "github", ID: "id", Host: tc.host})
		e := want(t, err, KindTransient, "")
		if e.Description != "" || e.Status != 0 || e.RetryAfter != 0 || e.Ambiguous {
			t.Errorf("%s: tells itself apart", name)
		}
		sentences[err.Error()] = true
	}
	if len(sentences) != 1 {
		t.Errorf("%v", sentences)
	}
}

func TestS1_PlainHTTPOnlyWhereListed(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	c := Client{Type: "github", ID: "id", Host: f.URL}
	host, _, _ := net.SplitHostPort(f.host())
	for _, allow := range [][]string{nil, {host}, {"127.0.0.0/8"}, {host + ":1"}} {
		r := newRegistry(t, Options{Allow: allow})
		if got := r.At(c).Validate(); len(got) != 1 || got[0].Name != "metadata.host" {
			t.Errorf("allow %v: %v", allow, got)
		}
		_, err := exchange(t, r, c)
		want(t, err, KindTransient, "")
	}
	if n := len(f.requests()); n != 0 {
		t.Errorf("%d requests arrived", n)
	}
}

// The environment's proxy would see, and resolve, what the dialer must judge.
func TestS1_NoProxy(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, Options{})
	for _, client := range []*http.Client{r.tokens, r.calls, r.reads} {
		if client.Transport.(*transport).base.(*http.Transport).Proxy != nil {
			t.Error("uses a proxy")
		}
	}
}

// S2: the cap counts what came out of the compression.
func TestS2_BodyCapAfterDecompression(t *testing.T) {
	t.Parallel()
	f, r, c := testUpstream(t)
	f.mux.HandleFunc("POST /token", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		defer z.Close()
		z.Write([]byte(`{"access_token":"a","x":"` + strings.Repeat("x", 8*maxBody) + `"}`))
	})
	_, err := exchange(t, r, c)
	want(t, err, KindProtocol, "")
}

func TestAllowListNamesTheMalformedEntry(t *testing.T) {
	t.Parallel()
	for _, entry := range []string{"http://host", "host:0", "host:99999", "host:x", "10.0.0.0/99", "a b", "-x", "user@host", "host/", "[::1", "*.example.com"} {
		_, err := New(Options{Allow: []string{"fine.example", entry}})
		if err == nil || !strings.Contains(err.Error(), entry) {
			t.Errorf("%q: %v", entry, err)
		}
	}
	if _, err := New(Options{Allow: []string{"", " Host.Example ", "10.0.0.1", "[::1]:8080", "::1", "fd00::/8", "host:80"}}); err != nil {
		t.Error(err)
	}
	for _, host := range []string{"localhost:9000", "ftp://x", "http://", "http://x/path"} {
		if _, err := New(Options{TestHost: host}); err == nil {
			t.Errorf("test host %q passed", host)
		}
	}
}
