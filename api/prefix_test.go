package api

import (
	"net/http/httptest"
	"testing"
)

// A proxy may strip the public URL's path or pass it on; both reach the same page,
// also where the path looks like one of ours.
func TestThePublicURLsPathIsStrippedOrNot(t *testing.T) {
	for _, c := range []struct{ public, given, want string }{
		{"https://example.com/grantd", "/grantd/api/v2/externalOAuth/providers/", "/api/v2/externalOAuth/providers/"},
		{"https://example.com/grantd", "/api/v2/externalOAuth/providers/", "/api/v2/externalOAuth/providers/"},
		{"https://example.com/grantd", "/grantd/external-auth/a%2Fb", "/external-auth/a%2Fb"},
		{"https://example.com/grantd", "/grantd", "/"},
		{"https://example.com/grantd", "/grantd/", "/"},
		{"https://example.com/grantd", "/grantdx/docs", "/grantdx/docs"},
		{"https://example.com/grantd", "/grantd/unknown", "/grantd/unknown"},
		{"https://example.com/grantd", "/grantd/grantd/docs", "/grantd/grantd/docs"},
		{"https://example.com/a/b/", "/a/b/docs", "/docs"},
		{"https://example.com/a/b/", "/b/docs", "/b/docs"},
		{"https://example.com/api", "/api/v2/externalOAuth/jobs/", "/api/v2/externalOAuth/jobs/"},
		{"https://example.com/api", "/api/api/v2/externalOAuth/jobs/", "/api/v2/externalOAuth/jobs/"},
		{"https://example.com/api", "/api/docs", "/docs"},
		{"https://example.com/api/v2", "/api/v2/openapi.json", "/api/v2/openapi.json"},
		{"https://example.com", "/grantd/docs", "/grantd/docs"},
	} {
		s := New(Options{PublicURL: c.public})
		r := httptest.NewRequest("GET", c.given, nil)
		if s.stripPrefix(r.URL); r.URL.EscapedPath() != c.want {
			t.Errorf("%s: %s becomes %s, want %s", c.public, c.given, r.URL.EscapedPath(), c.want)
		}
	}
}
