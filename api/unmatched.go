package api

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
)

// misplaced says what a path that matches no route looks like, in words from this
// closed list: the log must hold no path (P1), but an operator whose proxy adds or
// removes too much must be able to see it.
type misplaced string

const (
	pathUnknown     misplaced = "unknown"        // nothing like a path of ours
	pathNoOperation misplaced = "no_operation"   // below the API, and no operation there
	pathPrefixed    misplaced = "prefix_added"   // a path of ours with something before it
	pathCut         misplaced = "prefix_missing" // a path of ours without its beginning
)

// whole are the beginnings of the API's paths, parts what is left of them when a proxy
// removed too much.
var (
	whole = []string{root, version2 + externalAuth, version2 + "/workspaceagents/", externalAuth + "/"}
	parts = []string{"/externalOAuth/", "/v2/externalOAuth/", "/v2/external-auth", "/v2/workspaceagents/", "/providers", "/authorizedProviders", "/jobs", "/workspaceagents/"}
)

func misplacedPath(path string) misplaced {
	begins := func(prefix string) bool { return strings.HasPrefix(path, prefix) }
	for _, w := range whole {
		if begins(w) {
			return pathNoOperation
		}
	}
	for _, w := range whole {
		if strings.Contains(path, w) {
			return pathPrefixed
		}
	}
	for _, p := range parts {
		if begins(p) {
			return pathCut
		}
	}
	return pathUnknown
}

// unmatchedMessage tells the client of a path that matches no route where the API is.
func (s *Server) unmatchedMessage(path string) string {
	where := " The API is below " + s.publicURL + root + " and " + s.publicURL + version2 + externalAuth + "; its paths are listed at " + s.publicURL + "/docs."
	switch misplacedPath(path) {
	case pathPrefixed:
		return "There is nothing at this path: something is in front of the API's own path. If a proxy is in front of grantd, it has to remove that." + where
	case pathCut:
		return "There is nothing at this path: the beginning of the API's path is missing. If a proxy is in front of grantd, it removes too much." + where
	default:
		return "There is nothing at this path." + where
	}
}

func (s *Server) answerUnmatched(c echo.Context) {
	e := plainError(callOf(c.Request().Context()), http.StatusNotFound)
	e.Message = s.unmatchedMessage(c.Request().URL.Path)
	write(c, e)
}
