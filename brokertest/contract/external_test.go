package contract_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/testidp"
)

const (
	externalAuth = "/api/v2/external-auth"
	agentAuth    = "/api/v2/workspaceagents/me/external-auth"
)

// The shapes as the Go SDK reads them, field by field.
type (
	sdkAuths struct {
		Providers []sdkProvider `json:"providers"`
		Links     []sdkLink     `json:"links"`
	}
	sdkProvider struct {
		ID                            string   `json:"id"`
		Type                          string   `json:"type"`
		Device                        bool     `json:"device"`
		DisplayName                   string   `json:"display_name"`
		DisplayIcon                   string   `json:"display_icon"`
		AllowRefresh                  bool     `json:"allow_refresh"`
		AllowValidate                 bool     `json:"allow_validate"`
		SupportsRevocation            bool     `json:"supports_revocation"`
		CodeChallengeMethodsSupported []string `json:"code_challenge_methods_supported"`
	}
	sdkLink struct {
		ProviderID      string    `json:"provider_id"`
		CreatedAt       time.Time `json:"created_at"`
		UpdatedAt       time.Time `json:"updated_at"`
		HasRefreshToken bool      `json:"has_refresh_token"`
		Expires         time.Time `json:"expires"`
		Authenticated   bool      `json:"authenticated"`
		ValidateError   string    `json:"validate_error"`
	}
	sdkAuth struct {
		Authenticated      bool              `json:"authenticated"`
		Device             bool              `json:"device"`
		DisplayName        string            `json:"display_name"`
		SupportsRevocation bool              `json:"supports_revocation"`
		User               *sdkUser          `json:"user"`
		AppInstallable     bool              `json:"app_installable"`
		AppInstallations   []sdkInstallation `json:"installations"`
		AppInstallURL      string            `json:"app_install_url"`
	}
	sdkInstallation struct {
		ID           int     `json:"id"`
		Account      sdkUser `json:"account"`
		ConfigureURL string  `json:"configure_url"`
	}
	sdkUser struct {
		ID         int64  `json:"id"`
		Login      string `json:"login"`
		AvatarURL  string `json:"avatar_url"`
		ProfileURL string `json:"profile_url"`
		Name       string `json:"name"`
	}
	sdkDeletion struct {
		TokenRevoked         bool   `json:"token_revoked"`
		TokenRevocationError string `json:"token_revocation_error"`
	}
	sdkAgent struct {
		AccessToken string         `json:"access_token"`
		TokenExtra  map[string]any `json:"token_extra"`
		URL         string         `json:"url"`
		Type        string         `json:"type"`
		Username    string         `json:"username"`
		Password    string         `json:"password"`
		ExpiresAt   *time.Time     `json:"expires_at"`
	}
	sdkError struct {
		Message     string `json:"message"`
		Detail      string `json:"detail"`
		Validations []struct{ Field, Detail string }
	}
)

// patient lets a disconnect take as long as a busy machine does.
var patient = brokertest.Options{Timing: broker.Timing{InlineRevoke: 30 * time.Second}}

// sdk sends what the Go SDK does: its own header, no Accept, no body.
func sdk(t testing.TB, h *brokertest.Instance, who brokertest.Person, method, path string) brokertest.Answer {
	t.Helper()
	r, err := http.NewRequest(method, h.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Coder-Session-Token", secret(who.Token))
	return h.Send(t, r)
}

// reads decodes what the SDK reads, unless the status is another.
func reads[T any](t testing.TB, a brokertest.Answer) T {
	t.Helper()
	var v T
	if a.Status != 200 {
		t.Fatalf("got %d, want 200: %s", a.Status, a.Body)
	}
	if err := json.Unmarshal(a.Body, &v); err != nil {
		t.Fatalf("the SDK cannot read %s: %v", a.Body, err)
	}
	for _, list := range []string{`"providers":null`, `"links":null`, `"installations":null`, `"code_challenge_methods_supported":null`} {
		if strings.Contains(string(a.Body), list) {
			t.Errorf("%s in %s", list, a.Body)
		}
	}
	return v
}

func listed(t testing.TB, h *brokertest.Instance, who brokertest.Person) sdkAuths {
	t.Helper()
	return reads[sdkAuths](t, sdk(t, h, who, "GET", externalAuth))
}

func shown(t testing.TB, h *brokertest.Instance, who brokertest.Person, name string) sdkAuth {
	t.Helper()
	return reads[sdkAuth](t, sdk(t, h, who, "GET", externalAuth+"/"+name))
}

func gitHubAt(h *brokertest.Instance, config object) object {
	return object{"name": "GitHub", "type": "github", "metadata": object{"host": h.IdPURL}, "config": config}
}

func TestExternalAuthOfTheGoSDK(t *testing.T) {
	eachWith(t, patient, func(t *testing.T, h *brokertest.Instance) {
		if got := listed(t, h, h.User); len(got.Providers)+len(got.Links) != 0 {
			t.Errorf("an empty organisation lists %+v", got)
		}
		p := create(t, h, gitHubAt(h, object{"appSlug": "our-app", "icon": "/icons/github.svg"}))
		id, slug := text(t, p, "id"), text(t, p, "slug")
		inactive := createID(t, h, object{"name": "Off"})
		want(t, 200, h.Do(t, h.Admin, "PATCH", provider(inactive), object{"status": "inactive"}))

		before := shown(t, h, h.User, id)
		if before.Authenticated || before.User != nil || len(before.AppInstallations) != 0 || before.DisplayName != "GitHub" || !before.SupportsRevocation || before.Device {
			t.Errorf("without a link: %+v", before)
		}
		consent(t, h, h.User, id, "ada")
		for _, name := range []string{id, slug} {
			got := shown(t, h, h.User, name)
			if !got.Authenticated || got.User == nil || got.User.ID != 1 || got.User.Login != "ada" || got.User.Name != "Ada Lovelace" {
				t.Errorf("the account by %s: %+v %+v", name, got, got.User)
			}
			if !got.AppInstallable || len(got.AppInstallations) != 2 || got.AppInstallations[0].Account.Login != "ada" || got.AppInstallations[1].ID != 10 {
				t.Errorf("the installations: %+v", got)
			}
			if got.AppInstallURL != h.IdPURL+"/github-apps/our-app/installations/new" {
				t.Errorf("the app is installed at %q", got.AppInstallURL)
			}
		}
		all := listed(t, h, h.User)
		wanted := sdkProvider{id, "github", false, "GitHub", "/icons/github.svg", true, true, true, []string{"S256"}}
		if len(all.Providers) != 1 || !slices.Equal(all.Providers[0].CodeChallengeMethodsSupported, wanted.CodeChallengeMethodsSupported) {
			t.Fatalf("the providers are %+v", all.Providers)
		}
		if got := all.Providers[0]; got.ID != wanted.ID || got.Type != wanted.Type || got.DisplayName != wanted.DisplayName || got.DisplayIcon != wanted.DisplayIcon ||
			!got.AllowRefresh || !got.AllowValidate || !got.SupportsRevocation {
			t.Errorf("the provider is %+v", got)
		}
		if len(all.Links) != 1 || all.Links[0].ProviderID != id || !all.Links[0].HasRefreshToken || !all.Links[0].Authenticated || all.Links[0].ValidateError != "" ||
			all.Links[0].Expires.Before(time.Now()) || all.Links[0].CreatedAt.IsZero() {
			t.Errorf("the links are %+v", all.Links)
		}
		if got := listed(t, h, h.Colleague); len(got.Links) != 0 || len(got.Providers) != 1 {
			t.Errorf("another user sees %+v", got)
		}
		if gone := reads[sdkDeletion](t, sdk(t, h, h.User, "DELETE", externalAuth+"/"+slug)); !gone.TokenRevoked || gone.TokenRevocationError != "" {
			t.Errorf("disconnected: %+v", gone)
		}
		if n := grants(h); n != 0 {
			t.Errorf("%d grants are left upstream", n)
		}
		if after := shown(t, h, h.User, id); after.Authenticated || after.User != nil {
			t.Errorf("after disconnecting: %+v", after)
		}
	})
}

// What an admin sets of a provider shows in both calls.
func TestExternalAuthShowsWhatIsSet(t *testing.T) {
	h := embedded(t)
	p := createID(t, h, object{"config": object{"pkce": false}})
	change(t, h, `UPDATE providers SET config = '{"pkce":false,"device":true}'`)
	got := listed(t, h, h.User).Providers[0]
	if len(got.CodeChallengeMethodsSupported) != 0 || got.CodeChallengeMethodsSupported == nil || !got.Device || !shown(t, h, h.User, p).Device {
		t.Errorf("%+v", got)
	}
}

// Every call is served with and without /api/v2, and never redirected.
func TestExternalAuthIsServedInBothPlaces(t *testing.T) {
	h := embedded(t)
	p := createID(t, h, nil)
	for _, path := range []string{"/external-auth", "/external-auth/", externalAuth, externalAuth + "/", "/external-auth/" + p, externalAuth + "/" + p + "/"} {
		if a := sdk(t, h, h.User, "GET", path); a.Status != 200 || a.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %s", path, a.Status, a.Body)
		}
		want(t, 401, sdk(t, h, impostor, "GET", path))
		r := request(t, h, "GET", path, "") // a bearer token does as well
		want(t, 200, h.Send(t, r))
	}
	if a := h.Do(t, h.User, "GET", "/external-authority", nil); a.Status != 404 {
		t.Errorf("a path that begins alike: %d", a.Status)
	}
}

func TestExternalAuthErrorsReadAsTheSDKReadsThem(t *testing.T) {
	h := embedded(t)
	p := createID(t, h, nil)
	foreign := text(t, want(t, 201, h.Do(t, h.Other, "POST", root+"providers/", newProvider(object{"slug": "theirs"}))), "id")
	bodies := map[string]bool{}
	for _, c := range []struct{ method, name string }{
		{"GET", unknownID}, {"GET", foreign}, {"GET", "theirs"}, {"GET", "no such thing"}, {"GET", "%00"}, {"GET", "%ff"}, {"GET", "a%2fb"}, {"GET", strings.Repeat("x", 2000)},
		{"DELETE", unknownID}, {"DELETE", foreign}, {"DELETE", p}, // nothing is connected
	} {
		a := sdk(t, h, h.User, c.method, externalAuth+"/"+strings.ReplaceAll(c.name, " ", "%20"))
		body := want(t, 404, a)
		delete(body, "requestId")
		same, _ := json.Marshal(body)
		bodies[string(same)] = true
		var e sdkError
		if json.Unmarshal(a.Body, &e) != nil || e.Message == "" {
			t.Errorf("%s %s: %s", c.method, c.name, a.Body)
		}
	}
	if len(bodies) != 1 {
		t.Errorf("what is unknown and what is not connected can be told apart: %v", bodies)
	}
}

// An id wins over a slug, whatever somebody calls a provider.
func TestAnIDWinsOverASlug(t *testing.T) {
	h := embedded(t)
	first := createID(t, h, object{"name": "First"})
	createID(t, h, object{"name": "Second", "slug": first})
	if got := shown(t, h, h.User, first); got.DisplayName != "First" {
		t.Errorf("the name %s is taken for %q", first, got.DisplayName)
	}
	// A provider that is being deleted leaves its slug to others.
	third := create(t, h, object{"name": "Third", "slug": "tools"})
	deleted(t, h, text(t, third, "id"))
	create(t, h, object{"name": "Fourth", "slug": "tools"})
	if got := shown(t, h, h.User, "tools"); got.DisplayName != "Fourth" {
		t.Errorf("the slug leads to %q", got.DisplayName)
	}
}

// Of several accounts the one that was connected last is shown and used, and
// DELETE takes all.
func TestExternalAuthUsesTheNewestAccount(t *testing.T) {
	eachWith(t, patient, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, gitHubAt(h, nil))
		for _, account := range []string{"ada", "grace", "ada"} {
			if backend := h.DatabaseURL; strings.HasPrefix(backend, "sqlite:") {
				h.Clock.Advance(time.Second) // what SQLite keeps has milliseconds
			}
			consent(t, h, h.User, p, account)
			if got := shown(t, h, h.User, p); got.User == nil || got.User.Login != account {
				t.Errorf("after %s connected: %+v", account, got.User)
			}
		}
		if all := listed(t, h, h.User); len(all.Links) != 1 {
			t.Errorf("the links are %+v", all.Links)
		}
		if gone := reads[sdkDeletion](t, sdk(t, h, h.User, "DELETE", externalAuth+"/"+p)); !gone.TokenRevoked {
			t.Errorf("disconnected: %+v", gone)
		}
		want(t, 404, sdk(t, h, h.User, "DELETE", externalAuth+"/"+p))
		if n := grants(h); n != 0 {
			t.Errorf("%d grants are left upstream", n)
		}
	})
}

// What the upstream says about a token decides; that it is throttled or down says
// nothing about the token.
func TestAuthenticatedMeansWhatItSays(t *testing.T) {
	h := embedded(t)
	p := createID(t, h, gitHubAt(h, object{"appSlug": "our-app"}))
	a := consent(t, h, h.User, p, "ada")
	for _, c := range []struct {
		name  string
		fault testidp.Fault
		login string // "" for not authenticated
	}{
		{"throttled", testidp.Fault{Endpoint: testidp.UserInfo, Status: 429}, "ada"},
		{"throttled as GitHub does", testidp.Fault{Endpoint: testidp.UserInfo, Status: 403, Headers: map[string]string{"X-RateLimit-Remaining": "0"}}, "ada"},
		{"forbidden", testidp.Fault{Endpoint: testidp.UserInfo, Status: 403}, "ada"},
		{"down", testidp.Fault{Endpoint: testidp.UserInfo, Status: 503}, "ada"},
		{"rejected once", testidp.Fault{Endpoint: testidp.UserInfo, Status: 401, Times: 1, Body: `{"message":"Bad credentials"}`}, "ada"},
		{"rejected for good", testidp.Fault{Endpoint: testidp.UserInfo, Status: 401, Body: `{"message":"Bad credentials"}`}, ""},
		{"the installations fail", testidp.Fault{Endpoint: testidp.Installations, Status: 500}, "ada"},
		{"the installations are forbidden", testidp.Fault{Endpoint: testidp.Installations, Status: 403}, "ada"},
	} {
		h.IdP.Inject(c.fault)
		got := shown(t, h, h.User, p)
		h.IdP.ClearFaults()
		if _, err := brokertest.SQL(t, h.DatabaseURL).Exec("DELETE FROM pauses"); err != nil { // which a throttled upstream asked for
			t.Fatal(err)
		}
		if got.Authenticated != (c.login != "") || got.Authenticated && got.User.Login != c.login {
			t.Errorf("%s: %+v", c.name, got)
		}
		if strings.HasPrefix(c.name, "the installations") && (got.AppInstallable || got.AppInstallations == nil) {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
	before := h.IdP.Stats().Calls[testidp.UserInfo]
	change(t, h, tokensHaveDied)
	if all := listed(t, h, h.User); !all.Links[0].Authenticated {
		t.Errorf("a token that can be refreshed: %+v", all.Links[0])
	}
	change(t, h, tokensHaveDied+`, has_refresh_token = FALSE`)
	if all := listed(t, h, h.User); all.Links[0].Authenticated || all.Links[0].ValidateError == "" {
		t.Errorf("a token that cannot be refreshed: %+v", all.Links[0])
	}
	if got := shown(t, h, h.User, p); got.Authenticated || got.User != nil {
		t.Errorf("an expired link: %+v", got)
	}
	if asked := h.IdP.Stats().Calls[testidp.UserInfo] - before; asked != 0 {
		t.Errorf("lists asked the upstream %d times", asked)
	}
	want(t, 410, h.Do(t, h.User, "POST", tokenOf(a), nil))
}

// A switched-off provider is not offered, and its link can still be given up.
func TestExternalAuthOfASwitchedOffProvider(t *testing.T) {
	t.Parallel()
	h := brokertest.New(t, &patient)
	p := createID(t, h, nil)
	consent(t, h, h.User, p, "ada")
	want(t, 200, h.Do(t, h.Admin, "PATCH", provider(p), object{"status": "disabled"}))
	all := listed(t, h, h.User)
	if len(all.Providers) != 0 || len(all.Links) != 1 || all.Links[0].Authenticated || all.Links[0].ValidateError == "" {
		t.Errorf("listed: %+v", all)
	}
	want(t, 404, sdk(t, h, h.User, "GET", externalAuth+"/"+p))
	want(t, 404, sdk(t, h, h.User, "GET", agentAuth+"?id="+p))
	if gone := reads[sdkDeletion](t, sdk(t, h, h.User, "DELETE", externalAuth+"/"+p)); !gone.TokenRevoked {
		t.Errorf("disconnected: %+v", gone)
	}
}

// token_revoked is the truth, and what failed is retried until it is.
func TestDeleteTellsTheTruthAndTriesAgain(t *testing.T) {
	eachWith(t, brokertest.Options{Timing: broker.Timing{Backoff: time.Millisecond, ClientProbe: 10 * time.Millisecond}}, func(t *testing.T, h *brokertest.Instance) {
		for _, c := range []struct {
			typ   string
			fault testidp.Fault
		}{
			{"test", testidp.Fault{Endpoint: testidp.Revoke, Status: 503}},
			{"test", testidp.Fault{Endpoint: testidp.Revoke, Status: 200, Body: `{"error":"server_error"}`}},
			{"test", testidp.Fault{Endpoint: testidp.Revoke, WrongSecret: true}},
			{"github", testidp.Fault{Endpoint: testidp.Revoke, Status: 500}},
			{"github", testidp.Fault{Endpoint: testidp.Revoke, Status: 422, Body: `{"message":"Validation Failed"}`}},
		} {
			p := h.Provider(t, c.typ).ID
			consent(t, h, h.User, p, "ada")
			h.IdP.Inject(c.fault)
			gone := reads[sdkDeletion](t, sdk(t, h, h.User, "DELETE", externalAuth+"/"+p))
			if gone.TokenRevoked || len(gone.TokenRevocationError) < 20 {
				t.Errorf("%s %d: %+v", c.typ, c.fault.Status, gone)
			}
			if got := shown(t, h, h.User, p); got.Authenticated {
				t.Errorf("%s %d: the link is still there", c.typ, c.fault.Status)
			}
			h.IdP.ClearFaults()
			brokertest.Eventually(t, "the token is revoked after all", func() bool { return grants(h) == 0 })
		}
	})
}

// A grant that somebody else decides about just then is waited for: the sweeper may
// be revoking a pair of tokens that was replaced.
func TestDeleteWaitsForTheHolderOfTheGrant(t *testing.T) {
	t.Parallel()
	o := patient
	o.WithoutWorker = true
	h := brokertest.New(t, &o)
	p := createID(t, h, nil)
	consent(t, h, h.User, p, "ada")
	key := column(t, h, `SELECT grant_key_v2 FROM authorizations`)[0]
	if ok, err := h.Store.LeaseGrant(ctx, key, "somebody else", time.Minute); err != nil || !ok {
		t.Fatalf("leasing the grant: %t %v", ok, err)
	}
	answer := make(chan brokertest.Answer, 1)
	go func() { answer <- sdk(t, h, h.User, "DELETE", externalAuth+"/"+p) }()
	brokertest.Eventually(t, "the grant is found busy", func() bool {
		return len(column(t, h, `SELECT id FROM authorizations WHERE outcome_reason = 'grant_busy'`)) == 1
	})
	if err := h.Store.ReleaseGrants(ctx, "somebody else", nil); err != nil {
		t.Fatal(err)
	}
	if gone := reads[sdkDeletion](t, <-answer); !gone.TokenRevoked || grants(h) != 0 {
		t.Errorf("disconnected: %+v, %d grants are left", gone, grants(h))
	}
}

// A provider without revocation is not said to have taken anything back.
func TestDeleteWithoutRevocationUpstream(t *testing.T) {
	h := embedded(t)
	p := createID(t, h, nil)
	consent(t, h, h.User, p, "ada")
	h.IdP.Inject(testidp.Fault{Endpoint: testidp.Revoke, Status: 400, Body: `{"error":"unsupported_token_type"}`})
	if gone := reads[sdkDeletion](t, sdk(t, h, h.User, "DELETE", externalAuth+"/"+p)); gone.TokenRevoked || gone.TokenRevocationError == "" {
		t.Errorf("disconnected: %+v", gone)
	}
}

// Finding G6: the agent's answer left out password, username and type where they were
// empty, and a script that read them with jq -r handed git the word "null".
func TestTheAgentCall(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		gitHub := create(t, h, gitHubAt(h, object{"match": []any{"git.example.com/acme"}}))
		plain := createID(t, h, object{"name": "Plain", "config": object{"match": []any{"code.example.com", "git.example.com/tools"}}})
		id := text(t, gitHub, "id")
		ask := func(q url.Values) brokertest.Answer { return sdk(t, h, h.User, "GET", agentAuth+"?"+q.Encode()) }

		// The SDK sends both parameters, one of them empty.
		unlinked := reads[object](t, ask(url.Values{"id": {id}, "match": {""}}))
		empty := object{"access_token": "", "token_extra": object{}, "url": h.URL + "/external-auth/" + id + "/callback", "type": "", "username": "", "password": "", "expires_at": nil}
		if !reflect.DeepEqual(unlinked, empty) {
			t.Errorf("without a link: %v", unlinked)
		}
		a, b := consent(t, h, h.User, id, "ada"), consent(t, h, h.User, plain, "ada")
		for _, q := range []url.Values{
			{"id": {id}, "match": {""}}, {"id": {text(t, gitHub, "slug")}}, {"id": {""}, "match": {"https://git.example.com/acme/app.git"}}, {"match": {"https://GIT.example.com:443/acme"}},
		} {
			got := reads[sdkAgent](t, ask(q))
			if got.AccessToken != accessToken(t, h, h.User, a) || got.Username != "x-access-token" || got.Password != got.AccessToken ||
				got.URL != "" || got.Type != "github" || got.ExpiresAt == nil || got.TokenExtra == nil {
				t.Errorf("%v: %+v", q, got)
			}
		}
		// Without a user name of its own the token is the user name.
		noPassword := ask(url.Values{"match": {"https://code.example.com/x"}})
		if got := reads[sdkAgent](t, noPassword); got.Username != accessToken(t, h, h.User, b) || got.Password != "" || !strings.Contains(string(noPassword.Body), `"password":""`) {
			t.Errorf("%+v", got)
		}
		if cached := ask(url.Values{"id": {id}}).Header.Get("Cache-Control"); cached != "no-store" {
			t.Errorf("Cache-Control is %q", cached)
		}
		// A link that only a new consent can repair is none.
		change(t, h, tokensHaveDied+`, has_refresh_token = FALSE`)
		if got := reads[object](t, ask(url.Values{"id": {id}})); !reflect.DeepEqual(got, empty) {
			t.Errorf("an expired link: %v", got)
		}
	})
}

// A token never goes to an address that only looks like its own.
func TestS2_MatchTakesWholeHostsAndPaths(t *testing.T) {
	h := embedded(t)
	p := createID(t, h, object{"config": object{"match": []any{"github.com", "git.example.com/team"}}})
	consent(t, h, h.User, p, "ada")
	for _, c := range []struct {
		match  string
		status int
	}{
		{"https://github.com/acme/app", 200}, {"https://github.com", 200}, {"https://git.example.com/team/app", 200},
		{"https://github.com.evil.com/acme", 404}, {"https://evil.com/github.com", 404}, {"https://evilgithub.com/", 404}, {"https://api.github.com/", 404},
		{"https://github.com:444/", 404}, {"https://git.example.com/teamwork", 404}, {"https://git.example.com/other/team", 404},
		{"https://github.com@evil.com/", 400}, {"https://ada@github.com/", 400}, {"http://github.com/", 400}, {"git@github.com:acme/app.git", 400},
		{"ssh://git@github.com/acme", 400}, {`https://evil.com\@github.com`, 400}, {"https://github.com#@evil.com", 400}, {"github.com", 400},
		{"https://git.example.com/team/../other", 400}, {"https://git.example.com/team%2fapp", 400}, {"https://git.example.com/team%2fapp x", 400}, {"https://github.com.", 400}, {"https://github.com\x00.evil.com/", 400},
	} {
		a := sdk(t, h, h.User, "GET", agentAuth+"?match="+url.QueryEscape(c.match))
		if body := want(t, c.status, a); c.status != 200 && strings.Contains(string(a.Body), "access_token") {
			t.Errorf("%s: %v", c.match, body)
		}
	}
	for _, q := range []string{"", "id=&match=", "id=" + p + "&match=" + url.QueryEscape("https://github.com")} {
		want(t, 400, sdk(t, h, h.User, "GET", agentAuth+"?"+q))
	}
}

// Two providers that fit are refused, however much longer one's prefix is.
func TestAnAmbiguousMatchIsAConflict(t *testing.T) {
	h := embedded(t)
	p := createID(t, h, object{"name": "Whole", "config": object{"match": []any{"git.example.com"}}})
	createID(t, h, object{"name": "Part", "config": object{"match": []any{"git.example.com/team"}}})
	consent(t, h, h.User, p, "ada")
	want(t, 200, sdk(t, h, h.User, "GET", agentAuth+"?match="+url.QueryEscape("https://git.example.com/other/app")))
	body := want(t, 409, sdk(t, h, h.User, "GET", agentAuth+"?match="+url.QueryEscape("https://git.example.com/team/app")))
	if message := text(t, body, "message"); !strings.Contains(message, "whole") || !strings.Contains(message, "part") {
		t.Errorf("it says %q", message)
	}
	// Another organisation's providers have no say.
	want(t, 404, sdk(t, h, h.Other, "GET", agentAuth+"?match="+url.QueryEscape("https://git.example.com/team/app")))
}

// A client that listens is answered as soon as there is a link.
func TestTheAgentCallListens(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, nil)
		heard := make(chan brokertest.Answer, 1)
		go func() { heard <- sdk(t, h, h.User, "GET", agentAuth+"?id="+p+"&match=&listen=true") }()
		brokertest.Eventually(t, "the client listens", func() bool { return strings.Contains(h.Log.String(), "a client listens for a link") })
		select {
		case a := <-heard:
			t.Fatalf("it did not wait: %d %s", a.Status, a.Body)
		default:
		}
		a := consent(t, h, h.User, p, "ada")
		if got := reads[sdkAgent](t, <-heard); got.AccessToken != accessToken(t, h, h.User, a) {
			t.Errorf("it heard %+v", got)
		}
		// With a link there is nothing to wait for.
		reads[sdkAgent](t, sdk(t, h, h.User, "GET", agentAuth+"?id="+p+"&listen=true"))
		want(t, 404, sdk(t, h, h.User, "GET", agentAuth+"?id="+unknownID+"&listen=true"))
	})
}
