package providers

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/grantd/grantd/models"
)

func init() { dialects["bitbucket"] = bitbucketDialect }

const (
	bitbucketAPI     = "https://api.bitbucket.org/2.0"
	bitbucketAda     = `{"uuid":"{3f1c}","username":"ada","nickname":"Ada","display_name":"Ada L","links":{"avatar":{"href":"https://pics.example/a.png"}}}`
	bitbucketExpired = `{"type":"error","error":{"message":"Access token expired."}}`
)

// bitbucketDialect is Bitbucket Cloud after May 2026, with the name for scopes of
// before.
func bitbucketDialect(string) dialect {
	const base = "https://bitbucket.org"
	return dialect{
		scopes:       []string{"account", "email"},
		narrowed:     []string{"account", "repository"},
		authorizeURL: base + "/site/oauth2/authorize", tokenURL: base + "/site/oauth2/access_token",
		settingsURL: base + "/account/settings/app-authorizations/",

		basic:          true,
		rotation:       rotates,
		grace:          true,
		life:           2 * time.Hour,
		refreshLife:    90 * 24 * time.Hour,
		answer:         func(a map[string]any) { a["state"] = "authorization_code"; a["token_type"] = "bearer" },
		echo:           func(granted []string) map[string]any { return map[string]any{"scopes": strings.Join(granted, " ")} },
		invalidRefresh: says{400, `{"error":"invalid_request","error_description":"Invalid refresh_token"}`},

		resources: map[string]func(*strict, *pair, *http.Request) (int, any){
			"GET " + bitbucketAPI + "/user":        func(*strict, *pair, *http.Request) (int, any) { return 200, bitbucketAda },
			"GET " + bitbucketAPI + "/user/emails": bitbucketEmails,
		},
		noBearer: says{401, bitbucketExpired},
		user:     models.User{Sub: "{3f1c}", Name: "Ada L", NickName: "ada", Email: "new@x.example", Picture: "https://pics.example/a.png"},
		fixtures: []fixture{
			{"an invalid refresh token", refreshing, says{400, `{"error":"invalid_request","error_description":"Invalid refresh_token"}`}, KindDenied, "invalid_request", ""},
			{"by the book", refreshing, says{400, `{"error":"invalid_grant"}`}, KindDenied, "invalid_grant", ""},
			{"our mistake", refreshing, says{400, `{"error":"invalid_request","error_description":"Missing grant_type"}`}, KindRefused, "invalid_request", ""},
			{"a bad client", refreshing, says{400, `{"error":"unauthorized_client","error_description":"Invalid OAuth client credentials"}`}, KindClient, "unauthorized_client", ""},
			{"a scope is lacking", checking, says{403, `{"type":"error","error":{"message":"Your credentials lack one or more required privilege scopes."}}`}, KindRefused, "", ""},
			{"no account", checking, says{200, `{"type":"user"}`}, KindProtocol, "", ""},
		},
	}
}

// bitbucketEmails are two pages.
func bitbucketEmails(_ *strict, _ *pair, r *http.Request) (int, any) {
	if r.URL.Query().Get("page") != "2" {
		return 200, `{"values":[{"email":"old@x.example","is_primary":false,"is_confirmed":true}],"next":"` + bitbucketAPI + `/user/emails?page=2"}`
	}
	return 200, `{"values":[{"email":"new@x.example","is_primary":true,"is_confirmed":true}]}`
}

// bitbucketUpstream is the internet, with a Bitbucket that knows Ada.
func bitbucketUpstream(t *testing.T) (*world, *Registry, Client) {
	t.Helper()
	w, r := newWorld(t)
	w.says("GET api.bitbucket.org/2.0/user", 200, bitbucketAda)
	return w, r, Client{Type: "bitbucket", ID: "id", Secret: theSecret}
}

// Before May 2026 the same answer had scopes and no rotation; both names are read.
func TestTrap15_BitbucketScopeOrScopes(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"scope", "scopes"} {
		w, r, c := bitbucketUpstream(t)
		w.says("POST bitbucket.org/site/oauth2/access_token", 200,
			`{"access_token":"a","`+name+`":"account email","expires_in":7200,"refresh_token":"r","token_type":"bearer","state":"authorization_code"}`)
		got, err := r.At(c).Refresh(t.Context(), theTokens())
		want := Tokens{Access: "a", Refresh: "r", Scopes: []string{"account", "email"}, ExpiresIn: 2 * time.Hour, RefreshExpiresIn: 90 * 24 * time.Hour}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", name, err, diff)
		}
	}
}

// A spent refresh token works on for ten minutes: a lost answer can be asked for
// again. After that it is no longer valid.
func TestTrap15_BitbucketSpentRefreshToken(t *testing.T) {
	t.Parallel()
	s := newStrict(t, "bitbucket", "bitbucket.org", bitbucketDialect(""))
	old := s.login()
	for _, over := range []bool{false, true} {
		s.do(func() { s.replaying, s.graceOver = true, over })
		_, err := s.r.At(s.c).Refresh(t.Context(), old)
		if over == (err == nil) {
			t.Errorf("grace over %v: %v", over, err)
		}
		if over {
			return
		}
		if _, err := s.r.At(s.c).Refresh(t.Context(), old); err != nil {
			t.Errorf("again at once: %v", err)
		}
	}
}

// Tokens are kilobytes long since they carry claims.
func TestTrap27_BitbucketLongTokens(t *testing.T) {
	t.Parallel()
	w, r, c := bitbucketUpstream(t)
	long := strings.Repeat("x", 2600)
	w.says("POST bitbucket.org/site/oauth2/access_token", 200, `{"access_token":"`+long+`","refresh_token":"`+long+`"}`)
	w.says("GET api.bitbucket.org/2.0/user/emails", 200, `{"values":[]}`)
	got, err := exchange(t, r, c)
	if err != nil || got.Access.Reveal() != long || got.Refresh.Reveal() != long {
		t.Fatal(err)
	}
	if _, err := r.At(c).Identify(t.Context(), got, ""); err != nil {
		t.Error(err)
	}
}

// An answer names the next page, and so could name anybody's server.
func TestS1_BitbucketPagesAreFollowedNowhereElse(t *testing.T) {
	t.Parallel()
	for _, next := range []string{
		"https://evil.example/2.0/user/emails?page=2", "https://api.bitbucket.org.evil.example/2.0/user/emails?page=2",
		"http://api.bitbucket.org/2.0/user/emails?page=2", "https://api.bitbucket.org@evil.example/2.0/user/emails?page=2",
		"https://api.bitbucket.org/2.0/user/emails@evil?page=2", "https://api.bitbucket.org/2.0/snippets?page=2", "/2.0/user/emails?page=2", "",
	} {
		w, r, c := bitbucketUpstream(t)
		w.says("GET api.bitbucket.org/2.0/user/emails", 200, `{"values":[],"next":"`+next+`"}`)
		got, err := r.At(c).UserInfo(t.Context(), theAccess)
		if err != nil || got.Email != "" || len(w.requests()) != 2 {
			t.Errorf("%s: %+v, %v, %d requests", next, got, err, len(w.requests()))
		}
		if diff := cmp.Diff([]string{"api.bitbucket.org"}, w.hosts()); diff != "" {
			t.Error(diff)
		}
	}
}

func TestBitbucketEmail(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		status   int
		body     string
		email    string
		kind     Kind
		requests int
	}{
		"unconfirmed":    {200, `{"values":[{"email":"a@x.example","is_primary":true,"is_confirmed":false}]}`, "", "", 2},
		"none":           {200, `{"values":[]}`, "", "", 2},
		"no scope":       {403, `{"type":"error"}`, "", "", 2},
		"endless pages":  {200, `{"values":[],"next":"` + bitbucketAPI + `/user/emails?page=2"}`, "", "", 1 + maxPages},
		"odd":            {200, `{"values":"x"}`, "", "", 2},
		"down":           {503, htmlPage, "", KindTransient, 2},
		"token has died": {401, bitbucketExpired, "", KindDenied, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, r, c := bitbucketUpstream(t)
			w.says("GET api.bitbucket.org/2.0/user/emails", tc.status, tc.body)
			got, err := r.At(c).UserInfo(t.Context(), theAccess)
			if got.Email != tc.email || KindOf(err) != tc.kind || len(w.requests()) != tc.requests {
				t.Errorf("%+v, %v, %d requests", got, err, len(w.requests()))
			}
		})
	}
}

func TestBitbucketScopesHoldOthers(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		granted, scope string
		ok             bool
	}{
		{"pullrequest:write", "repository", true}, {"pullrequest:write", "repository:write", true}, {"account", "email", true},
		{"repository:write", "repository", true}, {"repository:admin", "repository", false}, {"repository", "repository:write", false},
		{"email", "account", false}, {"repository", "pullrequest", false},
	} {
		if got := bitbucketType().grants([]string{tc.granted}, tc.scope); got != tc.ok {
			t.Errorf("%s holds %s: %v", tc.granted, tc.scope, got)
		}
	}
}

// Bitbucket has no revocation, and none is reported.
func TestBitbucketRevokesNothing(t *testing.T) {
	t.Parallel()
	w, r, c := bitbucketUpstream(t)
	outcome, err := r.At(c).Revoke(t.Context(), theTokens(), models.RevokeGrant)
	if outcome != models.OutcomeUnsupported || err != nil || len(w.requests()) != 0 {
		t.Errorf("%q, %v", outcome, err)
	}
}
