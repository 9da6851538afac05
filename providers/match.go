package providers

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// place is a host, or what is below a path on it: where a client's tokens are
// for. Places are compared in parsed form and in whole parts, so that a token is
// never handed out for an address that only looks like its own.
type place struct {
	host, port string
	path       []string
}

// holds reports whether other is the place or below it.
func (p place) holds(other place) bool {
	return p.host == other.host && p.port == other.port &&
		len(p.path) <= len(other.path) && slices.Equal(p.path, other.path[:len(p.path)])
}

// GitURL is the address of a git repository or of its host.
type GitURL struct{ place }

var errGitURL = errors.New("must be the https URL of a git repository or its host, such as https://github.com/acme/app; addresses like git@github.com:acme/app are not matched")

// ParseGitURL reads the address that git asks for credentials for. An error says
// what would be right.
func ParseGitURL(raw string) (GitURL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || len(raw) > maxURL || u.Scheme != "https" || u.Opaque != "" || u.Host == "" || strings.ContainsAny(raw, "\\#"):
		return GitURL{}, errGitURL
	case u.User != nil:
		return GitURL{}, errors.New("must not contain a user name or password")
	}
	host, port, err := splitHost(strings.ToLower(u.Host))
	if err != nil {
		return GitURL{}, fmt.Errorf("its host %w", err)
	}
	path, ok := segments(u.EscapedPath())
	if !ok {
		return GitURL{}, errors.New("its path must be plain: no dots that lead elsewhere and no escaped slashes")
	}
	return GitURL{place{host, portOf("https", port), path}}, nil
}

// segments cuts a path at its slashes and only then unescapes the parts. It is
// false for a path that means another one than it says.
func segments(path string) ([]string, bool) {
	var parts []string
	for part := range strings.SplitSeq(path, "/") {
		plain, err := url.PathUnescape(part)
		if err != nil || plain == "." || plain == ".." || strings.ContainsAny(plain, "/\\\x00") {
			return nil, false
		}
		if plain != "" {
			parts = append(parts, plain)
		}
	}
	return parts, true
}

// Matches reports whether c's tokens are for the repository: it is below one of
// config.match's places or, without any, on the host that c belongs to.
func (r *Registry) Matches(c Client, repository GitURL) bool {
	return slices.ContainsFunc(r.places(c), func(p place) bool { return p.holds(repository.place) })
}

func (r *Registry) places(c Client) []place {
	listed, given := c.Config["match"].([]any)
	if !given {
		return r.home(c)
	}
	var all []place
	for _, v := range listed {
		entry, _ := v.(string)
		if p, ok := parsePlace(entry); ok {
			all = append(all, p)
		}
	}
	return all
}

// home is the host that a client belongs to, none where the type has no host.
func (r *Registry) home(c Client) []place {
	t, ok := r.types[c.Type]
	if !ok {
		return nil
	}
	base, err := t.base(c)
	u, parseErr := url.Parse(base)
	if err != nil || parseErr != nil || u.Host == "" {
		return nil
	}
	host, port, err := splitHost(u.Host)
	if err != nil {
		return nil
	}
	return []place{{host: host, port: portOf(u.Scheme, port)}}
}

// parsePlace reads "host", "host:port" or either with a path behind it.
func parsePlace(entry string) (place, bool) {
	hostport, path, _ := strings.Cut(entry, "/")
	host, port, err := splitHost(hostport)
	if err != nil || strings.ContainsFunc(path, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune(`%?#\`, r) }) {
		return place{}, false
	}
	parts, ok := segments(path)
	return place{host, portOf("https", port), parts}, ok
}

const maxPlaces = 50

// isMatch judges config.match.
func isMatch(_ allowlist, v any) string {
	listed, ok := v.([]any)
	if !ok || len(listed) == 0 || len(listed) > maxPlaces {
		return fmt.Sprintf("must be a list of 1 to %d places such as github.com or git.example.com/team", maxPlaces)
	}
	for _, v := range listed {
		entry, _ := v.(string)
		if _, ok := parsePlace(entry); !ok || len(entry) > maxURL {
			return "each must be a host in lower case, with a port or a path behind it if need be, such as github.com or git.example.com/team"
		}
	}
	return ""
}

// sitePath reports whether s is a path on the site that it is read on, however a
// browser reads it.
func sitePath(s string) bool {
	return strings.HasPrefix(s, "/") && !strings.HasPrefix(s, "//") && len(s) <= maxURL &&
		!strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\\' })
}
