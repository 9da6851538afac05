package contract_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
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
	t.Parallel()
	h := brokertest.New(t, &brokertest.Options{WithoutWorker: true, Limits: broker.Limits{Waiting: broker.Limit{Caller: 20, Org: 1000}}})
	p := h.Provider(t, "test")
	listen := "/api/v2/workspaceagents/me/external-auth?listen=1&id=" + p.ID
	h.Do(t, h.User, "GET", "/healthz", nil) // has the document read before there are many
	var all sync.WaitGroup
	answers := make(chan brokertest.Answer, 100)
	for range cap(answers) {
		all.Go(func() { answers <- h.Do(t, h.User, "GET", listen, nil) })
	}
	for range cap(answers) - 20 {
		refused(t, <-answers, "waiting-caller")
	}
	// Another organisation, and what does not wait, are not concerned.
	want(t, 200, h.Do(t, h.Admin, "GET", root+"providers/", nil))
	job := jobOf(t, h, h.Do(t, h.Other, "POST", root+"jobs/", object{"type": "STATS"}))
	want(t, 200, h.Do(t, h.Other, "GET", root+"jobs/"+job+"/?wait=1ms", nil))

	h.Consent(t, h.User, p, "ada")
	all.Wait()
	close(answers)
	for a := range answers {
		if got := want(t, 200, a); got["access_token"] == "" {
			t.Error("a listener got no token")
		}
	}
	refusedNoMore := h.Do(t, h.User, "GET", listen, nil)
	want(t, 200, refusedNoMore)
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
