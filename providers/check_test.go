package providers

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Protocol rule 29: active alone counts, and an error is not "inactive".
func TestProtocolRule29_Introspection(t *testing.T) {
	t.Parallel()
	end := time.Unix(1900000000, 0).UTC()
	for name, tc := range map[string]struct {
		status int
		body   string
		want   Check
		kind   Kind
	}{
		"active":          {200, `{"active":true,"scope":"a b","exp":1900000000}`, Check{Valid: true, Scopes: []string{"a", "b"}, Missing: []string{"profile", "email"}, ExpiresAt: &end}, ""},
		"for us":          {200, `{"active":true,"client_id":"CLIENT","scope":"email profile"}`, Check{Valid: true, ForClient: true, Scopes: []string{"email", "profile"}}, ""},
		"for another":     {200, `{"active":true,"client_id":"another"}`, Check{Valid: true}, ""},
		"active, no more": {200, `{"active":true}`, Check{Valid: true}, ""},
		"whose it is":     {200, `{"active":true,"sub":"s1"}`, Check{Valid: true, Account: Account{SourceIntrospection, "s1"}}, ""},
		"inactive":        {200, `{"active":false,"scope":"a","exp":1900000000}`, Check{}, ""},
		"says nothing":    {200, `{"scope":"a"}`, Check{}, KindProtocol},
		"not a boolean":   {200, `{"active":"true"}`, Check{}, KindProtocol},
		"down":            {503, `{"active":false}`, Check{}, KindTransient},
		"throttled":       {429, `Retry later`, Check{}, KindTransient},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, r, c := testUpstream(t)
			f.says("POST /introspect", tc.status, strings.ReplaceAll(tc.body, "CLIENT", c.ID))
			got, err := r.At(c).Check(t.Context(), theTokens())
			if KindOf(err) != tc.kind {
				t.Fatalf("%v", err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
			form := f.last(t).form(t)
			if form.Get("token") != theAccess || form.Has("client_secret") || discloses(f.last(t).path) {
				t.Errorf("sent %v", form)
			}
		})
	}
}

// Finding K6: where this client may not introspect, check/ was a 502 for ever and blamed
// the client secret. User info knows too.
func TestACheckFallsBackOnUserInfo(t *testing.T) {
	t.Parallel()
	valid, invalid := says{200, `{"sub":"u1"}`}, says{401, `{"error":"invalid_token"}`}
	for name, tc := range map[string]struct {
		introspection, user says
		valid               bool
		kind                Kind
	}{
		"a refused client":     {says{401, `{"error":"invalid_client"}`}, valid, true, ""},
		"and an invalid token": {says{401, `{"error":"invalid_client"}`}, invalid, false, ""},
		"401 and no more":      {says{401, ``}, valid, true, ""},
		"not for this client":  {says{403, `{"error":"access_denied"}`}, invalid, false, ""},
		"no such place":        {says{404, htmlPage}, valid, true, ""},
		"not by POST":          {says{405, ``}, invalid, false, ""},
		"a 400 for the client": {says{400, `{"error":"unauthorized_client"}`}, valid, true, ""},
		"neither knows":        {says{403, `{}`}, says{503, ``}, false, KindTransient},
		"down":                 {says{503, htmlPage}, valid, false, KindTransient},
		"throttled":            {says{429, ``}, valid, false, KindTransient},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, r, c := testUpstream(t)
			f.says("POST /introspect", tc.introspection.status, tc.introspection.body)
			f.says("GET /userinfo", tc.user.status, tc.user.body)
			got, err := r.At(c).Check(t.Context(), theTokens())
			if got.Valid != tc.valid || KindOf(err) != tc.kind {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

func TestGitHubCheck(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		status int
		body   string
		header string
		want   Check
		kind   Kind
	}{
		"good":           {200, `{"id":1,"scopes":["repo"],"token_last_eight":"x","expires_at":null,"user":{"login":"octo","id":1}}`, "", Check{Valid: true, ForClient: true, Account: Account{SourceUser, "1"}, Scopes: []string{"repo"}, Missing: []string{"read:user", "user:email"}}, ""},
		"invalid":        {404, notFound, "", Check{}, ""},
		"a gateway":      {404, htmlPage, "", Check{}, KindTransient},
		"abuse limit":    {422, `{"message":"Validation Failed"}`, "", Check{}, KindTransient},
		"another client": {401, `{"message":"Bad credentials"}`, "", Check{}, KindClient},
		"rate limit":     {403, `{"message":"API rate limit exceeded"}`, "60", Check{}, KindTransient},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, r, c := githubUpstream(t)
			f.mux.HandleFunc("POST /api/v3/applications/Iv1.0123/token", reply(tc.status, "application/json", tc.body, "Retry-After", tc.header))
			got, err := r.At(c).Check(t.Context(), theTokens())
			if KindOf(err) != tc.kind {
				t.Fatalf("%v", err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
			if id, secret, _ := basicOf(f.last(t)); id != c.ID || secret != theSecret {
				t.Error("plain Basic is what these endpoints want")
			}
		})
	}
}

func basicOf(r request) (id, secret string, ok bool) {
	return (&http.Request{Header: r.header}).BasicAuth()
}

func TestGitHubReset(t *testing.T) {
	t.Parallel()
	f, r, c := githubUpstream(t)
	f.says("PATCH /api/v3/applications/Iv1.0123/token", 200, `{"id":1,"token":"gho_new","scopes":["read:user","user:email"],"expires_at":null}`)
	got, err := r.At(c).Reset(t.Context(), theTokens())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Tokens{Access: "gho_new", Scopes: []string{"read:user", "user:email"}}, got); diff != "" {
		t.Error(diff)
	}
	for name, tc := range map[string]struct {
		status int
		body   string
		kind   Kind
	}{
		"invalid":      {404, notFound, KindDenied},
		"abuse limit":  {422, `{"message":"Validation Failed"}`, KindTransient},
		"client":       {401, `{"message":"Bad credentials"}`, KindClient},
		"no token":     {200, `{"id":1}`, KindProtocol},
		"in trouble":   {502, htmlPage, KindTransient},
		"elsewhere":    {307, "", KindProtocol},
		"a page's 404": {404, htmlPage, KindTransient},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, r, c := githubUpstream(t)
			f.says("PATCH /api/v3/applications/Iv1.0123/token", tc.status, tc.body)
			_, err := r.At(c).Reset(t.Context(), theTokens())
			if KindOf(err) != tc.kind {
				t.Errorf("%v", err)
			}
		})
	}
	t.Run("lost answer", func(t *testing.T) {
		t.Parallel()
		f, r, c := githubUpstream(t)
		f.mux.HandleFunc("PATCH /", hangUp)
		if _, err := r.At(c).Reset(t.Context(), theTokens()); !failed(t, err).Ambiguous || len(f.requests()) != 1 {
			t.Errorf("%v after %d requests", err, len(f.requests()))
		}
	})
}

func TestResetIsRefusedWhereThereIsNone(t *testing.T) {
	t.Parallel()
	f, r, c := testUpstream(t)
	_, err := r.At(c).Reset(t.Context(), theTokens())
	want(t, err, KindRefused, "")
	if len(f.requests()) != 0 {
		t.Error("asked the upstream")
	}
}

// GitHub leaves out scopes that another one holds.
func TestGitHubMissingScopes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		asked, granted string
		missing        []string
	}{
		{"public_repo,repo", "repo", nil},
		{"read:org", "admin:org", nil},
		{"admin:org", "read:org", []string{"admin:org"}},
		{"repo,user:email,offline_access", "user", []string{"repo"}},
	} {
		f, r, c := githubUpstream(t)
		c.Scopes = splitScopes(tc.asked)
		f.says("POST /login/oauth/access_token", 200, `{"access_token":"t","scope":"`+tc.granted+`"}`)
		got, err := exchange(t, r, c)
		if diff := cmp.Diff(tc.missing, got.Missing); err != nil || diff != "" {
			t.Errorf("asked %s, granted %s: %v %s", tc.asked, tc.granted, err, diff)
		}
	}
}
