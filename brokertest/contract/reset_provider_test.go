package contract_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/testidp"
)

func resetAll(id string) string { return provider(id) + "reset/" }

// people lets as many accounts consent, and returns their authorizations.
func people(t testing.TB, h *brokertest.Instance, providerID string, n int) []string {
	t.Helper()
	var all []string
	for i := range n {
		all = append(all, consent(t, h, h.User, providerID, fmt.Sprint("person", i)))
	}
	return all
}

// Every token of a provider is replaced once, by however many workers, and what
// cannot be replaced is named.
func TestAProvidersTokensAreReset(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		brokertest.New(t, &brokertest.Options{DatabaseURL: h.DatabaseURL, RedisURL: h.RedisURL, Keys: h.Keys, IdP: h.IdP, IdPURL: h.IdPURL})
		p, untouched := createID(t, h, nil), consent(t, h, h.User, createID(t, h, nil), "ada")
		all := people(t, h, p, 40)
		before := map[string]string{untouched: accessToken(t, h, h.User, untouched)}
		for _, id := range all {
			before[id] = accessToken(t, h, h.User, id)
		}
		withoutRefresh(h)
		alone := consent(t, h, h.User, p, "alone")
		h.IdP.ClearFaults()

		job := ended(t, h, jobOf(t, h, h.Do(t, h.Admin, "POST", resetAll(p), nil)))
		d := details(t, job)
		if job["type"] != "RESET_PROVIDER" || job["status"] != "COMPLETED" || d["provider_id"] != p || d["total"] != "41" ||
			d["refreshed"] != "40" || d["impossible"] != "1" || d["pending"] != "0" {
			t.Errorf("the job ended %v", job)
		}
		for _, id := range all {
			if accessToken(t, h, h.User, id) == before[id] {
				t.Errorf("%s has its old token", id)
			}
		}
		if accessToken(t, h, h.User, untouched) != before[untouched] {
			t.Error("another provider's token was reset")
		}
		if s := h.IdP.Stats(); s.Calls[testidp.Refresh] != 40 || s.RefreshReused != 0 {
			t.Errorf("%d refreshes, %d refresh tokens spent twice; want 40 and 0", s.Calls[testidp.Refresh], s.RefreshReused)
		}
		items := root + "jobs/" + text(t, job, "id") + "/items/"
		page := want(t, 200, h.Do(t, h.Admin, "GET", items+"?outcome=impossible", nil))
		one := list(t, page["data"])
		if len(one) != 1 || one[0]["authorizationId"] != alone || one[0]["reason"] != "no_refresh_token" || one[0]["providerId"] != p {
			t.Errorf("impossible were %v", one)
		}
		if n := want(t, 200, h.Do(t, h.Admin, "GET", items, nil))["count"]; n != 41.0 {
			t.Errorf("%v items are told", n)
		}
	})
}

// Tokens without refresh tokens are reset in place where the upstream can; those that
// turn out to be invalid are expired, and count as no suspicion against the client (R5).
func TestR5_ResetsInPlaceFindInvalidTokens(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		withoutRefresh(h)
		p := gitHubApp(t, h)
		all := people(t, h, p, 8)
		for _, id := range all[:6] {
			withdraw(t, h, accessToken(t, h, h.User, id))
		}
		job := ended(t, h, jobOf(t, h, h.Do(t, h.Admin, "POST", resetAll(p), nil)))
		if d := details(t, job); job["status"] != "COMPLETED" || d["reset"] != "2" || d["expired"] != "6" {
			t.Errorf("the job ended %v", job)
		}
		want(t, 410, h.Do(t, h.User, "POST", tokenOf(all[0]), nil))
		want(t, 200, h.Do(t, h.User, "GET", userinfoOf(all[7]), nil))
	})
}

// One job at a time; when it has ended another may begin.
func TestO1_OneResetAtATime(t *testing.T) {
	o := brokertest.Options{WithoutWorker: true}
	eachWith(t, o, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, nil)
		people(t, h, p, 2)
		first := jobOf(t, h, h.Do(t, h.Admin, "POST", resetAll(p), nil))
		if again := jobOf(t, h, h.Do(t, h.Admin, "POST", resetAll(p), nil)); again != first {
			t.Errorf("the second job is %s, want %s", again, first)
		}
		for range 3 {
			if err := h.Service.RunReset(ctx, first); err != nil {
				t.Fatal(err)
			}
		}
		if job := ended(t, h, first); job["status"] != "COMPLETED" {
			t.Errorf("the job ended %v", job)
		}
		if next := jobOf(t, h, h.Do(t, h.Admin, "POST", resetAll(p), nil)); next == first {
			t.Error("after its end the job is given again")
		}
	})
}

// What a worker that died had claimed is taken over when its lease is over.
func TestD6_AResetIsTakenOver(t *testing.T) {
	o := brokertest.Options{WithoutWorker: true}
	eachWith(t, o, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, nil)
		people(t, h, p, 3)
		job := jobOf(t, h, h.Do(t, h.Admin, "POST", resetAll(p), nil))
		if ok, err := h.Store.StartJob(ctx, job); !ok || err != nil {
			t.Fatal(ok, err)
		}
		if n, err := h.Store.AddResetItems(ctx, job, p); n != 3 || err != nil {
			t.Fatal(n, err)
		}
		if got, err := h.Store.ClaimResetItems(ctx, job, "another worker's", time.Hour, 2); len(got) != 2 || err != nil {
			t.Fatal(got, err)
		}
		run := func() {
			if err := h.Service.RunReset(ctx, job); err != nil {
				t.Fatal(err)
			}
		}
		run()
		got := want(t, 200, h.Do(t, h.Admin, "GET", root+"jobs/"+job+"/", nil))
		if d := details(t, got); got["status"] != "RUNNING" || d["refreshed"] != "1" || d["pending"] != "2" {
			t.Errorf("while two are claimed: %v", got)
		}
		change(t, h, `UPDATE reset_items SET due_at = settled_at WHERE settled_at IS NOT NULL`)
		change(t, h, `UPDATE reset_items SET due_at = (SELECT MAX(due_at) FROM reset_items WHERE settled_at IS NOT NULL)`)
		run()
		run()
		if d := details(t, ended(t, h, job)); d["refreshed"] != "3" || calls(h, testidp.Refresh) != 3 {
			t.Errorf("after %d refreshes: %v", calls(h, testidp.Refresh), d)
		}
		if err := h.Store.SettleResetItem(ctx, job, "any", "another worker's", "failed", ""); err != nil {
			t.Fatal(err)
		}
	})
}

// S3: a pause that the upstream asks for is kept, and is no attempt.
func TestS3_AResetRespectsAPause(t *testing.T) {
	o := brokertest.Options{Timing: broker.Timing{Backoff: 20 * time.Millisecond, Resweep: 50 * time.Millisecond}}
	eachWith(t, o, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, nil)
		people(t, h, p, 3)
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.Refresh, Status: 429, RetryAfter: "1", Times: 3})
		job := ended(t, h, jobOf(t, h, h.Do(t, h.Admin, "POST", resetAll(p), nil)))
		if d := details(t, job); job["status"] != "COMPLETED" || d["refreshed"] != "3" || calls(h, testidp.Refresh) > 8 {
			t.Errorf("after %d refreshes the job ended %v", calls(h, testidp.Refresh), job)
		}
	})
}

// A refused client stops the job; nobody's token is given up for it.
func TestAResetStopsAtARefusedClient(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, nil)
		all := people(t, h, p, 3)
		h.IdP.SetSecret(brokertest.ClientID, "rotated")
		job := ended(t, h, jobOf(t, h, h.Do(t, h.Admin, "POST", resetAll(p), nil)))
		if d := details(t, job); job["status"] != "ERROR" || d["error"] == nil || d["pending"] == "0" {
			t.Errorf("the job ended %v", job)
		}
		accessToken(t, h, h.User, all[0])
		want(t, 200, h.Do(t, h.Admin, "PATCH", provider(p), object{"clientSecret": "rotated"}))
		change(t, h, `DELETE FROM pauses`)
		job = ended(t, h, jobOf(t, h, h.Do(t, h.Admin, "POST", resetAll(p), nil)))
		if d := details(t, job); job["status"] != "COMPLETED" || d["refreshed"] != "3" {
			t.Errorf("with the right secret the job ended %v", job)
		}
	})
}

// The deletion of the provider ends it, and a provider that is off begins none.
func TestADeletionEndsAReset(t *testing.T) {
	o := brokertest.Options{WithoutWorker: true}
	eachWith(t, o, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, nil)
		people(t, h, p, 2)
		job := jobOf(t, h, h.Do(t, h.Admin, "POST", resetAll(p), nil))
		want(t, 202, h.Do(t, h.Admin, "DELETE", provider(p), nil))
		got := want(t, 200, h.Do(t, h.Admin, "GET", root+"jobs/"+job+"/", nil))
		if got["status"] != "ERROR" || details(t, got)["error"] == nil {
			t.Errorf("the job is %v", got)
		}
		want(t, 409, h.Do(t, h.Admin, "POST", resetAll(p), nil))
		if err := h.Service.RunReset(ctx, job); err != nil || calls(h, testidp.Refresh) != 0 {
			t.Errorf("%d refreshes, %v", calls(h, testidp.Refresh), err)
		}
		off := createID(t, h, nil)
		want(t, 200, h.Do(t, h.Admin, "PATCH", provider(off), object{"status": "inactive"}))
		want(t, 409, h.Do(t, h.Admin, "POST", resetAll(off), nil))
	})
}
