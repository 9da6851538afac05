package broker_test

import (
	"fmt"
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

// Finding S-J, with as much as a user may have: none of 50,000 authorizations is served from the answer on, before, while and
// after they are unlinked in batches, and the person's new consent is, all the time.
func TestD2_NoneOf50000IsServedWhileTheyAreUnlinked(t *testing.T) {
	const many, batch = 50_000, 2000
	brokertest.Each(t, func(t *testing.T, b brokertest.Backend) {
		if b != brokertest.Servers {
			t.Skip("so many are kept on PostgreSQL")
		}
		h := brokertest.New(t, &brokertest.Options{Backend: b, WithoutWorker: true})
		db, p := brokertest.SQL(t, h.DatabaseURL), h.Provider(t, "test")
		var ids []string
		for i := range 8 {
			ids = append(ids, h.Consent(t, h.User, p, fmt.Sprint("ada's account ", i)).ID)
		}
		copies := func(table, of, changed string) {
			must(db.Exec(fmt.Sprintf(`INSERT INTO %[1]s SELECT made.* FROM %[1]s o, generate_series(1, %[2]d) i,
				LATERAL jsonb_populate_record(o, jsonb_build_object(%[3]s)) AS made WHERE o.%[4]s = $1`, table, many, changed, of), ids[0]))(t)
		}
		copies("authorizations", "id", `'id', 'copy-' || i, 'credential_id', 'credential-' || i, 'sub', 'copy-' || i, 'grant_key_v2', 'copy-' || i`)
		copies("credentials", "authorization_id", `'id', 'credential-' || i, 'authorization_id', 'copy-' || i, 'access_mac', NULL`)
		must(db.Exec("ANALYZE"))(t)

		var revoked, over atomic.Bool
		var load, served sync.WaitGroup
		served.Add(len(ids))
		for n, id := range ids {
			load.Go(func() {
				waiting := true
				for i := n; !over.Load(); i += len(ids) {
					before := revoked.Load()
					for _, one := range []string{id, fmt.Sprint("copy-", 1+i%many)} {
						_, err := h.Service.Token(ctx, h.User.Caller, one, 0)
						if before && models.CodeOf(err) != models.CodeNotFound {
							t.Errorf("%s is fetched after the answer, which gives %v", one, err)
							return
						}
						if waiting && one == id && err == nil {
							waiting = false
							served.Done()
						}
					}
				}
			})
		}
		served.Wait()
		j := must(h.Service.RevokeUser(ctx, h.Admin.Caller, "ada"))(t)
		revoked.Store(true)
		again := h.Consent(t, h.User, p, "ada's account 0")
		batches := 0
		for ; must(h.Store.TakesItems(ctx, j.ID))(t); batches++ {
			if err := h.Store.TakeItemsOfUser(ctx, j.ID, batch); err != nil {
				t.Fatal(err)
			}
			if _, err := h.Service.Token(ctx, h.User.Caller, again.ID, 0); err != nil {
				t.Fatalf("after %d batches the new consent gives %v", batches, err)
			}
		}
		over.Store(true)
		load.Wait()
		if batches < many/batch {
			t.Errorf("all were unlinked in %d batches: this shows less than it should", batches)
		}
		if left := brokertest.Column[string](t, db, "SELECT id FROM authorizations WHERE unlinked_at IS NULL"); len(left) != 1 || left[0] != again.ID {
			t.Errorf("%d are linked, want the new one alone", len(left))
		}
	})
}
