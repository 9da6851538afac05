package providers

import (
	"slices"
	"strings"
	"testing"

	"github.com/grantd/grantd/models"
)

// callAll makes each call that exists, with secrets and tokens in it. What the
// upstream answers does not matter here.
func callAll(t *testing.T, r *Registry, c Client) {
	t.Helper()
	ctx := t.Context()
	_, _ = r.At(c).AuthorizeURL(ctx, AuthorizeRequest{State: "s", RedirectURI: "https://broker.example/cb", Nonce: "n", Verifier: theVerifier})
	_, _ = exchange(t, r, c)
	_, _ = r.At(c).Refresh(ctx, theTokens())
	_, _ = r.At(c).Identify(ctx, theTokens(), "n")
	_, _ = r.At(c).UserInfo(ctx, theAccess)
	_, _ = r.At(c).Revoke(ctx, theTokens(), models.RevokeGrant)
	_, _ = r.At(c).Revoke(ctx, theTokens(), models.RevokeToken)
	_, _ = r.At(c).RevokeAccess(ctx, theAccess)
	_, _ = r.At(c).Check(ctx, theTokens())
	_, _ = r.At(c).Reset(ctx, theTokens())
	_, _ = r.At(c).BeginDevice(ctx)
	_, _ = r.At(c).PollDevice(ctx, theCode)
}

// configured are the settings that make types without a host of their own speak to
// one place. A type that needs settings has a line here.
var configured = map[string]func(base string) map[string]any{
	"oidc":   func(base string) map[string]any { return map[string]any{"issuer": base} },
	"oauth2": func(base string) map[string]any { return oauth2Config(base, nil) },
}

// A self-managed host's secret or token never leaves for another host, and that of
// a public one goes to its own endpoints only, whatever the type and the call (S1,
// A4).
func TestS1_NothingIsDialledButTheProvidersOwnHost(t *testing.T) {
	t.Parallel()
	for _, name := range newRegistry(t, Options{}).Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, r := newWorld(t)
			w.says("/", 200, "{}")
			const host, base = "own.example.com", "https://own.example.com"
			w.says("GET /.well-known/openid-configuration", 200, `{"issuer":"`+base+`","authorization_endpoint":"`+base+`/a",
				"token_endpoint":"`+base+`/t","jwks_uri":"`+base+`/j","revocation_endpoint":"`+base+`/r","userinfo_endpoint":"`+base+`/u",
				"introspection_endpoint":"`+base+`/i","device_authorization_endpoint":"`+base+`/d"}`)
			typ, _ := r.Type(name)
			c := Client{Type: name, ID: "id", Secret: theSecret}
			switch settings := configured[name]; {
			case typ.SelfManaged:
				c.Host = host
			case typ.DefaultHost == "" && settings == nil:
				t.Fatal("has no line in configured")
			case settings != nil:
				c.Config = settings(base)
			}
			own := []string{host}
			if c.Host == "" && c.Config == nil {
				own = nil
				for _, origin := range r.At(c).Origins() {
					own = append(own, strings.TrimPrefix(origin, "https://"))
				}
			}
			if u, err := r.At(c).derived(); err == nil && u.e.Keys != "" { // where no token is sent
				own = append(own, strings.TrimPrefix(origin(u.e.Keys), "https://"))
			}
			callAll(t, r, c)
			for _, dialled := range w.hosts() {
				if !slices.Contains(own, dialled) {
					t.Errorf("dialled %s, which is none of %v", dialled, own)
				}
			}
			if len(w.requests()) == 0 {
				t.Error("nothing was dialled at all")
			}
			for _, origin := range r.At(c).Origins() {
				if !slices.Contains(own, strings.TrimPrefix(origin, "https://")) {
					t.Errorf("tokens are bound to %s, which is none of %v", origin, own)
				}
			}
		})
	}
}
