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
	path, ok := segments(rawPath(raw))
	if !ok {
		return GitURL{}, errors.New("its path must not contain . or .. segments or escaped slashes")
	}
	return GitURL{place{host, portOf("https", port), path}}, nil
}

// rawPath is the path of an absolute URL as it is written. url.URL.EscapedPath is no
// substitute: where the path has a character that it should not, such as a space, that
// escapes the decoded path again, and an escaped slash has become a plain one.
func rawPath(raw string) string {
	_, rest, _ := strings.Cut(raw, "://")
	path := rest[min(len(rest), strings.IndexByte(rest+"/", '/')):]
	path, _, _ = strings.Cut(path, "?")
	return path
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

// Matches reports whether the client's tokens are for the repository: it is below one of
// config.match's places or, without any, on the host that the client belongs to.
func (at Upstream) Matches(repository GitURL) bool {
	return slices.ContainsFunc(at.places(), func(p place) bool { return p.holds(repository.place) })
}

func (at Upstream) places() []place {
	listed, given := at.client.Config["match"].([]any)
	if !given {
		return at.home()
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
func (at Upstream) home() []place {
	t, ok := at.registry.types[at.client.Type]
	if !ok {
		return nil
	}
	base, err := t.base(at.client)
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

// strangePlace returns what is wrong with the places in config.match, "" for nothing:
// where the type decides about the hosts, only those and what is below them; elsewhere
// every host but those of such types, unless the client itself is registered there.
func (u *upstream) strangePlace() string {
	if u.t.isTest() {
		return ""
	}
	listed, _ := u.c.Config["match"].([]any)
	own := u.hosts()
	for _, v := range listed {
		entry, _ := v.(string)
		p, _ := parsePlace(entry)
		if below(p.host, own) {
			continue
		}
		if u.t.fixesHosts(u.c) {
			return fmt.Sprintf("must name hosts of type %s only (%s): its tokens are for no other", u.t.Name, strings.Join(own, ", "))
		}
		if owner := u.ownerOf(p.host, own); owner != nil {
			return fmt.Sprintf("must not name %s: tokens for it come from providers of type %s", p.host, owner.Name)
		}
	}
	return ""
}

// ownerOf returns the type that a host belongs to, nil where there is none or where the
// hosts of a client belong to it too.
func (r *Registry) ownerOf(host string, own []string) *Type {
	for _, name := range r.names {
		t := r.types[name]
		if t.isTest() || !t.fixesHosts(Client{}) {
			continue
		}
		u, err := r.At(Client{Type: name}).derived()
		if err != nil {
			continue
		}
		theirs := u.hosts()
		if below(host, theirs) && !slices.ContainsFunc(own, func(h string) bool { return below(h, theirs) }) {
			return t
		}
	}
	return nil
}

// fixesHosts reports whether the type alone decides which hosts a client's tokens are
// sent to.
func (t *Type) fixesHosts(c Client) bool { return t.DefaultHost != "" && c.Host == "" }

// isTest reports whether this is the type of the test server, which stands for any.
func (t *Type) isTest() bool { return strings.Contains(t.DefaultHost, "://") }

// hosts are those of a client's endpoints, and those that the type says its tokens are
// for beside them.
func (u *upstream) hosts() []string {
	hosts := slices.Clone(u.t.tokenHosts)
	for _, p := range u.At(u.c).home() {
		hosts = append(hosts, p.host)
	}
	for _, endpoint := range append(u.e.urls(), u.e.Issuer) {
		if at, err := url.Parse(endpoint); err == nil && at.Hostname() != "" {
			hosts = append(hosts, strings.ToLower(at.Hostname()))
		}
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// below reports whether a host is one of hosts, or a name below one.
func below(host string, hosts []string) bool {
	return slices.ContainsFunc(hosts, func(h string) bool { return host == h || strings.HasSuffix(host, "."+h) })
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
