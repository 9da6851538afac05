package providers

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grantd/grantd/models"
)

// Finding K5: an invalid refresh token in other words than invalid_grant was a passing
// failure for ever: the authorization stayed active, and its callers got 502.
func TestR15_TheEndOfAGrantInEveryDialect(t *testing.T) {
	t.Parallel()
	text := func(code, text string) string { return `{"error":"` + code + `","error_description":"` + text + `"}` }
	for name, tc := range map[string]struct {
		status int
		body   string
		kind   Kind
		code   string
	}{
		"Slack, with 200":          {200, `{"ok":false,"error":"invalid_refresh_token"}`, KindDenied, "invalid_refresh_token"},
		"LinkedIn":                 {400, text("invalid_request", "The provided authorization grant or refresh token is invalid, expired or revoked"), KindDenied, "invalid_request"},
		"as found":                 {400, text("invalid_request", "The refresh token is invalid, expired or revoked"), KindDenied, "invalid_request"},
		"Bitbucket":                {400, text("invalid_request", "Invalid refresh_token"), KindDenied, "invalid_request"},
		"expired":                  {400, text("invalid_request", "Refresh token has expired"), KindDenied, "invalid_request"},
		"not found":                {400, text("invalid_request", "refresh token not found"), KindDenied, "invalid_request"},
		"Facebook, nested":         {400, `{"error":{"message":"Session has expired","type":"OAuthException","code":190}}`, KindDenied, "190"},
		"nested text":              {400, `{"error":{"code":"invalid_grant","message":"no"}}`, KindDenied, "invalid_grant"},
		"nested in 200":            {200, `{"error":{"code":190}}`, KindDenied, "190"},
		"Fitbit, listed":           {400, `{"errors":[{"errorType":"invalid_grant","message":"Refresh token invalid"}],"success":false}`, KindDenied, "invalid_grant"},
		"listed behind another":    {400, `{"errors":[{"errorType":"oauth"},{"errorType":"invalid_grant"}]}`, KindDenied, "invalid_grant"},
		"listed as text":           {400, `{"errors":["invalid_grant"]}`, KindDenied, "invalid_grant"},
		"HubSpot, upper case":      {400, `{"status":"BAD_REFRESH_TOKEN","message":"missing or unknown"}`, KindDenied, "bad_refresh_token"},
		"upper case":               {400, text("BAD_REFRESH_TOKEN", ""), KindDenied, "bad_refresh_token"},
		"Gitea":                    {400, text("unauthorized_client", "unable to parse refresh token"), KindDenied, "unauthorized_client"},
		"Atlassian":                {403, text("unauthorized_client", "refresh_token is invalid"), KindDenied, "unauthorized_client"},
		"Slack, the client":        {200, `{"ok":false,"error":"bad_client_secret"}`, KindClient, "bad_client_secret"},
		"nested client":            {401, `{"error":{"code":"invalid_client"}}`, KindClient, "invalid_client"},
		"refused without a code":   {200, `{"ok":false}`, KindRefused, ""},
		"nested, of Google's APIs": {403, `{"error":{"code":403,"status":"PERMISSION_DENIED","message":"no"}}`, KindRefused, "permission_denied"},

		// What ends no grant.
		"RFC 6749's own words":       {400, text("invalid_request", "The request is missing a required parameter, includes an invalid parameter value, or is otherwise malformed"), KindRefused, "invalid_request"},
		"a parameter is missing":     {400, text("invalid_request", "Missing parameter: refresh_token"), KindRefused, "invalid_request"},
		"the grant type":             {400, text("invalid_request", "The grant_type refresh_token is invalid"), KindRefused, "invalid_request"},
		"scopes of a refresh token":  {400, text("invalid_request", "invalid scope for refresh token"), KindRefused, "invalid_request"},
		"the same words, other code": {400, text("invalid_scope", "Invalid refresh token"), KindRefused, "invalid_scope"},
		"locked for a while":         {400, text("temporarily_unavailable", "temporarily locked"), KindTransient, "temporarily_unavailable"},
		"429":                        {429, text("invalid_grant", ""), KindTransient, "invalid_grant"},
		"503":                        {503, `{"error":{"code":190}}`, KindTransient, "190"},
		"a gateway's page":           {404, `<html>invalid_grant refresh token is invalid</html>`, KindTransient, ""},
		"a number that is a status":  {400, `{"error":{"code":400,"message":"bad"}}`, KindRefused, ""},
		"a number outside":           {400, `{"code":190,"message":"bad"}`, KindRefused, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, r, c := testUpstream(t)
			f.says("POST /token", tc.status, tc.body)
			_, err := r.At(c).Refresh(t.Context(), theTokens())
			if e := want(t, err, tc.kind, tc.code); e.Ambiguous {
				t.Error("a refusal is taken for an unknown outcome")
			}
		})
	}
}

// R15: where the client is said to be unauthorized while a code is exchanged, no grant
// has ended.
func TestR15_UnauthorizedClientIsAboutTheClientElsewhere(t *testing.T) {
	t.Parallel()
	f, r, c := testUpstream(t)
	f.says("POST /token", 403, `{"error":"unauthorized_client"}`)
	_, err := exchange(t, r, c)
	want(t, err, KindClient, "unauthorized_client")
}

func serverOf(t *testing.T, config map[string]any) (*fake, *Registry, Client) {
	f := newFake(t)
	r := newRegistry(t, Options{Allow: []string{f.host()}})
	all := map[string]any{"authStyle": "post", "authorizeUrl": f.URL + "/authorize", "tokenUrl": f.URL + "/token",
		"userInfoUrl": f.URL + "/user", "revokeUrl": f.URL + "/revoke"}
	for name, v := range config {
		all[name] = v
	}
	return f, r, Client{Type: "oauth2", ID: "id", Secret: theSecret, Config: all}
}

// R15: the configurable types can be told what else ends a grant.
func TestR15_FinalErrorsAreConfig(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		status int
		body   string
		kind   Kind
		code   string
	}{
		{400, `{"error":"TOKEN_GONE"}`, KindDenied, "token_gone"},
		{400, `{"error":{"code":3001}}`, KindDenied, "3001"},
		{200, `{"status":"token_gone"}`, KindDenied, "token_gone"},
		{503, `{"error":"token_gone"}`, KindTransient, "token_gone"},
		{429, `{"error":"token_gone"}`, KindTransient, "token_gone"},
		{400, `{"error":"another"}`, KindRefused, "another"},
	} {
		f, r, c := serverOf(t, map[string]any{"finalErrors": []any{"token_gone", "3001"}})
		if wrong := r.At(c).Validate(); len(wrong) > 0 {
			t.Fatal(wrong)
		}
		f.says("POST /token", tc.status, tc.body)
		f.says("POST /revoke", tc.status, tc.body)
		_, err := r.At(c).Refresh(t.Context(), theTokens())
		want(t, err, tc.kind, tc.code)
		outcome, err := r.At(c).Revoke(t.Context(), theTokens(), models.RevokeToken)
		if ended := tc.kind == KindDenied; (outcome == models.OutcomeAlreadyRevoked) != ended || (err == nil) != ended {
			t.Errorf("a revocation answered %s ends %q with %v", tc.body, outcome, err)
		}
	}
	for _, wrong := range []any{"token_gone", []any{}, []any{"Upper"}, []any{17.0}, []any{"invalid_client"}, []any{"server_error"}, []any{strings.Repeat("x", 65)}} {
		_, r, c := serverOf(t, map[string]any{"finalErrors": wrong})
		if found := r.At(c).Validate(); len(found) != 1 || found[0].Name != "config.finalErrors" {
			t.Errorf("%v: %v", wrong, found)
		}
	}
	_, r, _ := testUpstream(t)
	if found := r.At(Client{Type: "github", ID: "id", Config: map[string]any{"finalErrors": []any{"x"}}}).Validate(); len(found) != 1 {
		t.Errorf("a type whose words are known takes others: %v", found)
	}
}

// Finding K5: an invalid token was "failed" to revoke where the upstream says so in words of
// its own, and so was a pair whose refresh token was revoked and whose access token then
// was not known any more.
func TestR15_AnInvalidTokenIsAlreadyRevoked(t *testing.T) {
	t.Parallel()
	const done, already, failed = models.OutcomeRevoked, models.OutcomeAlreadyRevoked, models.Outcome("")
	type answers struct {
		status int
		body   string
	}
	ok := answers{200, ""}
	for name, tc := range map[string]struct {
		first, second answers
		want          models.Outcome
	}{
		"as found":                {answers{400, `{"status":400,"message":"Invalid token"}`}, answers{400, `{"status":400,"message":"Invalid token"}`}, already},
		"nested":                  {answers{400, `{"error":{"code":190}}`}, answers{400, `{"error":{"code":190}}`}, already},
		"nested in 200":           {answers{200, `{"error":{"code":190}}`}, answers{200, `{"error":{"code":190}}`}, already},
		"not found":               {answers{404, `{"error":"not_found","error_description":"Token not found"}`}, answers{404, `{"error":"token_not_found"}`}, already},
		"invalid_request":         {answers{400, `{"error":"invalid_request","error_description":"The token is expired"}`}, answers{410, `{"message":"unknown token"}`}, already},
		"gone after the first":    {ok, answers{400, `{"message":"whatever"}`}, done},
		"refused after it":        {ok, answers{401, `{"error":"invalid_client"}`}, done},
		"broken after it":         {ok, answers{503, ``}, done},
		"only the second lives":   {answers{400, `{"error":"invalid_token"}`}, ok, done},
		"invalid, then broken":    {answers{400, `{"error":"invalid_token"}`}, answers{503, ``}, failed},
		"invalid, then a refusal": {answers{400, `{"error":"invalid_token"}`}, answers{400, `{"message":"whatever"}`}, failed},
		"not about the token":     {answers{400, `{"message":"Invalid token_type_hint"}`}, ok, failed},
		"about the client":        {answers{401, `{"message":"Invalid token"}`}, ok, failed},
		"a 404 that is a page":    {answers{404, `<html>token not found</html>`}, ok, failed},
		"a 404 of another thing":  {answers{404, `{"message":"Not Found"}`}, ok, failed},
		"one of another client":   {answers{403, `{"error":"unauthorized_client"}`}, ok, failed},
		"not done, with 200":      {answers{200, `{"ok":false,"error":"fatal"}`}, ok, failed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, r, c := serverOf(t, nil)
			f.mux.HandleFunc("POST /revoke", func(w http.ResponseWriter, req *http.Request) {
				a := tc.second
				if req.FormValue("token_type_hint") == "refresh_token" {
					a = tc.first
				}
				reply(a.status, "application/json", a.body)(w, req)
			})
			got, err := r.At(c).Revoke(t.Context(), theTokens(), models.RevokeToken)
			if got != tc.want || (err == nil) != (tc.want != failed) {
				t.Errorf("%q and %v, want %q", got, err, tc.want)
			}
		})
	}
}

// Finding K3: a success that could not be read counted as "not done", and the spent
// refresh token was sent again.
func TestR13_ASuccessThatCannotBeReadIsAmbiguous(t *testing.T) {
	t.Parallel()
	const whole = `{"access_token":"a2","refresh_token":"r2","expires_in":3600}`
	for name, tc := range map[string]struct {
		status      int
		media, body string
		tokens      bool
	}{
		"byte order mark":            {200, "application/json", byteOrderMark + whole, true},
		"form with byte order mark":  {200, "application/x-www-form-urlencoded", byteOrderMark + "access_token=a2&refresh_token=r2", true},
		"form":                       {200, "application/x-www-form-urlencoded", "access_token=a2&refresh_token=r2&expires_in=3600", true},
		"cut off":                    {200, "application/json", `{"access_token":"a2","refresh_token":"r2","name":"Zo`, false},
		"HTML":                       {200, "text/html", "<p>welcome</p>", false},
		"empty":                      {200, "application/json", "", false},
		"no content":                 {204, "", "", false},
		"only a byte order mark":     {200, "application/json", byteOrderMark, false},
		"list":                       {200, "application/json", "[" + whole + "]", false},
		"form as HTML":               {200, "text/html", "access_token=a2&refresh_token=r2", false},
		"no token":                   {200, "application/json", `{"token_type":"bearer"}`, false},
		"a token that is no text":    {200, "application/json", `{"access_token":17}`, false},
		"a token that is too long":   {200, "application/json", `{"access_token":"` + strings.Repeat("x", MaxToken+1) + `"}`, false},
		"an error that is not there": {200, "application/json", `{"error":null,"error_description":""}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, r, c := testUpstream(t)
			f.mux.HandleFunc("POST /token", func(w http.ResponseWriter, req *http.Request) {
				w.Header().Set("Content-Type", tc.media)
				w.WriteHeader(tc.status)
				if tc.status != 204 {
					w.Write([]byte(tc.body))
				}
			})
			got, err := r.At(c).Refresh(t.Context(), theTokens())
			if tc.tokens {
				if err != nil || got.Access != "a2" || got.Refresh != "r2" {
					t.Errorf("%v", err)
				}
				return
			}
			if e := failed(t, err); !e.Ambiguous || !e.Unreadable || e.Kind == KindDenied {
				t.Errorf("ambiguous %v, unreadable %v, %s", e.Ambiguous, e.Unreadable, e.Kind)
			}
		})
	}
	t.Run("a reset in place", func(t *testing.T) {
		t.Parallel()
		f, r, c := githubUpstream(t)
		f.mux.HandleFunc("PATCH /", reply(200, "application/json", `{"token":""}`))
		_, err := r.At(c).Reset(t.Context(), theTokens())
		if e := failed(t, err); !e.Ambiguous {
			t.Error("not ambiguous")
		}
	})
}

// R14: how long tokens live that are never told to end is config where the type cannot
// know.
func TestR14_DefaultLifetimeIsConfig(t *testing.T) {
	t.Parallel()
	_, r, c := serverOf(t, map[string]any{"defaultLifetime": 7200.0})
	if wrong := r.At(c).Validate(); len(wrong) > 0 {
		t.Fatal(wrong)
	}
	if traits, _ := r.At(c).Traits(); traits.DefaultLifetime != 2*time.Hour {
		t.Errorf("it is %v", traits.DefaultLifetime)
	}
	for _, wrong := range []any{0.0, -1.0, 1.5, "7200", 1e12, nil} {
		c.Config["defaultLifetime"] = wrong
		if found := r.At(c).Validate(); len(found) != 1 || found[0].Name != "config.defaultLifetime" {
			t.Errorf("%v: %v", wrong, found)
		}
	}
}

// Each code means one thing, whichever dialect it is from.
func TestNoCodeHasTwoMeanings(t *testing.T) {
	t.Parallel()
	seen := map[string]Kind{}
	for _, row := range codeTable {
		for _, code := range row.codes {
			if kind := seen[code]; kind != "" && kind != row.kind {
				t.Errorf("%s is %s and %s", code, kind, row.kind)
			}
			if code != strings.ToLower(code) || slices.Contains(invalidTokenCodes, code) {
				t.Errorf("%s is in another table too, or not in lower case", code)
			}
			seen[code] = row.kind
		}
	}
}
