package api

import (
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"
)

// The public URL may have a path (https://host/grantd), behind a proxy that serves
// other things on the same host. Addresses that we give out begin with that path;
// routes do not. A proxy may strip the path or pass it on: both are served.

// pathOf returns the path of the public URL, without its last slash.
func pathOf(publicURL string) string {
	u, err := url.Parse(publicURL)
	if err != nil {
		return ""
	}
	return strings.TrimRight(u.EscapedPath(), "/")
}

// firstSegments are the first segments of all our paths.
func firstSegments(routes []*echo.Route) map[string]bool {
	segments := map[string]bool{strings.Trim(externalAuth, "/"): true}
	for _, r := range routes {
		segments[firstSegment(r.Path)] = true
	}
	return segments
}

func firstSegment(path string) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return first
}

// stripPrefix takes the public URL's path off a request that a proxy passed on with
// it. What follows must be a path of ours: a proxy that strips /api may ask for
// /api/v2/…, which is as it should be.
func (s *Server) stripPrefix(u *url.URL) {
	if s.prefix == "" {
		return
	}
	rest, found := strings.CutPrefix(u.EscapedPath(), s.prefix)
	if !found || rest != "" && rest[0] != '/' || !s.segments[firstSegment(rest)] {
		return
	}
	if rest == "" {
		rest = "/"
	}
	if plain, err := url.PathUnescape(rest); err == nil {
		u.Path, u.RawPath = plain, rest
	}
}
