package providers

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/grantd/grantd/models"
)

func init() {
	dialects["gitlab"] = func(host string) dialect { return gitlabDialect("https://"+host, nil) }
}

// gitlabDialect is GitLab 17.9 at a base URL.
func gitlabDialect(base string, config map[string]any) dialect {
	return dialect{
		config:       config,
		scopes:       []string{"openid", "profile", "email"},
		authorizeURL: base + "/oauth/authorize", tokenURL: base + "/oauth/token", deviceURL: base + "/oauth/authorize_device",
		revokeURL:   base + "/oauth/revoke",
		settingsURL: base + "/-/user_settings/applications",

		rotation:           rotates,
		refreshKillsAccess: true,
		life:               2 * time.Hour,
		answer:             func(a map[string]any) { a["created_at"] = 1700000000 },
		badClient:          says{401, `{"error":"invalid_client","error_description":"Client authentication failed"}`},
		revokeBadClient:    says{403, `{"error":"unauthorized_client","error_description":"You are not authorized to revoke this token"}`},
		kills:              killsPair,
		expiredIsSilent:    true,
		checkTellsScopes:   true,
		resources: map[string]func(*strict, *pair, *http.Request) (int, any){
			"GET " + base + "/oauth/userinfo": func(*strict, *pair, *http.Request) (int, any) {
				return 200, `{"sub":"7001","name":"Ada L","nickname":"ada","preferred_username":"ada","email":"ada@x.example",
					"email_verified":true,"profile":"https://gitlab.example/ada","picture":"https://pics.example/a.png","groups":["compilers"]}`
			},
			"GET " + base + "/oauth/token/info": func(_ *strict, p *pair, _ *http.Request) (int, any) {
				return 200, map[string]any{"resource_owner_id": 7001, "scope": p.scopes, "expires_in": 7100,
					"application": map[string]any{"uid": "x"}, "created_at": 1700000000}
			},
		},
		device: deviceDialect{fields: func(a map[string]any) { a["verification_uri_complete"] = strictDevicePage + "?user_code=AB-CD" }},
		user:   models.User{Sub: "7001", Name: "Ada L", NickName: "ada", Email: "ada@x.example", Picture: "https://pics.example/a.png", ProfileURL: "https://gitlab.example/ada"},
		fixtures: []fixture{
			{"an old refresh token", refreshing, says{400, `{"error":"invalid_grant","error_description":"The provided authorization grant is invalid, expired, revoked"}`}, KindDenied, "invalid_grant", ""},
			{"a scope the application lacks", exchanging, says{400, `{"error":"invalid_scope"}`}, KindRefused, "invalid_scope", ""},
			{"revoked or unknown", revoking, says{200, `{}`}, "", "", models.OutcomeRevoked},
			{"another client's token", revoking, says{403, `{"error":"unauthorized_client"}`}, KindClient, "unauthorized_client", ""},
			{"throttled", revoking, says{429, `Retry later`}, KindTransient, "", ""},
			{"no device flow before 17.2", beginning, says{404, `{"error":"404 Not Found"}`}, KindRefused, "", ""},
			{"not its own page", checking, says{200, htmlPage}, KindProtocol, "", ""},
			{"no permission", checking, says{403, `{"error":"insufficient_scope"}`}, KindRefused, "insufficient_scope", ""},
		},
	}
}

// gitlabUpstream is a fake GitLab on plain http.
func gitlabUpstream(t *testing.T) (*fake, *Registry, Client) {
	t.Helper()
	f := newFake(t)
	r := newRegistry(t, Options{Allow: []string{f.host()}})
	return f, r, Client{Type: "gitlab", ID: "id", Secret: theSecret, Host: f.URL}
}

// A GitLab below a path is a whole upstream of its own.
func TestGitLabBelowAPath(t *testing.T) {
	t.Parallel()
	conform(t, "gitlab", ownHost, gitlabDialect("https://"+ownHost+"/tools/gitlab", map[string]any{"path": "/tools/gitlab"}))
}

func TestS2_GitLabPath(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, Options{})
	for path, ok := range map[any]bool{
		"/gitlab": true, "/a/b-c/d_e.f": true, "/...x": false,
		"": false, "/": false, "gitlab": false, "/gitlab/": false, "//evil.example": false, "/a//b": false, "/..": false, "/a/../b": false,
		"/./a": false, "/a?b": false, "/a#b": false, "/a%2e": false, "/a b": false, "/a@b": false, `/a\b`: false, ".evil.example": false,
		"/" + strings.Repeat("a", maxPath): false, 7: false,
	} {
		wrong := r.At(Client{Type: "gitlab", ID: "x", Host: "git.example.com", Config: map[string]any{"path": path}}).Validate()
		if ok && wrong != nil || !ok && (len(wrong) != 1 || wrong[0].Name != "config.path") {
			t.Errorf("%v: %v", path, wrong)
		}
	}
}

// Two GitLabs on one host are two places to send tokens to.
func TestA4_GitLabPathIsPartOfTheOrigin(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, Options{})
	at := func(path any) []string {
		return r.At(Client{Type: "gitlab", ID: "x", Host: "git.example.com", Config: map[string]any{"path": path}}).Origins()
	}
	if diff := cmp.Diff([]string{"https://git.example.com/a"}, at("/a")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"https://git.example.com"}, at(nil)); diff != "" {
		t.Error(diff)
	}
}

// An access token that expired gets a 200 that means nothing, so only the refresh
// token is sent; it ends the access token too.
func TestTrap13_GitLabRevokesWithTheRefreshTokenOnly(t *testing.T) {
	t.Parallel()
	for _, scope := range []models.RevokeScope{models.RevokeGrant, models.RevokeToken} {
		f, r, c := gitlabUpstream(t)
		f.says("POST /oauth/revoke", 200, `{}`)
		outcome, err := r.At(c).Revoke(t.Context(), theTokens(), scope)
		if outcome != models.OutcomeRevoked || err != nil {
			t.Fatalf("%q, %v", outcome, err)
		}
		want := url.Values{"client_id": {"id"}, "client_secret": {theSecret}, "token": {theRefresh}, "token_type_hint": {"refresh_token"}}
		if diff := cmp.Diff(want, f.last(t).form(t)); diff != "" || len(f.requests()) != 1 {
			t.Errorf("%d requests %s", len(f.requests()), diff)
		}
	}
	f, r, c := gitlabUpstream(t)
	f.says("POST /oauth/revoke", 200, `{}`)
	if outcome, err := r.At(c).Revoke(t.Context(), Tokens{Access: theAccess}, models.RevokeGrant); outcome != models.OutcomeRevoked || err != nil ||
		f.last(t).form(t).Get("token") != theAccess {
		t.Errorf("a device's access token without a refresh token: %q, %v", outcome, err)
	}
}

// GitLab looks at the refresh token before the client, so that a wrong secret with
// a token it does not know reads like the end of a grant. One such answer cannot be
// told apart; the broker suspects the client when many come together (R5).
func TestTrap14_GitLabWrongSecretReadsLikeAnEndedGrant(t *testing.T) {
	t.Parallel()
	s := newStrict(t, "gitlab", "gitlab.com", gitlabDialect("https://gitlab.com", nil))
	tokens := s.login()
	s.c.Secret = "wrong"
	_, err := s.r.At(s.c).Refresh(t.Context(), tokens)
	want(t, err, KindClient, "invalid_client")

	f, r, c := gitlabUpstream(t)
	f.says("POST /oauth/token", 400, `{"error":"invalid_grant"}`)
	c.Secret = "wrong"
	_, err = r.At(c).Refresh(t.Context(), theTokens())
	want(t, err, KindDenied, "invalid_grant")
}

// Doorkeeper has learnt RFC 9207 and may be told to speak it.
func TestGitLabIssuer(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, Options{})
	c := Client{Type: "gitlab", ID: "x", Host: "git.example.com", Config: map[string]any{"path": "/a"}}
	for iss, ok := range map[string]bool{"https://git.example.com/a": true, "": true, "https://git.example.com": false, "https://gitlab.com": false} {
		if err := r.At(c).CheckIssuer(t.Context(), iss, true); (err == nil) != ok {
			t.Errorf("%q: %v", iss, err)
		}
	}
}

// Without the email scope the address is the public one, or none.
func TestGitLabUserWithoutAnAddress(t *testing.T) {
	t.Parallel()
	f, r, c := gitlabUpstream(t)
	f.says("GET /oauth/userinfo", 200, `{"sub":"7001","nickname":"ada"}`)
	got, err := r.At(c).UserInfo(t.Context(), theAccess)
	if err != nil || got.Sub != "7001" || got.Email != "" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestGitLabCheckTellsTheEnd(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	f := newFake(t)
	r := newRegistry(t, Options{Allow: []string{f.host()}, Now: func() time.Time { return now }})
	f.says("GET /oauth/token/info", 200, `{"scope":["api"],"expires_in":60,"expires_in_seconds":60,"application":{"uid":"id"}}`)
	for id, ours := range map[string]bool{"id": true, "another": false} {
		got, err := r.At(Client{Type: "gitlab", ID: id, Host: f.URL, Scopes: []string{"api", "email"}}).Check(t.Context(), theTokens())
		end := now.Add(time.Minute)
		want := Check{Valid: true, ForClient: ours, Scopes: []string{"api"}, Missing: []string{"email"}, ExpiresAt: &end}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Error(err, diff)
		}
	}
}
