package simulation

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/grantd/grantd/brokertest"
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

// TestOnPostgres_D2_AConsentAndADeletionComeOneAfterTheOther: while a transaction makes a consent live, its provider is locked.
// A deletion waits for it, and revokes what it made. In a play a transaction would have to pause for the length of a whole deletion.
func TestOnPostgres_D2_AConsentAndADeletionComeOneAfterTheOther(t *testing.T) {
	h := brokertest.New(t, &brokertest.Options{Backend: brokertest.Servers})
	p := h.Provider(t, "test")
	back := h.Approve(t, h.Authorize(t, h.User, p), "ada")
	back.ProviderID = p.ID
	db := brokertest.SQL(t, h.DatabaseURL)
	pause, err := db.BeginTx(t.Context(), nil)
	if err == nil {
		_, err = pause.Exec("LOCK TABLE credentials IN SHARE ROW EXCLUSIVE MODE") // its rows can be read, and not written
	}
	if err != nil {
		t.Fatal(err)
	}
	waits := func(statement string) bool {
		return len(brokertest.Column[string](t, db, "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '"+statement+"'")) > 0
	}
	var both sync.WaitGroup
	both.Go(func() {
		if _, err := h.Service.Complete(t.Context(), h.User.Caller, back); err != nil {
			t.Errorf("completing the consent: %v", err)
		}
	})
	brokertest.Eventually(t, "the consent's tokens wait to be stored", func() bool { return waits(`INSERT INTO "credentials"%`) })
	deleted := make(chan struct{})
	both.Go(func() {
		defer close(deleted)
		if _, err := h.Service.DeleteProvider(t.Context(), h.Admin.Caller, p.ID, false); err != nil {
			t.Errorf("deleting the provider: %v", err)
		}
	})
	brokertest.Eventually(t, "the deletion waits or is answered", func() bool {
		select {
		case <-deleted:
			t.Error("a provider is deleted while a consent at it becomes live")
			return true
		default:
			return waits("SELECT%FROM providers WHERE id = %FOR UPDATE")
		}
	})
	if err := pause.Rollback(); err != nil {
		t.Error(err)
	}
	both.Wait()
	brokertest.Eventually(t, "nothing is left upstream", func() bool { return h.IdP.Stats().LiveGrants == 0 })
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
