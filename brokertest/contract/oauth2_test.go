package contract_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/brokertest/oidcprovider"
)

// configured registers the same server as type oauth2, by its endpoints.
func (i *issuer) configured(t *testing.T, config object) string {
	t.Helper()
	all := object{
		"authorizeUrl": i.Issuer + "/auth", "tokenUrl": i.Issuer + "/token", "revokeUrl": i.Issuer + "/token/revocation",
		"introspectUrl": i.Issuer + "/token/introspection", "userInfoUrl": i.Issuer + "/me", "deviceUrl": i.Issuer + "/device/auth",
		"issuer": i.Issuer, "authStyle": "basic", "authorizeParams": object{"prompt": "consent"}, // or offline_access is ignored
	}
	for k, v := range config {
		all[k] = v
	}
	return createID(t, i.h, object{"type": "oauth2", "clientId": i.ClientID, "clientSecret": i.ClientSecret, "config": all,
		"scopes": []string{"openid", "profile", "email", "offline_access"}})
}

// asEither runs a test with the server as an issuer, and by its endpoints.
func asEither(t *testing.T, o oidcprovider.Options, config object, f func(t *testing.T, i *issuer, provider string)) {
	openID(t, o, func(t *testing.T, h *brokertest.Instance, i *issuer) {
		t.Run("oidc", func(t *testing.T) { f(t, i, i.provider(t, config)) })
		t.Run("oauth2", func(t *testing.T) { f(t, i, i.configured(t, config)) })
	})
}

// A whole life with a certified server: consent, introspection, rotation, revocation.
func TestACertifiedServerByItsEndpoints(t *testing.T) {
	asEither(t, oidcprovider.Options{}, nil, func(t *testing.T, i *issuer, p string) {
		done := want(t, 200, i.h.Do(t, i.h.User, "POST", callback, i.approved(t, p, "grace")))
		wantOpenIDUser(t, done["userInfo"].(object))
		made := done["authorizedProvider"].(object)
		if missing := made["missingScopes"].([]any); len(missing) != 0 {
			t.Errorf("missing are %v", missing)
		}
		id := text(t, made, "id")
		first := accessToken(t, i.h, i.h.User, id)
		if check := want(t, 200, i.h.Do(t, i.h.User, "POST", checkOf(id), nil)); check["valid"] != true || check["expiresAt"] == nil {
			t.Errorf("introspection says %v", check)
		}
		reset := want(t, 201, i.h.Do(t, i.h.User, "POST", resetOf(id), nil))
		if reset["accessToken"] == first || i.State(t)["LiveRefreshToken"] != 1 {
			t.Errorf("after the reset the server holds %v", i.State(t))
		}
		want(t, 200, i.h.Do(t, i.h.User, "GET", userinfoOf(id), nil))
		job := deleted(t, i.h, p)
		if d := details(t, job); job["status"] != "COMPLETED" || d["revoked"] != "1" {
			t.Errorf("the job ended %v", job)
		}
		wantNothingLeft(t, i)
	})
}

// What the server revoked on its own is found out by a check, and said.
func TestACertifiedServerRevokedTheGrant(t *testing.T) {
	asEither(t, oidcprovider.Options{}, nil, func(t *testing.T, i *issuer, p string) {
		id := i.consent(t, p, "ada")
		i.post(t, "/token/revocation", url.Values{"token": {accessToken(t, i.h, i.h.User, id)}})
		if check := want(t, 200, i.h.Do(t, i.h.User, "POST", checkOf(id), nil)); check["valid"] != false {
			t.Errorf("introspection says %v", check)
		}
		deleted(t, i.h, p)
	})
}

// Reuse detection: a refresh token that was spent here and is spent again elsewhere
// ends the grant, and the person is told so at the next fetch.
func TestACertifiedServerDetectsReuse(t *testing.T) {
	asEither(t, oidcprovider.Options{}, nil, func(t *testing.T, i *issuer, p string) {
		verifier := oauth2.GenerateVerifier()
		back := i.Consent(t, i.Issuer+"/auth?"+url.Values{
			"client_id": {i.ClientID}, "response_type": {"code"}, "redirect_uri": {openIDCallback}, "prompt": {"consent"},
			"scope": {"openid profile email offline_access"}, "code_challenge": {oauth2.S256ChallengeFromVerifier(verifier)},
			"code_challenge_method": {"S256"},
		}.Encode(), "ada").Query()
		tokens := i.post(t, "/token", url.Values{"grant_type": {"authorization_code"}, "code": {back.Get("code")},
			"redirect_uri": {openIDCallback}, "code_verifier": {verifier}})
		refresh := text(t, tokens, "refresh_token")

		id := text(t, imported(t, i.h, i.h.User, object{"providerId": p, "refreshToken": refresh}), "id")
		accessToken(t, i.h, i.h.User, id)
		if again := i.post(t, "/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}}); again["error"] != "invalid_grant" {
			t.Fatalf("spent a second time: %v", again)
		}
		change(t, i.h, tokensHaveDied)
		want(t, 410, i.h.Do(t, i.h.User, "POST", tokenOf(id), nil))
		deleted(t, i.h, p)
	})
}

func TestACertifiedServerOnAnotherDevice(t *testing.T) {
	asEither(t, oidcprovider.Options{AuthMethod: "client_secret_post"}, object{"device": true}, func(t *testing.T, i *issuer, p string) {
		if strings.HasSuffix(t.Name(), "oauth2") { // the endpoints are as configured, and so is the client's authentication
			p = i.configured(t, object{"device": true, "authStyle": "post"})
		}
		begun := want(t, 201, i.h.Do(t, i.h.User, "POST", deviceAt(p), nil))
		poll := object{"deviceCode": begun["deviceCode"]}
		i.ApproveDevice(t, text(t, begun, "userCode"), "grace")
		change(t, i.h, devicesAreDue)
		done := want(t, 200, i.h.Do(t, i.h.User, "POST", pollAt(p), poll))
		wantOpenIDUser(t, done["userInfo"].(object))
		id := text(t, done["authorizedProvider"].(object), "id")
		change(t, i.h, tokensHaveDied)
		accessToken(t, i.h, i.h.User, id)
	})
}

// RFC 9207 holds for configured endpoints too.
func TestACertifiedServerSaysWhoItIs(t *testing.T) {
	asEither(t, oidcprovider.Options{}, object{"requireIss": true}, func(t *testing.T, i *issuer, p string) {
		for iss, status := range map[string]int{"": 400, "https://evil.example": 400, i.Issuer: 200} {
			body := i.approved(t, p, "ada")
			body["iss"] = iss
			if a := i.h.Do(t, i.h.User, "POST", callback, body); a.Status != status {
				t.Errorf("iss %q: %d %s", iss, a.Status, a.Body)
			}
		}
	})
}

// post is the client speaking to the server behind grantd's back.
func (i *issuer) post(t *testing.T, endpoint string, form url.Values) object {
	t.Helper()
	r, err := http.NewRequest("POST", i.Issuer+endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(url.QueryEscape(i.ClientID), url.QueryEscape(i.ClientSecret))
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	answer := object{}
	if len(raw) > 0 && json.Unmarshal(raw, &answer) != nil {
		t.Fatalf("%s answers %s", endpoint, raw)
	}
	return answer
}
