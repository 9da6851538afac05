package contract_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/testidp"
)

// Finding K10: the browser's return was an error when it was fetched a second time,
// and a prefetch used the consent up. Now the same session with the same answer sees
// the result again, and the code is spent once.
func TestT5_TheReturnMayBeFetchedTwice(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, nil)
		s, elsewhere := surf(t, h), surf(t, h)
		s.signIn(h.User)
		elsewhere.signIn(h.User)
		address := s.consents(connectAt(p)+"?redirect=/done", "ada")
		var all sync.WaitGroup
		for range 4 { // a double click, and more
			all.Go(func() {
				if got := s.back(address); got.status != 303 || got.to != "/done" {
					t.Errorf("at once: %d to %q: %s", got.status, got.to, got.body)
				}
			})
		}
		all.Wait()
		change(t, h, statesAreTooOld)
		if got := s.back(address); got.status != 303 || got.to != "/done" { // a reload, much later
			t.Errorf("later: %d to %q: %s", got.status, got.to, got.body)
		}
		wantPage(t, elsewhere.back(address), 400)
		if n := h.IdP.Stats().Calls[testidp.Exchange]; n != 1 {
			t.Errorf("the code was sent %d times", n)
		}
		if page := want(t, 200, h.Do(t, h.User, "GET", root+"authorizedProviders/", nil)); page["count"] != 1.0 {
			t.Errorf("%v authorizations", page["count"])
		}
	})
}

// What browsers fetch before anybody has asked for it begins nothing and consumes
// nothing, and nor does HEAD.
func TestT5_APrefetchConsumesNothing(t *testing.T) {
	h := embedded(t)
	p := createID(t, h, nil)
	s := surf(t, h)
	s.signIn(h.User)
	prefetches := []http.Header{
		{"Sec-Purpose": {"prefetch"}}, {"Sec-Purpose": {"prefetch;prerender"}}, {"Sec-Purpose": {"prefetch;anonymous-client-ip"}},
		{"Purpose": {"prefetch"}}, {"X-Purpose": {"preview"}}, {"X-Moz": {"prefetch"}},
	}
	ahead := func(address string) {
		t.Helper()
		for _, header := range prefetches {
			header.Set("Sec-Fetch-Site", "none")
			if got := s.send("GET", address, "", header); got.status != http.StatusTooEarly || got.to != "" || got.header.Get("Set-Cookie") != "" {
				t.Errorf("%v: %d to %q", header, got.status, got.to)
			}
		}
		r, _ := http.NewRequest("HEAD", h.URL+strings.TrimPrefix(address, h.URL), nil)
		if res, err := s.http.Do(r); err != nil || res.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("HEAD: %v %v", res, err)
		}
	}
	ahead(connectAt(p))
	if flows := column(t, h, `SELECT id FROM flows`); len(flows) != 0 {
		t.Errorf("%d consents were begun", len(flows))
	}
	address := s.consents(connectAt(p), "ada")
	ahead(address)
	if got := column(t, h, `SELECT status FROM flows`); len(got) != 1 || got[0] != "open" || h.IdP.Stats().Calls[testidp.Exchange] != 0 {
		t.Errorf("the consent is %v", got)
	}
	if done := s.back(address); done.status != 303 {
		t.Fatalf("opened: %d %s", done.status, done.body)
	}
	question := s.back(s.consents(connectAt(p), "grace")).to
	ahead(question)
	wantPage(t, s.get(question), 200, "Another account")
}
