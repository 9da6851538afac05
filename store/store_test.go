package store_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/brokertest/services"
	"github.com/grantd/grantd/migrations"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

func TestMain(m *testing.M) { brokertest.Main(m) }

var ctx = context.Background()

func id() string { return uuid.Must(uuid.NewV7()).String() }

// fixture is a store with one provider.
type fixture struct {
	*store.Store
	backend  brokertest.Backend
	url      string
	provider models.Provider
}

func each(t *testing.T, f func(*testing.T, fixture)) {
	brokertest.Each(t, func(t *testing.T, b brokertest.Backend) { f(t, newFixture(t, b)) })
}

func newFixture(t *testing.T, b brokertest.Backend) fixture {
	t.Helper()
	url, _ := b.Migrated(t)
	f := fixture{Store: brokertest.OpenStore(t, url, nil), backend: b, url: url}
	f.insertProvider(t)
	return f
}

func (f *fixture) insertProvider(t *testing.T) {
	t.Helper()
	f.provider = models.Provider{ID: id(), OrgID: "acme", Name: "GitHub", Slug: "github", Type: "github", Status: models.ProviderActive,
		ClientID: "c", SecureConfigID: id(), SecretVersion: 1, CreatedAt: time.Now().UTC().Truncate(time.Millisecond)}
	p := f.provider
	if err := f.InsertProvider(ctx, &p, &models.SecureConfig{ID: p.SecureConfigID, ProviderID: p.ID, Sealed: []byte("sealed")}); err != nil {
		t.Fatal(err)
	}
}

// authorization keeps an authorization whose token lives for the given time.
func (f fixture) authorization(t *testing.T, sub string, life time.Duration) models.Authorization {
	t.Helper()
	now := time.Now().UTC()
	a := models.Authorization{ID: id(), OrgID: "acme", UserID: "ada", ProviderID: f.provider.ID, CredentialID: id(), OAuthClientID: "c",
		Sub: sub, Scopes: models.Strings{"a", "b"}, MissingScopes: models.Strings{"c"}, Revoke: models.RevokeGrant, ItemDueAt: time.Unix(0, 0).UTC(), CreatedAt: now, UpdatedAt: now}
	err := f.InsertAuthorization(ctx, &a, store.Save{Attempt: "first", Sealed: []byte("one"), HasRefreshToken: true,
		Known: true, ExpiresIn: life, RefreshAfter: life * 4 / 5})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (f fixture) linked(t *testing.T, id string) models.Linked {
	t.Helper()
	l, err := f.Linked(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestWhatIsReadIsWhatWasWritten(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		p := f.provider
		p.Scopes, p.Config = models.Strings{"a", "b"}, models.Settings{"pkce": false}
		if err := f.SaveProvider(ctx, &p); err != nil {
			t.Fatal(err)
		}
		a := f.authorization(t, "1", time.Hour)
		l := f.linked(t, a.ID)
		if l.Provider.Scopes[1] != "b" || l.Provider.Config["pkce"] != false {
			t.Errorf("the provider came back as %+v", l.Provider)
		}
		if string(l.Credential.Sealed) != "one" || l.Credential.Generation != 1 || !l.Credential.HasRefreshToken {
			t.Errorf("the credential came back as %+v", l.Credential)
		}
		left := l.Credential.ExpiresAt.Sub(l.Now)
		if left < 55*time.Minute || left > time.Hour {
			t.Errorf("the token lives for %v more, want almost an hour by the database's clock", left)
		}
		if got := l.Credential.ExpiresAt.Location(); got != time.UTC {
			t.Errorf("times come back in %v, want UTC", got)
		}
	})
}

// What a fetch reads is the same as what everything else reads, column by column.
func TestAFetchReadsWhatLinkedReads(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		a := f.authorization(t, "1", time.Hour)
		p := f.provider
		p.Name, p.Scopes, p.RedirectURIs, p.Config = "Nämé", models.Strings{"a b"}, models.Strings{"https://x/"}, models.Settings{"n": 1.5}
		p.SkipConsent, p.Metadata = true, models.ProviderMetadata{Host: "h", SettingsURL: "https://s/"}
		p.Fingerprint, p.FingerprintV2 = "one", "two"
		if err := f.SaveProvider(ctx, &p); err != nil {
			t.Fatal(err)
		}
		lease(t, f, f.linked(t, a.ID), "x")
		must(f.SaveFailure(ctx, a.CredentialID, 1, store.Failed{Attempt: "x", RetryIn: time.Hour, Verdict: models.VerdictExpired, SecretVersion: 7}))(t)
		must(f.Unlink(ctx, a.ID))(t)
		db := brokertest.SQL(t, f.url)
		for _, statement := range []string{
			"UPDATE authorizations SET scopes_cut = TRUE, fingerprint = 'three', fingerprint_v2 = 'four'",
			"UPDATE credentials SET refresh_expires_at = expires_at, verdict_reason = 'five', suspected = 6, gate_version = 8, last_error = 'nine', keep_alive_at = expires_at, lease_until = expires_at, attempt_id = 'twelve'",
			"UPDATE providers SET trouble = 'client', trouble_code = 'ten', trouble_version = 11, probe_at = created_at",
		} {
			must(db.Exec(statement))(t)
		}
		linked, fetched := f.linked(t, a.ID), must(f.Fetchable(ctx, a.ID))(t)
		want, got := store.FetchValues(&linked), store.FetchValues(&fetched)
		for name, value := range want {
			if reflect.ValueOf(value).IsZero() {
				t.Errorf("%s is empty, which a column that was not read would be too", name)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("a fetch reads otherwise (-want +got):\n%s", diff)
		}
		if apart := fetched.Now.Sub(linked.Now).Abs(); apart > time.Minute {
			t.Errorf("a fetch tells another time, by %v", apart)
		}
		if _, err := f.Fetchable(ctx, "nobody"); !store.IsNotFound(err) {
			t.Errorf("of nobody it reads %v", err)
		}
	})
}

// TestEveryChangeOfAProviderIsFetched: a provider is kept as it was read, for rows in which its columns say the same.
func TestEveryChangeOfAProviderIsFetched(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		a := f.authorization(t, "1", time.Hour)
		later := "created_at = '2031-02-03 04:05:06.789'"
		changes := map[string]string{
			"p.org_id": "org_id = 'b'", "p.name": "name = 'c'", "p.slug": "slug = 'd'", "p.type": "type = 'gitlab'", "p.status": "status = 'deleted'",
			"p.client_id": "client_id = 'e'", "p.secure_config_id": "secure_config_id = 'n'", "p.skip_consent": "skip_consent = NOT skip_consent",
			"p.host": "host = 'f'", "p.settings_url": "settings_url = 'g'", "p.scopes": `scopes = '["h"]'`, "p.redirect_uris": `redirect_uris = '["i"]'`,
			"p.config": `config = '{"j":1}'`, "p.fingerprint": "fingerprint = 'k'", "p.fingerprint_v2": "fingerprint_v2 = 'l'",
			"p.secret_version": "secret_version = 77", "p.trouble": "trouble = 'client'", "p.trouble_code": "trouble_code = 'm'",
			"p.trouble_version": "trouble_version = 78", "p.probe_at": strings.Replace(later, "created_at", "probe_at", 1),
			"p.created_at": later, "p.updated_at": strings.Replace(later, "created_at", "updated_at", 1),
		}
		db := brokertest.SQL(t, f.url)
		for _, column := range store.FetchColumns() {
			if !strings.HasPrefix(column, "p.") || column == "p.id" {
				continue
			}
			before := must(f.Fetchable(ctx, a.ID))(t)
			must(db.Exec("UPDATE providers SET " + changes[column]))(t)
			linked, fetched := f.linked(t, a.ID), must(f.Fetchable(ctx, a.ID))(t)
			if diff := cmp.Diff(store.FetchValues(&linked), store.FetchValues(&fetched)); diff != "" {
				t.Errorf("after a change of %s a fetch reads otherwise (-want +got):\n%s", column, diff)
			}
			if cmp.Equal(store.FetchValues(&before)[column], store.FetchValues(&fetched)[column]) {
				t.Errorf("%s stays as it was", column)
			}
		}
	})
}

// lease reports whether the attempt gets the right to refresh what was read.
func lease(t *testing.T, f fixture, l models.Linked, attempt string) bool {
	t.Helper()
	leased, won, err := f.LeaseForRefresh(ctx, store.SeenIn(l, nil), attempt, time.Minute)
	if err != nil {
		t.Error(err)
	}
	if c := leased.Credential; won && (c.AttemptID == nil || *c.AttemptID != attempt || c.LeaseOwner == nil || *c.LeaseOwner != attempt || c.LeaseUntil == nil) {
		t.Errorf("the lease was given, and the row says %+v", c)
	}
	return won
}

// R1: a save at the newest generation is accepted without any lease; a second one
// at the same generation is not, and does not change a thing.
func TestR1_GenerationFencesSaves(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		a := f.authorization(t, "1", time.Hour)
		save := func(attempt string) store.Save {
			return store.Save{Attempt: attempt, Sealed: []byte(attempt), HasRefreshToken: true}
		}
		if !must(f.SaveTokens(ctx, a.CredentialID, 1, save("late")))(t) {
			t.Fatal("a save over the newest generation was refused")
		}
		if must(f.SaveTokens(ctx, a.CredentialID, 1, save("later")))(t) {
			t.Fatal("a save over an old generation was accepted")
		}
		if c := f.linked(t, a.ID).Credential; string(c.Sealed) != "late" || c.Generation != 2 || c.SavedBy != "late" {
			t.Errorf("the row is %+v", c)
		}
	})
}

// R1: a save voids the verdict, the back-off, the lease and the attempt.
func TestR1_ASaveOverwritesVerdicts(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		a := f.authorization(t, "1", -time.Second)
		leased := func(attempt string) bool {
			return lease(t, f, f.linked(t, a.ID), attempt)
		}
		if !leased("x") || leased("y") {
			t.Fatal("a lease must go to exactly one")
		}
		failed := store.Failed{Attempt: "x", Error: "denied", Verdict: models.VerdictExpired, SecretVersion: 1, RetryIn: time.Hour}
		if !must(f.SaveFailure(ctx, a.CredentialID, 1, failed))(t) {
			t.Fatal("the holder's failure was refused")
		}
		if c := f.linked(t, a.ID).Credential; c.Verdict == nil || c.LeaseOwner != nil || c.AttemptID != nil || c.Generation != 1 {
			t.Fatalf("after a definite failure the row is %+v", c)
		}
		if !must(f.SaveTokens(ctx, a.CredentialID, 1, store.Save{Attempt: "late", Sealed: []byte("2")}))(t) {
			t.Fatal("the late save was refused")
		}
		if c := f.linked(t, a.ID).Credential; c.Verdict != nil || c.NextAttemptAt != nil || c.Failures != 0 || c.LastAttempt != "late" {
			t.Errorf("the save left %+v", c)
		}
	})
}

// R8: a back-off gates the lease statement itself.
func TestR8_BackOffGatesTheLease(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		a := f.authorization(t, "1", -time.Second)
		lease(t, f, f.linked(t, a.ID), "x")
		must(f.SaveFailure(ctx, a.CredentialID, 1, store.Failed{Attempt: "x", Error: "transient", RetryIn: time.Hour}))(t)
		if lease(t, f, f.linked(t, a.ID), "y") {
			t.Error("the lease was given during the back-off")
		}
	})
}

// R2: of many who want it at once, one gets the lease.
func TestR2_OneLeaseForMany(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		a := f.authorization(t, "1", -time.Second)
		l := f.linked(t, a.ID)
		var won atomic.Int64
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				if lease(t, f, l, fmt.Sprint(i)) {
					won.Add(1)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Errorf("%d got the lease, want 1", won.Load())
		}
	})
}

// A migration that ran is not run again, and a schema of another version is
// refused with what to do.
func TestSchemaVersions(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b brokertest.Backend) {
		url, _ := b.URLs(t)
		s := must(store.Open(ctx, store.Options{URL: url}))(t)
		defer s.Close()
		if err := s.CheckSchema(ctx); err == nil {
			t.Error("an empty database passes for a migrated one")
		}
		var wg sync.WaitGroup
		for range 4 { // as replicas that start together
			wg.Go(func() {
				if _, err := s.Migrate(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if err := s.CheckSchema(ctx); err != nil {
			t.Error(err)
		}
		if n := must(s.Migrate(ctx))(t); n != 0 {
			t.Errorf("migrating again took %d steps", n)
		}
	})
}

// During an upgrade processes of the release before are restarted too, and an operator may want to go back to it: a grantd
// starts on a newer schema that says that it may, and refuses one that does not.
func TestANewerSchemaSaysWhoMayRunWithIt(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		db := brokertest.SQL(t, f.url)
		must(db.Exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (900000, TRUE)"))(t)
		if err := f.CheckSchema(ctx); err != nil {
			t.Errorf("the schema of the next release is refused: %v", err)
		}
		must(db.Exec("UPDATE meta SET value = CAST('900000' AS " + map[bool]string{true: "BLOB", false: "BYTEA"}[strings.HasPrefix(f.url, "sqlite:")] + ") WHERE name = 'schema_runs_with'"))(t)
		if n := must(f.Migrate(ctx))(t); n != 0 {
			t.Errorf("%d steps were taken on a newer schema", n)
		}
		if err := f.CheckSchema(ctx); err == nil || !strings.Contains(err.Error(), "use a newer grantd") {
			t.Errorf("the schema of a release after the next one: %v", err)
		}
	})
}

// An index whose building was interrupted takes part in every write and is used by no query.
func TestAnInterruptedIndexIsBuiltAnew(t *testing.T) {
	t.Parallel()
	s := must(store.Open(ctx, store.Options{URL: services.Database(t)}))(t)
	t.Cleanup(func() { s.Close() })
	must(s.Migrate(ctx))(t)
	for _, name := range []string{"one", "two"} {
		must(s.StateMeta(ctx, name, []byte("the same")))(t)
	}
	unique := []string{"CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS meta_values ON meta (value)"}
	if err := store.Concurrently(ctx, s, unique); err == nil {
		t.Fatal("a unique index was built over two equal values")
	}
	if err := store.Concurrently(ctx, s, []string{"DELETE FROM meta WHERE name = 'two'", unique[0]}); err != nil {
		t.Fatal(err)
	}
	if err := store.Concurrently(ctx, s, []string{"INSERT INTO meta (name, value) VALUES ('two', 'the same')"}); err == nil {
		t.Error("the index is there and is not used")
	}
}

// Whoever waits for a table makes all others wait who come later. A migration that cannot have a table soon gives up.
func TestAMigrationDoesNotWaitLongForATable(t *testing.T) {
	t.Parallel()
	url := services.Database(t)
	s := must(store.Open(ctx, store.Options{URL: url}))(t)
	t.Cleanup(func() { s.Close() })
	must(s.Migrate(ctx))(t)
	tx := must(brokertest.SQL(t, url).Begin())(t)
	must(tx.Exec("LOCK TABLE providers IN ACCESS SHARE MODE"))(t) // as pg_dump does
	err := store.MigrateBy(ctx, s, migrations.Migration{Version: 900000, Name: "900000_next.sql", SQL: "ALTER TABLE providers ADD COLUMN next TEXT"})
	if err == nil || !strings.Contains(err.Error(), "run it again") {
		t.Errorf("a migration that waits for a backup: %v", err)
	}
	must(0, tx.Rollback())(t)
	if err := store.MigrateBy(ctx, s, migrations.Migration{Version: 900000, Name: "900000_next.sql", SQL: "ALTER TABLE providers ADD COLUMN next TEXT"}); err != nil {
		t.Error(err)
	}
}

// R11: a PostgreSQL that may lose acknowledged commits is refused, unless allowed.
func TestR11_AsynchronousCommitIsRefused(t *testing.T) {
	t.Parallel()
	url := services.Database(t) + "&options=-c%20synchronous_commit%3Doff"
	if _, err := store.Open(ctx, store.Options{URL: url}); err == nil {
		t.Fatal("a database with synchronous_commit=off was accepted")
	}
	s, err := store.Open(ctx, store.Options{URL: url, AllowAsyncCommit: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
}

// D6: items are claimed once, in batches, and an outcome is written once by
// the holder of the lease.
func TestD6_ItemsAreClaimedAndSettledOnce(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		job := models.Job{ID: id(), OrgID: "acme", Type: models.JobDeleteProvider, Status: models.JobRunning, ProviderID: &f.provider.ID}
		if err := f.InsertJob(ctx, &job, time.Minute); err != nil {
			t.Fatal(err)
		}
		for i := range 150 {
			f.authorization(t, fmt.Sprint(i), time.Hour)
		}
		var wg sync.WaitGroup
		var claimed atomic.Int64
		for range 4 {
			wg.Go(func() {
				for {
					lease := id()
					n, err := f.ClaimItems(ctx, store.ItemsOfProvider(f.provider.ID), lease, time.Minute, 64, false)
					if err != nil {
						t.Error(err)
					}
					if err != nil || n == 0 {
						return
					}
					claimed.Add(n)
					items, err := f.ItemsUnder(ctx, lease)
					if err != nil || int64(len(items)) != n {
						t.Errorf("the lease holds %d of %d items: %v", len(items), n, err)
						return
					}
					var settled []store.Settled
					for i, l := range items {
						o := models.OutcomeRevoked
						if i%10 == 0 {
							o = models.OutcomeFailed
						}
						settled = append(settled, store.Settled{ID: l.Authorization.ID, Generation: l.Credential.Generation, Outcome: o})
					}
					done, err := f.SettleItems(ctx, lease, &job.ID, settled)
					if err != nil || int64(len(done)) != n {
						t.Errorf("settled %d of %d: %v", len(done), n, err)
					}
					if err := f.CountSettled(ctx, job.ID, done); err != nil {
						t.Errorf("counting: %v", err)
					}
					if again, err := f.SettleItems(ctx, lease, &job.ID, settled); err != nil || len(again) != 0 {
						t.Errorf("%d outcomes were written twice: %v", len(again), err)
					}
				}
			})
		}
		wg.Wait()
		j := must(f.Job(ctx, job.ID))(t)
		if claimed.Load() != 150 || j.Settled() != 150 || j.Failed == 0 {
			t.Errorf("%d were claimed, the job counts %d, of them %d failed", claimed.Load(), j.Settled(), j.Failed)
		}
	})
}

// R9: an item whose credential has newer tokens than were revoked is not settled.
func TestR9_NewerTokensAreNotTakenForRevoked(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		a := f.authorization(t, "1", time.Hour)
		must(f.ClaimItems(ctx, store.ItemsOfProvider(f.provider.ID), "lease", time.Minute, 64, false))(t)
		must(f.SaveTokens(ctx, a.CredentialID, 1, store.Save{Attempt: "late", Sealed: []byte("newer")}))(t)
		done := must(f.SettleItems(ctx, "lease", nil, []store.Settled{{ID: a.ID, Generation: 1, Outcome: models.OutcomeRevoked}}))(t)
		if len(done) != 0 {
			t.Error("newer tokens were deleted unrevoked")
		}
	})
}

// P1: what is settled keeps only id, provider, user and outcome.
func TestP1_SettledItemsAreWiped(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		a := f.authorization(t, "subject-42", time.Hour)
		must(f.ClaimItems(ctx, store.ItemsOfProvider(f.provider.ID), "lease", time.Minute, 64, false))(t)
		must(f.SettleItems(ctx, "lease", nil, []store.Settled{{ID: a.ID, Generation: 1, Outcome: models.OutcomeRevoked}}))(t)
		if _, err := f.Linked(ctx, a.ID); !store.IsNotFound(err) {
			t.Error("the credential is still there")
		}
		if must(f.AnyPending(ctx, store.ItemsOfProvider(f.provider.ID)))(t) {
			t.Error("an item is pending")
		}
	})
}

// O1: of replicas that sweep at once, one rings for a job, each time with a new ring.
func TestO1_DueJobsAreSharedOut(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		for range 20 {
			if err := f.InsertJob(ctx, &models.Job{ID: id(), OrgID: "acme", Type: models.JobStats, Status: models.JobPending}, -time.Second); err != nil {
				t.Fatal(err)
			}
		}
		var mu sync.Mutex
		rings := map[string]int{}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				rung, err := f.RingDueJobs(ctx, time.Hour, 100)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				for _, r := range rung {
					rings[r.ID]++
				}
			})
		}
		wg.Wait()
		for id, n := range rings {
			if n != 1 {
				t.Errorf("job %s was rung for %d times", id, n)
			}
		}
		if rest := must(f.RingDueJobs(ctx, time.Hour, 100))(t); len(rings)+len(rest) != 20 {
			t.Errorf("%d jobs were rung for, want 20", len(rings)+len(rest))
		}
	})
}

// O1: "once an hour" is a unique key.
func TestO1_OneJobPerKey(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		key := "STATS:acme:2026-11-22T02"
		insert := func() error {
			return f.InsertJob(ctx, &models.Job{ID: id(), OrgID: "acme", Type: models.JobStats, Status: models.JobPending, DedupeKey: &key}, 0)
		}
		if err := insert(); err != nil {
			t.Fatal(err)
		}
		if err := insert(); !errors.Is(err, store.ErrDuplicate) {
			t.Errorf("the second job of the hour gave %v, want ErrDuplicate", err)
		}
	})
}

func TestPagesFollowEachOther(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		want := map[string]bool{}
		for i := range 25 {
			want[f.authorization(t, fmt.Sprint(i), time.Hour).ID] = true
		}
		var after *store.Position
		last := ""
		for pages := 0; len(want) > 0; pages++ {
			rows := must(f.Authorizations(ctx, "acme", store.AuthorizationFilter{UserID: "ada", After: after, Limit: 10}))(t)
			if len(rows) == 0 || pages > 3 {
				t.Fatalf("%d authorizations were on no page", len(want))
			}
			for _, l := range rows {
				if a := l.Authorization; !want[a.ID] || a.ID <= last {
					t.Fatalf("%s came twice, or out of order", a.ID)
				}
				last = l.Authorization.ID
				delete(want, last)
			}
			end := rows[len(rows)-1].Authorization
			at := must(store.ParsePosition(store.Position{CreatedAt: end.CreatedAt, ID: end.ID}.String()))(t)
			after = &at
		}
	})
}

// D5: DELETE frees a slug at once.
func TestD5_ADeletedProviderOccupiesNoSlug(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		second := f.provider
		second.ID, second.SecureConfigID = id(), id()
		secret := &models.SecureConfig{ID: second.SecureConfigID, ProviderID: second.ID, Sealed: []byte("s")}
		if err := f.InsertProvider(ctx, &second, secret); !errors.Is(err, store.ErrDuplicate) {
			t.Fatalf("a taken slug gave %v, want ErrDuplicate", err)
		}
		first, job := f.provider, id()
		first.Status, first.DeleteJobID = models.ProviderDeleted, &job
		if err := f.SaveProvider(ctx, &first); err != nil {
			t.Fatal(err)
		}
		if err := f.InsertProvider(ctx, &second, secret); err != nil {
			t.Errorf("the slug of a deleted provider is still taken: %v", err)
		}
	})
}

// H2: counts of the same minute add up.
func TestH2_FetchesAddUp(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b brokertest.Backend) {
		url, _ := b.Migrated(t)
		s := brokertest.OpenStore(t, url, nil)
		minute := time.Now().UTC().Truncate(time.Minute)
		rows := []store.Fetches{
			{AuthorizationID: "b", Caller: models.Caller{TokenID: "t"}, Minute: minute, N: 1},
			{AuthorizationID: "a", Caller: models.Caller{TokenID: "t"}, Minute: minute, N: 2},
			{AuthorizationID: "a", Caller: models.Caller{TokenID: "u"}, Minute: minute, N: 1},
		}
		for range 2 {
			if err := s.AddFetches(ctx, rows); err != nil {
				t.Fatal(err)
			}
		}
		for id, want := range map[string][2]int{"a": {6, 2}, "b": {2, 1}} {
			var n, counts int
			row := brokertest.SQL(t, url).QueryRow("SELECT SUM(fetches), COUNT(*) FROM token_fetches WHERE authorization_id = '" + id + "'")
			if err := row.Scan(&n, &counts); err != nil || [2]int{n, counts} != want {
				t.Errorf("of %s %d fetches are counted in %d rows (%v), want %v", id, n, counts, err, want)
			}
		}
	})
}

// A flow moves forward only: each step is taken once.
func TestR10_FlowsMoveForwardOnly(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		flow := models.Flow{ID: id(), OrgID: "acme", UserID: "ada", ProviderID: f.provider.ID, Channel: models.ChannelAPI,
			StateHash: []byte("h"), Status: models.FlowOpen, Sealed: []byte("s")}
		if err := f.InsertFlow(ctx, &flow, time.Minute); err != nil {
			t.Fatal(err)
		}
		again := flow
		again.ID = id()
		if err := f.InsertFlow(ctx, &again, time.Minute); !errors.Is(err, store.ErrDuplicate) {
			t.Errorf("the same state again gave %v, want ErrDuplicate", err)
		}
		steps := []func() (bool, error){
			func() (bool, error) { return f.ClaimFlow(ctx, flow.ID, []byte("c")) },
			func() (bool, error) { return f.SaveExchange(ctx, flow.ID, []byte("t"), time.Minute) },
			func() (bool, error) { return f.FinishFlow(ctx, flow.ID, "a") },
			func() (bool, error) { return f.DeliverFlow(ctx, flow.ID) },
		}
		for i, step := range steps {
			if !must(step())(t) {
				t.Fatalf("step %d was refused", i)
			}
			for j, earlier := range steps[:i+1] {
				if must(earlier())(t) {
					t.Fatalf("after step %d, step %d was taken again", i, j)
				}
			}
		}
	})
}
