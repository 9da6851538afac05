package providers

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/grantd/grantd/models"
)

func init() { dialects["google"] = googleDialect }

const (
	googleToken = "https://oauth2.googleapis.com"
	googleID    = "123456789012-abc.apps.googleusercontent.com"
	googleHalf  = 180 * 24 * time.Hour
	invalidRapt = `{"error":"invalid_grant","error_subtype":"invalid_rapt","error_description":"reauth related error (invalid_rapt)"}`
)

func googleDialect(string) dialect {
	return dialect{
		clientID:     googleID,
		scopes:       []string{"openid", "email", "profile"},
		authorizeURL: "https://accounts.google.com/o/oauth2/v2/auth", tokenURL: googleToken + "/token",
		deviceURL: googleToken + "/device/code", revokeURL: googleToken + "/revoke",
		settingsURL:  "https://myaccount.google.com/permissions",
		asks:         map[string]string{"access_type": "offline", "prompt": "consent"},
		asksSkipping: map[string]string{"access_type": "offline"},
		iss:          "https://accounts.google.com",

		rotation:    keeps,
		life:        3599 * time.Second,
		refreshLife: googleHalf,
		answer:      func(a map[string]any) { a["id_token"] = "not.looked.at" },
		spell: func(scope string) string {
			if scope == "openid" {
				return scope
			}
			return "https://www.googleapis.com/auth/userinfo." + scope
		},
		invalidRefresh: says{400, `{"error":"invalid_grant","error_description":"Token has been expired or revoked."}`},
		badClient:      says{401, `{"error":"invalid_client","error_description":"Unauthorized"}`},

		kills:          killsGrant,
		grantKillsAll:  true,
		revokesUnasked: true,
		revokeInvalid:  says{400, `{"error":"invalid_token","error_description":"Token expired or revoked"}`},
		documents:      map[string]any{"GET https://www.googleapis.com/oauth2/v3/certs": keysDocument()},
		resources: map[string]func(*strict, *pair, *http.Request) (int, any){
			"GET https://openidconnect.googleapis.com/v1/userinfo": func(*strict, *pair, *http.Request) (int, any) {
				return 200, `{"sub":"110169484474386276334","name":"Ada L","given_name":"Ada","family_name":"L",
					"picture":"https://pics.example/a.png","email":"ada@x.example","email_verified":true,"hd":"x.example"}`
			},
		},
		device: deviceDialect{ // trap 31
			fields: func(a map[string]any) { a["verification_url"] = a["verification_uri"]; delete(a, "verification_uri") },
			states: map[DeviceState]says{
				DevicePending:  {428, `{"error":"authorization_pending","error_description":"Precondition Required"}`},
				DeviceSlowDown: {403, `{"error":"slow_down","error_description":"Forbidden"}`},
				DeviceDeclined: {403, `{"error":"access_denied","error_description":"Forbidden"}`},
			},
		},
		user: models.User{Sub: "110169484474386276334", Name: "Ada L", GivenName: "Ada", FamilyName: "L", Email: "ada@x.example",
			Picture: "https://pics.example/a.png"},
		fixtures: []fixture{
			{"expired or revoked", refreshing, says{400, `{"error":"invalid_grant","error_description":"Token has been expired or revoked."}`}, KindDenied, "invalid_grant", ""},
			{"in fewer words", refreshing, says{400, `{"error":"invalid_grant","error_description":"Bad Request"}`}, KindDenied, "invalid_grant", ""},
			{"session control", refreshing, says{400, invalidRapt}, KindDenied, "invalid_grant", ""},
			// Not the end: an administrator who lifts the restriction brings it back, and
			// asking the person again would not.
			{"a Workspace forbids it", refreshing, says{400, `{"error":"admin_policy_enforced"}`}, KindRefused, "admin_policy_enforced", ""},
			{"a deleted client", refreshing, says{401, `{"error":"deleted_client","error_description":"The OAuth client was deleted."}`}, KindClient, "deleted_client", ""},
			{"a bad client", refreshing, says{401, `{"error":"invalid_client"}`}, KindClient, "invalid_client", ""},
			{"revoked", revoking, says{200, `{}`}, "", "", models.OutcomeRevoked},
			{"revoked before", revoking, says{400, `{"error":"invalid_token"}`}, "", "", models.OutcomeAlreadyRevoked},
			{"not revocable", revoking, says{400, `{"error":"invalid_request","error_description":"Token is not revocable."}`}, KindRefused, "invalid_request", ""},
			{"by GET it is not there", revoking, says{404, htmlPage}, KindTransient, "", ""},
			{"too many device codes", beginning, says{403, `{"error_code":"rate_limit_exceeded"}`}, KindTransient, "", ""},
			{"a code of a web client", beginning, says{401, `{"error":"invalid_client","error_description":"Invalid client type."}`}, KindClient, "invalid_client", ""},
		},
	}
}

func googleUpstream(t *testing.T) (*world, *Registry, Client) {
	t.Helper()
	w, r := newWorld(t)
	return w, r, Client{Type: "google", ID: googleID, Secret: theSecret}
}

// D1: whatever is revoked ends the whole project's tokens.
func TestTrap07_GoogleRevocationTakesTheProject(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, Options{})
	for id, domain := range map[string]string{
		googleID: "123456789012", "123456789012-other.apps.googleusercontent.com": "123456789012",
		"old.apps.googleusercontent.com": "old.apps.googleusercontent.com", "-x": "-x", "12a-x": "12a-x", "123": "123", "a-1": "a-1",
	} {
		if got := r.At(Client{Type: "google", ID: id}).domain(); got != domain {
			t.Errorf("%s is of project %s", id, got)
		}
	}
	if typ, _ := r.Type("google"); typ.RevokesSingly || typ.RevokesAccessAlone {
		t.Error("the type declares that it ends nothing else")
	}
}

// Google gives a refresh token again only to people who are asked for consent; an
// answer without one is no reason to forget the old one.
func TestTrap08_GoogleRefreshTokenComesWithConsent(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		prompt any
		skip   bool
		want   string
	}{
		{nil, false, "consent"}, {nil, true, ""},
		{"select_account", false, "select_account"}, {"select_account", true, "select_account"},
		{"consent select_account", false, "consent select_account"}, {"consent select_account", true, "select_account"},
		{"consent", true, ""},
	} {
		_, r, c := googleUpstream(t)
		if tc.prompt != nil {
			c.Config = map[string]any{"prompt": tc.prompt}
		}
		_, q := authorizeQuery(t, r, c, AuthorizeRequest{State: "s", Verifier: theVerifier, SkipConsent: tc.skip})
		if q.Get("prompt") != tc.want || q.Get("access_type") != "offline" || q.Has("nonce") {
			t.Errorf("prompt %v, skip %v: %v", tc.prompt, tc.skip, q)
		}
	}
	w, r, c := googleUpstream(t)
	w.says("POST oauth2.googleapis.com/token", 200, `{"access_token":"a","expires_in":3599,"scope":"openid","token_type":"Bearer"}`)
	got, err := exchange(t, r, c)
	want := Tokens{Access: "a", Scopes: []string{"openid"}, Missing: []string{"email", "profile"}, ExpiresIn: 3599 * time.Second}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

func TestGooglePrompt(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, Options{})
	for _, bad := range []any{"login", "none", "", 7} {
		wrong := r.At(Client{Type: "google", ID: googleID, Config: map[string]any{"prompt": bad}}).Validate()
		if len(wrong) != 1 || wrong[0].Name != "config.prompt" {
			t.Errorf("%v: %v", bad, wrong)
		}
	}
}

// Consent for a time, of which seven days in testing are not told, ends the refresh
// token sooner than six months without use.
func TestTrap09_GoogleConsentForATime(t *testing.T) {
	t.Parallel()
	for fields, life := range map[string]time.Duration{"": googleHalf, `,"refresh_token_expires_in":604799`: 604799 * time.Second} {
		w, r, c := googleUpstream(t)
		w.says("POST oauth2.googleapis.com/token", 200, `{"access_token":"a","refresh_token":"r","expires_in":3599`+fields+`}`)
		got, err := exchange(t, r, c)
		if err != nil || got.RefreshExpiresIn != life {
			t.Errorf("%s: %v, %v", fields, got.RefreshExpiresIn, err)
		}
	}
}

// Google drops the oldest of more than a hundred refresh tokens without a word. Its grant is
// still valid, so the access token is tried before anything is reported as revoked.
func TestTrap10_GoogleDroppedRefreshToken(t *testing.T) {
	t.Parallel()
	w, r, c := googleUpstream(t)
	w.mux.HandleFunc("POST oauth2.googleapis.com/revoke", func(rw http.ResponseWriter, req *http.Request) {
		if req.FormValue("token") == theRefresh {
			reply(400, "application/json", `{"error":"invalid_token"}`)(rw, req)
			return
		}
		reply(200, "application/json", `{}`)(rw, req)
	})
	outcome, err := r.At(c).Revoke(t.Context(), theTokens(), models.RevokeGrant)
	if outcome != models.OutcomeRevoked || err != nil || len(w.requests()) != 2 {
		t.Errorf("%q, %v, %d requests", outcome, err, len(w.requests()))
	}
}

func TestGoogleRevokesWithOneToken(t *testing.T) {
	t.Parallel()
	w, r, c := googleUpstream(t)
	w.says("POST oauth2.googleapis.com/revoke", 200, `{}`)
	if outcome, err := r.At(c).Revoke(t.Context(), theTokens(), models.RevokeGrant); outcome != models.OutcomeRevoked || err != nil {
		t.Fatalf("%q, %v", outcome, err)
	}
	if diff := cmp.Diff(url.Values{"token": {theRefresh}}, w.last(t).form(t)); diff != "" || len(w.requests()) != 1 {
		t.Errorf("%d requests %s", len(w.requests()), diff)
	}
}

// Answers spell e-mail and profile out; what people unticked is missed all the same.
func TestTrap24_GoogleLongScopes(t *testing.T) {
	t.Parallel()
	const drive = "https://www.googleapis.com/auth/drive.file"
	w, r, c := googleUpstream(t)
	c.Scopes = []string{"openid", "email", "profile", drive}
	w.says("POST oauth2.googleapis.com/token", 200,
		`{"access_token":"a","scope":"https://www.googleapis.com/auth/userinfo.email openid https://www.googleapis.com/auth/userinfo.profile"}`)
	got, err := exchange(t, r, c)
	if diff := cmp.Diff([]string{drive}, got.Missing); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

// Google sends an iss that no metadata promises. The bare host is for id_tokens.
func TestTrap22_GoogleIssuer(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, Options{})
	for iss, ok := range map[string]bool{"https://accounts.google.com": true, "": true, "accounts.google.com": false,
		"https://accounts.google.com/": false, "https://evil.example": false} {
		if err := r.At(Client{Type: "google", ID: googleID}).CheckIssuer(t.Context(), iss, true); (err == nil) != ok {
			t.Errorf("%q: %v", iss, err)
		}
	}
}
