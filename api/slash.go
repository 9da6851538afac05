package api

import (
	"net/url"
	"strings"

	"github.com/grantd/grantd/api/pages"
)

// version2 is what every path of the API begins with, and root where the OAuth
// Providers API lives.
const (
	version2 = "/api/v2"
	root     = version2 + "/externalOAuth/"
)

// rewrite gives each path the one form that is routed and documented. It rewrites
// instead of redirecting, because one client takes any redirect for a failure and
// others turn the POST into a GET.
func rewrite(u *url.URL) {
	addVersion(u)
	addSlash(u)
}

const externalAuth = pages.ConnectPath

// addVersion serves the external-auth API without its version too, and without
// regard to a last slash. Its pages are known without the version: their
// addresses stand in vendors' consoles.
func addVersion(u *url.URL) {
	path := strings.TrimPrefix(u.EscapedPath(), version2)
	if path != externalAuth && !strings.HasPrefix(path, externalAuth+"/") {
		return
	}
	path = version2 + strings.TrimRight(path, "/")
	if plain, err := url.PathUnescape(path); err == nil {
		u.Path, u.RawPath = plain, path
	}
}

// addSlash lets clients leave out the trailing slash.
func addSlash(u *url.URL) {
	if !strings.HasPrefix(u.Path, root) || strings.HasSuffix(u.Path, "/") {
		return
	}
	u.Path += "/"
	if u.RawPath != "" {
		u.RawPath += "/"
	}
}
