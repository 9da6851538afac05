package contract_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/brokertest/oidcprovider"
)

// openID runs a test against a certified OpenID Connect server, on both backends.
func openID(t *testing.T, o oidcprovider.Options, f func(*testing.T, *brokertest.Instance, *issuer)) {
	t.Parallel()
	brokertest.Each(t, func(t *testing.T, b brokertest.Backend) {
		server := oidcprovider.Start(t, o)
		h := brokertest.New(t, &brokertest.Options{Backend: b, Allow: []string{strings.TrimPrefix(server.Issuer, "http://")}})
		f(t, h, &issuer{server, h})
	})
}

type issuer struct {
	*oidcprovider.Server
	h *brokertest.Instance
}

const openIDCallback = "http://127.0.0.1:5173/callback"

func (i *issuer) provider(t *testing.T, config object) string {
	t.Helper()
	all := object{"issuer": i.Issuer}
	for k, v := range config {
		all[k] = v
	}
	return createID(t, i.h, object{"type": "oidc", "clientId": i.ClientID, "clientSecret": i.ClientSecret, "config": all})
}

// approved is the callback's body after a person signed in and agreed.
func (i *issuer) approved(t *testing.T, provider, login string) object {
	t.Helper()
	begun := begin(t, i.h, i.h.User, provider, url.Values{"redirect_uri": {openIDCallback}})
	back := i.Consent(t, begun.RedirectURL, login).Query()
	if back.Get("iss") != i.Issuer || back.Get("code") == "" {
		t.Fatalf("the server sent the person back with %v", back)
	}
	return object{"providerId": provider, "state": back.Get("state"), "code": back.Get("code"), "iss": back.Get("iss")}
}

func (i *issuer) consent(t *testing.T, provider, login string) string {
	t.Helper()
	done := want(t, 200, i.h.Do(t, i.h.User, "POST", callback, i.approved(t, provider, login)))
	return text(t, done["authorizedProvider"].(object), "id")
}

func TestOpenIDConnectFromConsentToRevocation(t *testing.T) {
	openID(t, oidcprovider.Options{}, func(t *testing.T, h *brokertest.Instance, i *issuer) {
		p := i.provider(t, nil)
		done := want(t, 200, h.Do(t, h.User, "POST", callback, i.approved(t, p, "grace")))
		wantOpenIDUser(t, done["userInfo"].(object))
		id := text(t, done["authorizedProvider"].(object), "id")
		token := want(t, 201, h.Do(t, h.User, "POST", tokenOf(id), nil))
		wantTime(t, "expiresAt", token["expiresAt"])
		wantOpenIDUser(t, want(t, 200, h.Do(t, h.User, "GET", userinfoOf(id), nil)))
		i.consent(t, p, "ada")

		if held := i.State(t); held["Grant"] != 2 || held["LiveRefreshToken"] != 2 {
			t.Fatalf("the server holds %v, want two grants", held)
		}
		job := deleted(t, h, p)
		if d := details(t, job); job["status"] != "COMPLETED" || d["revoked"] != "2" {
			t.Errorf("the job ended %v", job)
		}
		wantNothingLeft(t, i)
	})
}

// A device's id_token has no nonce, and is checked otherwise.
func TestOpenIDConnectOnAnotherDevice(t *testing.T) {
	openID(t, oidcprovider.Options{}, func(t *testing.T, h *brokertest.Instance, i *issuer) {
		p := i.provider(t, object{"device": true})
		begun := want(t, 201, h.Do(t, h.User, "POST", deviceAt(p), nil))
		if !strings.HasPrefix(text(t, begun, "verificationUri"), i.Issuer) {
			t.Errorf("the person is sent to %v", begun["verificationUri"])
		}
		poll := object{"deviceCode": begun["deviceCode"]}
		change(t, h, devicesAreDue)
		if wait := want(t, 400, h.Do(t, h.User, "POST", pollAt(p), poll)); wait["detail"] != "authorization_pending" {
			t.Errorf("before anybody consented: %v", wait)
		}
		i.ApproveDevice(t, text(t, begun, "userCode"), "grace")
		change(t, h, devicesAreDue)
		done := want(t, 200, h.Do(t, h.User, "POST", pollAt(p), poll))
		wantOpenIDUser(t, done["userInfo"].(object))
		accessToken(t, h, h.User, text(t, done["authorizedProvider"].(object), "id"))
	})
}

func wantOpenIDUser(t *testing.T, u object) {
	t.Helper()
	if u["sub"] != "grace" || u["email"] != "grace@example.test" || u["name"] != "Grace" || u["nickName"] != "" {
		t.Errorf("the user is %v", u)
	}
	if raw, _ := u["raw"].(object); raw["email_verified"] != true {
		t.Errorf("raw is %v", u["raw"])
	}
}

func wantNothingLeft(t *testing.T, i *issuer) {
	t.Helper()
	held := i.State(t)
	for _, model := range []string{"Grant", "AccessToken", "RefreshToken", "LiveRefreshToken", "AuthorizationCode"} {
		if held[model] != 0 {
			t.Errorf("the server still holds %d %s", held[model], model)
		}
	}
}

// Refresh tokens rotate, and one that is used twice would end the grant.
func TestOpenIDConnectRefreshTokensRotate(t *testing.T) {
	openID(t, oidcprovider.Options{AccessTokenTTL: time.Minute}, func(t *testing.T, h *brokertest.Instance, i *issuer) {
		id := i.consent(t, i.provider(t, nil), "ada")
		seen := map[string]bool{accessToken(t, h, h.User, id): true}
		for _, age := range []string{tokensAreDue, tokensHaveDied, tokensAreDue} {
			change(t, h, age)
			seen[accessToken(t, h, h.User, id)] = true
		}
		if held := i.State(t); len(seen) != 4 || held["LiveRefreshToken"] != 1 || held["Grant"] != 1 || held["RefreshToken"] != 4 {
			t.Errorf("after three refreshes: %d tokens, and the server holds %v, want one grant, with one of its refresh tokens valid", len(seen), held)
		}
		user := want(t, 200, h.Do(t, h.User, "GET", userinfoOf(id), nil))
		if user["sub"] != "ada" {
			t.Errorf("the user is %v", user)
		}
		want(t, 204, h.Do(t, h.User, "DELETE", authorization(id), nil))
		wantNothingLeft(t, i)
	})
}

// RFC 9207: a response from another issuer is a mix-up.
func TestOpenIDConnectAnotherIssuerIsRefused(t *testing.T) {
	openID(t, oidcprovider.Options{}, func(t *testing.T, h *brokertest.Instance, i *issuer) {
		lax, strict := i.provider(t, nil), i.provider(t, object{"requireIss": true})
		for _, c := range []struct {
			provider string
			iss      any
			status   int
		}{
			{lax, "https://evil.example", 400}, {lax, i.Issuer + "/", 400}, {lax, "", 200}, {lax, i.Issuer, 200},
			{strict, "", 400}, {strict, i.Issuer, 200},
		} {
			body := i.approved(t, c.provider, "ada")
			body["iss"] = c.iss
			if a := h.Do(t, h.User, "POST", callback, body); a.Status != c.status {
				t.Errorf("requireIss %v, iss %v: %d %s", c.provider == strict, c.iss, a.Status, a.Body)
			}
		}
		deleted(t, h, lax)
		deleted(t, h, strict)
	})
}

func TestOpenIDConnectThePersonSaysNo(t *testing.T) {
	openID(t, oidcprovider.Options{}, func(t *testing.T, h *brokertest.Instance, i *issuer) {
		p := i.provider(t, nil)
		back := i.Deny(t, begin(t, h, h.User, p, url.Values{"redirect_uri": {openIDCallback}}).RedirectURL).Query()
		body := want(t, 400, h.Do(t, h.User, "POST", callback, object{"providerId": p, "state": back.Get("state"),
			"error": back.Get("error"), "error_description": back.Get("error_description"), "iss": back.Get("iss")}))
		if body["detail"] != "access_denied" {
			t.Errorf("detail is %v", body["detail"])
		}
	})
}

// What an upstream cannot do is reported, and does not hold up a deletion.
func TestOpenIDConnectWithoutRevocation(t *testing.T) {
	openID(t, oidcprovider.Options{WithoutRevocation: true, AuthMethod: "client_secret_post"}, func(t *testing.T, h *brokertest.Instance, i *issuer) {
		p := i.provider(t, nil)
		i.consent(t, p, "ada")
		job := deleted(t, h, p)
		if d := details(t, job); job["status"] != "COMPLETED" || d["unsupported"] != "1" || d["revoked"] != "0" {
			t.Errorf("the job ended %v", job)
		}
	})
}

// A consent that was renewed goes on; what it replaced is not sent again.
func TestOpenIDConnectTheSamePersonConsentsAgain(t *testing.T) {
	openID(t, oidcprovider.Options{}, func(t *testing.T, h *brokertest.Instance, i *issuer) {
		p := i.provider(t, nil)
		first := i.consent(t, p, "ada")
		if again := i.consent(t, p, "ada"); again != first {
			t.Errorf("%s became %s", first, again)
		}
		change(t, h, tokensHaveDied)
		accessToken(t, h, h.User, first)
		want(t, 200, h.Do(t, h.User, "GET", userinfoOf(first), nil))
	})
}

func TestAnIssuerThatCannotBeReached(t *testing.T) {
	h := embedded(t)
	for _, issuer := range []string{"https://issuer.invalid", "https://127.0.0.1:1", "https://10.255.255.1"} {
		a := h.Do(t, h.Admin, "POST", root+"providers/", newProvider(object{"type": "oidc", "config": object{"issuer": issuer}}))
		if a.Status == 422 {
			wantFields(t, a, "config.issuer") // an address is not admitted in the first place
			continue
		}
		answer := h.Do(t, h.User, "POST", authorizeAt(text(t, want(t, 201, a), "id")), nil)
		want(t, 502, answer)
		wantRetryAfter(t, answer)
	}
}
