package oidcprovider_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/grantd/grantd/brokertest/oidcprovider"
)

// These tests speak the protocol by hand: they hold the server to what the other tests rely on.

const redirectURI = "http://127.0.0.1:4711/callback"

type discovery struct {
	Issuer              string   `json:"issuer"`
	Authorization       string   `json:"authorization_endpoint"`
	Token               string   `json:"token_endpoint"`
	Userinfo            string   `json:"userinfo_endpoint"`
	Revocation          string   `json:"revocation_endpoint"`
	Introspection       string   `json:"introspection_endpoint"`
	DeviceAuthorization string   `json:"device_authorization_endpoint"`
	ISS                 bool     `json:"authorization_response_iss_parameter_supported"`
	PKCE                []string `json:"code_challenge_methods_supported"`
}

type answer struct {
	Status       int    `json:"-"`
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	IDToken      string `json:"id_token"`
	ExpiresIn    int    `json:"expires_in"`
	Scope        string `json:"scope"`
	Error        string `json:"error"`
	Active       bool   `json:"active"`
	Email        string `json:"email"`
	Name         string `json:"name"`
	DeviceCode   string `json:"device_code"`
	UserCode     string `json:"user_code"`
}

func TestDiscoveryAdvertisesWhatTheTestsRelyOn(t *testing.T) {
	client := start(t, oidcprovider.Options{})
	d := client.discovery
	if d.Issuer != client.Issuer || !d.ISS || !strings.Contains(strings.Join(d.PKCE, " "), "S256") {
		t.Errorf("issuer %q (want %q), iss parameter %v, PKCE methods %v", d.Issuer, client.Issuer, d.ISS, d.PKCE)
	}
	for name, endpoint := range map[string]string{
		"token": d.Token, "userinfo": d.Userinfo, "revocation": d.Revocation, "introspection": d.Introspection,
		"device authorization": d.DeviceAuthorization,
	} {
		if endpoint == "" {
			t.Errorf("no %s endpoint", name)
		}
	}
}

func TestRevocationIsNotAdvertisedWhereSwitchedOff(t *testing.T) {
	client := start(t, oidcprovider.Options{WithoutRevocation: true})
	if client.discovery.Revocation != "" {
		t.Errorf("advertises %s", client.discovery.Revocation)
	}
}

func TestCodeIsExchangedForTokensOfThePersonWhoConsented(t *testing.T) {
	client := start(t, oidcprovider.Options{AccessTokenTTL: 90 * time.Second})
	tokens := client.consent("grace")

	if tokens.ExpiresIn != 90 || tokens.RefreshToken == "" || !strings.Contains(tokens.Scope, "offline_access") {
		t.Errorf("expires_in %d, refresh token %v, scope %q", tokens.ExpiresIn, tokens.RefreshToken != "", tokens.Scope)
	}
	if person := client.userinfo(tokens.AccessToken); person.Email != "grace@example.test" || person.Name != "Grace" {
		t.Errorf("userinfo: %q, %q", person.Email, person.Name)
	}
	if claims := client.claims(tokens.IDToken); claims["sub"] != "grace" || claims["nonce"] != "a-nonce" || claims["email"] != nil {
		t.Errorf("id_token: %v", claims)
	}
}

func TestClaimsAreInTheIDTokenWhereAskedFor(t *testing.T) {
	client := start(t, oidcprovider.Options{ClaimsInIDToken: true})
	if claims := client.claims(client.consent("ada").IDToken); claims["email"] != "ada@example.test" {
		t.Errorf("id_token: %v", claims)
	}
}

func TestPKCEIsRequired(t *testing.T) {
	client := start(t, oidcprovider.Options{})
	query := client.request("")
	query.Del("code_challenge")
	query.Del("code_challenge_method")
	callback := client.Consent(t, client.discovery.Authorization+"?"+query.Encode(), "ada")
	if got := callback.Query().Get("error"); got != "invalid_request" {
		t.Errorf("error %q, want invalid_request", got)
	}

	callback = client.Consent(t, client.authorizeURL("the-verifier-of-this-flow-of-43-bytes-or-more"), "ada")
	stolen := client.exchange(callback, "some-other-verifier-just-as-long-as-the-right-one")
	if stolen.Status != http.StatusBadRequest || stolen.Error != "invalid_grant" {
		t.Errorf("a wrong verifier: %d %s", stolen.Status, stolen.Error)
	}
}

func TestOfflineAccessCountsOnlyWithConsentPrompt(t *testing.T) {
	client := start(t, oidcprovider.Options{})
	verifier := rand.Text() + rand.Text()
	query := client.request(verifier)
	query.Del("prompt")
	tokens := client.exchange(client.Consent(t, client.discovery.Authorization+"?"+query.Encode(), "ada"), verifier)
	if tokens.AccessToken == "" || tokens.RefreshToken != "" {
		t.Errorf("access token %v, refresh token %v, want only the first", tokens.AccessToken != "", tokens.RefreshToken != "")
	}
}

func TestDenialComesBackAsAnError(t *testing.T) {
	client := start(t, oidcprovider.Options{})
	query := client.Deny(t, client.authorizeURL("a-verifier-that-nobody-will-ask-for-long-enough")).Query()
	if query.Get("error") != "access_denied" || query.Get("state") != "a-state" || query.Get("iss") != client.Issuer {
		t.Errorf("callback: %v", query)
	}
}

func TestRefreshTokenRotatesAndItsReuseEndsTheGrant(t *testing.T) {
	client := start(t, oidcprovider.Options{})
	first := client.consent("ada")
	second := client.refresh(first.RefreshToken)
	if second.RefreshToken == "" || second.RefreshToken == first.RefreshToken || second.AccessToken == first.AccessToken {
		t.Fatalf("nothing rotated: %d %s", second.Status, second.Error)
	}
	if got := client.State(t)["LiveRefreshToken"]; got != 1 {
		t.Errorf("%d live refresh tokens, want 1", got)
	}

	if reused := client.refresh(first.RefreshToken); reused.Status != http.StatusBadRequest || reused.Error != "invalid_grant" {
		t.Errorf("reuse: %d %s", reused.Status, reused.Error)
	}
	if after := client.refresh(second.RefreshToken); after.Error != "invalid_grant" {
		t.Errorf("the reuse left the grant's newest refresh token valid: %d %s", after.Status, after.Error)
	}
	if got := client.State(t)["Grant"]; got != 0 {
		t.Errorf("%d grants are left, want 0", got)
	}
}

func TestRevokedRefreshTokenEndsTheGrantAndNoOther(t *testing.T) {
	client := start(t, oidcprovider.Options{})
	revoked, kept := client.consent("ada"), client.consent("grace")
	if !client.introspect(revoked.AccessToken).Active {
		t.Fatal("a new access token is not active")
	}
	if got := client.post(client.discovery.Revocation, url.Values{"token": {revoked.RefreshToken}}); got.Status != http.StatusOK {
		t.Fatalf("revocation: %d %s", got.Status, got.Error)
	}
	if client.introspect(revoked.AccessToken).Active || client.refresh(revoked.RefreshToken).Error != "invalid_grant" {
		t.Error("the revoked grant still lives")
	}
	if got := client.State(t)["Grant"]; got != 1 || !client.introspect(kept.AccessToken).Active {
		t.Errorf("%d grants are left, want the other person's", got)
	}
}

func TestClientSecretMustBeFormEncodedInBasicCredentials(t *testing.T) {
	client := start(t, oidcprovider.Options{})
	tokens := client.consent("ada")
	r := form(t, client.discovery.Token, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens.RefreshToken}})
	r.SetBasicAuth(client.ClientID, client.ClientSecret)
	if got := client.do(r); got.AccessToken != "" {
		t.Error("raw Basic credentials were accepted: the secret has nothing in it that needs encoding")
	}
}

func TestDeviceIsApprovedByUserCode(t *testing.T) {
	client := start(t, oidcprovider.Options{})
	device := client.post(client.discovery.DeviceAuthorization, url.Values{"scope": {"openid email offline_access"}})
	poll := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "device_code": {device.DeviceCode}}
	if early := client.post(client.discovery.Token, poll); early.Error != "authorization_pending" {
		t.Errorf("before the approval: %d %s", early.Status, early.Error)
	}
	client.ApproveDevice(t, device.UserCode, "grace")
	tokens := client.post(client.discovery.Token, poll)
	if person := client.userinfo(tokens.AccessToken); person.Email != "grace@example.test" {
		t.Errorf("after the approval: %d %s, %q", tokens.Status, tokens.Error, person.Email)
	}
}

// client speaks OAuth with nothing but net/http.
type client struct {
	*oidcprovider.Server
	t         *testing.T
	discovery discovery
}

func start(t *testing.T, options oidcprovider.Options) *client {
	t.Helper()
	t.Parallel()
	options.RedirectURIs = []string{"http://127.0.0.1/callback"}
	c := &client{Server: oidcprovider.Start(t, options), t: t}
	response, err := http.Get(c.Issuer + "/.well-known/openid-configuration")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&c.discovery); err != nil {
		t.Fatal(err)
	}
	return c
}

// request is a complete authorization request.
func (c *client) request(verifier string) url.Values {
	challenge := sha256.Sum256([]byte(verifier))
	return url.Values{
		"client_id": {c.ClientID}, "response_type": {"code"}, "redirect_uri": {redirectURI},
		"scope": {"openid email profile offline_access"}, "prompt": {"consent"}, "state": {"a-state"}, "nonce": {"a-nonce"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}
}

func (c *client) authorizeURL(verifier string) string {
	return c.discovery.Authorization + "?" + c.request(verifier).Encode()
}

// consent is the whole flow for one person.
func (c *client) consent(login string) answer {
	c.t.Helper()
	verifier := rand.Text() + rand.Text()
	callback := c.Consent(c.t, c.authorizeURL(verifier), login)
	query := callback.Query()
	if !strings.HasPrefix(callback.String(), redirectURI+"?") || query.Get("state") != "a-state" || query.Get("iss") != c.Issuer {
		c.t.Fatalf("callback: %s", callback)
	}
	tokens := c.exchange(callback, verifier)
	if tokens.Status != http.StatusOK {
		c.t.Fatalf("exchange: %d %s", tokens.Status, tokens.Error)
	}
	return tokens
}

func (c *client) exchange(callback *url.URL, verifier string) answer {
	c.t.Helper()
	return c.post(c.discovery.Token, url.Values{
		"grant_type": {"authorization_code"}, "code": {callback.Query().Get("code")},
		"redirect_uri": {redirectURI}, "code_verifier": {verifier},
	})
}

func (c *client) refresh(token string) answer {
	c.t.Helper()
	return c.post(c.discovery.Token, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
}

func (c *client) introspect(token string) answer {
	c.t.Helper()
	return c.post(c.discovery.Introspection, url.Values{"token": {token}})
}

func (c *client) userinfo(token string) answer {
	c.t.Helper()
	r, err := http.NewRequest(http.MethodGet, c.discovery.Userinfo, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return c.do(r)
}

func (c *client) post(endpoint string, values url.Values) answer {
	c.t.Helper()
	r := form(c.t, endpoint, values)
	r.SetBasicAuth(url.QueryEscape(c.ClientID), url.QueryEscape(c.ClientSecret))
	return c.do(r)
}

func (c *client) do(r *http.Request) answer {
	c.t.Helper()
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	got := answer{Status: response.StatusCode}
	if len(bytes.TrimSpace(body)) > 0 { // a revocation answers with nothing
		if err := json.Unmarshal(body, &got); err != nil {
			c.t.Fatalf("%s: %v", r.URL.Path, err)
		}
	}
	return got
}

// claims reads an id_token without verifying it: that is for the code under test to do.
func (c *client) claims(idToken string) map[string]any {
	c.t.Helper()
	parts := strings.Split(idToken, ".")
	if len(parts) != 3 {
		c.t.Fatal("the id_token is not a JWT")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		c.t.Fatal(err)
	}
	claims := map[string]any{}
	if err := json.Unmarshal(payload, &claims); err != nil {
		c.t.Fatal(err)
	}
	return claims
}

func form(t *testing.T, endpoint string, values url.Values) *http.Request {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, endpoint, strings.NewReader(values.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}
