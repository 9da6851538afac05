package providers

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/grantd/grantd/models"
)

func init() { dialects["github"] = githubDialect }

// githubDialect is GitHub with an OAuth App whose tokens expire.
func githubDialect(host string) dialect {
	base, api := "https://"+host, "https://"+host+"/api/v3"
	if host == "github.com" {
		api = "https://api.github.com"
	}
	const id = "Iv1.01/23+x"
	app := api + "/applications/" + url.PathEscape(id)
	return dialect{
		clientID:     id,
		scopes:       []string{"read:user", "user:email"},
		authorizeURL: base + "/login/oauth/authorize",
		tokenURL:     base + "/login/oauth/access_token",
		deviceURL:    base + "/login/device/code",
		settingsURL:  base + "/settings/connections/applications/" + url.PathEscape(id),
		iss:          base + "/login/oauth",

		rotation:           rotates,
		refreshKillsAccess: true,
		life:               8 * time.Hour,
		refreshLife:        183 * 24 * time.Hour,
		answer:             func(a map[string]any) { a["refresh_token_expires_in"] = 15811200 },
		echo:               func(granted []string) map[string]any { return map[string]any{"scope": strings.Join(granted, ",")} },
		// Trap 1: errors are 200s.
		invalidCode:    says{200, `{"error":"bad_verification_code","error_description":"The code passed is incorrect or expired."}`},
		invalidRefresh: says{200, `{"error":"bad_refresh_token","error_description":"The refresh token passed is incorrect or expired."}`},
		badClient:      says{200, `{"error":"incorrect_client_credentials"}`},

		needsAccess:      true,
		refreshOutlives:  true,
		grantKillsAll:    true,
		checkTellsScopes: true,
		special: map[string]func(*strict, http.ResponseWriter, *http.Request, []byte){
			"DELETE " + app + "/grant": githubApp(func(s *strict, w http.ResponseWriter, p *pair) { s.killAll(); reply(204, "", "")(w, nil) }),
			"DELETE " + app + "/token": githubApp(func(s *strict, w http.ResponseWriter, p *pair) { p.accessRevoked = true; reply(204, "", "")(w, nil) }),
			"POST " + app + "/token":   githubApp(func(s *strict, w http.ResponseWriter, p *pair) { tell(w, 200, githubToken(p)) }),
			"PATCH " + app + "/token": githubApp(func(s *strict, w http.ResponseWriter, p *pair) {
				p.accessRevoked = true
				tell(w, 200, githubToken(s.issue(p.refresh, p.scopes)))
			}),
		},
		resources: map[string]func(*strict, *pair, *http.Request) (int, any){
			"GET " + api + "/user":        func(*strict, *pair, *http.Request) (int, any) { return 200, octo },
			"GET " + api + "/user/emails": func(*strict, *pair, *http.Request) (int, any) { return 200, octoEmails },
		},
		noBearer: says{401, `{"message":"Bad credentials"}`},
		device: deviceDialect{states: map[DeviceState]says{ // trap 31
			DevicePending:  {200, `{"error":"authorization_pending"}`},
			DeviceSlowDown: {200, `{"error":"slow_down","interval":10}`},
			DeviceExpired:  {200, `{"error":"token_expired"}`},
			DeviceDeclined: {200, `{"error":"access_denied"}`},
		}},
		user: models.User{Sub: "583231000000000001", NickName: "octo", Email: "new@x.example",
			Picture: "https://avatars.example/u/1", Description: "b"},
	}
}

// Deleting the grant of one connection ends every other one of the same person and
// client, so it is for the last.
func TestTrap06_GitHubGrantDeletionTakesSiblingsAlong(t *testing.T) {
	t.Parallel()
	s := newStrict(t, "github", "github.com", githubDialect("github.com"))
	first, second, third := s.login(), s.login(), s.login()
	s.mustRevoke(first, models.RevokeToken)
	if access, _ := s.is(second); !access {
		t.Error("the deletion of one token took a sibling along")
	}
	s.mustRevoke(second, models.RevokeGrant)
	if access, refresh := s.is(third); access || refresh {
		t.Error("the deletion of the grant left a sibling valid")
	}
}

// githubApp is one of the application endpoints: plain Basic and a JSON body with
// a living access token, else 404.
func githubApp(act func(*strict, http.ResponseWriter, *pair)) func(*strict, http.ResponseWriter, *http.Request, []byte) {
	return func(s *strict, w http.ResponseWriter, r *http.Request, body []byte) {
		var sent map[string]string
		if json.Unmarshal(body, &sent) != nil || len(sent) != 1 || r.Header.Get("Accept") != githubJSON {
			s.t.Errorf("%s %s: sent %d fields, asked for %q", r.Method, r.URL.Path, len(sent), r.Header.Get("Accept"))
		}
		id, secret, basic := r.BasicAuth()
		if !basic || id != s.c.ID {
			s.t.Errorf("%s %s: plain Basic with the client id is wanted", r.Method, r.URL.Path)
		}
		if secret != theSecret {
			tell(w, 401, map[string]any{"message": "Bad credentials"})
			return
		}
		p := s.live(sent["access_token"])
		if p == nil {
			tell(w, 404, notFound)
			return
		}
		act(s, w, p)
	}
}

func githubToken(p *pair) map[string]any {
	fields := map[string]any{"id": 1, "token": p.access, "scopes": p.scopes, "expires_at": nil}
	maps.Copy(fields, map[string]any{"user": map[string]any{"login": "octo", "id": 1}})
	return fields
}
