package testidp_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/grantd/grantd/testidp"
)

// tokenPath speaks to GitHub's token endpoint.
const tokenPath = "/login/oauth/access_token"

// application calls one of the four endpoints with plain Basic.
func (b *bench) application(method, what, id, secret, access string) answer {
	b.Helper()
	r := b.request(method, "/api/v3/applications/"+url.PathEscape(id)+"/"+what, `{"access_token":"`+access+`"}`)
	r.SetBasicAuth(id, secret)
	return b.do(r)
}

func TestGitHubCodeFlow(t *testing.T) {
	t.Parallel()
	b := setup(t, testidp.Options{AutoConsent: true, AccessTTL: 8 * time.Hour})

	back := b.returned(b.authorize("/login/oauth/authorize", "response_type", "", "login", "grace", "scope", "repo,user:email"))
	if back.Has("iss") {
		t.Errorf("iss = %q, GitHub sends none", back.Get("iss"))
	}
	tokens := b.post(tokenPath, "code", back.Get("code"), "code_verifier", verifier)
	tokens.want(t, 200, "")
	if got := tokens.str("access_token"); !strings.HasPrefix(got, "ghu_") {
		t.Error("the access token does not start with ghu_")
	}
	want := map[string]any{"expires_in": 28800.0, "refresh_token_expires_in": 15811200.0, "token_type": "bearer", "scope": "repo,user:email"}
	for name, value := range want {
		if tokens.fields[name] != value {
			t.Errorf("%s = %v, want %v", name, tokens.fields[name], value)
		}
	}

	user := b.get("/api/v3/user", tokens.str("access_token"))
	if user.fields["id"] != 2.0 || user.str("login") != "grace" || user.fields["email"] != nil {
		t.Errorf("user = %s", user.text)
	}
	if emails := b.get("/api/v3/user/emails", tokens.str("access_token")); !strings.Contains(emails.text, `"grace@example.test"`) {
		t.Errorf("emails = %s", emails.text)
	}
	if apps := b.get("/api/v3/user/installations", tokens.str("access_token")); apps.fields["total_count"] != 2.0 || !strings.Contains(apps.text, `"login":"grace"`) {
		t.Errorf("installations = %s", apps.text)
	}
	if got := b.get("/api/v3/user/installations", "invalid").status; got != 401 {
		t.Errorf("the installations of an invalid token: %d, want 401", got)
	}
	if got := b.get("/api/v3/user", "invalid").status; got != 401 {
		t.Errorf("an invalid token: %d, want 401", got)
	}

	renewed := b.post(tokenPath, "grant_type", "refresh_token", "refresh_token", tokens.str("refresh_token"))
	renewed.want(t, 200, "")
	b.post(tokenPath, "grant_type", "refresh_token", "refresh_token", tokens.str("refresh_token")).want(t, 200, "bad_refresh_token")
	if b.alive(renewed.str("access_token")) {
		t.Error("reuse must kill the grant in this dialect too")
	}
}

func TestGitHubAnswersWithAForm(t *testing.T) {
	t.Parallel()
	b := setup(t, testidp.Options{})
	_, refresh := b.idp.Mint(clientID, "ada")
	r := b.request("POST", tokenPath, form("client_id", clientID, "client_secret", secret,
		"grant_type", "refresh_token", "refresh_token", refresh).Encode())
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	a := b.do(r)
	fields, err := url.ParseQuery(a.text)
	if err != nil || fields.Get("expires_in") != "3600" || fields.Get("scope") != "openid,profile,email" {
		t.Errorf("%v: %q", err, a.text)
	}
}

func TestGitHubErrorsAreSuccesses(t *testing.T) {
	t.Parallel()
	b := setup(t, testidp.Options{AutoConsent: true})
	code := func() string { return b.code("/login/oauth/authorize") }

	b.postForm(tokenPath, "client_id", clientID, "client_secret", "x", "code", code()).want(t, 200, "incorrect_client_credentials")
	b.post(tokenPath, "code", "x").want(t, 200, "bad_verification_code")
	b.post(tokenPath, "code", code(), "code_verifier", "wrong").want(t, 200, "bad_verification_code")
	b.post(tokenPath, "code", code()).want(t, 200, "bad_verification_code")
	b.post(tokenPath, "code", code(), "redirect_uri", "https://other.test/").want(t, 200, "redirect_uri_mismatch")
	b.post(tokenPath, "grant_type", "refresh_token", "refresh_token", "x").want(t, 200, "bad_refresh_token")

	spent := code()
	b.post(tokenPath, "code", spent, "code_verifier", verifier).want(t, 200, "")
	b.post(tokenPath, "code", spent, "code_verifier", verifier).want(t, 200, "bad_verification_code")
}

func TestApplicationEndpoints(t *testing.T) {
	t.Parallel()
	b := setup(t, testidp.Options{})
	access, refresh := b.idp.Mint(clientID, "ada")
	sibling, _ := b.idp.Mint(clientID, "ada")
	stranger, _ := b.idp.Mint(clientID, "grace")
	call := func(method, what, access string) answer { return b.application(method, what, clientID, secret, access) }

	seen := call("POST", "token", access)
	seen.want(t, 200, "")
	if seen.str("token_last_eight") != access[len(access)-8:] {
		t.Errorf("check = %s", seen.text)
	}

	reset := call("PATCH", "token", access)
	reset.want(t, 200, "")
	if b.alive(access) || !b.alive(reset.str("token")) {
		t.Error("after a reset the old token must be revoked and the new one live")
	}
	call("PATCH", "token", access).want(t, 404, "")

	call("DELETE", "token", reset.str("token")).want(t, 204, "")
	if b.alive(reset.str("token")) || !b.alive(sibling) {
		t.Error("deleting a token must kill that one and no other")
	}
	for _, op := range [][2]string{{"POST", "token"}, {"PATCH", "token"}, {"DELETE", "token"}, {"DELETE", "grant"}} {
		call(op[0], op[1], reset.str("token")).want(t, 404, "")
		call(op[0], op[1], refresh).want(t, 404, "")
		call(op[0], op[1], "").want(t, 422, "")
		b.application(op[0], op[1], clientID, "wrong", sibling).want(t, 401, "")
	}

	call("DELETE", "grant", sibling).want(t, 204, "")
	if b.alive(sibling) || !b.alive(stranger) {
		t.Error("deleting the grant must kill all of this person's tokens and no other's")
	}
	b.refresh(refresh).want(t, 400, "invalid_grant")

	b.idp.ExpireAccessTokens()
	call("DELETE", "grant", stranger).want(t, 404, "")

	stats := b.idp.Stats()
	got := []int64{stats.Calls[testidp.TokenCheck], stats.Calls[testidp.TokenReset], stats.Calls[testidp.TokenDelete], stats.Calls[testidp.GrantDelete]}
	if diff := cmp.Diff([]int64{5, 6, 5, 6}, got); diff != "" {
		t.Errorf("check, reset, token and grant deletions (-want +got):\n%s", diff)
	}
}

// What must be percent-encoded at the OAuth endpoints must not be here.
func TestApplicationsReadPlainBasic(t *testing.T) {
	t.Parallel()
	const id, odd = "Iv1.a+b", "a+b/c%2Fd:e f"
	b := setup(t, testidp.Options{Clients: []testidp.Client{{ID: id, Secret: odd}}})
	access, _ := b.idp.Mint(id, "ada")
	b.application("POST", "token", id, odd, access).want(t, 200, "")
	b.application("POST", "token", id, url.QueryEscape(odd), access).want(t, 401, "")
}
