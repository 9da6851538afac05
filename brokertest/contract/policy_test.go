package contract_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/client"
	"github.com/grantd/grantd/models"
)

// things are what a row of the policy acts on: made for each cell, so that
// no cell depends on what another left.
type things struct {
	t *testing.T
	h *brokertest.Instance

	provider, authorization, job string
	session, token, link         string
	webhook                      string
	callback                     object // what the upstream sent the owner back with
	device                       string // the deviceCode that the owner was given
}

func (x *things) needProvider() { x.provider = x.h.Provider(x.t, "test").ID }

func (x *things) needAuthorization() { x.needAuthorizationOf(x.h.User) }

func (x *things) needAuthorizationOf(who brokertest.Person) {
	p := x.h.Provider(x.t, "test")
	x.provider, x.authorization = p.ID, x.h.Consent(x.t, who, p, "ada").ID
}

func (x *things) needAdminsAuthorization() { x.needAuthorizationOf(x.h.Admin) }

func (x *things) needCallback() {
	p := x.h.Provider(x.t, "test")
	back := x.h.Approve(x.t, x.h.Authorize(x.t, x.h.User, p), "ada")
	x.provider = p.ID
	x.callback = object{"providerId": p.ID, "state": back.State.Reveal(), "code": secret(back.Code)}
}

func (x *things) needDeviceProvider() {
	x.provider = createID(x.t, x.h, object{"config": object{"device": true}})
}

func (x *things) needDevice() {
	x.needDeviceProvider()
	begun, err := x.h.Service.BeginDevice(ctx, x.h.User.Caller, x.provider)
	if err != nil {
		x.t.Fatal(err)
	}
	x.device = secret(begun.DeviceCode)
}

func (x *things) needJob() {
	j, err := x.h.Service.StartStats(ctx, x.h.Admin.Caller)
	if err != nil {
		x.t.Fatal(err)
	}
	x.job = j.ID
}

func (x *things) needNothing() {}

func (x *things) needAPIToken() {
	made, _, err := x.h.Service.MakeAPIToken(ctx, x.h.Admin.Caller, broker.NewAPIToken{Role: models.RoleUser, UserID: "app-ci"})
	if err != nil {
		x.t.Fatal(err)
	}
	x.token = made.ID
}

// needLink makes a link as h.Admin, for a user who has no other.
func (x *things) needLink() {
	if x.provider == "" {
		x.needProvider()
	}
	no := false
	l, _, err := x.h.Service.MakeConnectLink(ctx, x.h.Admin.Caller, broker.NewConnectLink{UserID: x.provider, ProviderID: x.provider, SignIn: true, Confirm: &no})
	if err != nil {
		x.t.Fatal(err)
	}
	x.link = l.ID
}

// needFewWebhooks deletes the webhooks that there are: an organisation may have only so many.
func (x *things) needFewWebhooks() {
	for _, who := range []brokertest.Person{x.h.Admin, x.h.Other} {
		for h, err := range who.Client.Webhooks(ctx) {
			if err == nil {
				err = who.Client.DeleteWebhook(ctx, h.ID)
			}
			if err != nil {
				x.t.Fatal(err)
			}
		}
	}
}

func (x *things) needWebhook() {
	x.needFewWebhooks()
	made, err := x.h.Admin.Client.CreateWebhook(ctx, client.NewWebhook{URL: "https://app.example.test/webhooks"})
	if err != nil {
		x.t.Fatal(err)
	}
	x.webhook = made.ID
}

func (x *things) needSession() {
	if _, err := x.h.Service.BeginSession(ctx, broker.SignedIn{Caller: x.h.User.Caller}, "", ""); err != nil {
		x.t.Fatal(err)
	}
	ids := column(x.t, x.h, "SELECT id FROM browser_sessions ORDER BY created_at DESC, id DESC")
	x.session = ids[0]
}

// rule is a row: what is asked, and how each caller is answered. The owner is a
// user; the other user is of the same organisation; the foreign admin of another.
type rule struct {
	operation string // the OpenAPI document's id
	about     string // when an operation has more than one row
	need      func(*things)
	method    string
	path      string // below root, or whole; {provider}, {authorization} and {job} stand for the things
	body      func(*things) any

	admin, owner, other, foreign int
}

func nothing(*things) any { return nil }

// path is the row's, of these things.
func (x *things) path(r rule) string {
	path := strings.NewReplacer("{provider}", x.provider, "{authorization}", x.authorization, "{job}", x.job, "{session}", x.session, "{link}", x.link, "{token}", x.token, "{webhook}", x.webhook).Replace(r.path)
	if !strings.HasPrefix(path, "/") {
		path = root + path
	}
	return path
}

var policy = []rule{
	{"listProviders", "", (*things).needProvider, "GET", "providers/", nothing, 200, 200, 200, 200},
	{"createProvider", "", (*things).needNothing, "POST", "providers/", func(*things) any { return newProvider(nil) }, 201, 403, 403, 201},
	{"getProvider", "", (*things).needProvider, "GET", "providers/{provider}/", nothing, 200, 200, 200, 404},
	{"updateProvider", "", (*things).needProvider, "PATCH", "providers/{provider}/", func(*things) any { return object{"name": "Renamed"} }, 200, 403, 403, 404},
	{"updateProvider", "with nothing in it", (*things).needProvider, "PATCH", "providers/{provider}/", func(*things) any { return object{} }, 200, 403, 403, 404},
	{"deleteProvider", "", (*things).needProvider, "DELETE", "providers/{provider}/", nothing, 202, 403, 403, 404},
	{"deleteProvider", "by force", (*things).needProvider, "DELETE", "providers/{provider}/?force=true", nothing, 202, 403, 403, 404},

	{"authorize", "", (*things).needProvider, "POST", "providers/{provider}/authorize/", nothing, 200, 200, 200, 404},
	// A state belongs to who began, whatever the role (A2).
	{"callback", "", (*things).needCallback, "POST", "providers/callback/", func(x *things) any { return x.callback }, 400, 200, 400, 404},
	{"callback", "with a refusal", (*things).needCallback, "POST", "providers/callback/", func(x *things) any {
		return object{"providerId": x.provider, "state": x.callback["state"], "error": "access_denied"}
	}, 400, 400, 400, 404},

	{"beginDevice", "", (*things).needDeviceProvider, "POST", "providers/{provider}/device/", nothing, 201, 201, 201, 404},
	{"beginDevice", "where it is off", (*things).needProvider, "POST", "providers/{provider}/device/", nothing, 409, 409, 409, 404},
	// The owner has to wait; to the others the code is unknown (TestA2_ADeviceCodeIsBoundToWhoBegan).
	{"pollDevice", "", (*things).needDevice, "POST", "providers/{provider}/device/poll/", func(x *things) any {
		return object{"deviceCode": x.device}
	}, 400, 400, 400, 404},

	{"listAuthorizations", "", (*things).needAuthorization, "GET", "authorizedProviders/", nothing, 200, 200, 200, 200},
	{"getAuthorization", "", (*things).needAuthorization, "GET", "authorizedProviders/{authorization}/", nothing, 200, 200, 404, 404},
	{"getAuthorization", "an admin's", (*things).needAdminsAuthorization, "GET", "authorizedProviders/{authorization}/", nothing, 200, 404, 404, 404},
	{"deleteAuthorization", "", (*things).needAuthorization, "DELETE", "authorizedProviders/{authorization}/", nothing, 204, 204, 404, 404},
	{"deleteAuthorization", "an admin's", (*things).needAdminsAuthorization, "DELETE", "authorizedProviders/{authorization}/", nothing, 204, 404, 404, 404},
	// A foreign admin revokes its own organisation's user of that name.
	{"revokeUser", "", (*things).needAuthorization, "DELETE", "authorizedProviders/?userId=ada", nothing, 202, 403, 403, 202},

	// Tokens and profiles are the owner's alone (A6): an admin sees the
	// authorization, so the answer is 403 and not 404.
	{"getToken", "", (*things).needAuthorization, "POST", "authorizedProviders/{authorization}/token/", nothing, 403, 201, 404, 404},
	{"getToken", "of an admin's own", (*things).needAdminsAuthorization, "POST", "authorizedProviders/{authorization}/token/", nothing, 201, 404, 404, 404},
	{"getAccessToken", "", (*things).needAuthorization, "POST", "authorizedProviders/{authorization}/accessToken/", nothing, 403, 201, 404, 404},
	{"getAccessToken", "of an admin's own", (*things).needAdminsAuthorization, "POST", "authorizedProviders/{authorization}/accessToken/", nothing, 201, 404, 404, 404},
	{"getUserInfo", "", (*things).needAuthorization, "GET", "authorizedProviders/{authorization}/userinfo/", nothing, 403, 200, 404, 404},
	{"getUserInfo", "of an admin's own", (*things).needAdminsAuthorization, "GET", "authorizedProviders/{authorization}/userinfo/", nothing, 200, 404, 404, 404},

	// What is done to a token concerns an admin; the token does not (A6).
	{"checkToken", "", (*things).needAuthorization, "POST", "authorizedProviders/{authorization}/check/", nothing, 200, 200, 404, 404},
	{"checkToken", "of an admin's own", (*things).needAdminsAuthorization, "POST", "authorizedProviders/{authorization}/check/", nothing, 200, 404, 404, 404},
	{"resetToken", "", (*things).needAuthorization, "POST", "authorizedProviders/{authorization}/reset/", nothing, 201, 201, 404, 404},
	{"resetToken", "of an admin's own", (*things).needAdminsAuthorization, "POST", "authorizedProviders/{authorization}/reset/", nothing, 201, 404, 404, 404},
	{"revokeToken", "", (*things).needAuthorization, "DELETE", "authorizedProviders/{authorization}/token/", nothing, 200, 200, 404, 404},
	{"revokeToken", "of an admin's own", (*things).needAdminsAuthorization, "DELETE", "authorizedProviders/{authorization}/token/", nothing, 200, 404, 404, 404},
	// What is imported becomes the caller's own, whatever the role (A6).
	{"importToken", "", (*things).needProvider, "POST", "authorizedProviders/import/", func(x *things) any {
		_, refresh := x.h.IdP.Mint(brokertest.ClientID, "ada")
		return object{"providerId": x.provider, "refreshToken": refresh}
	}, 200, 200, 200, 404},
	{"resetProvider", "", (*things).needAuthorization, "POST", "providers/{provider}/reset/", nothing, 202, 403, 403, 404},

	// Jobs list other users' ids (A6): nobody but an admin sees that there are any.
	{"getJob", "", (*things).needJob, "GET", "jobs/{job}/", nothing, 200, 404, 404, 404},
	{"listJobItems", "", (*things).needJob, "GET", "jobs/{job}/items/", nothing, 200, 404, 404, 404},
	{"watchJob", "", (*things).needJob, "GET", "jobs/{job}/events/", nothing, 200, 404, 404, 404},
	{"listJobs", "", (*things).needJob, "GET", "jobs/", nothing, 200, 403, 403, 200},
	{"listStatistics", "", (*things).needNothing, "GET", "statistics/?days=7", nothing, 200, 403, 403, 200},
	{"exportAudit", "", (*things).needNothing, "GET", "audit/export/?jobId=" + unknownID, nothing, 200, 403, 403, 200},
	{"listAudit", "", (*things).needProvider, "GET", "audit/", nothing, 200, 403, 403, 200},
	// The external-auth API knows only the caller's own links, an admin's too.
	{"listExternalAuths", "", (*things).needAuthorization, "GET", externalAuth, nothing, 200, 200, 200, 200},
	{"getExternalAuth", "", (*things).needAuthorization, "GET", externalAuth + "/{provider}", nothing, 200, 200, 200, 404},
	{"deleteExternalAuth", "", (*things).needAuthorization, "DELETE", externalAuth + "/{provider}", nothing, 404, 200, 404, 404},
	{"beginExternalDevice", "", (*things).needDeviceProvider, "GET", externalAuth + "/{provider}/device", nothing, 200, 200, 200, 404},
	{"beginExternalDevice", "where it is off", (*things).needProvider, "GET", externalAuth + "/{provider}/device", nothing, 400, 400, 400, 404},
	{"pollExternalDevice", "", (*things).needDevice, "POST", externalAuth + "/{provider}/device", func(x *things) any {
		return object{"device_code": x.device}
	}, 400, 400, 400, 404},
	{"getAgentToken", "", (*things).needAuthorization, "GET", "/api/v2/workspaceagents/me/external-auth?id={provider}", nothing, 200, 200, 200, 404},
	{"getMe", "", (*things).needNothing, "GET", "me/", nothing, 200, 200, 200, 200},
	// Sessions tell where people are (A6): nobody but an admin sees them, and a foreign one ends those of its own users only.
	{"listSessions", "", (*things).needSession, "GET", "sessions/?userId=ada", nothing, 200, 403, 403, 200},
	{"endSession", "", (*things).needSession, "DELETE", "sessions/{session}/", nothing, 204, 403, 403, 404},
	{"endSessions", "", (*things).needSession, "DELETE", "sessions/?userId=ada", nothing, 204, 403, 403, 204},
	{"listApiTokens", "", (*things).needAPIToken, "GET", "apiTokens/", nothing, 200, 403, 403, 200},
	{"createApiToken", "", (*things).needNothing, "POST", "apiTokens/", func(*things) any { return object{"role": "user"} }, 201, 403, 403, 201},
	{"createApiToken", "of another role", (*things).needNothing, "POST", "apiTokens/", func(*things) any { return object{"role": "admin"} }, 403, 403, 403, 403},
	{"createApiToken", "of another person", (*things).needNothing, "POST", "apiTokens/", func(*things) any { return object{"role": "user", "userId": "ada"} }, 403, 403, 403, 403},
	{"getApiToken", "", (*things).needAPIToken, "GET", "apiTokens/{token}/", nothing, 200, 403, 403, 404},
	{"revokeApiToken", "", (*things).needAPIToken, "DELETE", "apiTokens/{token}/?withMade=true", nothing, 204, 403, 403, 404},
	// Links are made by programs, and seen by those that made them and by admins: a user is none.
	{"createConnectLink", "", (*things).needProvider, "POST", "connectLinks/", func(x *things) any {
		return object{"userId": x.provider, "providerId": x.provider, "signIn": true}
	}, 201, 403, 403, 404},
	{"listConnectLinks", "", (*things).needLink, "GET", "connectLinks/?open=true", nothing, 200, 403, 403, 200},
	{"getConnectLink", "", (*things).needLink, "GET", "connectLinks/{link}/", nothing, 200, 403, 403, 404},
	{"withdrawConnectLink", "", (*things).needLink, "DELETE", "connectLinks/{link}/", nothing, 204, 403, 403, 404},
	{"confirmConnectLink", "", (*things).needLink, "POST", "connectLinks/{link}/confirm/", func(*things) any {
		return object{"result": "none", "userId": "ada"}
	}, 409, 403, 403, 404},
	// What an organisation is told, it is told as a whole.
	{"listWebhooks", "", (*things).needWebhook, "GET", "webhooks/", nothing, 200, 403, 403, 200},
	{"createWebhook", "", (*things).needFewWebhooks, "POST", "webhooks/", func(*things) any { return object{"url": "https://app.example.test/webhooks"} }, 201, 403, 403, 201},
	{"getWebhook", "", (*things).needWebhook, "GET", "webhooks/{webhook}/", nothing, 200, 403, 403, 404},
	{"updateWebhook", "", (*things).needWebhook, "PATCH", "webhooks/{webhook}/", func(*things) any { return object{"description": "Renamed"} }, 200, 403, 403, 404},
	{"rotateWebhook", "", (*things).needWebhook, "POST", "webhooks/{webhook}/rotate/", nothing, 201, 403, 403, 404},
	{"testWebhook", "", (*things).needWebhook, "POST", "webhooks/{webhook}/test/", nothing, 204, 403, 403, 404},
	{"listDeliveries", "", (*things).needWebhook, "GET", "webhooks/{webhook}/deliveries/", nothing, 200, 403, 403, 404},
	{"replayDelivery", "of an unknown event", (*things).needWebhook, "POST", "webhooks/{webhook}/deliveries/" + unknownID + "/replay/", nothing, 404, 403, 403, 404},
	{"deleteWebhook", "", (*things).needWebhook, "DELETE", "webhooks/{webhook}/", nothing, 204, 403, 403, 404},
	{"followEvents", "", (*things).needNothing, "GET", "events/?wait=1ms", nothing, 200, 403, 403, 200},
	{"startJob", "", (*things).needNothing, "POST", "jobs/", func(*things) any { return object{"type": "STATS"} }, 202, 403, 403, 202},
}

func TestA6_WhoMayDoWhat(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		for _, r := range policy {
			for _, cell := range []struct {
				caller string
				who    brokertest.Person
				status int
			}{
				{"an admin", h.Admin, r.admin}, {"the owner", h.User, r.owner}, {"another user", h.Colleague, r.other},
				{"a foreign admin", h.Other, r.foreign}, {"nobody", nobody, 401}, {"a bad token", impostor, 401},
			} {
				t.Run(strings.TrimSpace(r.operation+" "+r.about)+"/"+cell.caller, func(t *testing.T) {
					x := &things{t: t, h: h}
					r.need(x)
					want(t, cell.status, h.Do(t, cell.who, r.method, x.path(r), r.body(x)))
				})
			}
		}
	})
}

func TestThePolicyCoversEveryOperation(t *testing.T) {
	h := embedded(t)
	covered := map[string]bool{}
	for _, r := range policy {
		covered[r.operation] = true
	}
	for _, op := range operations(t, h) {
		if strings.HasPrefix(op.path, "/api/v2/") && !covered[op.id] {
			t.Errorf("the policy table has no row for %s (%s %s)", op.id, op.method, op.path)
		}
	}
}

// What a caller may not see is answered as if it did not exist, to the letter.
func TestWhatIsNotYoursLooksLikeWhatDoesNotExist(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		x := &things{t: t, h: h}
		x.needJob()
		x.needAuthorization()
		for _, c := range []struct {
			name, method, path, id string
			who                    brokertest.Person
		}{
			{"another organisation's provider", "GET", "providers/{id}/", x.provider, h.Other},
			{"another organisation's provider, to change", "PATCH", "providers/{id}/", x.provider, h.Other},
			{"another organisation's provider, to delete", "DELETE", "providers/{id}/", x.provider, h.Other},
			{"another organisation's provider, to authorize", "POST", "providers/{id}/authorize/", x.provider, h.Other},
			{"another organisation's provider, to begin a device flow", "POST", "providers/{id}/device/", x.provider, h.Other},
			{"another user's token", "POST", "authorizedProviders/{id}/token/", x.authorization, h.Colleague},
			{"another user's profile", "GET", "authorizedProviders/{id}/userinfo/", x.authorization, h.Colleague},
			{"another user's authorization, to delete", "DELETE", "authorizedProviders/{id}/", x.authorization, h.Colleague},
			{"another organisation's job", "GET", "jobs/{id}/", x.job, h.Other},
			{"a job, for a user", "GET", "jobs/{id}/", x.job, h.User},
			{"another organisation's job, to wait for", "GET", "jobs/{id}/?wait=1ms", x.job, h.Other},
			{"another organisation's job, to follow", "GET", "jobs/{id}/events/", x.job, h.Other},
			{"a job, to follow for a user", "GET", "jobs/{id}/events/", x.job, h.User},
			{"the items of another organisation's job", "GET", "jobs/{id}/items/", x.job, h.Other},
			{"the items of a job, for a user", "GET", "jobs/{id}/items/", x.job, h.User},
		} {
			var body any
			if c.method == "PATCH" {
				body = object{}
			}
			ask := func(id string) object {
				answer := want(t, 404, h.Do(t, c.who, c.method, root+strings.Replace(c.path, "{id}", id, 1), body))
				delete(answer, "requestId")
				return answer
			}
			if hidden, missing := ask(c.id), ask(unknownID); !same(hidden, missing) {
				t.Errorf("%s: %v, but what does not exist: %v", c.name, hidden, missing)
			}
		}
	})
}

func TestListsShowOnlyWhatTheCallerMaySee(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, nil)
		foreign := text(t, want(t, 201, h.Do(t, h.Other, "POST", root+"providers/", newProvider(nil))), "id")
		adas, graces, admins := consent(t, h, h.User, p, "ada"), consent(t, h, h.Colleague, p, "grace"), consent(t, h, h.Admin, p, "linus")
		for _, c := range []struct {
			name, path string
			who        brokertest.Person
			want       []string
		}{
			{"an admin's providers", "providers/", h.Admin, []string{p}},
			{"a user's providers", "providers/", h.User, []string{p}},
			{"another organisation's providers", "providers/", h.Other, []string{foreign}},
			{"another organisation's providers by id", "providers/?ids=" + p, h.Other, nil},
			{"a user's authorizations", "authorizedProviders/", h.User, []string{adas}},
			{"another user's authorizations", "authorizedProviders/", h.Colleague, []string{graces}},
			{"an admin's authorizations", "authorizedProviders/", h.Admin, []string{adas, graces, admins}},
			{"an admin's authorizations, of one user", "authorizedProviders/?userId=grace", h.Admin, []string{graces}},
			{"an admin's authorizations, of nobody", "authorizedProviders/?userId=Grace", h.Admin, nil},
			{"a user's authorizations, of another user", "authorizedProviders/?userId=grace", h.User, nil},
			{"another organisation's authorizations", "authorizedProviders/", h.Other, nil},
			{"another organisation's authorizations by provider", "authorizedProviders/?providerId=" + p, h.Other, nil},
		} {
			got := ids(t, want(t, 200, h.Do(t, c.who, "GET", root+c.path, nil)))
			if !slices.Equal(got, c.want) && len(got)+len(c.want) > 0 {
				t.Errorf("%s: got %v, want %v", c.name, got, c.want)
			}
		}
	})
}

// A user who leaves is the organisation's own, though another one has a user of
// that name.
func TestAUserWhoLeavesLeavesOneOrganisation(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, nil)
		adas, graces := consent(t, h, h.User, p, "ada"), consent(t, h, h.Colleague, p, "grace")
		want(t, 202, h.Do(t, h.Other, "DELETE", root+"authorizedProviders/?userId=ada", nil))
		accessToken(t, h, h.User, adas)
		wantFields(t, h.Do(t, h.Admin, "DELETE", root+"authorizedProviders/?userId=", nil), "userId") // not everybody

		job := ended(t, h, jobOf(t, h, h.Do(t, h.Admin, "DELETE", root+"authorizedProviders/?userId=ada", nil)))
		wantJob(t, job, text(t, job, "id"), "REVOKE_USER", "COMPLETED")
		want(t, 404, h.Do(t, h.User, "POST", tokenOf(adas), nil))
		accessToken(t, h, h.Colleague, graces)
		if n := grants(h); n != 1 {
			t.Errorf("%d grants are left upstream, want 1", n)
		}
	})
}

// A5: names are compared byte for byte.
func TestA5_NamesAreComparedByteForByte(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, nil)
		a := consent(t, h, h.User, p, "ada")
		for _, who := range [][2]string{{"acme", "Ada"}, {"acme", "ada."}, {"acme", "ad"}} {
			person := h.Person(t, who[0], who[1], "user")
			want(t, 200, h.Do(t, person, "GET", provider(p), nil))
			want(t, 404, h.Do(t, person, "POST", tokenOf(a), nil))
		}
		for _, org := range []string{"ACME", "acme.", "acm"} {
			want(t, 404, h.Do(t, h.Person(t, org, "root", "admin"), "GET", provider(p), nil))
		}
	})
}

// A5: API tokens count in headers only, since addresses end up in logs.
func TestA5_ATokenCountsInHeadersOnly(t *testing.T) {
	h := embedded(t)
	token := secret(h.Admin.Token)
	for _, c := range []struct {
		name, query string
		header      http.Header
		status      int
	}{
		{"Bearer", "", http.Header{"Authorization": {"Bearer " + token}}, 200},
		{"bearer, in lower case", "", http.Header{"Authorization": {"bearer " + token}}, 200},
		{"the session header", "", http.Header{"Coder-Session-Token": {token}}, 200},
		{"Basic", "", http.Header{"Authorization": {"Basic " + token}}, 401},
		{"without a scheme", "", http.Header{"Authorization": {token}}, 401},
		{"a cookie", "", http.Header{"Cookie": {"token=" + token + "; session_token=" + token}}, 401},
		{"the query", "?access_token=" + token + "&token=" + token, nil, 401},
		{"half of it", "", http.Header{"Authorization": {"Bearer " + token[:len(token)-1]}}, 401},
		{"another secret behind its id", "", http.Header{"Authorization": {"Bearer " + token[:45] + strings.Repeat("A", len(token)-45)}}, 401},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := request(t, h, "GET", root+"providers/"+c.query, "")
			r.Header = c.header.Clone()
			if r.Header == nil {
				r.Header = http.Header{}
			}
			want(t, c.status, h.Send(t, r))
		})
	}
}

// What needs no token carries no organisation's data.
func TestWhatIsOpenToAnyoneTellsNothing(t *testing.T) {
	h := embedded(t)
	p := create(t, h, object{"name": "Our very own provider"})
	consent(t, h, h.User, text(t, p, "id"), "ada")
	for _, at := range []string{h.URL + "/healthz", h.URL + "/readyz", h.URL + "/docs", h.URL + "/api/v2/openapi.json", h.MetricsURL} {
		res, err := http.Get(at)
		if err != nil {
			t.Fatal(err)
		}
		body := read(t, res)
		if res.StatusCode != 200 {
			t.Errorf("%s: %s", at, res.Status)
		}
		for _, private := range []string{"acme", "Our very own", text(t, p, "id"), brokertest.ClientID, h.IdPURL} {
			if strings.Contains(body, private) {
				t.Errorf("%s tells %q", at, private)
			}
		}
	}
}
