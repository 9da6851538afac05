package broker

import (
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/grantd/grantd/models"
)

// redirectPolicy decides where a consent may return to (A1).
type redirectPolicy struct {
	public string   // the public URL's origin
	allow  []string // further origins
	any    bool
}

// check judges a redirect_uri. With a list of the provider's own only that list
// counts, compared exactly but for the port of loopback addresses (RFC 8252
// section 7.3); without, the origin must be one that is allowed.
func (r redirectPolicy) check(raw string, list []string) error {
	u, problem := parseRedirect(raw)
	switch {
	case problem != "":
	case len(list) > 0:
		if !slices.ContainsFunc(list, func(l string) bool { return sameRedirect(l, raw, u) }) {
			problem = "must be one of the provider's redirectUris"
		}
	case r.any || isLoopback(u) || origin(u) == r.public || slices.Contains(r.allow, origin(u)):
	default:
		problem = "its origin is not admitted: add the address to the provider's redirectUris, or " + origin(u) + " to GRANTD_REDIRECT_ALLOW"
	}
	if problem != "" {
		return models.Invalid(models.FieldError{Name: "redirect_uri", Message: problem})
	}
	return nil
}

// returns reports whether a person may be sent to an address after connecting: a
// path on the site that shows our pages, however a browser reads it, or one of the
// origins that are allowed by name. Loopback is none of them: what listens there
// is anybody's.
func (r redirectPolicy) returns(to string) bool {
	if u, problem := parseRedirect(to); problem == "" {
		return origin(u) == r.public || slices.Contains(r.allow, origin(u))
	}
	u, err := url.Parse(to)
	return err == nil && len(to) <= 1000 && strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "//") && u.Host == "" && u.Scheme == "" &&
		!strings.ContainsFunc(to, func(c rune) bool { return c <= ' ' || c == 0x7f || c == '\\' })
}

// parseRedirect returns the parsed address, or what is wrong with it.
func parseRedirect(raw string) (*url.URL, string) {
	u, err := url.Parse(raw)
	switch {
	case len(raw) > 1000:
		return nil, "must be at most 1000 characters"
	case strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\\' }):
		return nil, "must not contain spaces, control characters or backslashes"
	case err != nil || u.Host == "" || u.Opaque != "":
		return nil, "must be an absolute URL, such as https://app.example.com/oauth/callback"
	case strings.HasSuffix(u.Host, ":") || u.Port() != "" && !models.ValidPort(u.Port()):
		return nil, "must have a port between 1 and 65535, or none"
	case u.User != nil:
		return nil, "must not contain a user name or password"
	case u.Fragment != "" || strings.Contains(raw, "#"):
		return nil, "must not contain a fragment"
	case slices.Contains(strings.Split(u.Path, "/"), ".."): // also one that is escaped
		return nil, "must not contain a .. segment"
	case u.Scheme != "https" && !(u.Scheme == "http" && isLoopback(u)):
		return nil, "must use https, or http on a loopback address"
	}
	return u, ""
}

func sameRedirect(listed, raw string, u *url.URL) bool {
	if listed == raw {
		return true
	}
	l, err := url.Parse(listed)
	if err != nil || !isLoopback(l) || !isLoopback(u) {
		return false
	}
	return withoutPort(listed, l) == withoutPort(raw, u)
}

// withoutPort is an address as it is written, but for its port.
func withoutPort(raw string, u *url.URL) string {
	return strings.Replace(raw, u.Host, strings.TrimSuffix(u.Host, ":"+u.Port()), 1)
}

func isLoopback(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

func origin(u *url.URL) string { return strings.ToLower(u.Scheme + "://" + u.Host) }
