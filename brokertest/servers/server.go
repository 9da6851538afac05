package servers

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/brokertest/browser"
	"github.com/grantd/grantd/brokertest/services"
)

// RedirectURI is registered with every client. Nothing listens there: the browser stops before it.
const RedirectURI = "http://127.0.0.1:5173/callback"

// The clients that every server knows. Not all of these servers decode the credentials of Basic authentication (RFC 6749,
// 2.3.1), so these need no encoding; oidcprovider has some that do.
const (
	ClientID       = "grantd"
	ClientSecret   = "secret-of-the-test-client"
	PublicClientID = "grantd-public"
)

// Server is a running authorization server. Any name is a person who has an account there, with the address
// name@example.test.
type Server interface {
	// Addr is the host and port, which grantd must be allowed to dial.
	Addr() string
	// Registrations are the ways in which the server can be registered with grantd.
	Registrations() []Registration

	// Consent is the person who follows authorizeURL, signs in and agrees. It returns where the server then sends the
	// browser. Each call is a new browser.
	Consent(t testing.TB, authorizeURL, person string) *url.URL
	// ApproveDevice is the person who types a device's user code.
	ApproveDevice(t testing.TB, userCode, person string)

	// Expire ends the time of all access tokens that the person has granted.
	Expire(t testing.TB, person string)
	// Accepts tells whether the server takes the access token for a living one.
	Accepts(t testing.TB, accessToken string) bool
	// Living looks inside.
	Living(t testing.TB) Living
}

// Living counts the tokens that a client could still use.
type Living struct {
	Refresh int `json:"refresh"`
	Access  int `json:"access"`
}

// Registration is a body that registers a client of the server with grantd.
type Registration struct {
	Name string
	Body map[string]any
	// Devices says that the client may use the device flow, and the body asks for it.
	Devices bool
	// Silent says that the server tells this client of no token whether it lives: introspection is refused, and user info
	// answers 403 for an invalid one, as it would for a policy.
	Silent bool
}

// readyWithin is how long a server may take to answer, on a machine of ordinary speed.
const readyWithin = 10 * time.Second

// running is what all servers of ours share: a process.
type running struct {
	*services.Server
	userInfo string // path
}

// start runs a server until the test ends.
func start(t testing.TB, p services.Program, userInfo string) running {
	t.Helper()
	ctx, cancel := brokertest.WithPatience(t.Context(), readyWithin)
	defer cancel()
	return running{Server: services.RunProgram(ctx, t, p), userInfo: userInfo}
}

func (r running) Addr() string { return r.Server.Addr }

// Accepts asks for the user info, as a holder of the token would.
func (r running) Accepts(t testing.TB, accessToken string) bool {
	t.Helper()
	return accepts(t, r.URL+r.userInfo, accessToken)
}

func accepts(t testing.TB, userInfo, accessToken string) bool {
	t.Helper()
	request := browser.Request(t, http.MethodGet, userInfo, nil)
	request.Header.Set("Authorization", "Bearer "+accessToken)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// Expire and Living use the routes that our parts of the servers have for it.
func (r running) Expire(t testing.TB, person string) {
	t.Helper()
	browser.New(t, r.URL).Get(t, r.URL+"/test/expire?"+url.Values{"person": {person}}.Encode())
}

func (r running) Living(t testing.TB) (held Living) {
	t.Helper()
	shown := browser.New(t, r.URL).Get(t, r.URL+"/test/living")
	if err := json.Unmarshal([]byte(shown.Text), &held); err != nil {
		t.Fatalf("%v: %s", err, shown)
	}
	return held
}

// needs makes sure that a server is installed, by one of its files.
func needs(t testing.TB, server, path, toInstall string) {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		unavailable(t, server, "it is not installed ("+toInstall+")")
	}
}

// unavailable skips the test, or fails it where services are required.
func unavailable(t testing.TB, server, why string) {
	t.Helper()
	services.Skip(t, server+" cannot run: "+why)
}
