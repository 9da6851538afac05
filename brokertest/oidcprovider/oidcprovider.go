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
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
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
	dir := folder(t)
	node, err := exec.LookPath("node")
	if err != nil {
		unavailable(t, "node is not installed")
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "oidc-provider")); err != nil {
		unavailable(t, "its npm packages are not installed (`npm ci` in brokertest/oidcprovider)")
	}

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

// Consent is the person at the browser: it follows authorizeURL to the server, signs in as login (any name is an
// account), agrees to everything, and returns where the server then sends the browser: the client's redirect URI,
// which is not called. Each call is a new browser.
func (s *Server) Consent(t testing.TB, authorizeURL, login string) *url.URL {
	t.Helper()
	return s.newBrowser(t, url.Values{"login": {login}}).walk(t, request(t, http.MethodGet, authorizeURL, nil))
}

// Deny is the person who says no. It returns the callback with its error.
func (s *Server) Deny(t testing.TB, authorizeURL string) *url.URL {
	t.Helper()
	return s.newBrowser(t, url.Values{"deny": {"1"}}).walk(t, request(t, http.MethodGet, authorizeURL, nil))
}

// xsrf finds the token that the server's device pages want back.
var xsrf = regexp.MustCompile(`name="xsrf" value="([^"]+)"`)

// ApproveDevice is the person who types a device's user code, signs in as login and agrees.
func (s *Server) ApproveDevice(t testing.TB, userCode, login string) {
	t.Helper()
	browser := s.newBrowser(t, url.Values{"login": {login}})
	page := browser.open(t, request(t, http.MethodGet, s.Issuer+"/device?"+url.Values{"user_code": {userCode}}.Encode(), nil))
	token := xsrf.FindStringSubmatch(page.text)
	if token == nil {
		t.Fatalf("the device page has no form: %s", page)
	}
	form := url.Values{"xsrf": {token[1]}, "user_code": {userCode}, "confirm": {"yes"}}
	if callback := browser.walk(t, request(t, http.MethodPost, s.Issuer+"/device", form)); callback != nil {
		t.Fatalf("the device page sent the browser away, to %s", callback.Redacted())
	}
}

// State counts what the server holds, by the names of its models (Grant, AccessToken, RefreshToken, Session …).
// LiveRefreshToken counts the refresh tokens that no rotation has used up, LiveAccessToken the access tokens that have
// not expired. What has merely expired counts in the rest.
func (s *Server) State(t testing.TB) map[string]int {
	t.Helper()
	page := s.newBrowser(t, nil).open(t, request(t, http.MethodGet, s.Issuer+"/test/state", nil))
	counts := map[string]int{}
	if err := json.Unmarshal([]byte(page.text), &counts); err != nil {
		t.Fatalf("reading the server's state: %v", err)
	}
	return counts
}

// Expire ends the time of all access tokens of the account.
func (s *Server) Expire(t testing.TB, login string) {
	t.Helper()
	s.newBrowser(t, nil).open(t, request(t, http.MethodGet, s.Issuer+"/test/expire?"+url.Values{"login": {login}}.Encode(), nil))
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

// browser has cookies, follows redirects within the server, and gives answers to whatever the server asks.
type browser struct {
	issuer  string
	answers url.Values
	http    http.Client
}

func (s *Server) newBrowser(t testing.TB, answers url.Values) *browser {
	t.Helper()
	cookies, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{issuer: s.Issuer, answers: answers, http: http.Client{
		Jar:           cookies,
		Timeout:       30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// page is what the browser shows, or where it is sent.
type page struct {
	status   string
	text     string
	location *url.URL
}

func (p page) String() string { return p.status + "\n" + p.text }

// walk sends the request and follows redirects until one leaves the server, which it returns, or a page says that
// all is well: then it returns nil.
func (b *browser) walk(t testing.TB, r *http.Request) *url.URL {
	t.Helper()
	for range 10 {
		shown := b.open(t, r)
		if shown.location == nil {
			if !strings.HasPrefix(shown.status, "200") {
				t.Fatalf("the server refused %s: %s", r.URL.Path, shown)
			}
			return nil
		}
		if shown.location.Scheme+"://"+shown.location.Host != b.issuer {
			return shown.location
		}
		if strings.HasPrefix(shown.location.Path, "/interaction/") {
			shown.location.RawQuery = b.answers.Encode()
		}
		r = request(t, http.MethodGet, shown.location.String(), nil)
	}
	t.Fatal("the server redirected ten times and did not come to an end")
	return nil
}

func (b *browser) open(t testing.TB, r *http.Request) page {
	t.Helper()
	response, err := b.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	location, _ := response.Location() // none is not an error here: then the page itself is shown
	return page{status: response.Status, text: string(body), location: location}
}

func request(t testing.TB, method, target string, form url.Values) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return r
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
	if os.Getenv("GRANTD_TEST_REQUIRE_SERVICES") == "1" {
		t.Fatalf("the OpenID Connect server cannot run: %s", why)
	}
	t.Skipf("left out: the OpenID Connect server cannot run: %s", why)
}
