package broker_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/testidp"
)

// Finding S-J, D2: from the answer on, nothing that a user had is served or shown, though it
// is unlinked later, and nothing is refreshed. Whoever consents again meanwhile has a new
// authorization, which outlives the job.
func TestD2_WhatAUserHadIsUnusableBeforeItIsUnlinked(t *testing.T) {
	eachWith(t, still, func(t *testing.T, h *brokertest.Instance) {
		db, p := brokertest.SQL(t, h.DatabaseURL), h.Provider(t, "test")
		a, b := h.Consent(t, h.User, p, "ada"), h.Consent(t, h.User, p, "ada's second account")
		kept := h.Consent(t, h.Colleague, p, "grace")

		var revoked atomic.Bool
		var load sync.WaitGroup
		served := make(chan struct{}, 1)
		for range 8 {
			load.Go(func() {
				for last := false; !last; {
					last = revoked.Load()
					_, err := h.Service.Token(ctx, h.User.Caller, a.ID, 0)
					if last && models.CodeOf(err) != models.CodeNotFound {
						t.Errorf("a fetch after the answer gives %v", err)
					}
					select {
					case served <- struct{}{}:
					default:
					}
				}
			})
		}
		<-served
		j := must(h.Service.RevokeUser(ctx, h.Admin.Caller, "ada"))(t)
		revoked.Store(true)
		load.Wait()
		if n := brokertest.Column[int](t, db, "SELECT count(*) FROM authorizations WHERE unlinked_at IS NOT NULL")[0]; n != 0 {
			t.Fatalf("%d were unlinked in the request: this shows less than it should", n)
		}
		if all := must(h.Service.Authorizations(ctx, h.User.Caller, broker.AuthorizationQuery{}))(t); len(all.Data) != 0 {
			t.Errorf("the user is shown %v", all.Data)
		}
		if all := must(h.Service.Authorizations(ctx, h.Admin.Caller, broker.AuthorizationQuery{}))(t); len(all.Data) != 1 {
			t.Errorf("an admin is shown %v, want the colleague's", all.Data)
		}
		wantCode(t, h.Service.Disconnect(ctx, h.User.Caller, b.ID), models.CodeNotFound)
		must(db.Exec("UPDATE credentials SET refresh_after = saved_at, expires_at = saved_at, keep_alive_at = saved_at WHERE authorization_id <> $1", kept.ID))(t)
		if err := h.Service.Sweep(ctx); err != nil {
			t.Fatal(err)
		}
		if n := h.IdP.Stats().Calls[testidp.Refresh]; n != 0 {
			t.Errorf("a sweep refreshes %d of them", n)
		}

		again := h.Consent(t, h.User, p, "ada")
		if again.ID == a.ID {
			t.Error("the new consent goes on with what was revoked")
		}
		brokertest.Eventually(t, "the job ends", func() bool {
			if err := h.Service.RunRevocation(ctx, j.ID); err != nil {
				t.Fatal(err)
			}
			j = must(h.Service.Job(ctx, h.Admin.Caller, j.ID))(t)
			return j.Status.Final()
		})
		// The new consent has taken the first one over, which a sweep revokes.
		if j.Status != models.JobCompleted || detail(j, "total") != "1" || detail(j, "revoked") != "1" {
			t.Errorf("the job ended %s with %v", j.Status, j.Details)
		}
		for id, who := range map[string]models.Caller{again.ID: h.User.Caller, kept.ID: h.Colleague.Caller} {
			if _, err := h.Service.Token(ctx, who, id, 0); err != nil {
				t.Errorf("%s gives %v", id, err)
			}
		}
		if n := brokertest.Column[int](t, db, "SELECT count(*) FROM user_revocations")[0]; n != 0 {
			t.Error("the row is left")
		}
		if n := brokertest.Column[int](t, db, "SELECT count(*) FROM authorizations WHERE unlinked_at IS NULL")[0]; n != 2 {
			t.Errorf("%d are linked, want the new one and the colleague's", n)
		}
	})
}

// For a day after the schema changed, processes of the release before may be running. They do
// not know that a row can say that all of a user is revoked, so that it is unlinked at once.
func TestEverythingOfAUserIsUnlinkedAtOnceDuringAnUpgrade(t *testing.T) {
	eachWith(t, still, func(t *testing.T, h *brokertest.Instance) {
		db, p := brokertest.SQL(t, h.DatabaseURL), h.Provider(t, "test")
		ago := func(hours int) string {
			return time.Now().UTC().Add(-time.Duration(hours) * time.Hour).Format("2006-01-02 15:04:05.000")
		}
		unlinked := func() int {
			h.Consent(t, h.User, p, "ada")
			must(h.Service.RevokeUser(ctx, h.Admin.Caller, "ada"))(t)
			return brokertest.Column[int](t, db, "SELECT count(*) FROM authorizations WHERE unlinked_at IS NOT NULL")[0]
		}
		must(db.Exec("INSERT INTO upgrades (name, began_at) VALUES ('user_revocations', $1)", ago(23)))(t)
		if n := unlinked(); n != 1 {
			t.Errorf("%d are unlinked within the day, want 1", n)
		}
		must(db.Exec("UPDATE upgrades SET began_at = $1", ago(25)))(t)
		if n := unlinked(); n != 1 {
			t.Errorf("%d are unlinked after the day, want as many as before", n)
		}
	})
}
