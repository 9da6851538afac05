package broker_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/testidp"
)

// crowd are people of one organisation, one authorization of a provider each, whose
// access tokens have ended.
func crowd(t *testing.T, h *brokertest.Instance, p models.Provider, n int) (people []brokertest.Person, all []models.Authorization) {
	t.Helper()
	for i := range n {
		who := h.Person(t, "acme", fmt.Sprint("person", i), models.RoleUser)
		a := h.Consent(t, who, p, fmt.Sprint("account", i))
		stale(t, h, a)
		people, all = append(people, who), append(all, a)
	}
	return people, all
}

// nextProbe lets the waits of everybody and the time until the next probe be over.
func nextProbe(t *testing.T, h *brokertest.Instance) {
	t.Helper()
	db := brokertest.SQL(t, h.DatabaseURL)
	must(db.Exec(`UPDATE credentials SET next_attempt_at = NULL`))(t)
	must(db.Exec(`UPDATE providers SET probe_at = trouble_since WHERE trouble <> ''`))(t)
}

func troubleOf(t *testing.T, h *brokertest.Instance, p models.Provider) models.Trouble {
	t.Helper()
	return must(h.Store.Provider(ctx, p.ID))(t).InTrouble()
}

func verdictOf(t *testing.T, h *brokertest.Instance, a models.Authorization) string {
	t.Helper()
	return must(h.Store.Linked(ctx, a.ID))(t).Credential.VerdictReason
}

// Finding K1: one invalid refresh token, answered 403 unauthorized_client, paused the
// refreshes of everybody for five minutes, again and again; so did one invalid_client.
func TestAnAnswerAboutOneTokenConcernsThatTokenAlone(t *testing.T) {
	eachWith(t, brokertest.Options{WithoutWorker: true}, func(t *testing.T, h *brokertest.Instance) {
		for _, c := range []struct {
			fault  testidp.Fault
			code   models.Code
			detail string
			status models.AuthorizationStatus
		}{
			{testidp.Fault{Status: 403, Error: "unauthorized_client"}, models.CodeGone, "", models.AuthorizationExpired},
			{testidp.Fault{Status: 400, Error: "unauthorized_client"}, models.CodeGone, "", models.AuthorizationExpired},
			{testidp.Fault{Status: 401, Error: "invalid_client"}, models.CodeUpstream, "invalid_client", models.AuthorizationActive},
			{testidp.Fault{Status: 400, Error: "invalid_client"}, models.CodeUpstream, "invalid_client", models.AuthorizationActive},
			{testidp.Fault{Status: 400, Error: "invalid_scope"}, models.CodeUpstream, "invalid_scope", models.AuthorizationActive},
		} {
			t.Run(fmt.Sprint(c.fault.Status, " ", c.fault.Error), func(t *testing.T) {
				people, all := crowd(t, h, h.Provider(t, "test"), 3)
				c.fault.Endpoint, c.fault.Account = testidp.Refresh, "account0"
				h.IdP.Inject(c.fault)
				defer h.IdP.ClearFaults()
				for range 6 { // however often it is asked
					_, err := h.Service.Token(ctx, people[0].Caller, all[0].ID, 0)
					wantCode(t, err, c.code)
					if known, ok := errors.AsType[*models.Error](err); !ok || known.Detail != c.detail {
						t.Errorf("the caller is told %v, want the detail %q", err, c.detail)
					}
					nextProbe(t, h)
				}
				for i := range all[1:] {
					if _, err := h.Service.Token(ctx, people[i+1].Caller, all[i+1].ID, 0); err != nil {
						t.Errorf("somebody else's grant gives %v", err)
					}
				}
				if got := must(h.Service.Authorization(ctx, people[0].Caller, all[0].ID))(t); got.Status != c.status {
					t.Errorf("the authorization is %s, want %s", got.Status, c.status)
				}
			})
		}
	})
}

// Finding K1: in a deletion, one of 300 tokens answered 403 unauthorized_client left 45
// unrevoked, and the message blamed the client secret.
func TestOneRefusedItemFailsAlone(t *testing.T) {
	eachWith(t, brokertest.Options{Timing: broker.Timing{Backoff: 50 * time.Millisecond}}, func(t *testing.T, h *brokertest.Instance) {
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.Revoke, Status: 403, Error: "unauthorized_client", Account: "account3"})
		begun := map[string]string{} // jobs, by type
		for _, typ := range []string{"test", "github"} {
			p := h.Provider(t, typ)
			for i := range 7 {
				h.Consent(t, h.Person(t, "acme", fmt.Sprint("person", i), models.RoleUser), p, fmt.Sprint("account", i))
			}
			begun[typ] = must(h.Service.DeleteProvider(ctx, h.Admin.Caller, p.ID, false))(t).ID
		}
		for typ, job := range begun {
			j := ended(t, h, job)
			if j.Status != models.JobError || detail(j, "revoked") != "6" || detail(j, "failed") != "1" || detail(j, "pending") != "0" {
				t.Errorf("%s: the job ended %s with %v", typ, j.Status, j.Details)
			}
			if why := fmt.Sprint(detail(j, "error")); strings.Contains(why, "clientSecret") {
				t.Errorf("%s: the client secret is blamed: %s", typ, why)
			}
		}
	})
}

// R5: five people's grants refused in a row, with none accepted between, put the client
// under suspicion, whatever the codes. Then one authorization asks every five minutes, and
// when one is accepted the verdicts of that row are void.
func TestR5_ASuspicionEndsWithASuccess(t *testing.T) {
	eachWith(t, brokertest.Options{WithoutWorker: true}, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "test")
		people, all := crowd(t, h, p, 8)
		ask := func(i int) error {
			_, err := h.Service.Token(ctx, people[i].Caller, all[i].ID, 0)
			return err
		}
		// One that ended before the row began stays ended.
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.Refresh, Error: "invalid_grant", Times: 1})
		wantCode(t, ask(7), models.CodeGone)
		if err := ask(6); err != nil {
			t.Fatal(err)
		}
		for i, word := range []string{"invalid_grant", "unauthorized_client", "invalid_grant", "invalid_client", "invalid_grant"} {
			if trouble := troubleOf(t, h, p); trouble != "" {
				t.Fatalf("after %d refusals the provider is in trouble: %s", i, trouble)
			}
			h.IdP.Inject(testidp.Fault{Endpoint: testidp.Refresh, Error: word, Times: 1})
			if ask(i) == nil {
				t.Fatalf("%s was no refusal", word)
			}
		}
		if troubleOf(t, h, p) != models.TroubleClient {
			t.Fatal("five refusals in a row are no trouble")
		}
		before := h.IdP.Stats().Calls[testidp.Refresh]
		for _, i := range []int{4, 5} { // the one that was asked last, and one that never was
			err := ask(i)
			wantCode(t, err, models.CodeUpstream)
			if known, ok := errors.AsType[*models.Error](err); !ok || known.Detail != "invalidOAuthClient" || known.RetryAfter <= 0 {
				t.Errorf("meanwhile a caller is told %v", err)
			}
		}
		if got := must(h.Service.Authorization(ctx, people[5].Caller, all[5].ID))(t).Status; got != models.AuthorizationInvalidOAuthClient {
			t.Errorf("meanwhile an authorization is %s", got)
		}
		nextProbe(t, h)
		wantCode(t, ask(4), models.CodeUpstream) // asked last: another one goes first
		if n := h.IdP.Stats().Calls[testidp.Refresh] - before; n != 0 {
			t.Errorf("the upstream was asked %d times, want nobody to have their turn", n)
		}
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.Refresh, Error: "invalid_grant", Times: 1})
		wantCode(t, ask(5), models.CodeUpstream)
		if got := verdictOf(t, h, all[5]); got != "" {
			t.Errorf("a refusal during the suspicion is the verdict %s", got)
		}
		nextProbe(t, h)
		if err := ask(4); err != nil { // accepted
			t.Fatalf("the probe gives %v", err)
		}
		if trouble := troubleOf(t, h, p); trouble != "" {
			t.Errorf("after a success the provider is in trouble: %s", trouble)
		}
		nextProbe(t, h)
		for _, i := range []int{0, 1, 2, 3, 5} {
			if err := ask(i); err != nil {
				t.Errorf("the grant of a row that said nothing gives %v", err)
			}
		}
		wantCode(t, ask(7), models.CodeGone)
	})
}

// R5: those whose verdicts are void are asked once more, spread over the probes, and a
// void verdict is void for the filter, the statistics and what unlinks expired authorizations.
func TestR5_AVoidVerdictIsVoidInEveryQuery(t *testing.T) {
	eachWith(t, brokertest.Options{WithoutWorker: true}, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "test")
		people, all := crowd(t, h, p, 6)
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.Refresh, Error: "invalid_grant", Times: 5})
		for i := range 5 {
			_, err := h.Service.Token(ctx, people[i].Caller, all[i].ID, 0)
			if err == nil {
				t.Fatal("no refusal")
			}
		}
		must(brokertest.SQL(t, h.DatabaseURL).Exec(`UPDATE providers SET probe_at = trouble_since`))(t)
		if _, err := h.Service.Token(ctx, people[5].Caller, all[5].ID, 0); err != nil {
			t.Fatal(err)
		}
		var waits []time.Duration
		for i := range 5 {
			l := must(h.Store.Linked(ctx, all[i].ID))(t)
			if l.Credential.Verdict != nil {
				t.Fatalf("person %d has the verdict %s", i, *l.Credential.Verdict)
			}
			if l.Credential.NextAttemptAt != nil {
				waits = append(waits, l.Credential.NextAttemptAt.Sub(l.Now).Round(time.Minute))
			}
		}
		slices.Sort(waits)
		// The fifth had no verdict, and waits for nothing.
		if want := []time.Duration{0, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute}; !slices.Equal(waits, want) {
			t.Errorf("they are asked after %v, want %v", waits, want)
		}
		for _, c := range must(h.Store.CountAuthorizations(ctx, "acme"))(t) {
			if c.Status != string(models.AuthorizationActive) {
				t.Errorf("%d are counted as %s", c.N, c.Status)
			}
		}
		if err := h.Store.UnlinkExpired(ctx, 0, 100); err != nil {
			t.Fatal(err)
		}
		for _, a := range all {
			if l := must(h.Store.Linked(ctx, a.ID))(t); l.Authorization.UnlinkedAt != nil {
				t.Error("one with a void verdict was unlinked as expired")
			}
		}
	})
}

// R5: where one or two authorizations are all there are, the same refusal three times
// within a quarter of an hour is enough; and where there are three or four, of all of them.
func TestR5_FewPeopleShowARefusedClientToo(t *testing.T) {
	eachWith(t, brokertest.Options{WithoutWorker: true}, func(t *testing.T, h *brokertest.Instance) {
		for _, n := range []int{1, 2, 3, 4} {
			t.Run(fmt.Sprint(n), func(t *testing.T) {
				p := h.Provider(t, "test")
				people, all := crowd(t, h, p, n)
				h.IdP.SetSecret(brokertest.ClientID, "rotated")
				for i := range max(3, n) {
					if trouble := troubleOf(t, h, p); trouble != "" {
						t.Fatalf("after %d refusals the provider is in trouble: %s", i, trouble)
					}
					_, err := h.Service.Token(ctx, people[i%n].Caller, all[i%n].ID, 0)
					wantCode(t, err, models.CodeUpstream)
					nextProbe(t, h)
				}
				if troubleOf(t, h, p) != models.TroubleClient {
					t.Error("the client is not suspected")
				}
				if err := secretTo(p, "rotated")(h); err != nil {
					t.Fatal(err)
				}
				for i := range all {
					if _, err := h.Service.Token(ctx, people[i].Caller, all[i].ID, 0); err != nil {
						t.Errorf("with the right secret: %v", err)
					}
				}
				h.IdP.SetSecret(brokertest.ClientID, brokertest.ClientSecret)
			})
		}
	})
}

// R5: exchanges that are refused show nothing by themselves, and neither do imports and
// checks: anybody could make those.
func TestR5_RefusedConsentsAndImportsShowNothing(t *testing.T) {
	eachWith(t, brokertest.Options{WithoutWorker: true}, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "test")
		people, all := crowd(t, h, p, 1)
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.Exchange, Error: "invalid_client", Times: 6},
			testidp.Fault{Endpoint: testidp.Device, Error: "invalid_client", Times: 6})
		for i := range 6 {
			who := h.Person(t, "acme", fmt.Sprint("hostile", i), models.RoleUser)
			back := h.Approve(t, h.Authorize(t, who, p), "mallory")
			back.ProviderID = p.ID
			_, err := h.Service.Complete(ctx, who.Caller, back)
			wantCode(t, err, models.CodeUpstream)
			if _, err := h.Service.BeginDevice(ctx, who.Caller, p.ID); err == nil {
				t.Error("a device flow began")
			}
			if _, err := h.Service.Import(ctx, who.Caller, models.Import{ProviderID: p.ID, RefreshToken: "made-up"}); err == nil {
				t.Error("a made-up token was imported")
			}
		}
		if trouble := troubleOf(t, h, p); trouble != "" {
			t.Fatalf("the provider is in trouble: %s", trouble)
		}
		if _, err := h.Service.Token(ctx, people[0].Caller, all[0].ID, 0); err != nil {
			t.Error(err)
		}
	})
}

// D4: five people's items refused in a row, with none accepted between, stop the job; the
// rest stays pending, the secret may change, and DELETE goes on.
func TestD4_ARowOfRefusedItemsStopsTheJob(t *testing.T) {
	eachWith(t, brokertest.Options{Concurrency: 4}, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "test")
		for i := range 20 {
			h.Consent(t, h.Person(t, "acme", fmt.Sprint("person", i), models.RoleUser), p, fmt.Sprint("account", i))
		}
		h.IdP.SetSecret(brokertest.ClientID, "rotated")
		j := ended(t, h, must(h.Service.DeleteProvider(ctx, h.Admin.Caller, p.ID, false))(t).ID)
		if j.Status != models.JobError || detail(j, "pending") != "20" || !strings.Contains(fmt.Sprint(detail(j, "error")), "clientSecret") {
			t.Fatalf("the job ended %s with %v", j.Status, j.Details)
		}
		if n := h.IdP.Stats().Calls[testidp.Revoke]; n >= 20 {
			t.Errorf("%d calls were refused before the job stopped", n)
		}
		if err := secretTo(p, "rotated")(h); err != nil {
			t.Fatal(err)
		}
		j = ended(t, h, must(h.Service.DeleteProvider(ctx, h.Admin.Caller, p.ID, false))(t).ID)
		if j.Status != models.JobCompleted || detail(j, "revoked") != "20" {
			t.Errorf("the resumed job ended %s with %v", j.Status, j.Details)
		}
	})
}

// R3: a replay whose answer is lost as well is not replayed at once: after five minutes,
// then ten, and so on up to an hour. Meanwhile callers are answered without any call.
func TestR3_AReplayThatIsLostTooBacksOff(t *testing.T) {
	h := brokertest.New(t, &brokertest.Options{WithoutWorker: true})
	a := h.Consent(t, h.User, h.Provider(t, "test"), "ada")
	stale(t, h, a)
	h.IdP.Inject(testidp.Fault{Endpoint: testidp.Refresh, Status: 200, Body: "<html>", ContentType: "text/html"})
	ask := func() {
		t.Helper()
		_, err := h.Service.Token(ctx, h.User.Caller, a.ID, 0)
		wantCode(t, err, models.CodeUpstream)
	}
	ask() // the attempt itself; its replay comes when its lease is over
	for i, wait := range []time.Duration{0, 5, 10, 20, 40, 60, 60} {
		if wait > 0 {
			h.Clock.Advance(wait*time.Minute - time.Second)
			before := h.IdP.Stats().Calls[testidp.Refresh]
			ask()
			if n := h.IdP.Stats().Calls[testidp.Refresh]; n != before {
				t.Fatalf("replay %d came a second too early", i)
			}
			h.Clock.Advance(time.Second)
		} else {
			h.Clock.Advance(time.Minute)
		}
		before := h.IdP.Stats().Calls[testidp.Refresh]
		ask()
		if n := h.IdP.Stats().Calls[testidp.Refresh]; n != before+1 {
			t.Fatalf("replay %d did not come after %d minutes", i, wait)
		}
	}
	h.IdP.ClearFaults()
	h.Clock.Advance(time.Hour)
	if _, err := h.Service.Token(ctx, h.User.Caller, a.ID, 0); err != nil {
		t.Errorf("a replay that is answered gives %v", err)
	}
}

// R13: unreadable successes of three people's grants in a row pause the provider's token
// class, imports included, since each may have spent a refresh token: one asks every five
// minutes until one can be read. The code of a consent would lapse, and is exchanged.
func TestR13_UnreadableSuccessesPauseTheTokenClass(t *testing.T) {
	eachWith(t, brokertest.Options{WithoutWorker: true}, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "test")
		people, all := crowd(t, h, p, 6)
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.Token, Status: 200, Body: `{"access_tok`, ContentType: "application/json"})
		for i := range 3 {
			_, err := h.Service.Token(ctx, people[i].Caller, all[i].ID, 0)
			wantCode(t, err, models.CodeUpstream)
		}
		if troubleOf(t, h, p) != models.TroubleUnreadable {
			t.Fatal("three unreadable successes are no trouble")
		}
		before := h.IdP.Stats().Calls
		_, err := h.Service.Token(ctx, people[3].Caller, all[3].ID, 0)
		wantCode(t, err, models.CodeUpstream)
		_, refresh := h.IdP.Mint(brokertest.ClientID, "grace")
		_, err = h.Service.Import(ctx, h.Colleague.Caller, models.Import{ProviderID: p.ID, RefreshToken: models.Secret(refresh)})
		wantCode(t, err, models.CodeUpstream)
		if n := h.IdP.Stats().Calls[testidp.Refresh] - before[testidp.Refresh]; n != 0 {
			t.Errorf("the token endpoint was asked %d times in its pause", n)
		}
		h.IdP.ClearFaults()
		h.Consent(t, h.User, p, "ada")
		if trouble := troubleOf(t, h, p); trouble != "" {
			t.Errorf("after an answer that could be read the provider is in trouble: %s", trouble)
		}
		for i := range all[3:] {
			if _, err := h.Service.Token(ctx, people[i+3].Caller, all[i+3].ID, 0); err != nil {
				t.Error(err)
			}
		}
	})
}

// R15: a refusal that never changes comes to an end: five alike within at least an hour if
// another person's grant was accepted meanwhile, within a day without such a witness; any
// refusals for seven days. Statuses that may be over at the next try do not count.
func TestR15_ARefusalThatNeverChangesEnds(t *testing.T) {
	for _, c := range []struct {
		name    string
		fault   testidp.Fault
		every   time.Duration
		witness bool
		after   time.Duration // when it has expired
		reason  string
	}{
		{"alike, with a witness", testidp.Fault{Status: 400, Error: "invalid_request"}, 15 * time.Minute, true, time.Hour, "refused_repeatedly"},
		{"alike, without one", testidp.Fault{Status: 400, Error: "invalid_request"}, 6 * time.Hour, false, 24 * time.Hour, "refused_repeatedly"},
		{"a status that may pass", testidp.Fault{Status: 423, Error: "locked"}, 12 * time.Hour, true, 7 * 24 * time.Hour, "refused_for_days"},
		{"the client refused for this token", testidp.Fault{Status: 401, Error: "invalid_client"}, 12 * time.Hour, true, 7 * 24 * time.Hour, "refused_for_days"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := brokertest.New(t, &brokertest.Options{WithoutWorker: true})
			p := h.Provider(t, "test")
			people, all := crowd(t, h, p, 3)
			c.fault.Endpoint, c.fault.Account = testidp.Refresh, "account0"
			h.IdP.Inject(c.fault)
			for at := time.Duration(0); ; at += c.every {
				_, err := h.Service.Token(ctx, people[0].Caller, all[0].ID, 0)
				reason := verdictOf(t, h, all[0])
				if (reason != "") != (at >= c.after) {
					t.Fatalf("after %s of refusals the verdict is %q (%v)", at, reason, err)
				}
				if reason != "" {
					wantCode(t, err, models.CodeGone)
					if reason != c.reason {
						t.Errorf("the reason is %q, want %q", reason, c.reason)
					}
					break
				}
				wantCode(t, err, models.CodeUpstream)
				if c.witness {
					must(h.Service.Token(ctx, people[1].Caller, all[1].ID, 0))(t)
				}
				h.Clock.Advance(c.every)
			}
			// A check asks once more, and finds that nothing has changed.
			before := h.IdP.Stats().Calls[testidp.Refresh]
			h.Clock.Advance(time.Hour)
			must(h.Service.Check(ctx, people[0].Caller, all[0].ID))(t)
			if n := h.IdP.Stats().Calls[testidp.Refresh] - before; n != 1 || verdictOf(t, h, all[0]) != c.reason {
				t.Errorf("a check asked %d times, and the reason is %q", n, verdictOf(t, h, all[0]))
			}
			// And once more, when the upstream has changed its mind.
			h.IdP.ClearFaults()
			h.Clock.Advance(time.Hour)
			must(h.Service.Check(ctx, h.Admin.Caller, all[0].ID))(t)
			if _, err := h.Service.Token(ctx, people[0].Caller, all[0].ID, 0); err != nil {
				t.Errorf("after a check that the upstream accepted: %v", err)
			}
		})
	}
}

// R15: three people's grants refused alike, with none accepted, are the provider's
// trouble: nothing is marked, and one asks every five minutes.
func TestR15_ThreeRefusedAlikeAreTheProvidersTrouble(t *testing.T) {
	eachWith(t, brokertest.Options{WithoutWorker: true}, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "test")
		people, all := crowd(t, h, p, 6)
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.Refresh, Status: 400, Error: "invalid_request"})
		for i := range 5 {
			_, err := h.Service.Token(ctx, people[i].Caller, all[i].ID, 0)
			wantCode(t, err, models.CodeUpstream)
		}
		if n := h.IdP.Stats().Calls[testidp.Refresh]; n != 3 || troubleOf(t, h, p) != models.TroubleRefused {
			t.Errorf("after %d calls the trouble is %q", n, troubleOf(t, h, p))
		}
		for i := range all {
			if reason := verdictOf(t, h, all[i]); reason != "" {
				t.Errorf("person %d is marked %s", i, reason)
			}
			if got := must(h.Service.Authorization(ctx, people[i].Caller, all[i].ID))(t).Status; got != models.AuthorizationActive {
				t.Errorf("person %d is %s", i, got)
			}
		}
		if !strings.Contains(h.Log.String(), "refuses the refreshes of several people alike") {
			t.Error("no admin is told")
		}
		h.IdP.ClearFaults()
		nextProbe(t, h)
		for i := range all {
			if _, err := h.Service.Token(ctx, people[i].Caller, all[i].ID, 0); err != nil && i == 5 {
				t.Error(err)
			}
		}
		if trouble := troubleOf(t, h, p); trouble != "" {
			t.Errorf("after a success the provider is in trouble: %s", trouble)
		}
	})
}

// R5: what the sweep finds due of a provider in trouble is one probe, and another one
// each time, so that a provider with many due tokens takes no turn of anybody else's.
func TestR5_TheSweepProbesInTurn(t *testing.T) {
	eachWith(t, brokertest.Options{WithoutWorker: true}, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "test")
		people, all := crowd(t, h, p, 8)
		h.IdP.SetSecret(brokertest.ClientID, "rotated")
		for i := range 5 {
			_, err := h.Service.Token(ctx, people[i].Caller, all[i].ID, 0)
			wantCode(t, err, models.CodeUpstream)
		}
		asked := map[string]bool{}
		for range 3 {
			nextProbe(t, h)
			ids := must(h.Store.Probes(ctx, 0, 10))(t)
			if len(ids) != 1 || asked[ids[0]] && len(asked) == 1 {
				t.Fatalf("the sweep lets %v ask after %v", ids, asked)
			}
			asked[ids[0]] = true
			if err := h.Service.RefreshAhead(ctx, ids[0]); err != nil {
				t.Fatal(err)
			}
			if by := must(h.Store.Provider(ctx, p.ID))(t).ProbedBy; by != ids[0] {
				t.Errorf("%s asked, want %s", by, ids[0])
			}
			if again := must(h.Store.Probes(ctx, 0, 10))(t); len(again) != 0 {
				t.Errorf("right after a probe %v may ask", again)
			}
		}
	})
}
