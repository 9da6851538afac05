package api

import (
	"net/url"
	"strings"
)

// root is where surface A lives.
const root = "/api/v2/externalOAuth/"

// addSlash lets clients leave out the trailing slash. It rewrites instead of
// redirecting, because one client takes any redirect for a failure and others
// turn the POST into a GET.
func addSlash(u *url.URL) {
	if !strings.HasPrefix(u.Path, root) || strings.HasSuffix(u.Path, "/") {
		return
	}
	u.Path += "/"
	if u.RawPath != "" {
		u.RawPath += "/"
	}
}
