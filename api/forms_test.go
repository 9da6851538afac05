package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Behind a proxy that changes the Host, our own origin is the public URL's.
func TestFormsOfThePublicURLAreOurOwn(t *testing.T) {
	s := newTestServer(t)
	for origin, status := range map[string]int{
		"https://grantd.example.com": http.StatusUnauthorized, "https://evil.example.com": http.StatusForbidden, "http://grantd.example.com": http.StatusForbidden, "null": http.StatusForbidden,
	} {
		r := httptest.NewRequest("POST", "http://10.0.0.7:8080/sign-in", strings.NewReader("token=wrong"))
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
	r := httptest.NewRequest("POST", "/sign-in", strings.NewReader("token="+strings.Repeat("x", 64<<10)))
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
