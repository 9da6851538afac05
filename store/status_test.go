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

// The status of an authorization is derived twice: from a row that was read, and in SQL
// for filters and counts. Both say the same of every combination of its causes.
func TestTheStatusInSQLIsThatOfARowThatWasRead(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		db := brokertest.SQL(t, f.url)
		var ids []string
		add := func(life time.Duration, change string, args ...any) {
			t.Helper()
			a := f.authorization(t, fmt.Sprint(len(ids)), life)
			ids = append(ids, a.ID)
			must(db.Exec(change+` WHERE authorization_id = '`+a.ID+`'`, args...))(t)
		}
		for _, verdict := range []struct {
			is                        any
			generation, secretVersion int
		}{{nil, 0, 0}, {"expired", 1, 1}, {"expired", 1, 2}, {"expired", 1, 0}, {"expired", 2, 1}} {
			for _, refreshable := range []bool{true, false} {
				for _, life := range []time.Duration{0, -time.Hour, time.Hour} {
					for _, suspected := range []int{0, 1, 2} {
						add(life, `UPDATE credentials SET verdict = $1, verdict_generation = $2, verdict_secret_version = $3, has_refresh_token = $4,
							expires_at = CASE WHEN $5 THEN NULL ELSE expires_at END, suspected = $6`,
							verdict.is, verdict.generation, verdict.secretVersion, refreshable, life == 0, suspected)
					}
				}
			}
		}
		must(db.Exec(`UPDATE authorizations SET fingerprint = 'x', fingerprint_v2 = CASE WHEN sub < '5' THEN 'y' ELSE '' END`))(t)
		seen := map[models.AuthorizationStatus]bool{}
		check := func(with string) {
			t.Helper()
			byRow := map[models.AuthorizationStatus][]string{}
			for _, id := range ids {
				l := f.linked(t, id)
				status := l.Status()
				byRow[status], seen[status] = append(byRow[status], id), true
			}
			for _, status := range []models.AuthorizationStatus{models.AuthorizationActive, models.AuthorizationExpired,
				models.AuthorizationInvalidOAuthClient, models.AuthorizationInvalidProviderState} {
				var filtered []string
				for _, l := range must(f.Authorizations(ctx, "acme", store.AuthorizationFilter{Status: status, Limit: len(ids)}))(t) {
					filtered = append(filtered, l.Authorization.ID)
				}
				slices.Sort(filtered)
				if slices.Sort(byRow[status]); !slices.Equal(filtered, byRow[status]) {
					t.Errorf("with %s, SQL finds %d that are %s, the rows are %d", with, len(filtered), status, len(byRow[status]))
				}
			}
			for _, c := range must(f.CountAuthorizations(ctx, "acme"))(t) {
				if want := len(byRow[models.AuthorizationStatus(c.Status)]); c.N != int64(want) {
					t.Errorf("with %s, %d are counted as %s, want %d", with, c.N, c.Status, want)
				}
			}
		}
		for _, provider := range []string{
			`status = 'active', fingerprint = 'x', fingerprint_v2 = '', trouble = ''`,
			`trouble = 'client', trouble_version = 1`,
			`trouble = 'client', trouble_version = 2`,
			`trouble = 'refused', trouble_version = 1`,
			`fingerprint = 'z', fingerprint_v2 = 'y'`,
			`fingerprint = 'z', fingerprint_v2 = ''`,
			`fingerprint = 'x', status = 'inactive'`,
			`status = 'disabled'`,
		} {
			must(db.Exec(`UPDATE providers SET ` + provider))(t)
			check(provider)
		}
		// Rows of the release before are not found by their causes, until they are filled in.
		must(db.Exec(`UPDATE providers SET status = 'active'`))(t)
		must(db.Exec(`UPDATE credentials SET org_id = NULL, made_at = NULL WHERE generation = 1`))(t)
		check("rows that are not filled in")
		for n := int64(1); n > 0; n = must(f.FillCredentials(ctx, 20))(t) {
		}
		check("rows that were filled in")
		pagesOfExpired(t, f, len(ids))
		if len(seen) != 4 {
			t.Errorf("only %d statuses were seen", len(seen))
		}
	})
}

// pagesOfExpired goes through the list of what has expired, which is found in two places, page by page and back.
func pagesOfExpired(t *testing.T, f fixture, all int) {
	t.Helper()
	page := func(from *store.Position, limit int) (ids []string, last store.Position) {
		for _, l := range must(f.Authorizations(ctx, "acme", store.AuthorizationFilter{Status: models.AuthorizationExpired, After: from, Limit: limit}))(t) {
			ids, last = append(ids, l.Authorization.ID), store.Position{CreatedAt: l.Authorization.CreatedAt, ID: l.Authorization.ID}
		}
		return ids, last
	}
	const size = 7
	whole, end := page(nil, all)
	var paged []string
	for next, from := page(nil, size); len(next) > 0; next, from = page(&from, size) {
		paged = append(paged, next...)
	}
	if len(whole) < 3*size || !slices.Equal(paged, whole) {
		t.Errorf("page by page there are %d, at once %d", len(paged), len(whole))
	}
	end.Back = true
	if back, _ := page(&end, size); !slices.Equal(back, whole[len(whole)-1-size:len(whole)-1]) {
		t.Errorf("before the last one there are %v of %v", back, whole)
	}
}
