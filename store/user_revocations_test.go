package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// Finding S-J: revoking a user with very many authorizations was one transaction of all of
// them. It is one row, from which on all of them count as unlinked; then they are unlinked in
// batches, what failed before among them, and the row goes with the last one.
func TestD2_AUserIsUnlinkedInBatches(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		const items, failed, batch = 25, 6, 4
		db := brokertest.SQL(t, f.url)
		for i := range items + failed {
			f.authorization(t, fmt.Sprint(i), time.Hour)
		}
		must(db.Exec("UPDATE authorizations SET outcome = 'failed', outcome_at = created_at, unlinked_at = created_at, job_id = 'before' WHERE CAST(sub AS INTEGER) >= $1", items))(t)
		other := f.authorization(t, "other", time.Hour)
		must(db.Exec("UPDATE authorizations SET user_id = 'grace' WHERE id = $1", other.ID))(t)
		early := f.authorization(t, "the clock was ahead", time.Hour)
		madeAt := func(a models.Authorization, at time.Time) {
			must(db.Exec("UPDATE authorizations SET created_at = $1 WHERE id = $2", at.UTC().Format("2006-01-02 15:04:05.000"), a.ID))(t)
		}
		madeAt(early, time.Now().Add(time.Hour))

		for _, job := range []string{"first", "job"} { // the second one takes all
			if err := f.RevokeUser(ctx, "acme", "ada", job); err != nil {
				t.Fatal(err)
			}
		}
		at := must(f.UserRevokedAt(ctx, "acme", "ada"))(t)
		later := f.authorization(t, "later", time.Hour)
		madeAt(later, at.Add(time.Millisecond))
		for _, l := range []models.Linked{f.linked(t, early.ID), must(f.Fetchable(ctx, early.ID))(t)} {
			if l.Authorization.UnlinkedAt == nil || !l.Authorization.UnlinkedAt.Equal(*at) {
				t.Errorf("what was made before counts as unlinked %v, want since %s", l.Authorization.UnlinkedAt, at)
			}
		}
		for _, l := range []models.Linked{f.linked(t, later.ID), must(f.Fetchable(ctx, other.ID))(t)} {
			if l.Authorization.UnlinkedAt != nil {
				t.Errorf("what was made later, or is another's, counts as unlinked")
			}
		}
		if all := must(f.Authorizations(ctx, "acme", store.AuthorizationFilter{Limit: 50}))(t); len(all) != 2 {
			t.Errorf("%d are listed, want the two that are linked", len(all))
		}
		if n := must(f.CountUntaken(ctx, "job"))(t); n != items+failed+1 {
			t.Errorf("%d are to be taken, want %d", n, items+failed+1)
		}

		if err := f.TakeItemsOfUser(ctx, "first", batch); err != nil {
			t.Fatal(err)
		}
		for before := 0; ; {
			left := must(f.TakesItems(ctx, "job"))(t)
			taken := brokertest.Column[int](t, db, "SELECT count(*) FROM authorizations WHERE unlinked_at IS NOT NULL AND outcome IS NULL AND job_id = 'job'")[0]
			if taken-before > batch || left && before > 0 && taken == before {
				t.Fatalf("%d were taken at a time, want at most %d", taken-before, batch)
			}
			if before = taken; !left {
				break
			}
			if err := f.TakeItemsOfUser(ctx, "job", batch); err != nil {
				t.Fatal(err)
			}
		}
		if n := brokertest.Column[int](t, db, "SELECT count(*) FROM authorizations WHERE job_id = 'job' AND outcome IS NULL")[0]; n != items+failed+1 {
			t.Errorf("%d were taken, want %d", n, items+failed+1)
		}
		if n := brokertest.Column[int](t, db, "SELECT count(*) FROM retried_items WHERE job_id = 'before' AND outcome = 'failed'")[0]; n != failed {
			t.Errorf("%d outcomes of the job before are kept, want %d", n, failed)
		}
		for _, a := range []models.Authorization{later, other} {
			if f.linked(t, a.ID).Authorization.UnlinkedAt != nil {
				t.Errorf("%s was unlinked too", a.Sub)
			}
		}
	})
}
