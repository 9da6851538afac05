package providers

import (
	"context"

	"github.com/grantd/grantd/models"
)

// Abilities are what can be said of a client at its upstream without asking the
// network. Of endpoints that are discovered it is what their metadata said when
// it was last read, and nothing before.
type Abilities struct {
	Revokes    bool   // the upstream takes tokens back
	Validates  bool   // the upstream tells whose a token is
	PKCE       bool   // consents are begun with an S256 challenge
	InstallURL string // where an app is installed, "" where the client is none
}

// Abilities returns the client's. One of an unknown type, or with a malformed host,
// can nothing.
func (at Upstream) Abilities() Abilities {
	u, err := at.recalled()
	if err != nil {
		return Abilities{}
	}
	can := Abilities{
		Revokes:   u.t.revoke != nil || u.e.Revoke != "",
		Validates: u.t.user != nil || u.e.UserInfo != "",
		PKCE:      u.pkce(),
	}
	if u.t.installURL != nil {
		can.InstallURL = u.t.installURL(u)
	}
	return can
}

// Installations lists where the client's app is installed, as far as an access token lets
// see; none where it is no app.
func (at Upstream) Installations(ctx context.Context, access models.Secret) ([]models.Installation, error) {
	u, err := at.upstream(ctx)
	if err != nil {
		return nil, err
	}
	if u.t.installations == nil || u.t.installURL == nil || u.t.installURL(u) == "" {
		return nil, nil
	}
	return u.t.installations(ctx, u, access)
}

// isIcon judges config.icon, which pages show: an https address, or a path on
// the page's own site.
func isIcon(_ allowlist, v any) string {
	icon, ok := v.(string)
	if !ok || link(icon) == "" && !sitePath(icon) {
		return "must be an https URL, or a path that begins with a slash"
	}
	return ""
}
