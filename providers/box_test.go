package providers

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/grantd/grantd/models"
)

const (
	boxTokens  = `{"access_token":"a","expires_in":3600,"restricted_to":[],"refresh_token":"r","token_type":"bearer"}`
	boxReplay  = `{"error":"invalid_grant","error_description":"Refresh token has expired"}`
	boxClient  = `{"error":"invalid_client","error_description":"The client credentials are not valid"}`
	boxProfile = `{"type":"user","id":"11446498","name":"Ada Lovelace","login":"ada@x.example","language":"en",
		"job_title":"Analyst","avatar_url":"https://app.box.com/api/avatar/large/11446498"}`
	sixtyDays = 60 * 24 * time.Hour
)

func init() { dialects["box"] = boxDialect }

// boxDialect is Box. What it does not document it does at its worst.
func boxDialect(string) dialect {
	const api = "https://api.box.com"
	return dialect{
		authorizeURL: "https://account.box.com/api/oauth2/authorize",
		tokenURL:     api + "/oauth2/token",
		revokeURL:    api + "/oauth2/revoke",
		settingsURL:  "https://app.box.com/account",

		rotation:           rotates,
		refreshKillsAccess: true,
		refreshLife:        sixtyDays,
		answer:             func(a map[string]any) { a["restricted_to"] = []any{} },
		echo:               func([]string) map[string]any { return map[string]any{} },
		invalidCode:        says{400, `{"error":"invalid_grant","error_description":"The authorization code has expired"}`},
		invalidRefresh:     says{400, boxReplay},
		badClient:          says{400, boxClient},
		kills:              killsGrant,
		grantKillsAll:      true,
		revokeInvalid:      says{400, `{"error":"invalid_token","error_description":"Invalid token"}`},

		resources: map[string]func(*strict, *pair, *http.Request) (int, any){
			"GET " + api + "/2.0/users/me": func(*strict, *pair, *http.Request) (int, any) { return 200, boxProfile },
		},
		noBearer: says{401, ""},
		user:     models.User{Sub: "11446498", Name: "Ada Lovelace", Email: "ada@x.example", Locale: "en", Description: "Analyst"},
		fixtures: []fixture{
			{"a bad client", revoking, says{400, boxClient}, KindClient, "invalid_client", ""},
			{"invalid before", revoking, says{400, boxReplay}, "", "", models.OutcomeAlreadyRevoked},
		},
	}
}

// boxUpstream is Box over TLS, by its real names.
func boxUpstream(t *testing.T) (*fake, *Registry, Client) {
	t.Helper()
	w, r := newWorld(t)
	return w.fake, r, Client{Type: "box", ID: "id", Secret: theSecret}
}

func TestBoxAuthorizeURL(t *testing.T) {
	t.Parallel()
	_, r, c := boxUpstream(t)
	for _, pkce := range []bool{true, false} {
		c.Config = map[string]any{"pkce": pkce}
		link, err := r.At(c).AuthorizeURL(t.Context(), AuthorizeRequest{State: "some-state", RedirectURI: "https://broker.example/cb", Verifier: theVerifier})
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(link)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		if u.Host+u.Path != "account.box.com/api/oauth2/authorize" || q.Has("scope") || q.Get("state") != "some-state" ||
			(q.Get("code_challenge_method") == "S256") != pkce || q.Has("code_challenge") != pkce {
			t.Errorf("sent to %s", link)
		}
	}
	c.Scopes = []string{"root_readonly"}
	if link, _ := r.At(c).AuthorizeURL(t.Context(), AuthorizeRequest{State: "s", RedirectURI: "https://broker.example/cb"}); !strings.Contains(link, "scope=root_readonly") {
		t.Errorf("sent to %s", link)
	}
}

// No answer names a lifetime of the refresh token, so each has the sixty days that
// Box documents, counted from when it was given out.
func TestBoxTokens(t *testing.T) {
	t.Parallel()
	f, r, c := boxUpstream(t)
	f.says("POST api.box.com/oauth2/token", 200, boxTokens)
	want := Tokens{Access: "a", Refresh: "r", ExpiresIn: time.Hour, RefreshExpiresIn: sixtyDays}
	for name, get := range map[string]func() (Tokens, error){
		"exchange": func() (Tokens, error) { return exchange(t, r, c) },
		"refresh":  func() (Tokens, error) { return r.At(c).Refresh(t.Context(), theTokens()) },
	} {
		got, err := get()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		sent := f.last(t)
		if form := sent.form(t); form.Get("client_secret") != theSecret || form.Get("client_id") != "id" || form.Has("scope") ||
			sent.header.Get("Authorization") != "" {
			t.Errorf("%s sent %v", name, form)
		}
	}
}

func TestBoxUser(t *testing.T) {
	t.Parallel()
	f, r, c := boxUpstream(t)
	f.says("GET api.box.com/2.0/users/me", 200, boxProfile)
	got, err := r.At(c).Identify(t.Context(), theTokens(), "")
	if err != nil {
		t.Fatal(err)
	}
	if got.Raw["avatar_url"] == nil {
		t.Errorf("raw %v", got.Raw)
	}
	got.Raw = nil
	want := models.User{Sub: "11446498", Name: "Ada Lovelace", Email: "ada@x.example", Locale: "en", Description: "Analyst"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if auth := f.last(t).header.Get("Authorization"); auth != "Bearer "+theAccess {
		t.Errorf("Authorization: %s", auth)
	}
}

func TestBoxUserFailures(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answer http.HandlerFunc
		kind   Kind
	}{
		"no id":     {reply(200, "application/json", `{"login":"ada@x.example"}`), KindProtocol},
		"invalid":   {reply(401, "application/json", "", "WWW-Authenticate", `Bearer realm="Service", error="invalid_token", error_description="expired"`), KindDenied},
		"no right":  {reply(403, "application/json", `{"type":"error","status":403,"code":"insufficient_scope"}`), KindRefused},
		"throttled": {reply(429, "application/json", `{"type":"error","status":429}`, "Retry-After", "7"), KindTransient},
		"down":      {reply(503, "text/html", htmlPage), KindTransient},
	} {
		f, r, c := boxUpstream(t)
		f.mux.HandleFunc("GET api.box.com/2.0/users/me", tc.answer)
		if _, err := r.At(c).UserInfo(t.Context(), theAccess); KindOf(err) != tc.kind {
			t.Errorf("%s: %v", name, err)
		}
		got, err := r.At(c).Check(t.Context(), theTokens())
		if got.Valid || tc.kind == KindDenied && err != nil {
			t.Errorf("%s: checked as %v, %v", name, got, err)
		}
	}
}

// Trap 11: the code expires within half a minute, so the request that spends it is sent
// first, and one that comes too late ends in a new consent, not in a retry.
func TestTrap11_BoxCodeLives30Seconds(t *testing.T) {
	t.Parallel()
	w, r := newWorld(t)
	c := Client{Type: "box", ID: "id", Secret: theSecret}
	w.says("POST api.box.com/oauth2/token", 400, `{"error":"invalid_grant","error_description":"The authorization code has expired"}`)
	_, err := exchange(t, r, c)
	if e := want(t, err, KindDenied, "invalid_grant"); e.Ambiguous {
		t.Error("it would be tried again")
	}
	if all := w.requests(); len(all) != 1 || all[0].form(t).Get("code") != theCode {
		t.Errorf("%d requests around one exchange", len(all))
	}
	if diff := cmp.Diff([]string{"api.box.com"}, w.hosts()); diff != "" {
		t.Error(diff)
	}
}

// Trap 12: a bad client is a 400 here, as an invalid token is, and only the code tells
// them apart: one ends a grant, the other must not.
func TestTrap12_BoxBadClient(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		status int
		body   string
		kind   Kind
		code   string
	}{
		"bad secret":          {400, boxClient, KindClient, "invalid_client"},
		"by its words":        {400, `{"error":"invalid_request","error_description":"The client credentials are not valid"}`, KindClient, "invalid_request"},
		"as a grant":          {400, `{"error":"invalid_grant","error_description":"The client credentials are not valid"}`, KindClient, "invalid_grant"},
		"not allowed":         {400, `{"error":"unauthorized_client","error_description":"The grant type is unauthorized for this client_id"}`, KindDenied, "unauthorized_client"},
		"replayed":            {400, boxReplay, KindDenied, "invalid_grant"},
		"invalid":             {400, `{"error":"invalid_grant","error_description":"Invalid refresh token"}`, KindDenied, "invalid_grant"},
		"throttled":           {429, `{"type":"error","status":429}`, KindTransient, ""},
		"a gateway":           {502, htmlPage, KindTransient, ""},
		"redirect_uri":        {400, `{"error":"redirect_uri_mismatch","error_description":"x"}`, KindRefused, "redirect_uri_mismatch"},
		"trap 29: elsewhere":  {307, "", KindProtocol, ""},
		"trap 1: in a 200":    {200, boxReplay, KindDenied, "invalid_grant"},
		"500 ends no grant":   {500, boxReplay, KindTransient, "invalid_grant"},
		"200 without a token": {200, `{"token_type":"bearer"}`, KindProtocol, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, r := newWorld(t)
			w.mux.HandleFunc("POST api.box.com/oauth2/token", reply(tc.status, "application/json", tc.body, "Location", "https://evil.example/token"))
			_, err := r.At(Client{Type: "box", ID: "id", Secret: theSecret}).Refresh(t.Context(), theTokens())
			want(t, err, tc.kind, tc.code)
			if diff := cmp.Diff([]string{"api.box.com"}, w.hosts()); diff != "" || len(w.requests()) != 1 {
				t.Errorf("%d requests: %s", len(w.requests()), diff)
			}
		})
	}
}

// Rule 26 for Box. What it answers for an invalid token is not documented, so either of
// the two codes that can mean it counts.
func TestProtocolRule26_BoxRevoke(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		status  int
		body    string
		outcome models.Outcome
		kind    Kind
	}{
		"done":                {200, "", models.OutcomeRevoked, ""},
		"invalid before":      {400, `{"error":"invalid_token","error_description":"x"}`, models.OutcomeAlreadyRevoked, ""},
		"invalid, as a grant": {400, `{"error":"invalid_grant","error_description":"x"}`, models.OutcomeAlreadyRevoked, ""},
		"trap 12":             {400, boxClient, "", KindClient},
		"trap 12 with 401":    {401, boxClient, "", KindClient},
		"throttled":           {429, "", "", KindTransient},
		"down":                {503, htmlPage, "", KindTransient},
		"our mistake":         {400, `{"error":"invalid_request"}`, "", KindRefused},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, r, c := boxUpstream(t)
			f.says("POST api.box.com/oauth2/revoke", tc.status, tc.body)
			outcome, err := r.At(c).Revoke(t.Context(), theTokens(), models.RevokeGrant)
			if outcome != tc.outcome || KindOf(err) != tc.kind {
				t.Fatalf("%q, %v", outcome, err)
			}
			sent := []string{}
			for _, req := range f.requests() {
				form := req.form(t)
				sent = append(sent, form.Get("token"))
				if form.Get("client_id") != "id" || form.Get("client_secret") != theSecret || req.header.Get("Authorization") != "" {
					t.Error("the client authenticates in the form, and only there")
				}
			}
			if whole := []string{theRefresh, theAccess}; err == nil && !slices.Equal(sent, whole) || err != nil && !slices.Equal(sent, whole[:1]) {
				t.Errorf("sent %d tokens, the refresh token comes first", len(sent))
			}
		})
	}
}
