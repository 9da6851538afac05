package providers

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"golang.org/x/oauth2"
)

// upstream is an Upstream at its endpoints: what one call works with.
type upstream struct {
	*Registry
	clients // those of the type
	t       *Type
	c       Client
	e       Endpoints
}

// derived returns what follows from the client alone, whether or not it may be spoken
// to.
func (at Upstream) derived() (*upstream, error) {
	t, ok := at.registry.types[at.client.Type]
	if !ok {
		return nil, &Error{Kind: KindRefused, Err: fmt.Errorf("unknown provider type %q", at.client.Type)}
	}
	base, err := t.base(at.client)
	if err != nil {
		return nil, unreachable(errBlocked, false)
	}
	u := &upstream{Registry: at.registry, clients: at.registry.clientsAt(t), t: t, c: at.client, e: t.at(at.client, base)}
	if u.e.Public {
		u.c.Secret = ""
	}
	return u, nil
}

// base is the URL that a client's endpoints are below, without a path; "" for a
// type that is known by something else than a host.
func (t *Type) base(c Client) (string, error) {
	switch {
	case c.Host != "":
		return baseOf(c.Host)
	case t.DefaultHost != "" && !strings.Contains(t.DefaultHost, "://"):
		return "https://" + t.DefaultHost, nil
	}
	return t.DefaultHost, nil
}

// known returns as much as is known without network. A host that
// has left the allow list is a blocked one, and blocked looks like unreachable.
func (at Upstream) known() (*upstream, error) {
	if at.client.Host != "" && at.registry.allow.checkHost(at.client.Host) != nil {
		return nil, unreachable(errBlocked, false)
	}
	u, err := at.derived()
	if err != nil {
		return nil, err
	}
	for _, endpoint := range u.e.urls() {
		if endpoint != "" && at.registry.allow.checkURL(endpoint, true) != nil {
			return nil, unreachable(errBlocked, false)
		}
	}
	return u, nil
}

// recalled is derived with what the metadata of the client's issuer said when it was last read
// here, if it ever was.
func (at Upstream) recalled() (*upstream, error) {
	u, err := at.derived()
	if err == nil && u.t.discovers {
		u.e = u.e.completedBy(at.registry.issuers.remembered(at.client.Owner, u.e.Issuer))
	}
	return u, err
}

// upstream returns the client at every endpoint, discovered if need be.
func (at Upstream) upstream(ctx context.Context) (*upstream, error) {
	u, err := at.known()
	if err != nil || !u.t.discovers {
		return u, err
	}
	found, err := at.registry.issuers.endpoints(ctx, at.client.Owner, u.e.Issuer)
	if err != nil {
		return u, err
	}
	u.e = u.e.completedBy(found)
	if u.authStyle() == oauth2.AuthStyleAutoDetect {
		return u, misconfigured("auth_style_unsupported", "The provider's metadata lists no client authentication that is supported. An admin must register the client for client_secret_basic or client_secret_post and set config.authStyle.")
	}
	return u, nil
}

// MayBePublic reports whether the client may do without a client secret (RFC 6749 §2.1):
// where config.authStyle says so, or leaves it open.
func (at Upstream) MayBePublic() bool {
	t, ok := at.registry.types[at.client.Type]
	style := at.client.setting("authStyle")
	return ok && t.public && (style == "none" || style == "")
}

// config returns what x/oauth2 needs to know. A client without a secret has
// nothing to put into a header, so it names itself in the form.
func (u *upstream) config(redirectURI string) *oauth2.Config {
	return &oauth2.Config{
		ClientID:     u.c.ID,
		ClientSecret: u.c.Secret.Reveal(),
		Endpoint: oauth2.Endpoint{
			AuthURL:   u.e.AuthURL,
			TokenURL:  u.e.TokenURL,
			AuthStyle: u.authStyle(),
		},
		RedirectURL: redirectURI,
		Scopes:      u.scopes(),
	}
}

func (u *upstream) authStyle() oauth2.AuthStyle {
	if u.c.Secret == "" {
		return oauth2.AuthStyleInParams
	}
	return u.e.AuthStyle
}

// scopes returns what is requested.
func (u *upstream) scopes() []string {
	if u.c.Scopes != nil {
		return u.c.Scopes
	}
	return u.t.DefaultScopes
}

// pkce reports whether PKCE is used: always, unless switched off for an
// upstream that chokes on it.
func (u *upstream) pkce() bool {
	on, given := u.c.Config["pkce"].(bool)
	return on || !given
}

// AdminConsentURL returns the page where an admin of people's organisation consents
// to the client for all of them, "" where there is none. Afterwards the admin is
// sent to redirectURI. What arrives there proves nothing and changes nothing here,
// so there is no state for it to match.
func (at Upstream) AdminConsentURL(redirectURI string) string {
	u, err := at.derived()
	if err != nil || u.e.AdminConsent == "" {
		return ""
	}
	q := url.Values{"client_id": {at.client.ID}, "redirect_uri": {redirectURI}, "scope": {strings.Join(u.scopes(), " ")}}
	return u.e.AdminConsent + "?" + q.Encode()
}

// RegisterURL returns the page where the upstream's vendor has clients registered, such as this one, "" where none is
// known.
func (at Upstream) RegisterURL() string {
	u, err := at.derived()
	if err != nil {
		return ""
	}
	return u.e.Register
}

// ConsentHost returns the host of the page where people consent, as far as it is known without asking: of an upstream whose
// endpoints are discovered, that of its issuer.
func (at Upstream) ConsentHost() string {
	u, err := at.derived()
	if err != nil {
		return ""
	}
	page, err := url.Parse(u.e.AuthURL)
	if u.e.AuthURL == "" {
		page, err = url.Parse(u.e.Issuer)
	}
	if err != nil {
		return ""
	}
	return page.Host
}

// SettingsURL returns the page where people see and withdraw what they granted
// to the client, "" where none is known.
func (at Upstream) SettingsURL() string {
	u, err := at.derived()
	if err != nil {
		return ""
	}
	return u.e.Settings
}
