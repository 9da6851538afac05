package simulation

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestTheSameMovesKeepThePromisesOnPostgres plays seeds on PostgreSQL for as long as it may, and at
// least one. GRANTD_SEED=n plays the moves of one, which others may follow in another order.
func TestTheSameMovesKeepThePromisesOnPostgres(t *testing.T) {
	began := time.Now()
	until := began.Add(budget(t, 4*time.Second))
	seed, alone := firstSeed(t)
	total, failed := NewCounts(seed), 0
	for more := true; more; more = !alone && failed < 3 && time.Now().Before(until) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			r := PlayOnPostgres(t, seed, Options{})
			total.Add(r)
			for _, v := range r.Violations {
				t.Errorf("seed %d after %.1f s: %s", seed, time.Since(began).Seconds(), v)
			}
			if len(r.Violations) > 0 && os.Getenv("GRANTD_MUTANT") == "" {
				t.Log(lastLines(r.Story(), 4000))
			}
			if t.Failed() {
				failed++
			}
		})
		if total.Seeds == 0 || failed > 0 && os.Getenv("GRANTD_MUTANT") != "" {
			return
		}
		seed++
	}
	t.Logf("%d seeds in %.0f s, %d gates passed", total.Seeds, time.Since(began).Seconds(), total.Gates)
	for _, table := range []map[string]int{total.Faults, total.Moves, total.Rows} {
		for _, name := range slices.Sorted(maps.Keys(table)) {
			t.Logf("%7d  %s", table[name], name)
		}
	}
}

// lastLines are those of a story up to the first broken promise.
func lastLines(story string, most int) string {
	if at := strings.Index(story, "  BROKEN "); at >= 0 {
		end := strings.Index(story[at:], "\n")
		story = story[:at+max(end, 0)]
	}
	lines := strings.Split(story, "\n")
	return strings.Join(lines[max(0, len(lines)-most):], "\n")
}
