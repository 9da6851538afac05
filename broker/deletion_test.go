package broker_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/testidp"
)

// D2: DELETE writes to the provider and the job alone, however many belong to it, and
// yet everything is unusable at once.
func TestD2_DeletingTouchesNoAuthorization(t *testing.T) {
	eachWith(t, still, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "test")
		all := consents(t, h, p, 3)
		tables := []string{"authorizations", "credentials", "flows", "secure_configs"}
		before := map[string]string{}
		for _, table := range tables {
			before[table] = contents(t, h, table)
		}
		j := must(h.Service.DeleteProvider(ctx, h.Admin.Caller, p.ID, false))(t)
		for _, table := range tables {
			if after := contents(t, h, table); after != before[table] {
				t.Errorf("DELETE changed %s from\n%s\nto\n%s", table, before[table], after)
			}
		}
		for _, a := range all {
			_, err := h.Service.Token(ctx, h.User.Caller, a.ID, 0)
			wantCode(t, err, models.CodeForbidden)
		}
		if j.Status != models.JobPending || h.IdP.Stats().LiveGrants != 3 {
			t.Errorf("the job is %s with %d grants live; nobody worked on it", j.Status, h.IdP.Stats().LiveGrants)
		}
	})
}

// contents is a table as text, row by row.
func contents(t *testing.T, h *brokertest.Instance, table string) string {
	t.Helper()
	rows := must(brokertest.SQL(t, h.DatabaseURL).Query("SELECT * FROM " + table + " ORDER BY id"))(t)
	defer rows.Close()
	var text strings.Builder
	for columns := must(rows.Columns())(t); rows.Next(); {
		values, targets := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			targets[i] = &values[i]
		}
		if err := rows.Scan(targets...); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&text, values...)
	}
	if err := rows.Err(); err != nil || text.Len() == 0 {
		t.Fatalf("%s: %v", table, err)
	}
	return text.String()
}

func TestDeletingAProviderRevokesEveryAuthorization(t *testing.T) {
	for _, typ := range []string{"test", "github"} {
		t.Run(typ, func(t *testing.T) {
			each(t, func(t *testing.T, h *brokertest.Instance) {
				p := h.Provider(t, typ)
				for i := range 70 {
					h.Consent(t, h.User, p, fmt.Sprint("person", i))
				}
				if n := h.IdP.Stats().LiveGrants; n != 70 {
					t.Fatalf("%d grants are live upstream, want 70", n)
				}
				j := must(h.Service.DeleteProvider(ctx, h.Admin.Caller, p.ID, false))(t)
				j = ended(t, h, j.ID)
				if j.Status != models.JobCompleted || detail(j, "total") != "70" || detail(j, "revoked") != "70" || detail(j, "pending") != "0" {
					t.Errorf("the job ended %s with %v", j.Status, j.Details)
				}
				if n := h.IdP.Stats().LiveGrants; n != 0 {
					t.Errorf("%d grants are left upstream", n)
				}
				_, err := h.Service.Provider(ctx, h.Admin.Caller, p.ID)
				wantCode(t, err, models.CodeNotFound)
				_, err = h.Service.DeleteProvider(ctx, h.Admin.Caller, p.ID, false)
				wantCode(t, err, models.CodeNotFound)
			})
		})
	}
}

// D4: a refusal of the client stops the job at once, and D5: with the right
// secret DELETE goes on as a new job.
func TestD4_ARefusedClientStopsTheJob(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "github")
		for i := range 5 {
			h.Consent(t, h.User, p, fmt.Sprint("person", i))
		}
		h.IdP.SetSecret(brokertest.ClientID, "rotated")
		j := ended(t, h, must(h.Service.DeleteProvider(ctx, h.Admin.Caller, p.ID, false))(t).ID)
		if j.Status != models.JobError || detail(j, "pending") != "5" || detail(j, "error") == nil {
			t.Fatalf("the job ended %s with %v", j.Status, j.Details)
		}
		p = must(h.Service.Provider(ctx, h.Admin.Caller, p.ID))(t)
		if p.Status != models.ProviderDisabled {
			t.Errorf("the provider is %s, want disabled", p.Status)
		}
		resumeWithSecret(t, h, p, j)
	})
}

func resumeWithSecret(t *testing.T, h *brokertest.Instance, p models.Provider, first models.Job) {
	change := func(f func(*brokertest.Instance) error) error { return f(h) }
	active := models.ProviderActive
	wantCode(t, change(statusTo(p, active)), models.CodeConflict)
	if err := change(secretTo(p, "rotated")); err != nil {
		t.Fatal(err)
	}
	j := ended(t, h, must(h.Service.DeleteProvider(ctx, h.Admin.Caller, p.ID, false))(t).ID)
	if j.ID == first.ID || j.Status != models.JobCompleted || detail(j, "resumes") != first.ID || detail(j, "revoked") != "5" {
		t.Errorf("the resumed job is %s with %v", j.Status, j.Details)
	}
	if n := h.IdP.Stats().LiveGrants; n != 0 {
		t.Errorf("%d grants are left upstream", n)
	}
}

// D4: what fails for good leaves the job in ERROR with the list; force gives up.
func TestD5_ForceGivesUpOnTheUpstream(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "test")
		h.Consent(t, h.User, p, "ada")
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.Revoke, Status: 429, RetryAfter: "3600"})
		j := must(h.Service.DeleteProvider(ctx, h.Admin.Caller, p.ID, false))(t)
		brokertest.Eventually(t, "the upstream is asked", func() bool { return h.IdP.Stats().Calls[testidp.Revoke] > 0 })
		again := must(h.Service.DeleteProvider(ctx, h.Admin.Caller, p.ID, true))(t)
		if again.ID != j.ID {
			t.Errorf("DELETE again made job %s, want %s", again.ID, j.ID)
		}
		j = ended(t, h, j.ID)
		if j.Status != models.JobCompleted || detail(j, "abandoned") != "1" {
			t.Errorf("the job ended %s with %v", j.Status, j.Details)
		}
	})
}
