package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/grantd/grantd/brokertest"
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
