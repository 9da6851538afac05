package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// On https the cookie belongs to this host alone and travels encrypted only.
func TestTheCookieIsAsStrictAsThePublicURLAllows(t *testing.T) {
	for _, c := range []struct {
		publicURL, name, path string
		secure                bool
	}{
		{"https://grantd.example.com", "__Host-grantd_session", "/", true}, {"https://grantd.example.com/", "__Host-grantd_session", "/", true},
		{"http://127.0.0.1:8080", "grantd_session", "/", false},
		{"https://example.com/tools/grantd", "__Secure-grantd_session", "/tools/grantd", true}, {"http://127.0.0.1:8080/grantd/", "grantd_session", "/grantd", false},
	} {
		got := New(Options{PublicURL: c.publicURL}).sessions.Cookie
		if got.Name != c.name || got.Secure != c.secure || !got.HttpOnly || got.SameSite != http.SameSiteLaxMode || got.Path != c.path || got.Domain != "" || got.Persist {
			t.Errorf("%s: %+v", c.publicURL, got)
		}
	}
}

// Behind a proxy that changes the Host, our own origin is the public URL's.
func TestFormsOfThePublicURLAreOurOwn(t *testing.T) {
	s := newTestServer(t)
	for origin, status := range map[string]int{
		"https://grantd.example.com": http.StatusUnauthorized, "https://evil.example.com": http.StatusForbidden, "http://grantd.example.com": http.StatusForbidden, "null": http.StatusForbidden,
	} {
		r := httptest.NewRequest("POST", "http://10.0.0.7:8080"+signInPath, strings.NewReader("token=wrong"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", origin)
		w := httptest.NewRecorder()
		if s.ServeHTTP(w, r); w.Code != status {
			t.Errorf("from %s: %d %s", origin, w.Code, w.Body)
		}
	}
}

func TestALargeFormIsRefused(t *testing.T) {
	s := newTestServer(t)
	r := httptest.NewRequest("POST", signInPath, strings.NewReader("token="+strings.Repeat("x", maxForm)))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if got := s.send(t, r); got.status != http.StatusBadRequest || got.err.Message == "" {
		t.Errorf("%d %s", got.status, got.raw)
	}
}

func TestPathsOfTheExternalAuthAPIHaveOneForm(t *testing.T) {
	for given, want := range map[string]string{
		"/external-auth": "/api/v2/external-auth", "/external-auth/": "/api/v2/external-auth", "/api/v2/external-auth": "/api/v2/external-auth",
		"/external-auth/x/callback": "/api/v2/external-auth/x/callback", "/api/v2/external-auth/x/": "/api/v2/external-auth/x",
		"/external-auth/a%2Fb": "/api/v2/external-auth/a%2Fb", "/external-authority": "/external-authority", "/": "/",
		"/api/v2/external-authority/": "/api/v2/external-authority/", root + "providers": root + "providers/",
	} {
		r := httptest.NewRequest("GET", given, nil)
		if rewrite(r.URL); r.URL.EscapedPath() != want {
			t.Errorf("%s becomes %s, want %s", given, r.URL.EscapedPath(), want)
		}
	}
}

func TestTheStyleSheetIsServed(t *testing.T) {
	s := newTestServer(t)
	got := s.send(t, httptest.NewRequest("GET", stylePath, nil))
	if got.status != 200 || !strings.HasPrefix(got.header.Get("Content-Type"), "text/css") || len(got.raw) < 10_000 || strings.Contains(got.raw, "@import") {
		t.Errorf("%d %s, %d bytes", got.status, got.header, len(got.raw))
	}
}
