package broker_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// still is an instance in which jobs go on only where a test makes them.
var still = brokertest.Options{WithoutWorker: true}

func TestJobsAreListedWithFilters(t *testing.T) {
	eachWith(t, still, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "test")
		h.Consent(t, h.User, p, "ada")
		deletion := must(h.Service.DeleteProvider(ctx, h.Admin.Caller, p.ID, false))(t).ID
		first := must(h.Service.StartStats(ctx, h.Admin.Caller))(t).ID
		second := must(h.Service.StartStats(ctx, h.Admin.Caller))(t).ID
		must(h.Service.StartStats(ctx, h.Other.Caller))(t)
		must(h.Store.StartJob(ctx, first))(t)
		for _, c := range []struct {
			q    broker.JobQuery
			want []string
		}{
			{broker.JobQuery{}, []string{second, first, deletion}},
			{broker.JobQuery{Types: []string{"STATS"}}, []string{second, first}},
			{broker.JobQuery{Types: []string{"STATS", "DELETE_PROVIDER"}, Statuses: []string{"PENDING"}}, []string{second, deletion}},
			{broker.JobQuery{Statuses: []string{"RUNNING", "ERROR"}}, []string{first}},
			{broker.JobQuery{ProviderID: p.ID}, []string{deletion}},
			{broker.JobQuery{Types: []string{"stats"}}, nil},
			{broker.JobQuery{ProviderID: "no-such-provider"}, nil},
		} {
			page, err := h.Service.Jobs(ctx, h.Admin.Caller, c.q)
			if got := jobIDs(page.Data); err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%+v: got %v, %v, want %v", c.q, got, err, c.want)
			}
		}
		one := must(h.Service.Jobs(ctx, h.Admin.Caller, broker.JobQuery{ProviderID: p.ID}))(t).Data[0]
		if detail(one, "provider_id") != p.ID || detail(one, "pending") == nil || detail(one, "authorization_ids") != nil {
			t.Errorf("a deletion is listed with %v", one.Details)
		}
	})
}

func TestJobsComeInPages(t *testing.T) {
	eachWith(t, still, func(t *testing.T, h *brokertest.Instance) {
		var want []string
		for range 5 {
			want = append([]string{must(h.Service.StartStats(ctx, h.Admin.Caller))(t).ID}, want...)
		}
		var got []string
		q := broker.JobQuery{Types: []string{"STATS"}, Limit: 2}
		for {
			page := must(h.Service.Jobs(ctx, h.Admin.Caller, q))(t)
			got = append(got, jobIDs(page.Data)...)
			if q.Cursor = page.Next; q.Cursor == "" {
				break
			}
			must(h.Service.StartStats(ctx, h.Admin.Caller))(t) // newer ones shift nothing
		}
		if !slices.Equal(got, want) {
			t.Errorf("the pages hold %v, want %v", got, want)
		}
	})
}

func jobIDs(jobs []models.Job) []string {
	var ids []string
	for _, j := range jobs {
		ids = append(ids, j.ID)
	}
	return ids
}

// A6: jobs are for admins. That there are jobs is no secret, which there are is.
func TestA6_JobsAreForAdmins(t *testing.T) {
	eachWith(t, still, func(t *testing.T, h *brokertest.Instance) {
		id := must(h.Service.StartStats(ctx, h.Admin.Caller))(t).ID
		_, err := h.Service.Jobs(ctx, h.User.Caller, broker.JobQuery{})
		wantCode(t, err, models.CodeForbidden)
		if foreign := must(h.Service.Jobs(ctx, h.Other.Caller, broker.JobQuery{}))(t); len(foreign.Data) != 0 {
			t.Errorf("another organisation's admin sees %v", foreign.Data)
		}
		for _, c := range []struct {
			who models.Caller
			id  string
		}{{h.User.Caller, id}, {h.Other.Caller, id}, {h.Admin.Caller, "no-such-job"}} {
			_, err = h.Service.JobItems(ctx, c.who, c.id, broker.ItemQuery{})
			wantCode(t, err, models.CodeNotFound)
			_, err = h.Service.WaitJob(ctx, c.who, c.id, time.Minute)
			wantCode(t, err, models.CodeNotFound)
			_, err = h.Service.WatchJob(ctx, c.who, c.id)
			wantCode(t, err, models.CodeNotFound)
		}
	})
}

// D4, D6: every outcome is there, page by page; P1: and nothing else.
func TestD6_ItemsPageThroughEveryOutcome(t *testing.T) {
	eachWith(t, still, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "test")
		for i := range len(models.Outcomes) {
			h.Consent(t, h.User, p, fmt.Sprint("person", i))
		}
		job := must(h.Service.DeleteProvider(ctx, h.Admin.Caller, p.ID, false))(t).ID
		if none := must(h.Service.JobItems(ctx, h.Admin.Caller, job, broker.ItemQuery{}))(t); len(none.Data) != 0 {
			t.Errorf("before anything is settled: %v", none.Data)
		}
		want := settle(t, h, p, job)
		if got := items(t, h, job, broker.ItemQuery{Limit: 3}); !slices.EqualFunc(got, want, sameItem) {
			t.Errorf("the pages hold %+v, want %+v", got, want)
		}
		first := must(h.Service.JobItems(ctx, h.Admin.Caller, job, broker.ItemQuery{Limit: 3}))(t)
		second := must(h.Service.JobItems(ctx, h.Admin.Caller, job, broker.ItemQuery{Limit: 3, Cursor: first.Next}))(t)
		back := must(h.Service.JobItems(ctx, h.Admin.Caller, job, broker.ItemQuery{Limit: 3, Cursor: second.Previous}))(t)
		if !slices.Equal(back.Data, first.Data) || first.Previous != "" {
			t.Errorf("back from the second page there is %+v, want %+v", back.Data, first.Data)
		}
		some := slices.DeleteFunc(slices.Clone(want), func(i models.JobItem) bool {
			return i.Outcome != models.OutcomeFailed && i.Outcome != models.OutcomeUnsupported
		})
		got := items(t, h, job, broker.ItemQuery{Outcomes: []string{"failed", "unsupported"}, Limit: 1})
		if len(got) != 2 || !slices.EqualFunc(got, some, sameItem) {
			t.Errorf("the pages hold %+v, want %+v", got, some)
		}
		_, err := h.Service.JobItems(ctx, h.Admin.Caller, job, broker.ItemQuery{Outcomes: []string{"failed", "no such outcome"}})
		wantCode(t, err, models.CodeInvalid)
	})
}

// settle ends each of a provider's items in another way, and returns what is to be
// listed.
func settle(t *testing.T, h *brokertest.Instance, p models.Provider, job string) []models.JobItem {
	t.Helper()
	must(h.Store.StartJob(ctx, job))(t)
	must(h.Store.ClaimItems(ctx, store.ItemsOfProvider(p.ID), "lease", time.Minute, 64, false))(t)
	claimed := must(h.Store.ItemsUnder(ctx, "lease"))(t)
	var settled []store.Settled
	var want []models.JobItem
	for i, l := range claimed {
		a, o := l.Authorization, models.Outcomes[i]
		settled = append(settled, store.Settled{ID: a.ID, Generation: l.Credential.Generation, Outcome: o, Reason: "because"})
		want = append(want, models.JobItem{AuthorizationID: a.ID, UserID: a.UserID, ProviderID: p.ID, Outcome: o, Reason: "because"})
	}
	if done := must(h.Store.SettleItems(ctx, "lease", &job, settled))(t); len(done) != len(models.Outcomes) {
		t.Fatalf("%d items were settled", len(done))
	}
	slices.SortFunc(want, func(a, b models.JobItem) int { return cmp.Compare(a.AuthorizationID, b.AuthorizationID) })
	return want
}

func sameItem(got, want models.JobItem) bool {
	known := !got.SettledAt.IsZero()
	got.SettledAt = want.SettledAt
	return known && got == want
}

func items(t *testing.T, h *brokertest.Instance, job string, q broker.ItemQuery) []models.JobItem {
	t.Helper()
	var all []models.JobItem
	for {
		page := must(h.Service.JobItems(ctx, h.Admin.Caller, job, q))(t)
		all = append(all, page.Data...)
		if q.Cursor = page.Next; q.Cursor == "" {
			return all
		}
	}
}

func TestAWaitEndsWithAChange(t *testing.T) {
	eachWith(t, still, func(t *testing.T, h *brokertest.Instance) {
		id := must(h.Service.StartStats(ctx, h.Admin.Caller))(t).ID
		w := must(h.Service.WatchJob(ctx, h.Admin.Caller, id))(t)
		defer w.Close()
		if j := must(w.Job())(t); j.Status != models.JobPending {
			t.Errorf("the job is %s", j.Status)
		}
		must(h.Store.StartJob(ctx, id))(t)
		if !w.Changed(ctx) || must(w.Job())(t).Status != models.JobRunning {
			t.Error("the start was missed")
		}
		if err := h.Store.AddToTotal(ctx, id, 3); err != nil {
			t.Fatal(err)
		}
		if !w.Changed(ctx) || must(w.Job())(t).Total != 3 {
			t.Error("a counter was missed")
		}
		must(h.Store.FinishJob(ctx, id, models.JobCompleted, "", nil))(t)
		if !w.Changed(ctx) || must(w.Job())(t).Status != models.JobCompleted {
			t.Error("the end was missed")
		}
		if w.Changed(ctx) {
			t.Error("the job changed after its end")
		}
		if j := must(h.Service.WaitJob(ctx, h.Admin.Caller, id, time.Minute))(t); j.Status != models.JobCompleted {
			t.Errorf("who waits for what has ended is told %s", j.Status)
		}
	})
}

func TestAWaitEndsWithoutAChange(t *testing.T) {
	eachWith(t, still, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "test")
		id := must(h.Service.DeleteProvider(ctx, h.Admin.Caller, p.ID, false))(t).ID
		stopped, stop := context.WithCancel(ctx)
		stop()
		for name, wait := range map[string]func() (models.Job, error){
			"after the wait": func() (models.Job, error) { return h.Service.WaitJob(ctx, h.Admin.Caller, id, time.Millisecond) },
			"when it has to": func() (models.Job, error) { return h.Service.WaitJob(stopped, h.Admin.Caller, id, time.Minute) },
		} {
			if j, err := wait(); err != nil || j.Status != models.JobPending || detail(j, "provider_id") != p.ID || detail(j, "authorization_ids") == nil {
				t.Errorf("%s: got %+v, %v", name, j, err)
			}
		}
		for _, wait := range []time.Duration{0, -time.Second, time.Minute + 1} {
			_, err := h.Service.WaitJob(ctx, h.Admin.Caller, id, wait)
			wantCode(t, err, models.CodeInvalid)
		}
	})
}

// A whole deletion, as somebody sees it who waits for each change.
func TestADeletionCanBeFollowed(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "test")
		for i := range 5 {
			h.Consent(t, h.User, p, fmt.Sprint("person", i))
		}
		j := must(h.Service.DeleteProvider(ctx, h.Admin.Caller, p.ID, false))(t)
		for !j.Status.Final() {
			j = must(h.Service.WaitJob(ctx, h.Admin.Caller, j.ID, time.Minute))(t)
		}
		if j.Status != models.JobCompleted || detail(j, "revoked") != "5" {
			t.Errorf("the job ended %s with %v", j.Status, j.Details)
		}
		if got := items(t, h, j.ID, broker.ItemQuery{Outcomes: []string{"revoked"}, Limit: 2}); len(got) != 5 {
			t.Errorf("the pages hold %+v", got)
		}
	})
}

// A worker of an earlier release meets a job that only a later one can do: it says so, and
// does the work that it knows.
func TestAJobOfUnknownTypeIsAnErrorAndStopsNoOther(t *testing.T) {
	eachWith(t, still, func(t *testing.T, h *brokertest.Instance) {
		unknown := models.Job{ID: "of-tomorrow", OrgID: h.Admin.Caller.OrgID, Type: "COUNT_SHEEP", Status: models.JobPending}
		if err := h.Store.InsertJob(ctx, &unknown, 0); err != nil {
			t.Fatal(err)
		}
		known := must(h.Service.StartStats(ctx, h.Admin.Caller))(t)
		if err := h.Store.PostponeJob(ctx, known.ID, 0); err != nil {
			t.Fatal(err)
		}
		if err := h.Service.Sweep(ctx); err == nil || !strings.Contains(err.Error(), `does not know: "COUNT_SHEEP"`) {
			t.Errorf("the sweep says %v", err)
		}
		if j := must(h.Store.Job(ctx, known.ID))(t); j.Ring != known.Ring+1 {
			t.Errorf("the other job was rung for %d times", j.Ring-known.Ring)
		}
	})
}

// Finding S-H: where enqueueing timed out the task was there all the same, the sweep
// enqueued another, and both workers counted.
func TestO1_STATSCountsOnce(t *testing.T) {
	eachWith(t, brokertest.Options{WithoutWorker: true}, func(t *testing.T, h *brokertest.Instance) {
		j := must(h.Service.StartStats(ctx, h.Admin.Caller))(t)
		status := func() models.JobStatus { return must(h.Service.Job(ctx, h.Admin.Caller, j.ID))(t).Status }
		if mine := must(h.Store.StartJobAlone(ctx, j.ID, time.Minute))(t); !mine { // by one worker
			t.Fatal("a new job cannot be started")
		}
		exec(t, h, "UPDATE jobs SET due_at = created_at")
		if err := h.Service.RunStats(ctx, j.ID); err != nil || status() != models.JobRunning {
			t.Errorf("a second worker did the job too: it is %s, %v", status(), err)
		}
		exec(t, h, "UPDATE jobs SET started_at = '2000-01-01 00:00:00.000'") // the first worker died
		if err := h.Service.RunStats(ctx, j.ID); err != nil || status() != models.JobCompleted {
			t.Errorf("nobody took the job up again: it is %s, %v", status(), err)
		}
	})
}
