package servers

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"database/sql"
	_ "embed"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/brokertest/browser"
	"github.com/grantd/grantd/brokertest/services"
)

// What Debian's package brings: the program with its modules, and the tables.
const (
	glewlwydProgram = "/usr/bin/glewlwyd"
	glewlwydSchema  = "/usr/share/dbconfig-common/data/glewlwyd/install/sqlite3"
)

// glewlwydConfig has %PORT%, %DATABASE% and nothing that is not needed.
//
//go:embed glewlwyd.conf
var glewlwydConfig string

// Glewlwyd issues JWTs: neither a refresh nor a revocation of the refresh token ends the access tokens before. Refresh
// tokens are for one use, and its revocation endpoint takes one token at a time, from confidential clients only.
type Glewlwyd struct {
	running
	database *sql.DB

	mu     sync.Mutex
	people []string // who have an account so far
}

// StartGlewlwyd runs a server until the test ends.
func StartGlewlwyd(t testing.TB) *Glewlwyd {
	t.Helper()
	needs(t, "Glewlwyd", glewlwydProgram, "Debian: glewlwyd with dbconfig-no-thanks, see .ci/run")
	g := &Glewlwyd{running: start(t, services.Program{
		Name:    "Glewlwyd",
		Prepare: glewlwydTables,
		Command: func(folder string, port int) services.Command {
			config := filepath.Join(folder, "glewlwyd.conf")
			text := strings.NewReplacer("%PORT%", fmt.Sprint(port), "%DATABASE%", filepath.Join(folder, "glewlwyd.db")).Replace(glewlwydConfig)
			if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
				t.Errorf("writing Glewlwyd's configuration: %v", err)
			}
			return services.Command{Path: glewlwydProgram, Args: []string{"-c", config}}
		},
		Ready: "/config/",
	}, "/api/oidc/userinfo")}
	g.database = brokertest.SQL(t, "sqlite:"+filepath.Join(g.Folder, "glewlwyd.db"))
	g.configure(t)
	return g
}

func glewlwydTables(ctx context.Context, folder string) error {
	schema, err := os.ReadFile(glewlwydSchema)
	if err != nil {
		return err
	}
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(folder, "glewlwyd.db"))
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, string(schema))
	return err
}

var glewlwydScopes = []string{"openid", "profile", "email", "offline_access"}

// configure does what an administrator would do on the pages: an OpenID Connect plug-in, scopes and clients.
func (g *Glewlwyd) configure(t testing.TB) {
	t.Helper()
	admin := g.signIn(t, "admin")
	key, public := signingKey(t)
	g.call(t, admin, http.MethodPost, "/mod/plugin/", map[string]any{"module": "oidc", "name": "oidc", "display_name": "oidc", "enabled": true,
		"parameters": map[string]any{
			"iss": g.URL + "/api/oidc", "jwt-type": "rsa", "jwt-key-size": "256", "key": key, "cert": public,
			"code-duration": 600, "access-token-duration": 3600, "refresh-token-duration": 14 * 24 * 3600, "refresh-token-one-use": "always",
			"auth-type-code-enabled": true, "auth-type-refresh-enabled": true, "auth-type-device-enabled": true,
			"auth-type-token-enabled": false, "auth-type-implicit-enabled": false, "auth-type-password-enabled": false, "auth-type-client-enabled": true,
			"device-authorization-expiration": 600, "device-authorization-interval": 1, "allow-non-oidc": true,
			"introspection-revocation-allowed": true, "introspection-revocation-allow-target-client": true,
			"name-claim": "mandatory", "email-claim": "mandatory", "pkce-allowed": true, "pkce-required": true,
		}})
	for _, scope := range glewlwydScopes[1:] { // it knows openid
		g.call(t, admin, http.MethodPost, "/scope/", map[string]any{"name": scope, "display_name": scope, "password_required": false})
	}
	// Only a client that may act for itself may introspect and revoke.
	g.call(t, admin, http.MethodPost, "/client/", map[string]any{"client_id": ClientID, "name": ClientID, "client_secret": ClientSecret,
		"confidential": true, "enabled": true, "redirect_uri": []string{RedirectURI}, "token_endpoint_auth_method": []string{"client_secret_basic"},
		"authorization_type": []string{"code", "refresh_token", "device_authorization", "client_credentials"}})
}

// signingKey returns a key pair in PEM.
func signingKey(t testing.TB) (private, public string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	open, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: open}))
}

// call is a request of the JSON API that the pages use.
func (g *Glewlwyd) call(t testing.TB, b *browser.Browser, method, path string, body any) {
	t.Helper()
	encoded, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, g.URL+"/api"+path, bytes.NewReader(encoded))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	b.Open(t, r)
}

// signIn opens a browser in which the person is signed in. All have the administrator's first password.
func (g *Glewlwyd) signIn(t testing.TB, person string) *browser.Browser {
	t.Helper()
	b := browser.New(t, g.URL)
	g.call(t, b, http.MethodPost, "/auth/", map[string]any{"username": person, "password": "password"})
	return b
}

// account makes an account for the person, where there is none yet.
func (g *Glewlwyd) account(t testing.TB, person string) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	if slices.Contains(g.people, person) {
		return
	}
	g.call(t, g.signIn(t, "admin"), http.MethodPost, "/user/", map[string]any{"username": person, "password": "password", "name": person,
		"email": person + "@example.test", "enabled": true, "scope": glewlwydScopes})
	g.people = append(g.people, person)
}

// Registrations as an OpenID Provider.
func (g *Glewlwyd) Registrations() []Registration {
	config := map[string]any{"issuer": g.URL + "/api/oidc", "device": true, "revokesSingly": true, "refreshKillsAccess": false}
	return []Registration{
		{Name: "oidc", Body: body("oidc", ClientID, ClientSecret, glewlwydScopes, config), Devices: true},
		{Name: "oidc, nothing known", Devices: true,
			Body: body("oidc", ClientID, ClientSecret, glewlwydScopes, without(without(config, "revokesSingly"), "refreshKillsAccess"))},
	}
}

// agree signs the person in and grants the client what it asks for. The address goes on from there.
func (g *Glewlwyd) agree(t testing.TB, address, person string) browser.Page {
	t.Helper()
	g.account(t, person)
	b := g.signIn(t, person)
	g.call(t, b, http.MethodPut, "/auth/grant/"+ClientID, map[string]any{"scope": strings.Join(glewlwydScopes, " ")})
	return b.Open(t, browser.Request(t, http.MethodGet, address+"&g_continue", nil))
}

// Consent does what the login page does.
func (g *Glewlwyd) Consent(t testing.TB, authorizeURL, person string) *url.URL {
	t.Helper()
	return g.agree(t, authorizeURL, person).Leaves(t)
}

// ApproveDevice does what the login page does with a device's code.
func (g *Glewlwyd) ApproveDevice(t testing.TB, userCode, person string) {
	t.Helper()
	shown := g.agree(t, g.URL+"/api/oidc/device?"+url.Values{"code": {userCode}}.Encode(), person)
	if done := shown.Leaves(t).Query().Get("prompt"); done != "deviceComplete" {
		t.Fatalf("the code was not taken: %s", shown.Location)
	}
}

// Expire disables the tokens: their time is inside their signature.
func (g *Glewlwyd) Expire(t testing.TB, person string) {
	t.Helper()
	if _, err := g.database.Exec(`UPDATE gpo_access_token SET gpoa_enabled = 0 WHERE gpoa_username = ?`, person); err != nil {
		t.Fatal(err)
	}
}

// Living reads the tables.
func (g *Glewlwyd) Living(t testing.TB) (held Living) {
	t.Helper()
	err := g.database.QueryRow(`SELECT (SELECT count(*) FROM gpo_refresh_token WHERE gpor_enabled = 1),
		(SELECT count(*) FROM gpo_access_token WHERE gpoa_enabled = 1)`).Scan(&held.Refresh, &held.Access)
	if err != nil {
		t.Fatal(err)
	}
	return held
}
