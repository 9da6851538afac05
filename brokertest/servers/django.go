package servers

import (
	"context"
	"embed"
	"fmt"
	"net/url"
	"os"
	"testing"

	"github.com/grantd/grantd/brokertest/browser"
	"github.com/grantd/grantd/brokertest/services"
)

// python is Debian's, which has Debian's packages. Another one may come first in the PATH.
const python = "/usr/bin/python3"

// djangoProject is a Django project in a few files.
//
//go:embed django/*.py
var djangoProject embed.FS

// Django is Django OAuth Toolkit. Refresh tokens rotate, a refresh ends the old access token, and a revocation takes one
// pair. It has no device flow.
type Django struct{ running }

// StartDjango runs a server until the test ends.
func StartDjango(t testing.TB) *Django {
	t.Helper()
	needs(t, "Django OAuth Toolkit", "/usr/lib/python3/dist-packages/oauth2_provider", "Debian: python3-django-oauth-toolkit")
	return &Django{start(t, services.Program{
		Name:    "Django OAuth Toolkit",
		Prepare: func(_ context.Context, folder string) error { return os.CopyFS(folder, djangoProject) },
		Command: func(_ string, port int) services.Command {
			return services.Command{
				Path: python,
				Args: []string{"django/server.py"},
				Env: []string{fmt.Sprint("PORT=", port), "REDIRECT_URI=" + RedirectURI, "CLIENT_ID=" + ClientID,
					"CLIENT_SECRET=" + ClientSecret, "PUBLIC_CLIENT_ID=" + PublicClientID},
			}
		},
		Ready: "/test/living",
	}, "/o/userinfo/")}
}

// Registrations as an OpenID Provider, whose metadata names neither revocation nor introspection and whose scopes lack
// offline_access, and by its endpoints, with an API of ours in the place of the user info.
func (d *Django) Registrations() []Registration {
	o := d.URL + "/o"
	scopes := []string{"openid", "profile", "email"}
	oidc := map[string]any{"issuer": o, "revokeUrl": o + "/revoke_token/", "introspectUrl": o + "/introspect/", "revokesSingly": true}
	endpoints := map[string]any{
		"authorizeUrl": o + "/authorize/", "tokenUrl": o + "/token/", "revokeUrl": o + "/revoke_token/", "introspectUrl": o + "/introspect/",
		"userInfoUrl": d.URL + "/me", "claims": map[string]any{"sub": "data.id", "email": "data.email", "name": "data.name"},
		"authStyle": "basic", "revokesSingly": true,
	}
	return []Registration{
		{Name: "oidc", Body: body("oidc", ClientID, ClientSecret, scopes, oidc)},
		{Name: "oidc, public client", Body: body("oidc", PublicClientID, "", scopes, oidc)},
		{Name: "oauth2", Body: body("oauth2", ClientID, ClientSecret, scopes, endpoints)},
		{Name: "oauth2, public client", Body: body("oauth2", PublicClientID, "", scopes, with(endpoints, "authStyle", "none")), Silent: true},
	}
}

// Consent goes through the toolkit's own page.
func (d *Django) Consent(t testing.TB, authorizeURL, person string) *url.URL {
	t.Helper()
	b := browser.New(t, d.URL)
	b.Cookie("person", person)
	asked := b.Get(t, authorizeURL)
	if asked.Location != nil {
		return asked.Location // refused before anybody was asked
	}
	form := asked.Hidden()
	form.Set("allow", "Authorize")
	return b.Post(t, authorizeURL, form).Leaves(t)
}

// ApproveDevice fails: there is no device flow.
func (d *Django) ApproveDevice(t testing.TB, _, _ string) {
	t.Helper()
	t.Fatal("Django OAuth Toolkit 1.7 has no device flow")
}
