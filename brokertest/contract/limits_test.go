package contract_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
)

// refused checks an answer that a limit gave, and that it says how to go on.
func refused(t *testing.T, a brokertest.Answer, policy string) {
	t.Helper()
	want(t, http.StatusTooManyRequests, a)
	for _, name := range []string{"Retry-After", "RateLimit", "RateLimit-Policy"} {
		if a.Header.Get(name) == "" {
			t.Errorf("a 429 has no %s", name)
		}
	}
	if got := a.JSON(t)["detail"]; got != policy {
		t.Errorf("the limit is %v, want %s", got, policy)
	}
}

// Finding F5: 3,000 open consents of one user were all answered 200. Now there is a limit
// for each caller and each organisation, and it refuses nothing that ends a consent.
func TestT2_OpenConsentsAreLimited(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b brokertest.Backend) {
		h := brokertest.New(t, &brokertest.Options{Backend: b, Limits: broker.Limits{Consents: broker.Limit{Caller: 3, Org: 5}}})
		p := h.Provider(t, "test")
		begin := func(who brokertest.Person, state string) brokertest.Answer {
			return h.Do(t, who, "POST", authorizeAt(p.ID)+"?state="+state+"&redirect_uri="+brokertest.Callback, nil)
		}
		first := h.Authorize(t, h.User, p)
		for i := range 2 {
			want(t, 200, begin(h.User, fmt.Sprint("state-of-ada-", i)))
		}
		refused(t, begin(h.User, "one-too-many"), "consents-caller")
		want(t, 200, begin(h.User, "state-of-ada-1")) // open already: it opens nothing
		for i := range 2 {
			want(t, 200, begin(h.Colleague, fmt.Sprint("state-of-grace-", i)))
		}
		refused(t, begin(h.Colleague, "one-for-the-organisation"), "consents-organisation")

		back := h.Approve(t, first, "ada")
		back.ProviderID = p.ID
		if _, err := h.Service.Complete(t.Context(), h.User.Caller, back); err != nil {
			t.Errorf("a consent is not completed at the limit: %v", err)
		}
		want(t, 200, begin(h.User, "there-is-room-again"))
	})
}

// Finding F5: 1,500 `listen=1` requests of one user took another organisation's latency
// from 22 ms to 3.8 s. Those who wait have a limit, and share one poller.
func TestT2_WaitingIsLimited(t *testing.T) {
	h := brokertest.New(t, &brokertest.Options{WithoutWorker: true})
	p := h.Provider(t, "test")
	listen := "/api/v2/workspaceagents/me/external-auth?listen=1&id=" + p.ID
	want(t, 200, h.Do(t, nobody, "GET", "/healthz", nil)) // reads the document before there are many
	const many = 1500
	answers := make(chan brokertest.Answer, many)
	for range many {
		go func() { answers <- h.Do(t, h.User, "GET", listen, nil) }()
	}
	most := broker.DefaultLimits.Waiting.Caller
	for range many - most {
		refused(t, <-answers, "waiting-caller")
	}
	// Another organisation, and what does not wait, are not concerned.
	want(t, 200, h.Do(t, h.User, "GET", root+"providers/", nil))
	job := jobOf(t, h, h.Do(t, h.Other, "POST", root+"jobs/", object{"type": "STATS"}))
	want(t, 200, h.Do(t, h.Other, "GET", root+"jobs/"+job+"/?wait=1ms", nil))

	h.Consent(t, h.User, p, "ada")
	for range most {
		if got := want(t, 200, <-answers); got["access_token"] == "" {
			t.Error("a listener got no token")
		}
	}
	want(t, 200, h.Do(t, h.User, "GET", listen, nil))
}

// While all that a caller may have at once is taken, what ends something still passes.
func TestT2_WhatEndsSomethingIsNeverRefused(t *testing.T) {
	t.Parallel()
	h := brokertest.New(t, &brokertest.Options{WithoutWorker: true, Limits: broker.Limits{Requests: broker.Limit{Caller: 1, Org: 10}}})
	p := h.Provider(t, "test")
	job := jobOf(t, h, h.Do(t, h.Admin, "POST", root+"jobs/", object{"type": "STATS"}))
	done, err := h.Service.BeginRequest(h.Admin.Caller)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	external := "/api/v2/external-auth/" + p.ID
	for _, c := range []struct {
		method, path string
		body         any
		passes       bool
	}{
		{"GET", root + "providers/", nil, false},
		{"POST", authorizeAt(p.ID), nil, false},
		{"POST", provider(p.ID) + "device/", nil, false},
		{"POST", root + "authorizedProviders/import/", object{"providerId": p.ID, "refreshToken": "x"}, false},
		{"POST", tokenOf(unknownID), nil, false},
		{"POST", root + "jobs/", object{"type": "STATS"}, false},
		{"GET", external, nil, false},
		{"POST", root + "providers/callback/", object{"providerId": p.ID, "state": "unknown", "code": "x"}, true},
		{"POST", provider(p.ID) + "device/poll/", object{"deviceCode": "x"}, true},
		{"POST", external + "/device", object{"device_code": "x"}, true},
		{"GET", root + "jobs/", nil, true},
		{"GET", root + "jobs/" + job + "/", nil, true},
		{"GET", root + "jobs/" + job + "/?wait=1ms", nil, true},
		{"GET", root + "jobs/" + job + "/items/", nil, true},
		{"DELETE", tokenOf(unknownID), nil, true},
		{"DELETE", authorization(unknownID), nil, true},
		{"DELETE", root + "authorizedProviders/?userId=nobody", nil, true},
		{"DELETE", external, nil, true},
		{"DELETE", provider(p.ID), nil, true},
	} {
		got := h.Do(t, h.Admin, c.method, c.path, c.body)
		if c.passes == (got.Status == http.StatusTooManyRequests) {
			t.Errorf("%s %s is answered %d", c.method, c.path, got.Status)
		}
		if !c.passes {
			refused(t, got, "requests-caller")
		}
	}
	want(t, 200, h.Do(t, h.Colleague, "GET", root+"providers/", nil))
}

// Failed authentications count by address. A good credential is answered whatever
// others at its address do, and behind a proxy that nobody trusts nothing counts.
func TestT2_FailedAuthenticationsAreLimitedByAddress(t *testing.T) {
	t.Parallel()
	h := brokertest.New(t, &brokertest.Options{WithoutWorker: true, Limits: broker.Limits{Failures: 3}})
	stranger := brokertest.Person{Token: "grd_made_up"}
	try := func(who brokertest.Person) brokertest.Answer { return h.Do(t, who, "GET", root+"providers/", nil) }
	form := func(token string) int {
		answer, err := http.PostForm(h.URL+"/sign-in", url.Values{"token": {token}})
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer.StatusCode
	}
	want(t, 401, try(stranger))
	want(t, 401, try(nobody))
	if got := form("grd_made_up"); got != 401 {
		t.Errorf("a sign-in with a wrong token is answered %d", got)
	}
	refused(t, try(stranger), "failures-address")
	if got := form("grd_made_up"); got != 429 {
		t.Errorf("a sign-in beyond the limit is answered %d", got)
	}
	want(t, 200, try(h.User))
	if got := form(h.User.Token.Reveal()); got != 200 {
		t.Errorf("a good sign-in is answered %d", got)
	}
	want(t, 200, h.Do(t, nobody, "GET", "/healthz", nil))
	for range 5 {
		r := request(t, h, "GET", root+"providers/", "")
		r.Header.Del("Authorization")
		r.Header.Set("X-Forwarded-For", "192.0.2.1")
		want(t, 401, h.Send(t, r))
	}
	if n := strings.Count(h.Log.String(), "GRANTD_TRUSTED_PROXIES"); n != 1 {
		t.Errorf("the proxy is warned of %d times", n)
	}
}

// A limit on imports and checks counts within a minute, each organisation by itself.
func TestT2_ImportsAreLimited(t *testing.T) {
	t.Parallel()
	h := brokertest.New(t, &brokertest.Options{WithoutWorker: true, Limits: broker.Limits{Imports: broker.Limit{Caller: 2, Org: 3}}})
	p := h.Provider(t, "test")
	try := func(who brokertest.Person) brokertest.Answer {
		return h.Do(t, who, "POST", root+"authorizedProviders/import/", object{"providerId": p.ID, "refreshToken": "made-up"})
	}
	for range 2 {
		if got := try(h.User).Status; got == http.StatusTooManyRequests {
			t.Error("refused too early")
		}
	}
	refused(t, try(h.User), "imports-caller")
	try(h.Colleague)
	refused(t, try(h.Colleague), "imports-organisation")
}

func TestT2_ChecksAreLimited(t *testing.T) {
	t.Parallel()
	h := brokertest.New(t, &brokertest.Options{WithoutWorker: true, Limits: broker.Limits{Checks: broker.Limit{Caller: 2, Org: 3}}})
	p := h.Provider(t, "test")
	check := func(who brokertest.Person, a models.Authorization) brokertest.Answer {
		return h.Do(t, who, "POST", checkOf(a.ID), nil)
	}
	first, second, third := h.Consent(t, h.User, p, "ada1"), h.Consent(t, h.User, p, "ada2"), h.Consent(t, h.User, p, "ada3")
	grace, last := h.Consent(t, h.Colleague, p, "grace1"), h.Consent(t, h.Colleague, p, "grace2")
	want(t, 200, check(h.User, first))
	want(t, 200, check(h.User, second))
	asked := h.IdP.Stats().Calls
	refused(t, check(h.User, third), "checks-caller")
	if now := h.IdP.Stats().Calls; !maps.Equal(now, asked) {
		t.Errorf("a refused check asked the upstream: %v, and before %v", now, asked)
	}
	want(t, 404, check(h.Colleague, third)) // is not counted: nobody is asked
	want(t, 200, check(h.Colleague, grace))
	refused(t, check(h.Colleague, last), "checks-organisation")
	want(t, 201, h.Do(t, h.User, "POST", tokenOf(third.ID), nil)) // what does not check is not concerned
}

// Pages count as requests too, less those that complete a consent.
func TestT2_PagesAreLimited(t *testing.T) {
	t.Parallel()
	h := brokertest.New(t, &brokertest.Options{WithoutWorker: true, Limits: broker.Limits{Requests: broker.Limit{Caller: 1, Org: 10}, Failures: 2}})
	p := h.Provider(t, "test").ID
	s := surf(t, h)
	s.signIn(h.User)
	back := s.consents(connectAt(p), "ada")
	done, err := h.Service.BeginRequest(h.User.Caller)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/", connectAt(p), "/external-auth/" + p + "/connected"} {
		got := s.get(path)
		wantPage(t, got, 429, "too many requests at once")
		if got.header.Get("Retry-After") == "" {
			t.Errorf("%s has no Retry-After", path)
		}
	}
	wantPage(t, s.post(connectAt(p), nil), 429, "too many requests at once")
	if got := s.back(back); got.status != 303 {
		t.Errorf("the return from the upstream is answered %d: %s", got.status, got.body)
	}
	done()
	wantPage(t, s.get("/"), 200)

	// Forms of people who are not signed in count for their address.
	stranger := surf(t, h)
	wantPage(t, stranger.post(connectAt(p), nil), 401)
	wantPage(t, stranger.post("/external-auth/"+p+"/confirm", url.Values{"flow": {unknownID}}), 401)
	wantPage(t, stranger.post(connectAt(p), nil), 429)
	wantPage(t, stranger.post("/sign-in", url.Values{"token": {madeUp}}), 429)
	wantPage(t, stranger.post("/external-auth/"+p+"/confirm", url.Values{"flow": {unknownID}}), 401)
	stranger.signIn(h.User)
	wantPage(t, stranger.get("/"), 200)
}
