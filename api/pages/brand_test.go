package pages

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
)

// The logo is an image wherever it is opened: what an SVG brings along does nothing.
func TestTheLogoIsServedAsAnImage(t *testing.T) {
	logo := `<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`
	b := Brand{Name: "Acme <b>", Logo: []byte(logo), LogoType: "image/svg+xml", SupportURL: "https://help.example.com"}
	e, w := echo.New(), httptest.NewRecorder()
	New(Options{Brand: b}).Mount(e, "/api/v2")
	e.ServeHTTP(w, httptest.NewRequest("GET", b.logoPath(), nil))
	policy := w.Header().Get("Content-Security-Policy")
	if w.Code != 200 || w.Header().Get("Content-Type") != "image/svg+xml" || w.Header().Get("X-Content-Type-Options") != "nosniff" || w.Body.String() != logo ||
		!strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "sandbox") || strings.Contains(policy, "script-src") {
		t.Errorf("%d %v", w.Code, w.Header())
	}

	var page strings.Builder
	if err := parseTemplates("/tools", "", b, nil).ExecuteTemplate(&page, "signed-out", view{}); err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{`<img src="/tools` + b.logoPath() + `" alt="">`, "Acme &lt;b&gt;</a>", "<title>Signed out - Acme &lt;b&gt;</title>", `href="https://help.example.com"`} {
		if !strings.Contains(page.String(), shown) {
			t.Errorf("%s is not in %s", shown, page.String())
		}
	}
}
