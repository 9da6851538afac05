package providers

import (
	"slices"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// oidcType is any OpenID Provider, known by its issuer.
func oidcType() *Type {
	return &Type{
		Name:          "oidc",
		DisplayName:   "OpenID Connect",
		DefaultScopes: []string{oidc.ScopeOpenID, "profile", "email", oidc.ScopeOfflineAccess},

		openID:       true,
		idToken:      SourceUser,
		discovers:    true,
		configurable: true,
		public:       true,
		settings: []setting{
			{name: "authStyle", check: isAuthStyle, about: aboutAuthStyle},
			{name: "introspectUrl", check: isEndpoint, about: aboutIntrospectURL},
			{name: "issuer", required: true, check: isIssuer, about: aboutIssuer},
			{name: "revokeUrl", check: isEndpoint, about: aboutRevokeURL},
		},
		Behaviour: Behaviour{
			// What an unknown server does, on the safe side: it rotates, and may drop
			// the whole grant when one of its tokens is revoked (RFC 7009 §2.1).
			RefreshKillsAccess: true,
			RevokesSingly:      false,
			Rotates:            true,
			Device:             true,
		},
		hooks: hooks{
			at:        oidcAt,
			authorize: oidcAuthorize,

			fixedBefore: oidcFixedBefore,
		},
	}
}

// oidcAt is what config says. Metadata adds the rest (see Endpoints.completedBy).
func oidcAt(c Client, _ string) Endpoints {
	return Endpoints{
		Endpoint:   oauth2.Endpoint{AuthStyle: authStyles[c.setting("authStyle")]},
		Public:     c.setting("authStyle") == "none",
		Revoke:     c.setting("revokeUrl"),
		Introspect: c.setting("introspectUrl"),
		Issuer:     c.setting("issuer"),
	}
}

// oidcFixedBefore are the endpoints that config names.
func oidcFixedBefore(u *upstream) []string {
	return slices.DeleteFunc([]string{u.e.Revoke, u.e.Introspect}, func(endpoint string) bool { return endpoint == "" })
}

// oidcAuthorize asks for consent where offline access is wanted, which otherwise
// may be ignored (OIDC Core §11).
func oidcAuthorize(u *upstream, req AuthorizeRequest) map[string]string {
	if req.SkipConsent || !slices.Contains(u.scopes(), oidc.ScopeOfflineAccess) {
		return nil
	}
	return map[string]string{"prompt": "consent"}
}

// isIssuer judges config.issuer, which is compared byte for byte ever after.
func isIssuer(allow allowlist, v any) string {
	issuer, ok := v.(string)
	if !ok {
		return "must be a string"
	}
	if err := allow.checkURL(issuer, false); err != nil {
		return err.Error()
	}
	return ""
}
