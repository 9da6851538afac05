package servers

import (
	"strings"
	"testing"

	"github.com/grantd/grantd/brokertest/oidcprovider"
)

// OIDCProvider is npm's oidc-provider. Refresh tokens rotate, a refresh leaves the old access token valid, and a revocation
// takes what came of one consent.
type OIDCProvider struct{ *oidcprovider.Server }

// StartOIDCProvider runs a server until the test ends.
func StartOIDCProvider(t testing.TB) *OIDCProvider {
	t.Helper()
	return &OIDCProvider{oidcprovider.Start(t, oidcprovider.Options{RedirectURIs: []string{RedirectURI}})}
}

// Addr is the issuer's host and port.
func (o *OIDCProvider) Addr() string { return strings.TrimPrefix(o.Issuer, "http://") }

// Registrations as an OpenID Provider.
func (o *OIDCProvider) Registrations() []Registration {
	config := map[string]any{"issuer": o.Issuer, "device": true, "revokesSingly": true, "refreshKillsAccess": false}
	scopes := []string{"openid", "profile", "email", "offline_access"}
	return []Registration{
		{Name: "oidc", Body: body("oidc", o.ClientID, o.ClientSecret, scopes, config), Devices: true},
		{Name: "oidc, nothing known", Devices: true,
			Body: body("oidc", o.ClientID, o.ClientSecret, scopes, without(without(config, "revokesSingly"), "refreshKillsAccess"))},
	}
}

// Accepts asks for the user info.
func (o *OIDCProvider) Accepts(t testing.TB, accessToken string) bool {
	t.Helper()
	return accepts(t, o.Issuer+"/me", accessToken)
}

// Living asks the server.
func (o *OIDCProvider) Living(t testing.TB) Living {
	t.Helper()
	held := o.State(t)
	return Living{Refresh: held["LiveRefreshToken"], Access: held["LiveAccessToken"]}
}
