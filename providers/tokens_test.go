package providers

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTokensOfFixtures(t *testing.T) {
	t.Parallel()
	day := 24 * time.Hour
	cases := map[string]struct {
		body string
		want Tokens
	}{
		"github app": {githubAppTokens, Tokens{Access: "ghu_x", Refresh: "ghr_x", Scopes: []string{},
			ExpiresIn: 8 * time.Hour, RefreshExpiresIn: 183 * day}},
		"github classic": {githubClassicTokens, Tokens{Access: "gho_x", Scopes: []string{"repo", "user:email"},
			Missing: []string{"profile", "email"}}},
		"gitlab": {`{"access_token":"a","token_type":"Bearer","expires_in":7200,"refresh_token":"r","scope":"profile email","created_at":1700000000}`,
			Tokens{Access: "a", Refresh: "r", Scopes: []string{"profile", "email"}, ExpiresIn: 2 * time.Hour}},
		"bitbucket": {`{"access_token":"a","scopes":"account email","expires_in":7200,"refresh_token":"r","token_type":"bearer","state":"authorization_code"}`,
			Tokens{Access: "a", Refresh: "r", Scopes: []string{"account", "email"}, ExpiresIn: 2 * time.Hour, Missing: []string{"profile"}}},
		"entra": {`{"token_type":"Bearer","expires_in":3599,"ext_expires_in":3599,"access_token":"a","refresh_token":"r","id_token":"i"}`,
			Tokens{Access: "a", Refresh: "r", ID: "i", ExpiresIn: 3599 * time.Second}},
		"box": {`{"access_token":"a","expires_in":3600,"restricted_to":[],"refresh_token":"r","token_type":"bearer"}`,
			Tokens{Access: "a", Refresh: "r", ExpiresIn: time.Hour}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, r, c := testUpstream(t)
			f.says("POST /token", 200, tc.body)
			got, err := exchange(t, r, c)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestProtocolRule15_ExpiresIn(t *testing.T) {
	t.Parallel()
	bad := []string{FlagBadExpiry}
	cases := map[string]struct {
		value string
		want  time.Duration
		flags []string
	}{
		"number":         {`3600`, time.Hour, nil},
		"numeric string": {`"3600"`, time.Hour, nil},
		"float":          {`3600.0`, time.Hour, nil},
		"null":           {`null`, 0, nil},
		"zero":           {`0`, 0, nil},
		"negative":       {`-1`, 0, bad},
		"overflow":       {`99999999999999999999`, 0, bad},
		"exponent":       {`1e300`, 0, bad},
		"word":           {`"soon"`, 0, bad},
		"not a number":   {`"NaN"`, 0, bad},
		"object":         {`{"seconds":1}`, 0, bad},
		"boolean":        {`true`, 0, bad},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, r, c := testUpstream(t)
			f.says("POST /token", 200, `{"access_token":"a","refresh_token":"b","token_type":"bearer","expires_in":`+tc.value+`}`)
			got, err := r.At(c).Refresh(t.Context(), theTokens())
			if err != nil {
				t.Fatalf("R6: the tokens were lost: %v", err)
			}
			if diff := cmp.Diff(Tokens{Access: "a", Refresh: "b", ExpiresIn: tc.want, Flags: tc.flags}, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// R6: an upstream that rotates has ended the old pair by the time it answers.
// Whatever else is wrong with its answer, the new pair is the only one left.
func TestR6_EveryAnswerWithATokenIsKept(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		status            int
		contentType, body string
		flags             []string
	}{
		"status 201":       {201, "application/json", `{"access_token":"a","refresh_token":"b"}`, nil},
		"html type":        {200, "text/html", `{"access_token":"a","refresh_token":"b"}`, nil},
		"form":             {200, "application/x-www-form-urlencoded", `access_token=a&refresh_token=b`, nil},
		"form as text":     {200, "text/plain; charset=utf-8", `access_token=a&refresh_token=b`, nil},
		"trailing rubbish": {200, "application/json", `{"access_token":"a","refresh_token":"b"} <!-- x -->`, nil},
		"odd type":         {200, "application/json", `{"access_token":"a","refresh_token":"b","token_type":"mac"}`, []string{FlagOddTokenType}},
		"numeric type":     {200, "application/json", `{"access_token":"a","refresh_token":"b","token_type":7}`, nil},
		"error beside":     {200, "application/json", `{"access_token":"a","refresh_token":"b","error":"invalid_grant"}`, []string{FlagErrorWithToken}},
		"odd scope":        {200, "application/json", `{"access_token":"a","refresh_token":"b","scope":{"x":1}}`, nil},
		"odd id_token":     {200, "application/json", `{"access_token":"a","refresh_token":"b","id_token":[]}`, nil},
		"bad refresh expiry": {200, "application/json", `{"access_token":"a","refresh_token":"b","refresh_expires_in":"never"}`,
			[]string{FlagBadRefreshExpiry}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, r, c := testUpstream(t)
			f.mux.HandleFunc("POST /token", reply(tc.status, tc.contentType, tc.body))
			got, err := r.At(c).Refresh(t.Context(), theTokens())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(Tokens{Access: "a", Refresh: "b", Flags: tc.flags}, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestR6_ATokenIsAtMost16KiB(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"access_token", "refresh_token"} {
		for length, ok := range map[int]bool{MaxToken: true, MaxToken + 1: false} {
			f, r, c := testUpstream(t)
			f.says("POST /token", 200, `{"access_token":"a","`+name+`":"`+strings.Repeat("x", length)+`"}`)
			_, err := exchange(t, r, c)
			if ok && err != nil {
				t.Errorf("%s of %d: %v", name, length, err)
			}
			if !ok {
				want(t, err, KindProtocol, "")
			}
		}
	}
}

func TestProtocolRule14_TokenType(t *testing.T) {
	t.Parallel()
	for kind, odd := range map[string]bool{"bearer": false, "Bearer": false, "BEARER": false, "": false, "DPoP": true, "mac": true} {
		f, r, c := testUpstream(t)
		f.says("POST /token", 200, `{"access_token":"a","token_type":"`+kind+`"}`)
		got, err := exchange(t, r, c)
		if err != nil {
			t.Fatal(err)
		}
		if flagged := len(got.Flags) == 1 && got.Flags[0] == FlagOddTokenType; flagged != odd {
			t.Errorf("token_type %q: flags %v", kind, got.Flags)
		}
	}
}

// Trap 24: GitHub separates granted scopes with commas.
func TestProtocolRule16_GrantedScopes(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, fields string
		want         []string
		missing      []string
	}{
		{"not said", `"x":1`, nil, nil},
		{"none", `"scope":""`, []string{}, nil},
		{"spaces", `"scope":"a b"`, []string{"a", "b"}, nil},
		{"commas, trap 24", `"scope":"a,b"`, []string{"a", "b"}, nil},
		{"both", `"scope":"a, b"`, []string{"a", "b"}, nil},
		{"list", `"scope":["a","b"]`, []string{"a", "b"}, nil},
		{"scopes", `"scopes":"a b"`, []string{"a", "b"}, nil},
		{"less than asked", `"scope":"a"`, []string{"a"}, []string{"b"}},
		{"more than asked", `"scope":"a b c"`, []string{"a", "b", "c"}, nil},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f, r, c := testUpstream(t)
			c.Scopes = []string{"a", "b", "offline_access"}
			f.says("POST /token", 200, `{"access_token":"t",`+tc.fields+`}`)
			got, err := exchange(t, r, c)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(Tokens{Access: "t", Scopes: tc.want, Missing: tc.missing}, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestProtocolRule17_AnswerWithoutRefreshToken(t *testing.T) {
	t.Parallel()
	f, r, c := testUpstream(t)
	f.says("POST /token", 200, `{"access_token":"a","expires_in":3599}`)
	got, err := r.At(c).Refresh(t.Context(), theTokens())
	if err != nil {
		t.Fatal(err)
	}
	if got.Refresh != "" {
		t.Error("the old refresh token came back as if it were in the answer")
	}
}

func TestProtocolRule21_RefreshExpiry(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"refresh_token_expires_in", "refresh_expires_in", "x_refresh_token_expires_in"} {
		f, r, c := testUpstream(t)
		f.says("POST /token", 200, `{"access_token":"a","refresh_token":"b","`+name+`":"86400"}`)
		got, err := exchange(t, r, c)
		if err != nil || got.RefreshExpiresIn != 24*time.Hour {
			t.Errorf("%s: %v, %v", name, got.RefreshExpiresIn, err)
		}
	}
}

func TestProtocolRule22_RefreshAsksForNoScope(t *testing.T) {
	t.Parallel()
	f, r, c := testUpstream(t)
	c.Scopes = []string{"everything"}
	f.says("POST /token", 200, `{"access_token":"a"}`)
	if _, err := r.At(c).Refresh(t.Context(), theTokens()); err != nil {
		t.Fatal(err)
	}
	form := f.last(t).form(t)
	if form.Get("grant_type") != "refresh_token" || form.Get("refresh_token") != theRefresh || form.Has("scope") {
		t.Errorf("sent %v", form)
	}
}

func TestRefreshWithoutATokenAsksNobody(t *testing.T) {
	t.Parallel()
	f, r, c := testUpstream(t)
	_, err := r.At(c).Refresh(t.Context(), Tokens{Access: theAccess})
	want(t, err, KindDenied, "")
	if n := len(f.requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// Trap 2: without an Accept header GitHub answers with a form.
func TestTrap02_GitHubFormAnswer(t *testing.T) {
	t.Parallel()
	f, r, c := githubUpstream(t)
	f.mux.HandleFunc("POST /login/oauth/access_token", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept") == "application/json" {
			reply(200, "application/json", githubClassicTokens)(w, r)
			return
		}
		t.Error("did not ask for JSON")
	})
	first, err := exchange(t, r, c)
	if err != nil {
		t.Fatal(err)
	}

	f, r, c = githubUpstream(t)
	f.mux.HandleFunc("POST /login/oauth/access_token", reply(200, "application/x-www-form-urlencoded; charset=utf-8", githubFormTokens))
	second, err := exchange(t, r, c)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, second); diff != "" {
		t.Error(diff)
	}
}
