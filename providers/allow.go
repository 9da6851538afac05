package providers

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strings"

	"github.com/grantd/grantd/models"
)

// allowlist is what an operator admits although it is private, loopback or
// plain http.
type allowlist struct {
	hosts    map[string]bool // host, or host:port
	prefixes []netip.Prefix
}

// parseAllow reads GRANTD_UPSTREAM_ALLOW and GRANTD_WEBHOOK_ALLOW. An error names the malformed entry.
func parseAllow(entries []string) (allowlist, error) {
	a := allowlist{hosts: map[string]bool{}}
	for _, entry := range entries {
		entry = strings.ToLower(strings.TrimSpace(entry))
		if entry == "" {
			continue
		}
		if prefix, err := netip.ParsePrefix(entry); err == nil {
			a.prefixes = append(a.prefixes, prefix.Masked())
			continue
		}
		host, port, err := splitHost(entry)
		if err != nil {
			return a, fmt.Errorf("allow list: %q is not a host, host:port or CIDR", entry)
		}
		a.hosts[join(host, port)] = true
	}
	return a, nil
}

// admitTestHost adds the test server's address and returns its URL without a
// slash at the end.
func (a allowlist) admitTestHost(base string) (string, error) {
	if base == "" {
		return "", nil
	}
	u, err := url.Parse(strings.TrimRight(base, "/"))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Path != "" {
		return "", fmt.Errorf("test host: %q is not a URL such as http://localhost:9000", base)
	}
	host, port, err := splitHost(u.Host)
	if err != nil {
		return "", fmt.Errorf("test host: %q: %w", base, err)
	}
	a.hosts[join(host, portOf(u.Scheme, port))] = true
	return u.String(), nil
}

// with is the list with one more host:port.
func (a allowlist) with(host string) allowlist {
	a.hosts = maps.Clone(a.hosts)
	a.hosts[host] = true
	return a
}

// dials reports whether an address is dialled without looking at where it leads.
func (a allowlist) dials(host, port string) bool {
	return a.hosts[host] || a.hosts[join(host, port)]
}

// admits reports whether an IP address is in a listed CIDR.
func (a allowlist) admits(ip netip.Addr) bool {
	for _, prefix := range a.prefixes {
		if prefix.Contains(ip) {
			return true
		}
	}
	return false
}

// The reasons why a host or URL is refused, as an admin reads them.
var (
	errHost    = errors.New("must be a bare host in lower case, such as git.example.com or git.example.com:8443")
	errPort    = errors.New("must have a port between 1 and 65535")
	errScheme  = errors.New("must be a host without https://, such as git.example.com or git.example.com:8443")
	errLiteral = errors.New("must not be an IP address unless the operator allows it")
	errPlain   = errors.New("must use https, unless the operator allows this host and port")
	errURL     = errors.New("must be an absolute https URL without user, query or fragment")
)

// baseOf turns metadata.host into a URL without a path: https for a bare host,
// http for "http://host:port". It judges the form alone, so that the answer does
// not depend on what is listed.
func baseOf(host string) (string, error) {
	if plain, ok := strings.CutPrefix(host, "http://"); ok {
		return originOf("http", plain)
	}
	if strings.Contains(host, "://") {
		return "", errScheme
	}
	return originOf("https", host)
}

// originOf joins scheme and host, without the default port.
func originOf(scheme, hostport string) (string, error) {
	host, port, err := splitHost(hostport)
	if err != nil {
		return "", err
	}
	if port == portOf(scheme, "") {
		port = ""
	}
	return scheme + "://" + bracketed(host, port), nil
}

// permits judges whom a well-formed URL leads to: plain http only to a listed
// host:port, IP addresses only if listed.
func (a allowlist) permits(u *url.URL) error {
	host, port, err := splitHost(strings.ToLower(u.Host))
	if err != nil {
		return err
	}
	port = portOf(u.Scheme, port)
	if u.Scheme != "https" && !(u.Scheme == "http" && a.hosts[join(host, port)]) {
		return errPlain
	}
	if ip, err := netip.ParseAddr(host); err == nil && !a.dials(host, port) && !a.admits(ip.Unmap()) {
		return errLiteral
	}
	return nil
}

// checkHost judges metadata.host, in form and in whom it leads to.
func (a allowlist) checkHost(host string) error {
	base, err := baseOf(host)
	if err != nil {
		return err
	}
	return a.checkURL(base, false)
}

const maxURL = 2048

// checkURL judges an endpoint or issuer. A query is for endpoints only, which may
// carry one (RFC 6749 §3.1).
func (a allowlist) checkURL(raw string, query bool) error {
	u, err := url.Parse(raw)
	if err != nil || len(raw) > maxURL || u.Host == "" || u.User != nil || strings.Contains(raw, "#") ||
		!query && strings.Contains(raw, "?") {
		return errURL
	}
	return a.permits(u)
}

var (
	hostname = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	// numeric is what some resolvers take for an IPv4 address: 127.1, 0x7f.1.
	numeric = regexp.MustCompile(`(^|\.)([0-9]+|0x[0-9a-f]*)$`)
)

// splitHost takes "host", "host:port", an IPv4 address, or an IPv6 address (in
// brackets when a port follows) apart. port is "" when there is none.
func splitHost(s string) (host, port string, err error) {
	host = s
	if ip, err := netip.ParseAddr(s); err == nil && ip.Zone() == "" {
		return ip.String(), "", nil
	}
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.HasSuffix(s, "]") {
		host, port = s[:i], s[i+1:]
		if !models.ValidPort(port) {
			return "", "", errPort
		}
	}
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		ip, err := netip.ParseAddr(host[1 : len(host)-1])
		if err != nil || !ip.Is6() || ip.Zone() != "" {
			return "", "", errHost
		}
		return ip.String(), port, nil
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.Is4() {
		return host, port, nil
	}
	if len(host) > 253 || !hostname.MatchString(host) || numeric.MatchString(host) {
		return "", "", errHost
	}
	return host, port, nil
}

// portOf returns port, or the scheme's own when there is none.
func portOf(scheme, port string) string {
	switch {
	case port != "":
		return port
	case scheme == "http":
		return "80"
	}
	return "443"
}

// join is net.JoinHostPort, or the host alone without a port.
func join(host, port string) string {
	if port == "" {
		return host
	}
	return net.JoinHostPort(host, port)
}

// bracketed is join for URLs, where an IPv6 address has brackets in any case.
func bracketed(host, port string) string {
	if port == "" && strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return join(host, port)
}
