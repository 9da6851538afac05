package providers

import (
	"net/http"
	"net/http/httptest"

	"github.com/coreos/go-oidc/v3/oidc/oidctest"

	"github.com/grantd/grantd/models"
)

func init() {
	dialects["test"] = testDialect
	dialects["oidc"] = oidcDialect
}

var ada = models.User{Sub: "u1", Name: "Ada L", GivenName: "Ada", FamilyName: "L", NickName: "ada", Email: "ada@x.example",
	Picture: "https://pics.example/a.png", Locale: "en"}

// adaClaims are those of the standard.
func adaClaims(*strict, *pair, *http.Request) (int, any) {
	return 200, `{"sub":"u1","name":"Ada L","given_name":"Ada","family_name":"L","preferred_username":"ada","email":"ada@x.example",
		"picture":"https://pics.example/a.png","locale":"en"}`
}

// testDialect is the RFCs.
func testDialect(host string) dialect {
	base := "https://" + host
	return dialect{
		scopes:       []string{"profile", "email"},
		authorizeURL: base + "/authorize", tokenURL: base + "/token", deviceURL: base + "/device",
		revokeURL: base + "/revoke", introspectURL: base + "/introspect",
		iss: base, promisesIss: true,
		basic:              true,
		rotation:           rotates,
		refreshKillsAccess: true,
		kills:              killsToken,
		checkTellsScopes:   true,
		resources:          map[string]func(*strict, *pair, *http.Request) (int, any){"GET " + base + "/userinfo": adaClaims},
		user:               ada,
	}
}

// oidcDialect is an OpenID Provider that makes the most of what it may do: it
// rotates, kills, and drops the whole grant with one token.
func oidcDialect(host string) dialect {
	base := "https://" + host
	metadata := oidcMetadata(base)
	metadata["introspection_endpoint"] = base + "/introspect"
	metadata["device_authorization_endpoint"] = base + "/device"
	metadata["authorization_response_iss_parameter_supported"] = true
	d := testDialect(host)
	d.config = map[string]any{"issuer": base}
	d.scopes = []string{"openid", "profile", "email", "offline_access"}
	d.openID = true
	d.asks = map[string]string{"prompt": "consent"}
	d.kills = killsGrant
	d.grantKillsAll = true
	d.documents = map[string]any{"GET " + base + "/.well-known/openid-configuration": metadata, "GET " + base + "/keys": keysDocument()}
	return d
}

// keysDocument is the key set with the one key that signs.
func keysDocument() string {
	keys := &oidctest.Server{PublicKeys: []oidctest.PublicKey{{PublicKey: signingKey().Public(), KeyID: "k", Algorithm: "ES256"}}}
	w := httptest.NewRecorder()
	keys.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/keys", nil))
	return w.Body.String()
}
