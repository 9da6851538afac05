package migrations_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/grantd/grantd/migrations"
)

// small are the tables that have a row for each client, token of the API or the like, so that an index on them is built
// at once. All others have a row for each person, consent, fetch or change.
var small = map[string]string{
	"meta":           "a few facts about the database",
	"upgrades":       "a row for each kind of upgrade",
	"api_tokens":     "made by people, one by one",
	"providers":      "a row for each client that an admin registered",
	"secure_configs": "one or two rows for each provider",
	"pauses":         "a row for each provider or origin that asked to wait",
}

// unreleased is the last file that was written before CONCURRENTLY was asked for. Nothing was released by then, so that no
// database has rows in these tables that anybody waits for.
const unreleased = 47

var (
	created  = regexp.MustCompile(`(?m)^CREATE TABLE (\w+)`)
	indexed  = regexp.MustCompile(`(?m)^CREATE (?:UNIQUE )?INDEX (CONCURRENTLY )?(?:IF NOT EXISTS )?(\w+) ON (\w+)`)
	takeAway = regexp.MustCompile(`(?i)\b(DROP TABLE|DROP COLUMN|RENAME|ALTER COLUMN|TRUNCATE)\b`)
)

func all(t *testing.T) []migrations.Migration {
	t.Helper()
	all, err := migrations.All(migrations.Postgres)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// An index that is built in a transaction locks its table for as long as that takes: nobody's token is refreshed meanwhile.
func TestIndexesOnTablesThatGrowAreBuiltConcurrently(t *testing.T) {
	found := 0
	for _, m := range all(t) {
		var here []string // tables that nobody can have used yet
		for _, c := range created.FindAllStringSubmatch(m.SQL, -1) {
			here = append(here, c[1])
		}
		for _, i := range indexed.FindAllStringSubmatch(m.SQL, -1) {
			found++
			if i[1] == "" && m.Version > unreleased && small[i[3]] == "" && !slices.Contains(here, i[3]) {
				t.Errorf("%s locks %s while it builds %s: say CREATE INDEX {{concurrently}} IF NOT EXISTS, in a file that does nothing else",
					m.Name, i[3], i[2])
			}
		}
	}
	if found < 50 {
		t.Errorf("only %d indexes were found", found)
	}
}

// Each statement runs by itself, and again where the one before it was interrupted.
func TestWhatRunsOutsideATransactionMayRunTwice(t *testing.T) {
	again := regexp.MustCompile(`^(CREATE (UNIQUE )?INDEX CONCURRENTLY IF NOT EXISTS|DROP INDEX CONCURRENTLY IF EXISTS) `)
	found := false
	for _, m := range all(t) {
		if !m.Concurrent {
			continue
		}
		found = true
		for _, s := range m.Statements() {
			if !again.MatchString(s) {
				t.Errorf("%s: this must be a CREATE INDEX {{concurrently}} IF NOT EXISTS or DROP INDEX {{concurrently}} IF EXISTS: %s", m.Name, s)
			}
		}
	}
	if !found {
		t.Error("no migration runs outside of a transaction")
	}
}

// needs says of each migration that takes something away which schema's grantd is the first that does without it.
var needs = map[string]int64{}

// A schema changes in two steps: one release stops using a thing, the next one takes it away.
func TestNothingIsTakenAwayThatTheReleaseBeforeNeeds(t *testing.T) {
	steps := all(t)
	last := steps[len(steps)-1].Version
	if migrations.RunsWith > last {
		t.Errorf("RunsWith is %d, and the newest schema is %d", migrations.RunsWith, last)
	}
	for _, m := range steps {
		text := takeAway.FindString(strings.ReplaceAll(m.SQL, "'", ""))
		switch oldest, listed := needs[m.Name]; {
		case text != "" && !listed:
			t.Errorf("%s says %s: list it in needs, with the first schema whose grantd does without what it takes away", m.Name, text)
		case oldest > migrations.RunsWith:
			t.Errorf("%s needs RunsWith to be at least %d", m.Name, oldest)
		case oldest >= m.Version:
			t.Errorf("%s takes away what its own release, %d, stops using: that is a step too early", m.Name, oldest)
		}
	}
}
