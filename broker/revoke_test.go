package broker_test

import (
	"testing"
	"time"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/secrets"
	"github.com/grantd/grantd/testidp"
)

func TestDisconnectRevokesAtOnce(t *testing.T) {
	for _, typ := range []string{"test", "github"} {
		t.Run(typ, func(t *testing.T) {
			eachWith(t, brokertest.Options{WithoutWorker: true}, func(t *testing.T, h *brokertest.Instance) {
				a := h.Consent(t, h.User, h.Provider(t, typ), "ada")
				if err := h.Service.Disconnect(ctx, h.User.Caller, a.ID); err != nil {
					t.Fatal(err)
				}
				if n := h.IdP.Stats().LiveGrants; n != 0 {
					t.Errorf("%d grants are left upstream", n)
				}
				_, err := h.Service.Token(ctx, h.User.Caller, a.ID, 0)
				wantCode(t, err, models.CodeNotFound)
				wantCode(t, h.Service.Disconnect(ctx, h.User.Caller, a.ID), models.CodeNotFound)
			})
		})
	}
}

// A disconnect that the upstream does not take at once is on record, and a worker
// goes on until it is done.
func TestDisconnectIsRetriedByTheWorker(t *testing.T) {
	o := brokertest.Options{Timing: broker.Timing{Backoff: 20 * time.Millisecond, Resweep: 50 * time.Millisecond}}
	eachWith(t, o, func(t *testing.T, h *brokertest.Instance) {
		a := h.Consent(t, h.User, h.Provider(t, "test"), "ada")
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.Revoke, Status: 500, Times: 3})
		if err := h.Service.Disconnect(ctx, h.User.Caller, a.ID); err != nil {
			t.Fatal(err)
		}
		_, err := h.Service.Token(ctx, h.User.Caller, a.ID, 0)
		wantCode(t, err, models.CodeNotFound)
		brokertest.Eventually(t, "the grant is gone", func() bool { return h.IdP.Stats().LiveGrants == 0 })
	})
}

// GitHub takes only a living access token as proof: an expired one is refreshed
// first, and where that is impossible nothing is claimed.
func TestGitHubRevocationRefreshesAnExpiredToken(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "github")
		ada, grace := h.Consent(t, h.User, p, "ada"), h.Consent(t, h.User, p, "grace")
		h.IdP.ExpireAccessTokens()
		stale(t, h, ada)
		stale(t, h, grace)
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.Refresh, Error: "invalid_grant", Times: 1})
		j := ended(t, h, must(h.Service.DeleteProvider(ctx, h.Admin.Caller, p.ID, false))(t).ID)
		if j.Status != models.JobCompleted || detail(j, "revoked") != "1" || detail(j, "no_live_token") != "1" {
			t.Errorf("the job ended %s with %v", j.Status, j.Details)
		}
	})
}

// D1: while another authorization of the same account and client lives, only this
// one's token is revoked.
func TestD1_ASiblingsGrantSurvives(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "github")
		mine, theirs := h.Consent(t, h.User, p, "ada"), h.Consent(t, h.Colleague, p, "ada")
		if err := h.Service.Disconnect(ctx, h.User.Caller, mine.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Service.UserInfo(ctx, h.Colleague.Caller, theirs.ID); err != nil {
			t.Errorf("the sibling's token died: %v", err)
		}
		if s := h.IdP.Stats(); s.Calls[testidp.GrantDelete] != 0 || s.Calls[testidp.TokenDelete] != 1 {
			t.Errorf("%d grants and %d tokens were deleted, want 0 and 1", s.Calls[testidp.GrantDelete], s.Calls[testidp.TokenDelete])
		}
	})
}

// D4: an item that fails for good ends the job in ERROR and names itself; the rest
// is revoked all the same, and DELETE resumes.
func TestD4_FailuresAreReportedAndResumed(t *testing.T) {
	o := brokertest.Options{Timing: broker.Timing{Backoff: time.Millisecond, Resweep: 20 * time.Millisecond}}
	eachWith(t, o, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "test")
		h.Consent(t, h.User, p, "ada")
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.Revoke, Status: 500})
		j := ended(t, h, must(h.Service.DeleteProvider(ctx, h.Admin.Caller, p.ID, false))(t).ID)
		if j.Status != models.JobError || detail(j, "failed") != "1" || detail(j, "failure") == nil {
			t.Fatalf("the job ended %s with %v", j.Status, j.Details)
		}
		first := j
		again := ended(t, h, must(h.Service.DeleteProvider(ctx, h.Admin.Caller, p.ID, false))(t).ID)
		if again.Status != models.JobError || detail(again, "failed") != "1" {
			t.Fatalf("the second job ended %s with %v", again.Status, again.Details)
		}
		h.IdP.ClearFaults()
		j = ended(t, h, must(h.Service.DeleteProvider(ctx, h.Admin.Caller, p.ID, false))(t).ID)
		if j.Status != models.JobCompleted || detail(j, "revoked") != "1" {
			t.Errorf("the resumed job ended %s with %v", j.Status, j.Details)
		}
		for _, old := range []models.Job{first, again} { // what it settled, it goes on telling
			now := must(h.Service.Job(ctx, h.Admin.Caller, old.ID))(t)
			if detail(now, "failure") == nil || detail(now, "failure") != detail(old, "failure") {
				t.Errorf("after it was resumed a failed job tells %v, before %v", detail(now, "failure"), detail(old, "failure"))
			}
			told := items(t, h, old.ID, broker.ItemQuery{})
			if len(told) != 1 || told[0].Outcome != models.OutcomeFailed || told[0].ProviderID != p.ID || told[0].SettledAt.IsZero() {
				t.Errorf("after it was resumed a failed job has the items %+v", told)
			}
		}
		if told := items(t, h, j.ID, broker.ItemQuery{}); len(told) != 1 || told[0].Outcome != models.OutcomeRevoked {
			t.Errorf("the job that resumed has the items %+v", told)
		}
	})
}

// K2: a keyset that the database was not filled with stops the start.
func TestK2_AForeignKeysetStopsTheStart(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		foreign := must(secrets.Generate())(t)
		if _, err := broker.New(ctx, broker.Options{Store: h.Store, Keys: foreign, PublicURL: h.URL}); err == nil {
			t.Error("a foreign keyset was accepted")
		}
	})
}

// O1: with the bell gone the sweeper does the work itself.
func TestO1_STATSWithAndWithoutABell(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		h.Consent(t, h.User, h.Provider(t, "test"), "ada")
		j := ended(t, h, must(h.Service.StartStats(ctx, h.Admin.Caller))(t).ID)
		if detail(j, "providers.test.active") != "1" || detail(j, "authorizations.active") != "1" || detail(j, "last_day.made") != "1" {
			t.Errorf("the statistics are %v", j.Details)
		}
	})
}
