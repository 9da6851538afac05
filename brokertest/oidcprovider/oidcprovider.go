// Package oidcprovider runs a real OpenID Connect server for tests: npm's oidc-provider, which is certified and
// shares no line of code with grantd. What holds against it holds against a standard, not against our reading of one.
//
// PKCE is required, refresh tokens rotate and their reuse ends the grant, and the issuer comes with every
// authorization response (RFC 9207). As the standard has it, offline_access counts only together with
// prompt=consent; without, no refresh token is issued.
package oidcprovider

import (
	"bufio"
	"bytes"
	"encoding/json"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/grantd/grantd/brokertest/browser"
	"github.com/grantd/grantd/brokertest/services"
)

// Options shape the server and its one client. The zero value is a good start.
type Options struct {
	// RedirectURIs are where a consent may return to. Loopback addresses match on any port, as RFC 8252 wants it.
	// By default that is http://127.0.0.1/callback.
	RedirectURIs []string
	// AuthMethod is how the client must prove itself: client_secret_basic (the default) or client_secret_post.
	AuthMethod string
	// AccessTokenTTL is an hour by default. The server knows whole seconds only.
	AccessTokenTTL time.Duration
	// ClaimsInIDToken puts email and name into the id_token too. By default they are at userinfo only.
	ClaimsInIDToken bool
	// WithoutRevocation makes a server that has no revocation endpoint and advertises none.
	WithoutRevocation bool
}

// Server is a running server and the client that is registered with it.
type Server struct {
	Issuer       string
	ClientID     string
	ClientSecret string
}

// Start runs a server until the test ends. Where node or the npm packages are missing the test is skipped, or fails
// if GRANTD_TEST_REQUIRE_SERVICES is 1.
func Start(t testing.TB, options Options) *Server {
	t.Helper()
	node, dir := needed(t, "oidc-provider")
	server := &Server{
		ClientID: "grantd:test client",
		// Characters that Basic credentials must carry form-encoded (RFC 6749, 2.3.1). A client that
		// forgets to is refused here, and would be by the servers that follow the standard.
		ClientSecret: `pa%73s+w/o:r?d &=~"<>` + "-of-the-test-client",
	}
	environment, err := json.Marshal(settings(server, options))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(node, "server.mjs")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "OIDC_OPTIONS="+string(environment))
	server.Issuer = run(t, cmd)
	return server
}

// Run runs a script of this folder, which is a client that others wrote, and returns what it prints. Where node or the npm
// packages are missing the test is skipped like Start's.
func Run(t testing.TB, script string, environment map[string]string) []byte {
	t.Helper()
	node, dir := needed(t, "openid-client")
	cmd := exec.CommandContext(t.Context(), node, script)
	cmd.Dir = dir
	cmd.Env = os.Environ()
	for name, value := range environment {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, stderr.String())
	}
	return out
}

// needed finds node, and this folder with an npm package in it.
func needed(t testing.TB, module string) (node, dir string) {
	t.Helper()
	dir = folder(t)
	node, err := exec.LookPath("node")
	if err != nil {
		unavailable(t, "node is not installed")
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules", module)); err != nil {
		unavailable(t, "its npm packages are not installed (`npm ci` in brokertest/oidcprovider)")
	}
	return node, dir
}

// Consent is the person at the browser: it follows authorizeURL to the server, signs in as login (any name is an
// account), agrees to everything, and returns where the server then sends the browser: the client's redirect URI,
// which is not called. Each call is a new browser.
func (s *Server) Consent(t testing.TB, authorizeURL, login string) *url.URL {
	t.Helper()
	return s.newBrowser(t, url.Values{"login": {login}}).Get(t, authorizeURL).Leaves(t)
}

// Deny is the person who says no. It returns the callback with its error.
func (s *Server) Deny(t testing.TB, authorizeURL string) *url.URL {
	t.Helper()
	return s.newBrowser(t, url.Values{"deny": {"1"}}).Get(t, authorizeURL).Leaves(t)
}

// ApproveDevice is the person who types a device's user code, signs in as login and agrees.
func (s *Server) ApproveDevice(t testing.TB, userCode, login string) {
	t.Helper()
	b := s.newBrowser(t, url.Values{"login": {login}})
	form := b.Get(t, s.Issuer+"/device?"+url.Values{"user_code": {userCode}}.Encode()).Hidden()
	form.Set("user_code", userCode)
	form.Set("confirm", "yes")
	if shown := b.Post(t, s.Issuer+"/device", form); shown.Location != nil {
		t.Fatalf("the device page sent the browser away, to %s", shown.Location.Redacted())
	}
}

// State counts what the server holds, by the names of its models (Grant, AccessToken, RefreshToken, Session …).
// LiveRefreshToken counts the refresh tokens that no rotation has used up, LiveAccessToken the access tokens that have
// not expired. What has merely expired counts in the rest.
func (s *Server) State(t testing.TB) map[string]int {
	t.Helper()
	page := s.newBrowser(t, nil).Get(t, s.Issuer+"/test/state")
	counts := map[string]int{}
	if err := json.Unmarshal([]byte(page.Text), &counts); err != nil {
		t.Fatalf("reading the server's state: %v", err)
	}
	return counts
}

// Expire ends the time of all access tokens of the account.
func (s *Server) Expire(t testing.TB, login string) {
	t.Helper()
	s.newBrowser(t, nil).Get(t, s.Issuer+"/test/expire?"+url.Values{"login": {login}}.Encode())
}

// settings is what server.mjs reads from OIDC_OPTIONS.
func settings(server *Server, options Options) map[string]any {
	if len(options.RedirectURIs) == 0 {
		options.RedirectURIs = []string{"http://127.0.0.1/callback"}
	}
	if options.AuthMethod == "" {
		options.AuthMethod = "client_secret_basic"
	}
	if options.AccessTokenTTL == 0 {
		options.AccessTokenTTL = time.Hour
	}
	client := map[string]any{
		"client_id":                  server.ClientID,
		"client_secret":              server.ClientSecret,
		"redirect_uris":              options.RedirectURIs,
		"response_types":             []string{"code"},
		"grant_types":                []string{"authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"},
		"token_endpoint_auth_method": options.AuthMethod,
		"application_type":           applicationType(options.RedirectURIs),
	}
	return map[string]any{
		"clients":         []any{client},
		"accessTokenTTL":  max(1, int(options.AccessTokenTTL.Seconds())),
		"claimsInIDToken": options.ClaimsInIDToken,
		"revocation":      !options.WithoutRevocation,
	}
}

// applicationType is native, which frees the port of loopback redirects, unless one of them is not plain http.
func applicationType(redirectURIs []string) string {
	for _, uri := range redirectURIs {
		if !strings.HasPrefix(uri, "http://") {
			return "web"
		}
	}
	return "native"
}

// run starts the server and waits until it says where it listens.
func run(t testing.TB, cmd *exec.Cmd) (issuer string) {
	t.Helper()
	// Held open for as long as we live, however we die: the server ends when it closes.
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting the OpenID Connect server: %v", err)
	}

	issuers, drained := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(drained)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			var line struct{ Issuer string }
			// The library prints notices to standard output, before and after.
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Issuer != "" {
				issuers <- line.Issuer
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-drained
		_ = cmd.Wait() // killed, so always an error
		if t.Failed() {
			t.Logf("the OpenID Connect server's standard error:\n%s", stderr.String())
		}
	})

	select {
	case issuer = <-issuers:
	case <-drained:
		t.Fatal("the OpenID Connect server ended before it listened")
	case <-time.After(30 * time.Second):
		t.Fatal("the OpenID Connect server did not listen within 30 seconds")
	}
	return issuer
}

// newBrowser opens a browser whose person gives answers to whatever the server asks.
func (s *Server) newBrowser(t testing.TB, answers url.Values) *browser.Browser {
	t.Helper()
	b := browser.New(t, s.Issuer)
	b.Visit = func(at *url.URL) {
		if strings.HasPrefix(at.Path, "/interaction/") {
			at.RawQuery = answers.Encode()
		}
	}
	return b
}

// folder finds this package's folder from wherever in the module the test runs.
func folder(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		candidate := filepath.Join(dir, "brokertest", "oidcprovider")
		if _, err := os.Stat(filepath.Join(candidate, "server.mjs")); err == nil {
			return candidate
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("brokertest/oidcprovider/server.mjs was not found above the working directory")
		}
		dir = filepath.Dir(dir)
	}
}

func unavailable(t testing.TB, why string) {
	t.Helper()
	services.Skip(t, "the OpenID Connect server cannot run: "+why)
}
