package store_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

const day = 24 * time.Hour

// byDay is what is counted of an authorization and a token on a day, wherever it is.
func byDay(t *testing.T, f fixture) map[string]int {
	t.Helper()
	on := "substr(%s, 1, 10)"
	if f.backend == brokertest.Servers {
		on = "to_char(%s AT TIME ZONE 'UTC', 'YYYY-MM-DD')"
	}
	rows := must(brokertest.SQL(t, f.url).Query("SELECT authorization_id || token_id || org_id || user_id || " + fmt.Sprintf(on, "minute") + ", fetches FROM token_fetches" +
		" UNION ALL SELECT authorization_id || token_id || org_id || user_id || " + fmt.Sprintf(on, "day") + ", fetches FROM token_fetch_days"))(t)
	defer rows.Close()
	counts := map[string]int{}
	for rows.Next() {
		var key string
		var n int
		if err := rows.Scan(&key, &n); err != nil {
			t.Fatal(err)
		}
		counts[key] += n
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return counts
}

func countRows(t *testing.T, f fixture, table string) (n int) {
	t.Helper()
	if err := brokertest.SQL(t, f.url).QueryRow("SELECT count(*) FROM " + table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestH2_OldMinutesAreAddedUpByDay: nothing is lost or counted twice, in batches that
// several processes work on, and what is told of the last fetch stays the same.
func TestH2_OldMinutesAreAddedUpByDay(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		var rows []store.Fetches
		var ids []string
		now := time.Now().UTC().Truncate(time.Minute)
		for i := range 12 {
			a := f.authorization(t, fmt.Sprint("person", i), time.Hour)
			ids = append(ids, a.ID)
			// The last fetch of each is between today and 66 days ago.
			for back := time.Duration(i) * 6 * day; back < 70*day; back += 5 * time.Hour {
				for _, token := range []string{"t", "u"} {
					rows = append(rows, store.Fetches{AuthorizationID: a.ID, Minute: now.Add(-back), N: int64(i + 1),
						Caller: models.Caller{TokenID: token, OrgID: "acme", UserID: "ada"}})
				}
			}
		}
		if err := f.AddFetches(ctx, rows); err != nil {
			t.Fatal(err)
		}
		counts, last := byDay(t, f), must(f.LastFetches(ctx, ids))(t)
		if len(last) != len(ids) {
			t.Fatalf("a last fetch is known of %d of %d", len(last), len(ids))
		}

		const keep, batch = 30 * day, 100
		var processes sync.WaitGroup
		for range 3 {
			processes.Go(func() {
				for {
					if n, err := f.AddUpFetches(ctx, keep, batch); err != nil || n == 0 {
						if err != nil {
							t.Error(err)
						}
						return
					}
				}
			})
		}
		processes.Wait()
		if n := must(f.AddUpFetches(ctx, keep, batch))(t); n != 0 {
			t.Errorf("%d counts were left", n)
		}
		if diff := cmp.Diff(counts, byDay(t, f)); diff != "" {
			t.Error("the counts changed: ", diff)
		}
		if diff := cmp.Diff(last, must(f.LastFetches(ctx, ids))(t)); diff != "" {
			t.Error("the last fetches changed: ", diff)
		}
		old := 0
		for _, row := range rows {
			if time.Since(row.Minute) > keep {
				old++
			}
		}
		if n := countRows(t, f, "token_fetches"); n != len(rows)-old || old == 0 {
			t.Errorf("%d counts by the minute are left, want the %d of the last 30 days", n, len(rows)-old)
		}

		// A count that comes late is added to its day.
		late := store.Fetches{AuthorizationID: ids[0], Minute: now.Add(-40 * day), N: 5, Caller: rows[0].Caller}
		if err := f.AddFetches(ctx, []store.Fetches{late}); err != nil {
			t.Fatal(err)
		}
		before := byDay(t, f)
		days := countRows(t, f, "token_fetch_days")
		if n := must(f.AddUpFetches(ctx, keep, batch))(t); n != 1 || countRows(t, f, "token_fetch_days") != days {
			t.Errorf("the late count made %d rows and %d days", n, countRows(t, f, "token_fetch_days")-days)
		}
		if diff := cmp.Diff(before, byDay(t, f)); diff != "" {
			t.Error("the late count is lost: ", diff)
		}
	})
}

// TestH2_CountsAreForgottenAfterTheRetention, by the minute or by the day.
func TestH2_CountsAreForgottenAfterTheRetention(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		a := f.authorization(t, "ada", time.Hour)
		now := time.Now().UTC().Truncate(time.Minute)
		var rows []store.Fetches
		for i := range 20 {
			rows = append(rows, store.Fetches{AuthorizationID: a.ID, Minute: now.Add(-time.Duration(i) * day), N: 1, Caller: models.Caller{TokenID: "t"}})
		}
		if err := f.AddFetches(ctx, rows); err != nil {
			t.Fatal(err)
		}
		must(f.AddUpFetches(ctx, 15*day+time.Hour, 3))(t) // the oldest three
		for _, want := range []int64{3, 3, 1, 0} {        // by the minute: 10 to 16 days ago
			if n := must(f.ForgetFetches(ctx, 9*day+time.Hour, 3))(t); n != want {
				t.Errorf("%d were forgotten, want %d", n, want)
			}
		}
		if minutes, days := countRows(t, f, "token_fetches"), countRows(t, f, "token_fetch_days"); minutes != 10 || days != 0 {
			t.Errorf("%d minutes and %d days are left, want 10 and 0", minutes, days)
		}
	})
}
