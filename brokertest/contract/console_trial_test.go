package contract_test

import (
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/testidp"
)

var triedFlow = regexp.MustCompile(`name="flow" value="([^"]+)"`)

// tries has an admin try a provider, and returns the page of the result and its flow.
func tries(t *testing.T, s *surfer, p, account string) (page, string) {
	t.Helper()
	at := "/console/providers/" + p + "/try"
	begun := s.post(at, nil)
	if begun.status != 200 || !strings.HasPrefix(begun.to, s.h.IdPURL) {
		t.Fatalf("beginning: %d to %q: %s", begun.status, begun.to, begun.body)
	}
	back := s.back(s.approves(begun.to, account))
	if back.status != 303 || !strings.HasPrefix(back.to, at+"?flow=") {
		t.Fatalf("coming back: %d to %q: %s", back.status, back.to, back.body)
	}
	shown := s.get(back.to)
	m := triedFlow.FindStringSubmatch(shown.body)
	if m == nil {
		t.Fatalf("%d: %s", shown.status, shown.body)
	}
	return shown, m[1]
}

// An admin tries a provider: the result tells whether the client was accepted, who consented and what there is, and nothing
// is connected by it. What it brought is revoked upstream, or kept as the admin's own connection. Nothing is refreshed.
func TestAnAdminTriesAProvider(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, object{"name": "Tracker"})
		s := admin(t, h)
		at := "/console/providers/" + p
		mine := func() int {
			return len(ids(t, want(t, 200, h.Do(t, h.Admin, "GET", root+"authorizedProviders/?userId=root", nil))))
		}
		wantPage(t, s.get(at), 200, `href="`+at+`/try"`)
		wantPage(t, s.get(at+"/try"), 200, `id="begin"`)

		shown, flow := tries(t, s, p, "ada")
		wantPage(t, shown, 200, "client is accepted", "<strong>ada</strong>", "access token is good", "There is a refresh token", `id="remove"`, `id="keep"`)
		if n := mine(); n != 0 || h.IdP.Stats().LiveGrants != 1 || h.IdP.Stats().Calls[testidp.Refresh] != 0 {
			t.Errorf("%d connections, %d grants, %d refreshes", n, h.IdP.Stats().LiveGrants, h.IdP.Stats().Calls[testidp.Refresh])
		}
		wantPage(t, s.get("/connections"), 200)
		for range 2 {
			done := s.post(at+"/try/remove", url.Values{"flow": {flow}})
			wantPage(t, s.get(done.to), 200, "The trial is over")
		}
		brokertest.Eventually(t, "the grant is revoked", func() bool { return h.IdP.Stats().LiveGrants == 0 })
		wantPage(t, s.get(at+"/try?flow="+flow), 200, `id="over"`)
		wantPage(t, s.post(at+"/try/keep", url.Values{"flow": {flow}}), 409, "trial is over")

		_, flow = tries(t, s, p, "ada")
		for range 2 {
			wantPage(t, s.get(s.post(at+"/try/keep", url.Values{"flow": {flow}}).to), 200, "connection of the trial is kept")
		}
		if n := mine(); n != 1 || h.IdP.Stats().LiveGrants != 1 {
			t.Errorf("kept: %d connections, %d grants", n, h.IdP.Stats().LiveGrants)
		}
		wantPage(t, s.post(at+"/try/remove", url.Values{"flow": {flow}}), 409, "was kept")
		wantPage(t, s.get(at+"/try?flow="+flow), 200, "was kept")
		wantPage(t, s.get("/connections"), 200, "Tracker")
	})
}

// A trial belongs to the admin and the session that it was begun in, and to forms of our own.
func TestATrialIsItsAdminsOwn(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, nil)
		s, again, user, foreign := admin(t, h), admin(t, h), surf(t, h), surf(t, h)
		user.signIn(h.User)
		foreign.signIn(h.Other)
		at := "/console/providers/" + p + "/try"
		wantPage(t, s.send("POST", at, "", from("cross-site")), 403, "another site")
		wantPage(t, user.post(at, nil), 403, "Only for admins")
		wantPage(t, foreign.post(at, nil), 404)
		if n := len(column(t, h, "SELECT id FROM flows")); n != 0 {
			t.Fatalf("%d flows were begun", n)
		}
		begun := s.post(at, nil)
		back := s.approves(begun.to, "ada")
		for who, other := range map[string]*surfer{"another session of the admin's": again, "a user": user, "another organisation's admin": foreign} {
			if got := other.back(back); got.status < 400 {
				t.Errorf("%s completes it: %d to %q", who, got.status, got.to)
			}
		}
		result := s.back(back)
		flow := result.to[strings.Index(result.to, "flow=")+len("flow="):]
		if same := s.back(back); same.to != result.to { // T5
			t.Errorf("the return again leads to %q", same.to)
		}
		for who, other := range map[string]*surfer{"another session of the admin's": again, "a user": user, "another organisation's admin": foreign} {
			for _, form := range []string{"/keep", "/remove"} {
				if got := other.post(at+form, url.Values{"flow": {flow}}); got.status < 400 {
					t.Errorf("%s at %s: %d to %q", who, form, got.status, got.to)
				}
				wantPage(t, s.send("POST", at+form, url.Values{"flow": {flow}}.Encode(), from("cross-site")), 403, "another site")
			}
			if got := other.get(at + "?flow=" + flow); got.status < 400 || strings.Contains(got.body, "ada</strong>") {
				t.Errorf("%s sees the result: %d %s", who, got.status, got.body)
			}
		}
		wantPage(t, s.get(result.to), 200, `id="keep"`)
		// A consent of somebody who connects is no trial.
		user.connects(connectAt(p), "grace", "/external-auth/"+p+"/connected")
		other := column(t, h, "SELECT id FROM flows WHERE channel = 'browser'")[0]
		if got := s.get(at + "?flow=" + other); got.status < 400 {
			t.Errorf("a consent is shown as a trial: %d", got.status)
		}
	})
}

// What did not work is told: a refused client and somebody who declines lead back to the trial's page.
func TestATrialTellsWhatDoesNotWork(t *testing.T) {
	h := embedded(t)
	p := createID(t, h, object{"clientSecret": "wrong"})
	s := admin(t, h)
	at := "/console/providers/" + p + "/try"
	begun := s.post(at, nil)
	wantPage(t, s.back(s.approves(begun.to, "ada")), 502, "OAuth client", `href="`+at+`"`)
	begun = s.post(at, nil)
	state := inside(t, begun.to, "state")
	wantPage(t, s.back(connectAt(p)+"?"+url.Values{"state": {state}, "error": {"access_denied"}, "iss": {h.IdPURL}}.Encode()), 200, `href="`+at+`"`)
	if n := len(column(t, h, "SELECT id FROM authorizations")); n != 0 {
		t.Errorf("%d authorizations", n)
	}
}

// Without a decision a trial ends by itself, and what it brought is revoked. It does not keep a provider from being changed
// (A4): a change ends it first.
func TestA4_ATrialEndsByItselfAndBeforeAChange(t *testing.T) {
	t.Parallel()
	h := brokertest.New(t, &brokertest.Options{Clock: &brokertest.Clock{}})
	p := createID(t, h, object{"type": "github", "metadata": object{"host": h.IdPURL}})
	s := admin(t, h)
	tries(t, s, p, "ada")
	if h.IdP.Stats().LiveGrants != 1 {
		t.Fatal("nothing was granted")
	}
	h.Clock.Advance(11 * time.Minute)
	brokertest.Eventually(t, "what the trial brought is revoked", func() bool { return h.IdP.Stats().LiveGrants == 0 })

	_, flow := tries(t, s, p, "ada")
	want(t, 200, h.Do(t, h.Admin, "PATCH", provider(p), object{"clientSecret": brokertest.ClientSecret}))
	wantPage(t, s.get("/console/providers/"+p+"/try?flow="+flow), 200, `id="over"`)
	brokertest.Eventually(t, "what the second trial brought is revoked", func() bool { return h.IdP.Stats().LiveGrants == 0 })
	brokertest.Eventually(t, "the provider can be moved", func() bool {
		return h.Do(t, h.Admin, "PATCH", provider(p), object{"metadata": object{"host": "git.example"}, "clientSecret": "another"}).Status == 200
	})
}
