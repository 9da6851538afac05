package store_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
)

// Rows that stay due, since their refresh cannot begin, come first in one sweep and not
// in every one.
func TestT4_RefreshesThatCannotBeginHoldUpNobody(t *testing.T) {
	const rows, limit = 320, 100
	kinds := map[string]struct {
		prepare string
		claim   func(f fixture, next time.Duration) ([]string, error)
	}{
		"in use": {"refresh_after = saved_at", func(f fixture, next time.Duration) ([]string, error) { return f.InUseAndDue(ctx, next, limit, nil) }},
		"idle":   {"keep_alive_at = saved_at", func(f fixture, next time.Duration) ([]string, error) { return f.IdleAndLapsing(ctx, next, limit) }},
		"ambiguous": {"attempt_id = 'lost', lease_until = saved_at", func(f fixture, next time.Duration) ([]string, error) {
			return f.AmbiguousAndOver(ctx, next, limit)
		}},
	}
	each(t, func(t *testing.T, f fixture) {
		db := brokertest.SQL(t, f.url)
		var all []string
		var victim string
		for i := range rows + 1 {
			victim = f.authorization(t, fmt.Sprint(i), time.Hour).ID // the last one is due last
			all = append(all, victim)
		}
		for name, kind := range kinds {
			must(db.Exec("UPDATE credentials SET sweep_at = NULL, " + kind.prepare))(t)
			must(db.Exec("DELETE FROM token_use"))(t)
			if err := f.NoteUse(ctx, all, time.Hour, time.Minute); err != nil {
				t.Fatal(err)
			}
			seen := map[string]int{}
			for range rows/limit + 1 {
				ids, err := kind.claim(f, time.Hour)
				if err != nil {
					t.Fatal(err)
				}
				for _, id := range ids {
					seen[id]++
				}
			}
			if seen[victim] != 1 || len(seen) != rows+1 {
				t.Errorf("%s: %d of %d rows had a turn, the last of them %d times", name, len(seen), rows+1, seen[victim])
			}
			if ids, err := kind.claim(f, time.Hour); err != nil || len(ids) != 0 {
				t.Errorf("%s: %d rows have a second turn at once: %v", name, len(ids), err)
			}
			must(db.Exec("UPDATE credentials SET sweep_at = saved_at"))(t)
			must(db.Exec("UPDATE token_use SET due_at = (SELECT saved_at FROM credentials c WHERE c.authorization_id = token_use.authorization_id)"))(t)
			if ids, err := kind.claim(f, time.Hour); err != nil || len(slices.Compact(slices.Sorted(slices.Values(ids)))) != limit {
				t.Errorf("%s: %d rows have their second turn later, want %d: %v", name, len(ids), limit, err)
			}
		}
	})
}

// Idle connections that are due and may not be refreshed, such as expired ones, are read
// once and not in every sweep, and those behind them have their turn at once.
func TestT4_WhatMayNotBeRefreshedIsPassedOver(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		const blocked, limit = 250, 20
		db := brokertest.SQL(t, f.url)
		for i := range blocked {
			f.authorization(t, fmt.Sprint(i), time.Hour)
		}
		must(db.Exec("UPDATE credentials SET verdict = 'expired', verdict_generation = 1, verdict_secret_version = 1, keep_alive_at = saved_at"))(t)
		ready := f.authorization(t, "ready", time.Hour).ID
		must(db.Exec("UPDATE credentials SET keep_alive_at = saved_at WHERE authorization_id = '" + ready + "'"))(t)
		if ids, err := f.IdleAndLapsing(ctx, time.Minute, limit); err != nil || !slices.Equal(ids, []string{ready}) {
			t.Errorf("a sweep takes up %v, want %s alone: %v", ids, ready, err)
		}
		if n := brokertest.Column[int](t, db, "SELECT count(*) FROM credentials WHERE sweep_at > saved_at"); n[0] != blocked+1 {
			t.Errorf("%d rows are put off, want all %d", n[0], blocked+1)
		}
		must(db.Exec("UPDATE credentials SET verdict = NULL, sweep_at = saved_at"))(t)
		if ids, err := f.IdleAndLapsing(ctx, time.Minute, limit); err != nil || len(ids) != limit {
			t.Errorf("%d of those that were passed over are taken up once they may be refreshed, want %d: %v", len(ids), limit, err)
		}
	})
}

// R5, T4: the sweep puts off what may not be refreshed because its provider is in trouble. It put
// that off again and again, a little longer than the provider waited for its next probe, and where
// nothing else of the provider was due nobody ever asked whether the trouble is over (seed 51863).
func TestR5_WhatIsPutOffInTroubleMayProbe(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		db := brokertest.SQL(t, f.url)
		id := f.authorization(t, "ada", time.Hour).ID
		const next, limit = 10 * time.Second, 10
		for state, sweep := range map[string]func(context.Context, time.Duration, int) ([]string, error){
			"attempt_id = 'lost', lease_until = saved_at":                     f.AmbiguousAndOver,
			"attempt_id = NULL, lease_until = NULL, keep_alive_at = saved_at": f.IdleAndLapsing,
		} {
			must(db.Exec("UPDATE providers SET trouble = 'client', trouble_version = secret_version, trouble_since = created_at, probe_at = created_at"))(t)
			must(db.Exec("UPDATE credentials SET sweep_at = NULL, refresh_after = saved_at, " + state))(t)
			if ids, err := sweep(ctx, next, limit); err != nil || len(ids) != 0 {
				t.Fatalf("with %s the sweep takes up %v of a provider in trouble: %v", state, ids, err)
			}
			if putOff := brokertest.Column[int](t, db, "SELECT count(*) FROM credentials WHERE sweep_at > saved_at"); putOff[0] != 1 {
				t.Errorf("with %s it is not put off", state)
			}
			if ids, err := f.Probes(ctx, next, limit); err != nil || !slices.Equal(ids, []string{id}) {
				t.Errorf("with %s %v may probe, want %s: %v", state, ids, id, err)
			}
			if ids, err := f.Probes(ctx, next, limit); err != nil || len(ids) != 0 {
				t.Errorf("with %s %v may probe as well: %v", state, ids, err)
			}
		}
	})
}

// T1: however much of an organisation is due, and however long, a sweep takes up what is due of
// others as well.
func TestT1_ASweepTakesUpSomethingOfEachOrganisation(t *testing.T) {
	const many, few, limit = 30, 3, 10
	each(t, func(t *testing.T, f fixture) {
		db := brokertest.SQL(t, f.url)
		kinds := map[string]struct {
			insert func(org string, overdue time.Duration) (string, error)
			claim  func() ([]string, error)
		}{
			"tombstones": {func(org string, overdue time.Duration) (string, error) {
				a := f.authorization(t, org+overdue.String()+id(), time.Hour) // due since 1970
				due := ""
				if overdue == 0 {
					due = ", item_due_at = created_at"
				}
				_, err := db.Exec("UPDATE authorizations SET unlinked_at = created_at, org_id = '" + org + "'" + due + " WHERE id = '" + a.ID + "'")
				return a.ID, err
			}, func() ([]string, error) { return f.DueTombstones(ctx, time.Hour, limit) }},
			"jobs": {func(org string, overdue time.Duration) (string, error) {
				j := models.Job{ID: id(), OrgID: org, Type: models.JobRevokeUser, Status: models.JobPending}
				return j.ID, f.InsertJob(ctx, &j, -overdue)
			}, func() (ids []string, err error) {
				rung, err := f.RingDueJobs(ctx, time.Hour, limit)
				for _, r := range rung {
					ids = append(ids, r.ID)
				}
				return ids, err
			}},
			"flows": {func(org string, overdue time.Duration) (string, error) {
				flow := models.Flow{ID: id(), OrgID: org, UserID: "ada", ProviderID: f.provider.ID, Channel: models.ChannelAPI, StateHash: []byte(id()), Sealed: []byte("sealed"), Status: models.FlowExchanged}
				return flow.ID, f.InsertFlow(ctx, &flow, -overdue)
			}, func() (ids []string, err error) {
				flows, err := f.ClaimUnsettled(ctx, time.Hour, limit)
				for _, flow := range flows {
					ids = append(ids, flow.ID)
				}
				return ids, err
			}},
		}
		for name, kind := range kinds {
			for i := range limit + few { // more organisations than are taken up at once
				must(kind.insert(fmt.Sprint("org", i), time.Hour))(t)
			}
			if first, rest := must(kind.claim())(t), must(kind.claim())(t); len(first) != limit || len(rest) != few {
				t.Errorf("%s: of %d organisations %d and then %d are taken up, want %d and %d", name, limit+few, len(first), len(rest), limit, few)
			}
			for range many {
				must(kind.insert("hostile", time.Hour))(t)
			}
			var others []string
			for range few {
				others = append(others, must(kind.insert("other", 0))(t))
			}
			claimed := must(kind.claim())(t)
			for _, other := range others {
				if !slices.Contains(claimed, other) {
					t.Errorf("%s: what is due of another organisation waits for %d of the hostile one", name, many)
				}
			}
			if len(claimed) != limit {
				t.Errorf("%s: %d are taken up, want %d", name, len(claimed), limit)
			}
			if again := must(kind.claim())(t); len(again) != limit {
				t.Errorf("%s: with one organisation left %d are taken up, want %d", name, len(again), limit)
			}
		}
	})
}
