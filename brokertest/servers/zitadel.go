package servers

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/grantd/grantd/brokertest/browser"
	"github.com/grantd/grantd/brokertest/services"
)

// Zitadel is the example server of zitadel/oidc. Refresh tokens rotate, a refresh ends the old access token, and a
// revocation takes one pair. User info answers an invalid token with 403.
type Zitadel struct{ running }

// zitadelProgram is built once per test process, from the module in the folder zitadel.
var zitadelProgram = sync.OnceValues(func() ([]byte, error) {
	out, err := os.MkdirTemp("", "grantd-test-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(out)
	program := filepath.Join(out, "zitadel")
	if err := zitadelGo("build", "-o", program, "."); err != nil {
		return nil, err
	}
	return os.ReadFile(program)
})

// zitadelGo runs the go command in the server's module, without the internet.
func zitadelGo(args ...string) error {
	command := exec.Command("go", args...)
	command.Dir = "zitadel"
	command.Env = append(os.Environ(), "GOPROXY=off")
	if said, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s in brokertest/servers/zitadel: %w\n%s", args[0], err, said)
	}
	return nil
}

// StartZitadel builds and runs a server until the test ends.
func StartZitadel(t testing.TB) *Zitadel {
	t.Helper()
	if err := zitadelGo("mod", "download"); err != nil {
		unavailable(t, "the example server of zitadel/oidc", "its modules are not here (`go mod download` in brokertest/servers/zitadel)")
	}
	program, err := zitadelProgram()
	if err != nil {
		t.Fatal(err)
	}
	return &Zitadel{start(t, services.Program{
		Name: "the example server of zitadel/oidc",
		Prepare: func(_ context.Context, folder string) error {
			return os.WriteFile(filepath.Join(folder, "zitadel"), program, 0o700)
		},
		Command: func(folder string, port int) services.Command {
			return services.Command{Path: filepath.Join(folder, "zitadel"), Env: []string{fmt.Sprint("ADDRESS=127.0.0.1:", port), "REDIRECT_URI=" + RedirectURI,
				"CLIENT_ID=" + ClientID, "CLIENT_SECRET=" + ClientSecret, "PUBLIC_CLIENT_ID=" + PublicClientID}}
		},
		Ready: "/test/living",
	}, "/userinfo")}
}

// Registrations as an OpenID Provider.
func (z *Zitadel) Registrations() []Registration {
	config := map[string]any{"issuer": z.URL, "device": true, "revokesSingly": true}
	scopes := []string{"openid", "profile", "email", "offline_access"}
	return []Registration{
		{Name: "oidc", Body: body("oidc", ClientID, ClientSecret, scopes, config), Devices: true},
		{Name: "oidc, public client", Body: body("oidc", PublicClientID, "", scopes, config), Devices: true, Silent: true},
		{Name: "oidc, nothing known", Body: body("oidc", ClientID, ClientSecret, scopes, without(config, "revokesSingly")), Devices: true},
	}
}

// Consent goes through the example's page, where signing in is the consent.
func (z *Zitadel) Consent(t testing.TB, authorizeURL, person string) *url.URL {
	t.Helper()
	b := browser.New(t, z.URL)
	asked := b.Get(t, authorizeURL)
	if asked.Location != nil {
		return asked.Location // refused before anybody was asked
	}
	form := asked.Hidden()
	form.Set("username", person)
	form.Set("password", "password")
	return b.Post(t, z.URL+"/login/username", form).Leaves(t)
}

// ApproveDevice goes through the example's pages.
func (z *Zitadel) ApproveDevice(t testing.TB, userCode, person string) {
	t.Helper()
	b := browser.New(t, z.URL)
	form := b.Get(t, z.URL+"/device?"+url.Values{"user_code": {userCode}}.Encode()).Hidden()
	form.Set("username", person)
	form.Set("password", "password")
	b.Post(t, z.URL+"/device/login", form)
	b.Get(t, z.URL+"/device/confirm?action=allowed")
}
