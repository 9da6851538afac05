package providers

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestS2_MetadataHost(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, Options{Allow: []string{"10.0.0.1", "10.0.0.2:8080", "192.168.0.0/16", "[::1]:8080", "dev.example:8080"}})
	good := []string{"", "git.example.com", "git.example.com:8443", "localhost", "git", "xn--bcher-kva.example", "10.0.0.1", "10.0.0.1:99",
		"10.0.0.2:8080", "192.168.3.4", "[::1]:8080", "http://dev.example:8080", "http://10.0.0.2:8080", "http://[::1]:8080"}
	for _, host := range good {
		if got := r.At(Client{Type: "github", ID: "id", Host: host}).Validate(); got != nil {
			t.Errorf("%q: %v", host, got)
		}
	}
	bad := []string{"Git.Example.com", "git.example.com/", "git.example.com/path", "a@b", "a?b", "a#b", "a%2eb", "a\\b", "a b", " a", "a\n",
		"https://git.example.com", "http://git.example.com", "http://git.example.com:8080", "ftp://dev.example:8080", "//git.example.com",
		".git.example.com", "git.example.com.", "git..example.com", "-git.example.com", "git-.example.com", "gït.example.com", "a_b.example.com",
		"git.example.com:", "git.example.com:0", "git.example.com:65536", "git.example.com:080", "git.example.com:http",
		"127.0.0.1", "10.0.0.2", "10.0.0.2:9", "[::1]", "::1", "[fe80::1%25eth0]", "127.1", "0x7f.1", "2130706433", "0x7f000001", "1.2.3.4.5",
		"http://dev.example:8081", "http://10.0.0.1", "user:pass@git.example.com", strings.Repeat("a.", 130) + "com", strings.Repeat("a", 64) + ".com"}
	for _, host := range bad {
		c := Client{Type: "github", ID: "id", Host: host}
		if got := r.At(c).Validate(); len(got) != 1 || got[0].Name != "metadata.host" {
			t.Errorf("%q: %v", host, got)
		}
		if _, err := exchange(t, r, c); KindOf(err) != KindTransient {
			t.Errorf("%q: %v", host, err)
		}
	}
}

func TestValidateNamesEachField(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, Options{TestHost: "http://localhost:9000", Allow: []string{"localhost:9000"}})
	issuer := func(v any) map[string]any { return map[string]any{"issuer": v} }
	cases := []struct {
		name string
		c    Client
		want []string // field names
	}{
		{"github", Client{Type: "github", ID: "Iv1.0123"}, nil},
		{"github with settings", Client{Type: "github", ID: "x", Scopes: []string{"repo"}, Config: map[string]any{"pkce": false, "requireIss": true}}, nil},
		{"test", Client{Type: "test", ID: "x"}, nil},
		{"oidc", Client{Type: "oidc", ID: "x", Config: issuer("https://idp.example/realms/a")}, nil},
		{"oidc on a listed host", Client{Type: "oidc", ID: "x", Config: issuer("http://localhost:9000")}, nil},
		{"unknown type", Client{Type: "gitea", ID: "x"}, []string{"type"}},
		{"no type", Client{ID: "x"}, []string{"type"}},
		{"no client id", Client{Type: "github"}, []string{"clientId"}},
		{"path as client id", Client{Type: "github", ID: ".."}, []string{"clientId"}},
		{"control character", Client{Type: "github", ID: "a\nb"}, []string{"clientId"}},
		{"long client id", Client{Type: "github", ID: strings.Repeat("x", 256)}, []string{"clientId"}},
		{"scope with a space", Client{Type: "github", ID: "x", Scopes: []string{"repo user"}}, []string{"scopes"}},
		{"empty scope", Client{Type: "github", ID: "x", Scopes: []string{""}}, []string{"scopes"}},
		{"oidc without openid", Client{Type: "oidc", ID: "x", Scopes: []string{"email"}, Config: issuer("https://idp.example")}, []string{"scopes"}},
		{"unknown keys", Client{Type: "github", ID: "x", Config: map[string]any{"b": 1, "a": 1}}, []string{"config.a", "config.b"}},
		{"wrong kinds", Client{Type: "github", ID: "x", Config: map[string]any{"pkce": "no", "requireIss": 1}}, []string{"config.pkce", "config.requireIss"}},
		{"oidc with a host", Client{Type: "oidc", ID: "x", Host: "idp.example", Config: issuer("https://idp.example")}, []string{"metadata.host"}},
		{"no issuer", Client{Type: "oidc", ID: "x"}, []string{"config.issuer"}},
		{"issuer is no text", Client{Type: "oidc", ID: "x", Config: issuer(7)}, []string{"config.issuer"}},
		{"everything", Client{Type: "oidc", Host: "x", Scopes: []string{"é"}, Config: map[string]any{"x": 1}},
			[]string{"clientId", "metadata.host", "scopes", "config.issuer", "config.x"}},
	}
	for _, tc := range cases {
		var got []string
		for _, e := range r.At(tc.c).Validate() {
			got = append(got, e.Name)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: %s", tc.name, diff)
		}
	}
	got := r.At(Client{Type: "oidc", ID: "x", Config: map[string]any{"issuer": "https://a.example", "issure": 1}}).Validate()
	if len(got) != 1 || got[0].Name != "config.issure" || !strings.HasPrefix(got[0].Message, "is unknown: type oidc knows ") ||
		!strings.Contains(got[0].Message, ", issuer, ") {
		t.Error(got)
	}
}

func TestS2_Issuer(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, Options{Allow: []string{"localhost:9000"}})
	for _, issuer := range []string{"", "idp.example", "/x", "http://idp.example", "http://localhost:9001", "https://", "https:///x", "https://u:p@idp.example",
		"https://idp.example?x=1", "https://idp.example?", "https://idp.example#x", "https://idp.example#", "https://127.0.0.1", "https://[::1]/",
		"https://10.0.0.1:8443/x", "file:///etc/passwd", "https:idp.example", "https://idp.example:0", "https://" + strings.Repeat("a", 2048)} {
		if got := r.At(Client{Type: "oidc", ID: "x", Config: map[string]any{"issuer": issuer}}).Validate(); len(got) != 1 || got[0].Name != "config.issuer" {
			t.Errorf("%q: %v", issuer, got)
		}
	}
}

// A4 and K1: tokens are bound to the origins, so these never change for the
// same row, and need no network.
func TestA4_OriginsAreStable(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, Options{TestHost: "http://localhost:9000/", Allow: []string{"dev.example:8080"}})
	r.dialer.lookup = nil // would panic
	cases := []struct {
		c    Client
		want []string
	}{
		{Client{Type: "github", ID: "x"}, []string{"https://api.github.com", "https://github.com"}},
		{Client{Type: "github", ID: "x", Host: "github.com"}, []string{"https://api.github.com", "https://github.com"}},
		{Client{Type: "github", ID: "x", Host: "github.com:443"}, []string{"https://api.github.com", "https://github.com"}},
		{Client{Type: "github", ID: "x", Host: "acme.ghe.com"}, []string{"https://acme.ghe.com", "https://api.acme.ghe.com"}},
		{Client{Type: "github", ID: "x", Host: "git.example.com:8443"}, []string{"https://git.example.com:8443"}},
		{Client{Type: "github", ID: "x", Host: "http://dev.example:8080"}, []string{"http://dev.example:8080"}},
		{Client{Type: "oidc", ID: "x", Config: map[string]any{"issuer": "https://idp.example/realms/a"}}, []string{"https://idp.example/realms/a"}},
		{Client{Type: "oidc", ID: "x"}, nil},
		{Client{Type: "test", ID: "x"}, []string{"http://localhost:9000"}},
		{Client{Type: "gone", ID: "x"}, nil},
		{Client{Type: "github", ID: "x", Host: "a@b"}, nil},
	}
	unlisted := newRegistry(t, Options{TestHost: "http://localhost:9000"})
	for _, tc := range cases {
		for _, r := range []*Registry{r, r, unlisted} {
			if diff := cmp.Diff(tc.want, r.At(tc.c).Origins()); diff != "" {
				t.Errorf("%s %s: %s", tc.c.Type, tc.c.Host, diff)
			}
		}
	}
}

func TestTypes(t *testing.T) {
	t.Parallel()
	without := newRegistry(t, Options{})
	if _, ok := without.Type("test"); ok {
		t.Error("the test type exists without a test host")
	}
	r := newRegistry(t, Options{TestHost: "http://localhost:9000"})
	for _, name := range r.Names() {
		typ, ok := r.Type(name)
		if !ok || typ.Name != name || typ.DisplayName == "" || typ.at == nil {
			t.Errorf("%s is not whole", name)
		}
		if c := (Client{Type: name, ID: "x"}); r.At(c).domain() != "x" {
			t.Errorf("D1: %s has another revocation domain", name)
		}
	}
	if typ, _ := r.Type("oidc"); typ.RevokesSingly || !typ.RefreshKillsAccess {
		t.Error("R7, R9: an unknown server is taken for a harmless one")
	}
}
