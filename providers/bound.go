package providers

import (
	"net/url"
	"slices"
	"strings"
)

// What tokens, client secrets and grants are bound to. All of it follows from the
// client alone, not from the network or the allow list. Broker stores digests of it,
// so what is returned for a client may never change: a change is a new version, with
// the old one kept beside it for as long as rows hold it.

// Bound returns every place that tokens and the client secret may be sent to,
// and the field that names the account (A4, K1). Each is named, so that a kind of
// endpoint which is added later changes nothing for clients that have none. A
// malformed host has none.
func (at Upstream) Bound() []string {
	u, err := at.derived()
	if err != nil {
		return nil
	}
	var bound []string
	for _, place := range [...]struct{ name, url string }{
		{"issuer", u.e.Issuer}, {"authorize", u.e.AuthURL}, {"token", u.e.TokenURL}, {"device", u.e.DeviceAuthURL},
		{"revoke", u.e.Revoke}, {"introspect", u.e.Introspect}, {"userinfo", u.e.UserInfo}, {"api", u.e.API},
	} {
		if place.url != "" {
			bound = append(bound, place.name+" "+normalised(place.url))
		}
	}
	if u.t.subPath != nil {
		bound = append(bound, "sub "+u.t.subPath(at.client))
	}
	return bound
}

// Grant returns what, together with an account's sub, names a grant upstream (D1):
// where the consent is given, how the account is told, and what a grant-wide
// revocation also ends. Where the endpoints are the type's own, org has no part in
// it, and the grant is the same for every organisation. Elsewhere an admin chose the
// endpoints, and could choose some that answer with any sub: there a grant is known
// within its organisation only. Endpoints that revoke, introspect or begin a device
// flow are left out, since two providers of one client may differ in them.
func (at Upstream) Grant(org string) []string {
	u, err := at.derived()
	if err != nil {
		return []string{at.client.Type, org, at.client.ID}
	}
	if !u.t.configurable {
		org = ""
	}
	grant := []string{at.client.Type, org, at.domain()}
	places := []string{u.e.AuthURL, u.e.TokenURL, u.e.UserInfo, u.e.API}
	if u.t.discovers {
		places = []string{u.e.Issuer}
	}
	for _, place := range places {
		grant = append(grant, normalised(place))
	}
	if u.t.subPath != nil {
		grant = append(grant, u.t.subPath(at.client))
	}
	return grant
}

// domain is what a grant-wide revocation also ends at one upstream: every token of
// one person under the same domain.
func (at Upstream) domain() string {
	if t, ok := at.registry.types[at.client.Type]; ok && t.domain != nil {
		return t.domain(at.client)
	}
	return at.client.ID
}

// normalised writes one place in one way (RFC 3986 section 6.2): scheme and host in
// lower case, no default port, no dot at the end of the host. What is no absolute URL
// stays as it is.
func normalised(place string) string {
	u, err := url.Parse(place)
	if err != nil || u.Host == "" {
		return place
	}
	u.Scheme = strings.ToLower(u.Scheme)
	host, port := strings.TrimSuffix(strings.ToLower(u.Hostname()), "."), u.Port()
	if port == portOf(u.Scheme, "") {
		port = ""
	}
	u.Host = bracketed(host, port)
	return u.String()
}

// The first version of all this, under which rows were written that may still be
// there: see docs/decisions/0021-versions-of-keys-and-bindings.md.

// Origins returns where tokens of the client may be sent, sorted: scheme and
// host of every endpoint, the whole issuer where the endpoints are discovered, or
// what the type says. A malformed host has none.
func (at Upstream) Origins() []string {
	u, err := at.derived()
	if err != nil {
		return nil
	}
	if u.t.origins != nil {
		return u.t.origins(u)
	}
	var origins []string
	if u.t.discovers && u.e.Issuer != "" {
		origins = append(origins, u.e.Issuer)
	}
	for _, endpoint := range []string{u.e.TokenURL, u.e.DeviceAuthURL, u.e.Revoke, u.e.Introspect, u.e.UserInfo, u.e.API} {
		if endpoint != "" {
			origins = append(origins, origin(endpoint))
		}
	}
	slices.Sort(origins)
	return slices.Compact(origins)
}

// FixedBefore returns what fingerprints of the first version are made of: the
// origins, and what else config decides about where the endpoints are.
func (at Upstream) FixedBefore() []string {
	u, err := at.derived()
	if err != nil || u.t.fixedBefore == nil {
		return at.Origins()
	}
	return append(at.Origins(), u.t.fixedBefore(u)...)
}

func origin(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// GrantBefore returns what grant keys of the first version are made of, without the
// sub and the type.
func (at Upstream) GrantBefore() (domain string, origins []string) {
	return at.domain(), at.Origins()
}
