package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
)

// Finding S-J: forgetting a job that revoked very many authorizations was one transaction.
// It is done in slices, and the job goes with the last of its outcomes.
func TestP1_AJobIsForgottenInSlices(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		const items, batch, most = 25, 4, 10
		db := brokertest.SQL(t, f.url)
		j := models.Job{ID: id(), OrgID: "acme", Type: models.JobRevokeUser, Status: models.JobCompleted}
		if err := f.InsertJob(ctx, &j, time.Minute); err != nil {
			t.Fatal(err)
		}
		other := f.authorization(t, "other", time.Hour).ID
		for i := range items {
			f.authorization(t, fmt.Sprint(i), time.Hour)
		}
		must(db.Exec("UPDATE jobs SET finished_at = created_at"))(t)
		must(db.Exec("UPDATE authorizations SET outcome = 'revoked', job_id = '" + j.ID + "' WHERE id <> '" + other + "'"))(t)
		for left := items; ; {
			if err := f.ForgetJobs(ctx, 0, 10, batch, most); err != nil {
				t.Fatal(err)
			}
			now := brokertest.Column[int](t, db, "SELECT count(*) FROM authorizations WHERE outcome = 'revoked'")[0]
			jobs := brokertest.Column[int](t, db, "SELECT count(*) FROM jobs")[0]
			if left-now > most+batch || now == left {
				t.Fatalf("a call deleted %d outcomes, want about %d", left-now, most)
			}
			if left = now; jobs != min(left, 1) {
				t.Fatalf("with %d outcomes left there are %d jobs", left, jobs)
			}
			if left == 0 {
				break
			}
		}
		f.linked(t, other) // is still there
	})
}
