package contract_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
)

// What an organisation has and does is counted by the day, for admins of that organisation, and drawn in the console.
func TestStatisticsAreKeptByTheDay(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, nil)
		a := consent(t, h, h.User, p, "ada")
		consent(t, h, h.Colleague, p, "grace")
		change(t, h, tokensHaveDied)
		accessToken(t, h, h.User, a)
		accessToken(t, h, h.User, a)
		if err := h.Service.FlushFetches(ctx); err != nil {
			t.Fatal(err)
		}
		for range 2 { // counted again, it is counted once
			ended(t, h, startStats(t, h))
		}
		today := time.Now().UTC().Truncate(24 * time.Hour)
		if err := h.Store.SetStatistics(ctx, "acme", today.AddDate(0, 0, -5), map[models.Statistic]int64{models.StatisticActive: 7, "of-a-later-version": 1}); err != nil {
			t.Fatal(err)
		}
		for days, n := range map[int]int{1: 1, 6: 2, 400: 2} {
			got := list(t, want(t, 200, h.Do(t, h.Admin, "GET", fmt.Sprintf("%sstatistics/?days=%d", root, days), nil))["data"])
			got = slices.DeleteFunc(got, func(of object) bool { // soon after midnight the day before is counted once more
				return of["day"] == today.AddDate(0, 0, -1).Format(time.RFC3339)
			})
			if len(got) != n {
				t.Errorf("of %d days: %v", days, got)
			}
		}
		got := list(t, want(t, 200, h.Do(t, h.Admin, "GET", root+"statistics/", nil))["data"])
		last := got[len(got)-1]
		for name, is := range map[string]any{"day": today.Format(time.RFC3339), "active": 2.0, "expired": 0.0, "made": 2.0, "refreshed": 1.0, "refreshFailed": 0.0, "revoked": 0.0, "fetched": 2.0} {
			if last[name] != is && fmt.Sprint(last[name]) != fmt.Sprint(is) {
				t.Errorf("%s of today is %v, want %v", name, last[name], is)
			}
		}
		if got[0]["active"] != 7.0 && fmt.Sprint(got[0]["active"]) != "7" {
			t.Errorf("five days ago: %v", got[0])
		}
		if other := list(t, want(t, 200, h.Do(t, h.Other, "GET", root+"statistics/", nil))["data"]); len(other) != 0 {
			t.Errorf("another organisation gets %v", other)
		}
		for _, days := range []string{"401", "many"} {
			if a := h.Do(t, h.Admin, "GET", root+"statistics/?days="+days, nil); a.Status != 422 {
				t.Errorf("%s days: %d", days, a.Status)
			}
		}

		s := admin(t, h)
		shown := s.get("/console/statistics?days=30")
		wantPage(t, shown, 200, `<polyline class="good"`, `id="connections-over-time"`, `<option value="30" selected>`, `<th scope="row">`+today.Format(time.DateOnly)+`</th><td class="number">2</td>`)
		wantPage(t, s.get("/console/statistics?days=odd"), 200, `<option value="90" selected>`)
		if strings.Contains(shown.body, "style=") {
			t.Error("the plots have inline style, which the policy refuses")
		}

		if n, err := h.Store.ForgetStatistics(ctx, 3*24*time.Hour, 100); err != nil || n != 2 {
			t.Errorf("forgotten: %d %v", n, err)
		}
	})
}
