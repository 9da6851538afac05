package contract_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
)

// What each kind of operation is to API tokens with limits, and to services. An operation that is in none of these is
// about what users have: a service has to name the user.
var (
	// orgWide are about the whole organisation, or about providers that do not exist yet.
	orgWide = []string{"createProvider", "revokeUser", "startJob", "listAudit", "exportAudit", "listStatistics", "listSessions", "endSession", "endSessions",
		"listWebhooks", "createWebhook", "getWebhook", "updateWebhook", "deleteWebhook", "rotateWebhook", "testWebhook", "listDeliveries", "replayDelivery", "followEvents",
		"listApiTokens", "createApiToken", "getApiToken", "revokeApiToken"}
	// ofProviders are an admin's, of the providers within its limits.
	ofProviders = []string{"updateProvider", "deleteProvider", "resetProvider", "listJobs"}
	// ofJobs act, in the policy, on a job that is about the whole organisation.
	ofJobs = []string{"getJob", "listJobItems", "watchJob"}
	// ofLinks are a link's that h.Admin made: another service's is not found.
	ofLinks = []string{"createConnectLink", "listConnectLinks", "getConnectLink", "withdrawConnectLink", "confirmConnectLink"}
	// ofNobody are answered to a service that names no user.
	ofNobody = []string{"listProviders", "getProvider", "getMe"}
)

func namesAUser(operation string) bool {
	return !slices.Contains(slices.Concat(orgWide, ofProviders, ofJobs, ofLinks, ofNobody), operation)
}

// limited makes somebody whose API token is limited to a provider; an admin is h.Admin.
func limited(t testing.TB, h *brokertest.Instance, role models.Role, provider string) brokertest.Person {
	t.Helper()
	user := "app-web"
	if role == models.RoleAdmin {
		user = h.Admin.Caller.UserID
	}
	return h.Limited(t, broker.NewAPIToken{OrgID: "acme", UserID: user, Role: role, Name: "Web app", Providers: []string{provider}})
}

// naming adds the user that a request is for.
func naming(path, user string) string {
	if user == "" {
		return path
	}
	if strings.Contains(path, "?") {
		return path + "&userId=" + user
	}
	return path + "?userId=" + user
}

// A6: an API token that is limited to providers is answered as if there were no others; a service as the user that it
// names, and nobody else may name one. Each row of the policy, as those tokens have it.
func TestA6_WhatServicesAndLimitedTokensMayDo(t *testing.T) {
	h := brokertest.New(t, &brokertest.Options{Limits: broker.Limits{PersonConsents: 1000}})
	for _, r := range policy {
		is := func(kinds ...[]string) bool { return slices.Contains(slices.Concat(kinds...), r.operation) }
		either := func(yes bool, status, otherwise int) int {
			if yes {
				return status
			}
			return otherwise
		}
		asService := func(status int) int { // a service makes and lists links, and does not see those of others
			return either(r.operation == "createConnectLink", 201, either(r.operation == "listConnectLinks", 200, either(is(ofLinks), 404, status)))
		}
		here := func(x *things) string { return x.provider }
		elsewhere := func(x *things) string { return createID(x.t, h, nil) }
		unlimited := func(who brokertest.Person) func(*things) brokertest.Person {
			return func(*things) brokertest.Person { return who }
		}
		tokenFor := func(role models.Role, at func(*things) string) func(*things) brokertest.Person {
			return func(x *things) brokertest.Person { return limited(x.t, h, role, at(x)) }
		}
		filters := r.operation == "listAuthorizations"
		for _, cell := range []struct {
			caller string
			who    func(*things) brokertest.Person
			user   string // that is named
			status int
		}{
			{"an admin of the provider", tokenFor(models.RoleAdmin, here), "", either(is(orgWide), 403, either(is(ofJobs) || r.operation == "confirmConnectLink", 404, r.admin))},
			{"an admin of another provider", tokenFor(models.RoleAdmin, elsewhere), "", either(is(orgWide), 403, r.foreign)},
			{"a service for the owner", tokenFor(models.RoleService, here), "ada", asService(r.owner)},
			{"a service for another user", tokenFor(models.RoleService, here), "grace", asService(r.other)},
			{"a service for nobody", tokenFor(models.RoleService, here), "", either(namesAUser(r.operation), 422, asService(r.owner))},
			{"a service for what is no user", tokenFor(models.RoleService, here), "a%20b", either(namesAUser(r.operation), 422, asService(r.owner))},
			{"a service of another provider", tokenFor(models.RoleService, elsewhere), "ada", either(is(orgWide) || r.operation == "listJobs", 403, r.foreign)},
			{"the owner, who names themselves", unlimited(h.User), "ada", r.owner},
			{"another user, who names the owner", unlimited(h.Colleague), "ada", either(namesAUser(r.operation) && !filters, 403, r.other)},
			{"an admin, who names the owner", unlimited(h.Admin), "ada", either(namesAUser(r.operation) && !filters, 403, r.admin)},
		} {
			t.Run(strings.TrimSpace(r.operation+" "+r.about)+"/"+cell.caller, func(t *testing.T) {
				x := &things{t: t, h: h}
				r.need(x)
				if x.provider == "" {
					x.needProvider()
				}
				path := x.path(r)
				if namesAUser(r.operation) {
					path = naming(path, cell.user)
				}
				want(t, cell.status, h.Do(t, cell.who(x), r.method, path, r.body(x)))
			})
		}
	}
}

// Lists, names and git addresses lead to nothing outside the limits of an API token.
func TestListsEndAtTheLimitsOfAToken(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p, q := create(t, h, nil), create(t, h, object{"config": object{"match": []string{"git.example.com"}}})
		inside, outside := text(t, p, "id"), text(t, q, "id")
		a, b := consent(t, h, h.User, inside, "ada"), consent(t, h, h.User, outside, "ada")
		admin, user, service := limited(t, h, models.RoleAdmin, inside), limited(t, h, models.RoleUser, inside), limited(t, h, models.RoleService, text(t, p, "slug"))
		mine := consent(t, h, user, inside, "linus")
		gone := createID(t, h, nil)
		jobInside, jobOutside := jobOf(t, h, h.Do(t, admin, "POST", provider(inside)+"reset/", nil)), jobOf(t, h, h.Do(t, h.Admin, "DELETE", provider(gone), nil))

		for _, c := range []struct {
			what, path string
			who        brokertest.Person
			want       []string
		}{
			{"an admin's providers", "providers/", admin, []string{inside}},
			{"a user's providers", "providers/", user, []string{inside}},
			{"a service's providers", "providers/", service, []string{inside}},
			{"providers by id", "providers/?ids=" + outside, admin, nil},
			{"an admin's authorizations", "authorizedProviders/", admin, []string{a, mine}},
			{"an admin's authorizations elsewhere", "authorizedProviders/?providerId=" + outside, admin, nil},
			{"a user's authorizations", "authorizedProviders/", user, []string{mine}},
			{"a service's authorizations", "authorizedProviders/?userId=ada", service, []string{a}},
			{"an admin's jobs", "jobs/", admin, []string{jobInside}},
			{"everybody's authorizations of ada", "authorizedProviders/?userId=ada", h.Admin, []string{a, b}},
		} {
			if got := ids(t, want(t, 200, h.Do(t, c.who, "GET", root+c.path, nil))); !slices.Equal(got, c.want) && len(got)+len(c.want) > 0 {
				t.Errorf("%s: %v, want %v", c.what, got, c.want)
			}
		}
		want(t, 200, h.Do(t, admin, "GET", root+"jobs/"+jobInside+"/", nil))
		want(t, 404, h.Do(t, admin, "GET", root+"jobs/"+jobOutside+"/", nil))

		all := want(t, 200, h.Do(t, service, "GET", externalAuth+"?userId=ada", nil))
		if ps, links := all["providers"].([]any), all["links"].([]any); len(ps) != 1 || len(links) != 1 || text(t, links[0].(object), "provider_id") != inside {
			t.Errorf("the service sees %v", all)
		}
		for _, name := range []string{outside, text(t, q, "slug")} {
			want(t, 404, h.Do(t, service, "GET", externalAuth+"/"+name+"?userId=ada", nil))
			want(t, 404, h.Do(t, service, "DELETE", externalAuth+"/"+name+"?userId=ada", nil))
		}
		agent := "/api/v2/workspaceagents/me/external-auth?match=https://git.example.com/a/b"
		want(t, 200, h.Do(t, h.User, "GET", agent, nil))
		want(t, 404, h.Do(t, service, "GET", agent+"&userId=ada", nil))
		accessToken(t, h, h.User, b)
	})
}

// A backend with one API token runs all of its people through it: each has what is theirs, and the audit trail tells who
// asked and for whom.
func TestAServiceActsForItsUsers(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "test")
		service := limited(t, h, models.RoleService, p.ID)
		had := map[string]string{}
		for _, user := range []string{"ada", "corp:248289761001"} {
			as := service
			as.Caller, as.Client = service.Caller.For(user), service.Client.For(user)
			had[user] = h.Consent(t, as, p, "ada").ID
			got, err := as.Client.Token(ctx, had[user])
			if err != nil || got.Authorization.UserID != user {
				t.Fatalf("the token of %s: %+v, %v", user, got.Authorization, err)
			}
		}
		if had["ada"] == had["corp:248289761001"] {
			t.Fatal("two users have one authorization")
		}
		want(t, 404, h.Do(t, service, "POST", tokenOf(had["ada"])+"?userId=corp:248289761001", nil))
		accessToken(t, h, h.User, had["ada"]) // it is ada's own

		for _, e := range want(t, 200, h.Do(t, h.Admin, "GET", root+"audit/?action=authorization.made", nil))["data"].([]any) {
			e := e.(object)
			if had[text(t, e, "userId")] != text(t, e, "authorizationId") || text(t, e, "actor") != "app-web" || text(t, e, "tokenId") != service.Caller.TokenID {
				t.Errorf("the event is %v", e)
			}
		}
		if err := h.Service.FlushFetches(ctx); err != nil {
			t.Fatal(err)
		}
		counted := column(t, h, "SELECT user_id || ' ' || token_id FROM token_fetches WHERE token_id = '"+service.Caller.TokenID+"' ORDER BY user_id")
		if !slices.Equal(counted, []string{"ada " + service.Caller.TokenID, "corp:248289761001 " + service.Caller.TokenID}) {
			t.Errorf("the fetches are counted for %q", counted)
		}
	})
}

// T2: one user of a service cannot begin so many consents that the others have none left.
func TestT2_AServiceHasFewConsentsOpenForOneUser(t *testing.T) {
	h := brokertest.New(t, &brokertest.Options{WithoutWorker: true, Limits: broker.Limits{PersonConsents: 2}})
	p := h.Provider(t, "test")
	service := limited(t, h, models.RoleService, p.ID)
	begin := func(status int, user string) {
		t.Helper()
		want(t, status, h.Do(t, service, "POST", provider(p.ID)+"authorize/?userId="+user, nil))
	}
	begin(200, "ada")
	begin(200, "ada")
	begin(429, "ada")
	begin(200, "grace")
	h.Authorize(t, h.User, p) // who is not limited like that with an API token of their own
}

// Sign-ins are people's: a service has no pages. People see which services may use what they connected.
func TestPeopleSeeServicesWhichCannotSignIn(t *testing.T) {
	h := embedded(t)
	p, q := h.Provider(t, "test"), createID(t, h, nil)
	h.Consent(t, h.User, p, "ada")
	service := limited(t, h, models.RoleService, p.ID)
	limited(t, h, models.RoleService, q)
	ended := h.Limited(t, broker.NewAPIToken{OrgID: "acme", UserID: "app-old", Role: models.RoleService, Providers: []string{p.ID}})
	h.Limited(t, broker.NewAPIToken{OrgID: "acme", UserID: "app-cron", Role: models.RoleService, Providers: []string{p.ID}})
	if _, err := h.Service.RevokeAPIToken(ctx, ended.Caller.TokenID, false); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Service.BeginSession(ctx, broker.SignedIn{Caller: service.Caller}, "", ""); models.CodeOf(err) != models.CodeForbidden {
		t.Errorf("a service signs in: %v", err)
	}
	mine, err := h.Service.MyConnections(ctx, broker.Visitor{Caller: h.User.Caller}, "")
	if err != nil || len(mine.Connections) != 1 || !slices.Equal(mine.Connections[0].Services, []string{"app-cron", "Web app"}) {
		t.Errorf("the connections are %+v, %v", mine.Connections, err)
	}
}
