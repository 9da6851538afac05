package pages

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
)

// On https the cookie belongs to this host alone and travels encrypted only.
func TestTheCookieIsAsStrictAsThePublicURLAllows(t *testing.T) {
	for _, c := range []struct {
		publicURL, prefix, name, path string
		secure                        bool
	}{
		{"https://grantd.example.com", "", "__Host-grantd_session", "/", true}, {"https://grantd.example.com/", "", "__Host-grantd_session", "/", true},
		{"http://127.0.0.1:8080", "", "grantd_session", "/", false},
		{"https://example.com/tools/grantd", "/tools/grantd", "__Secure-grantd_session", "/tools/grantd", true}, {"http://127.0.0.1:8080/grantd/", "/grantd", "grantd_session", "/grantd", false},
	} {
		got := New(Options{PublicURL: c.publicURL, Prefix: c.prefix}).cookie(sessionCookie, "x")
		if got.Name != c.name || got.Secure != c.secure || !got.HttpOnly || got.SameSite != http.SameSiteLaxMode || got.Path != c.path || got.Domain != "" || got.MaxAge != 0 || !got.Expires.IsZero() {
			t.Errorf("%s: %+v", c.publicURL, got)
		}
	}
}

func TestTheStyleSheetIsServed(t *testing.T) {
	e, w := echo.New(), httptest.NewRecorder()
	New(Options{}).Mount(e, "/api/v2")
	e.ServeHTTP(w, httptest.NewRequest("GET", styleSheet.path, nil))
	if w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/css") || w.Body.Len() < 3_000 || strings.Contains(w.Body.String(), "@import") {
		t.Errorf("%d %s, %d bytes", w.Code, w.Header(), w.Body.Len())
	}
}
