package broker_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
)

// TestP1_CleaningKeepsUp: a sweep begins every two seconds, and deletes or adds up at
// least what 5,000 rows a second leave behind in that time.
func TestP1_CleaningKeepsUp(t *testing.T) {
	const rows = 10_000
	brokertest.Each(t, func(t *testing.T, b brokertest.Backend) {
		h := brokertest.New(t, &brokertest.Options{Backend: b, WithoutWorker: true})
		db := brokertest.SQL(t, h.DatabaseURL)
		at := func(daysAgo int) string {
			return time.Now().UTC().AddDate(0, 0, -daysAgo).Format("2006-01-02 15:04:05.000")
		}
		const numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) "
		for table, insert := range map[string]string{
			"audit_events": "INSERT INTO audit_events (id, org_id, at, user_id, token_id, action, provider_id, authorization_id, job_id, code) " +
				numbers + "SELECT 'old' || i, 'acme', '" + at(400) + "', '', '', 'token.refreshed', '', '', '', '' FROM n",
			"token_fetches, forgotten": "INSERT INTO token_fetches (authorization_id, token_id, minute, org_id, user_id, fetches) " +
				numbers + "SELECT 'forgotten' || i, 't', '" + at(400) + "', 'acme', 'ada', 1 FROM n",
			"token_fetches, added up": "INSERT INTO token_fetches (authorization_id, token_id, minute, org_id, user_id, fetches) " +
				numbers + "SELECT 'kept' || i, 't', '" + at(40) + "', 'acme', 'ada', 1 FROM n",
		} {
			if _, err := db.Exec(fmt.Sprintf(insert, rows)); err != nil {
				t.Fatal(table, ": ", err)
			}
		}
		if err := h.Service.Sweep(ctx); err != nil {
			t.Fatal(err)
		}
		for query, want := range map[string]int{
			"SELECT count(*) FROM audit_events WHERE id LIKE 'old%'": 0,
			"SELECT count(*) FROM token_fetches":                     0,
			"SELECT count(*) FROM token_fetch_days":                  rows,
		} {
			var n int
			if err := db.QueryRow(query).Scan(&n); err != nil || n != want {
				t.Errorf("%s: %d (%v), want %d", query, n, err, want)
			}
		}
	})
}

// Finding S-K: an idle process asked every two seconds whether anything is old enough to be
// deleted. Where nothing was, it is asked again after a while; where something was, at once.
func TestASweepLooksForOldRowsWhileThereAreSome(t *testing.T) {
	var seen roundTrips
	h := brokertest.New(t, &brokertest.Options{WithoutWorker: true, Between: seen.between(), Timing: broker.Timing{Forget: time.Hour}})
	db := brokertest.SQL(t, h.DatabaseURL)
	asked := func() (n int) {
		seen.begin()
		if err := h.Service.Sweep(ctx); err != nil {
			t.Fatal(err)
		}
		for _, s := range seen.end() {
			if strings.HasPrefix(s, "DELETE FROM sessions") || strings.HasPrefix(s, "DELETE FROM audit_events") {
				n++
			}
		}
		return n
	}
	must(db.Exec("UPDATE audit_events SET at = '2001-01-01 00:00:00.000' WHERE id = (SELECT min(id) FROM audit_events)"))(t)
	if n := asked(); n != 2 {
		t.Errorf("the first sweep looked for %d kinds of rows, want both", n)
	}
	if n := asked(); n != 1 {
		t.Errorf("after one kind was found, %d kinds were looked for", n)
	}
	if n := asked(); n != 0 {
		t.Errorf("after nothing was found, %d kinds were looked for", n)
	}
}
