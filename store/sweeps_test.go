package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// Rows that stay due, since their refresh cannot begin, come first in one sweep and not
// in every one.
func TestT4_RefreshesThatCannotBeginHoldUpNobody(t *testing.T) {
	const rows, limit = 320, 100
	kinds := map[string]struct {
		prepare string
		claim   func(f fixture, next time.Duration) ([]string, error)
	}{
		"lately used": {"refresh_after = saved_at", func(f fixture, next time.Duration) ([]string, error) {
			return f.LatelyUsedAndDue(ctx, time.Hour, next, limit)
		}},
		"idle": {"keep_alive_at = saved_at", func(f fixture, next time.Duration) ([]string, error) { return f.IdleAndLapsing(ctx, next, limit) }},
		"ambiguous": {"attempt_id = 'lost', lease_until = saved_at", func(f fixture, next time.Duration) ([]string, error) {
			return f.AmbiguousAndOver(ctx, next, limit)
		}},
	}
	each(t, func(t *testing.T, f fixture) {
		db := brokertest.SQL(t, f.url)
		var fetched []store.Fetches
		var victim string
		for i := range rows + 1 {
			victim = f.authorization(t, fmt.Sprint(i), time.Hour).ID // the last one is due last
			fetched = append(fetched, store.Fetches{AuthorizationID: victim, Caller: models.Caller{OrgID: "acme", UserID: "ada", TokenID: "t"}, Minute: time.Now().UTC(), N: 1})
		}
		if err := f.AddFetches(ctx, fetched); err != nil {
			t.Fatal(err)
		}
		for name, kind := range kinds {
			if _, err := db.Exec("UPDATE credentials SET sweep_at = NULL, " + kind.prepare); err != nil {
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
			if _, err := db.Exec("UPDATE credentials SET sweep_at = saved_at"); err != nil {
				t.Fatal(err)
			}
			if ids, err := kind.claim(f, time.Hour); err != nil || len(slices.Compact(slices.Sorted(slices.Values(ids)))) != limit {
				t.Errorf("%s: %d rows have their second turn later, want %d: %v", name, len(ids), limit, err)
			}
		}
	})
}
