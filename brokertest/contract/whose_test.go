package contract_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
)

const checksAreForgotten = `UPDATE credentials SET checked_at = NULL`

// wantEnded is an authorization that ended because of an identity mismatch, for good.
func wantEnded(t *testing.T, h *brokertest.Instance, p, id string) {
	t.Helper()
	a := want(t, 200, h.Do(t, h.User, "GET", root+"authorizedProviders/", nil))["data"].([]any)[0].(object)
	if a["id"] != id || a["status"] != "expired" || a["reason"] != "identity_mismatch" || a["reasonMessage"] != models.ReasonIdentityMismatch.Message() {
		t.Errorf("the authorization is %v because of %v: %v", a["status"], a["reason"], a["reasonMessage"])
	}
	for range 2 { // and once more, after the secret changed
		for _, path := range []string{tokenOf(id), resetOf(id)} {
			if got := want(t, 410, h.Do(t, h.User, "POST", path, nil)); got["detail"] != "identity_mismatch" {
				t.Errorf("%s: %v", path, got)
			}
		}
		want(t, 410, h.Do(t, h.User, "GET", userinfoOf(id), nil))
		if got := want(t, 200, h.Do(t, h.User, "POST", checkOf(id), nil)); got["valid"] != false || got["status"] != "expired" {
			t.Errorf("check: %v", got)
		}
		want(t, 200, h.Do(t, h.Admin, "PATCH", provider(p), object{"clientSecret": "another"}))
	}
}

// Finding K2: a refresh for sub-ada brought a validly signed id_token with sub-bob, and
// ada's caller was given bob's token.
func TestR12_AnotherPersonsTokensAreNotHandedOut(t *testing.T) {
	strange(t, func(t *testing.T, h *brokertest.Instance, f *openIDFake, p string) {
		id := f.consent(t, h, p)
		first := accessToken(t, h, h.User, id)
		f.set(func() { f.owner = "bob" })
		change(t, h, tokensAreDue)
		got := want(t, 410, h.Do(t, h.User, "POST", tokenOf(id), nil))
		if got["detail"] != "identity_mismatch" {
			t.Errorf("%v", got)
		}
		n := f.count
		wantEnded(t, h, p, id)
		if f.count != n {
			t.Errorf("it was refreshed %d times more", f.count-n)
		}

		// Only a new consent ends it.
		f.set(func() { f.owner = "" })
		if again := f.consent(t, h, p); again != id {
			t.Errorf("another authorization: %s", again)
		}
		if now := accessToken(t, h, h.User, id); now == first || !strings.HasSuffix(now, "-of-ada") {
			t.Errorf("the token is %s", now)
		}
		for _, token := range f.revoked { // this server's revocations may take the whole grant
			if strings.HasSuffix(token, "-of-bob") {
				t.Errorf("bob's %s was revoked", token)
			}
		}
	})
}

// R12: where a pair can be revoked alone, the stranger's pair is.
func TestR12_AStrangersPairIsRevokedAlone(t *testing.T) {
	strange(t, func(t *testing.T, h *brokertest.Instance, f *openIDFake, _ string) {
		p := createID(t, h, object{"type": "oidc", "config": object{"issuer": f.URL, "revokesSingly": true}})
		id := f.consent(t, h, p)
		f.set(func() { f.owner = "bob" })
		want(t, 410, h.Do(t, h.User, "POST", resetOf(id), nil))
		brokertest.Eventually(t, "bob's pair was revoked", func() bool {
			var sent []string
			f.set(func() { sent = slices.Clone(f.revoked) })
			return slices.Contains(sent, "refresh-2-of-bob") && slices.Contains(sent, "access-2-of-bob") && len(sent) == 2
		})
	})
}

// R12: what cannot be verified, or names nobody, is no difference; nor is what another
// source calls the same person.
func TestR12_WhatSaysNothingIsNoDifference(t *testing.T) {
	strange(t, func(t *testing.T, h *brokertest.Instance, f *openIDFake, p string) {
		id := f.consent(t, h, p)
		for name, claims := range map[string]func(map[string]any){
			"another issuer":   func(c map[string]any) { c["iss"], c["sub"] = "https://elsewhere.example", "bob" },
			"another audience": func(c map[string]any) { c["aud"], c["sub"] = "another", "bob" },
			"no sub":           func(c map[string]any) { delete(c, "sub") },
			"a nonce":          func(c map[string]any) { c["nonce"] = "x" },
		} {
			f.set(func() { f.claims = claims })
			if status, body := plainly(t, h, h.User, resetOf(id)); status != 201 {
				t.Errorf("%s: %d %s", name, status, body)
			}
			if got := want(t, 200, h.Do(t, h.User, "POST", checkOf(id), nil)); got["valid"] != true { // its sub is internal-ada
				t.Errorf("%s: %v", name, got)
			}
		}
		want(t, 200, h.Do(t, h.User, "GET", userinfoOf(id), nil))
	})
}

// R12: introspection is compared with what introspection said first, user info with the
// account of the consent. The tokens of a stranger are then revoked alone or not at all.
func TestR12_AChecksAccountIsCompared(t *testing.T) {
	strange(t, func(t *testing.T, h *brokertest.Instance, f *openIDFake, p string) {
		id := f.consent(t, h, p)
		want(t, 200, h.Do(t, h.User, "POST", checkOf(id), nil))
		token := accessToken(t, h, h.User, id)
		f.set(func() { f.tokens[token] = "bob" })
		change(t, h, checksAreForgotten)
		if got := want(t, 200, h.Do(t, h.User, "POST", checkOf(id), nil)); got["valid"] != false || got["status"] != "expired" {
			t.Errorf("%v", got)
		}
		wantEnded(t, h, p, id)
		job := deleted(t, h, p)
		if details(t, job)["superseded"] != "1" || len(f.revoked) != 0 {
			t.Errorf("%v revoked: %v", f.revoked, job)
		}
	})
}

func TestR12_UserInfosAccountIsCompared(t *testing.T) {
	strange(t, func(t *testing.T, h *brokertest.Instance, f *openIDFake, p string) {
		id := f.consent(t, h, p)
		token := accessToken(t, h, h.User, id)
		f.set(func() { f.tokens[token] = "bob" })
		if got := want(t, 410, h.Do(t, h.User, "GET", userinfoOf(id), nil)); got["detail"] != "identity_mismatch" {
			t.Errorf("%v", got)
		}
		wantEnded(t, h, p, id)
	})
}

// Finding G1: reset/ said oldTokenRevoked: true because a refresh is expected to end the
// old token, while user info and introspection accepted it.
func TestAResetTellsWhatWasObservedOfTheOldToken(t *testing.T) {
	strange(t, func(t *testing.T, h *brokertest.Instance, f *openIDFake, p string) {
		id := f.consent(t, h, p)
		reset := func() any { return want(t, 201, h.Do(t, h.User, "POST", resetOf(id), nil))["oldTokenRevoked"] }
		if got := reset(); got != false {
			t.Errorf("the old token lives: %v", got)
		}
		f.set(func() { f.introspect = func(string) (int, any) { return 403, object{} } })
		if got := reset(); got != false {
			t.Errorf("user info accepts the old token: %v", got)
		}
		f.set(func() { f.introspect = func(string) (int, any) { return 503, object{} } })
		if got := reset(); got != false {
			t.Errorf("nobody knows: %v", got)
		}
		f.set(func() { f.introspect = func(string) (int, any) { return 200, object{"active": false} } })
		if got := reset(); got != true {
			t.Errorf("introspection says that it is no longer valid: %v", got)
		}

		// A job that resets tells it likewise.
		for mayLive, active := range map[string]bool{"1": true, "0": false} {
			f.set(func() { f.introspect = func(string) (int, any) { return 200, object{"active": active} } })
			job := jobOf(t, h, h.Do(t, h.Admin, "POST", provider(p)+"reset/", nil))
			if d := details(t, ended(t, h, job)); d["old_token_may_live"] != mayLive || d["refreshed"] != "1" {
				t.Errorf("active %v: %v", active, d)
			}
		}
	})
}

// Finding K9: one 401, 302 or page from user info right after an exchange lost the
// consent. It is asked again, and where that does not help the tokens are kept.
func TestAMomentOfBadUserInfoLosesNoConsent(t *testing.T) {
	says := func(status int, headers ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i+1 < len(headers); i += 2 {
				w.Header().Set(headers[i], headers[i+1])
			}
			w.WriteHeader(status)
			w.Write([]byte("<html>a moment, please</html>"))
		}
	}
	strange(t, func(t *testing.T, h *brokertest.Instance, f *openIDFake, p string) {
		for name, bad := range map[string]http.HandlerFunc{
			"401": says(401), "302": says(302, "Location", "/elsewhere"), "a page": says(200, "Content-Type", "text/html"),
		} {
			f.set(func() { f.userInfo = []http.HandlerFunc{bad} })
			f.consent(t, h, p)

			f.set(func() { f.userInfo = []http.HandlerFunc{bad, bad} })
			approval := f.approval(t, h, p)
			if got := h.Do(t, h.User, "POST", callback, approval); got.Status != 502 || got.Header.Get("Retry-After") == "" {
				t.Errorf("%s: twice: %d %s", name, got.Status, got.Body)
			}
			n := f.count
			want(t, 200, h.Do(t, h.User, "POST", callback, approval))
			if f.count != n {
				t.Errorf("%s: the code was sent twice", name)
			}
		}
	})
}
