package contract_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/testidp"
)

// paused runs a test in an instance whose worker has not come yet: what is accepted
// stays undone until work is called.
func paused(t *testing.T, f func(t *testing.T, h *brokertest.Instance, work func())) {
	t.Parallel()
	timing := broker.Timing{Resweep: 50 * time.Millisecond} // an embedded bell is not heard by another process
	eachWith(t, brokertest.Options{WithoutWorker: true, Timing: timing}, func(t *testing.T, h *brokertest.Instance) {
		f(t, h, func() {
			brokertest.New(t, &brokertest.Options{DatabaseURL: h.DatabaseURL, RedisURL: h.RedisURL, Keys: h.Keys,
				IdP: h.IdP, IdPURL: h.IdPURL, Timing: timing})
		})
	})
}

func TestDeletingAProviderFromTheAnswerToTheEnd(t *testing.T) {
	paused(t, func(t *testing.T, h *brokertest.Instance, work func()) {
		p := createID(t, h, object{"name": "Doomed"})
		var all []string
		for i := range 3 {
			all = append(all, consent(t, h, h.User, p, fmt.Sprint("account", i)))
		}

		job := jobOf(t, h, h.Do(t, h.Admin, "DELETE", provider(p), nil))
		got := want(t, 200, h.Do(t, h.Admin, "GET", root+"jobs/"+job+"/", nil))
		wantJob(t, got, job, "DELETE_PROVIDER", "PENDING")
		if d := details(t, got); d["provider_id"] != p {
			t.Errorf("the details are %v", d)
		}

		work()
		got = ended(t, h, job)
		wantJob(t, got, job, "DELETE_PROVIDER", "COMPLETED")
		d := details(t, got)
		for name, value := range map[string]string{"provider_id": p, "total": "3", "revoked": "3", "already_revoked": "0",
			"superseded": "0", "no_live_token": "0", "unsupported": "0", "failed": "0", "abandoned": "0"} {
			if d[name] != value {
				t.Errorf("%s is %v, want %s", name, d[name], value)
			}
		}
		if fmt.Sprint(d["authorization_ids"]) != fmt.Sprint(all) {
			t.Errorf("authorization_ids are %v, want %v", d["authorization_ids"], all)
		}
		if n := grants(h); n != 0 {
			t.Errorf("%d grants are left upstream", n)
		}
	})
}

func wantJob(t *testing.T, j object, id, typ, status string) {
	t.Helper()
	if j["id"] != id || j["type"] != typ || j["status"] != status || j["orgId"] != "acme" || text(t, j, "name") == "" {
		t.Errorf("the job is %v, want %s %s", j, typ, status)
	}
	details(t, j) // a list, whatever the status
	started, there := j["startedAt"]
	finished, there2 := j["finishedAt"]
	switch {
	case !there || !there2:
		t.Errorf("times are left out: %v", j)
	case status == "PENDING":
		if started != nil || finished != nil {
			t.Errorf("pending, started %v, finished %v", started, finished)
		}
	case status == "COMPLETED" || status == "ERROR":
		if wantTime(t, "finishedAt", finished).Before(wantTime(t, "startedAt", started)) {
			t.Errorf("started %v, finished %v", started, finished)
		}
	}
}

func TestAProviderThatIsBeingDeleted(t *testing.T) {
	paused(t, func(t *testing.T, h *brokertest.Instance, work func()) {
		p := createID(t, h, object{"slug": "ours"})
		a, open := consent(t, h, h.User, p, "ada"), approved(t, h, h.User, p, "grace")
		accepted := h.Do(t, h.Admin, "DELETE", provider(p), nil)
		job := jobOf(t, h, accepted)

		if got := want(t, 200, h.Do(t, h.User, "GET", provider(p), nil)); got["status"] != "deleted" {
			t.Errorf("its status is %v", got["status"])
		}
		for query, found := range map[string][]string{"": {}, "?types=test": {}, "?ids=" + p: {p}, "?types=github&ids=" + p: {}} {
			if got := ids(t, want(t, 200, h.Do(t, h.User, "GET", root+"providers/"+query, nil))); !slices.Equal(got, found) {
				t.Errorf("%q lists %v, want %v", query, got, found)
			}
		}
		for _, change := range []object{{"name": "x"}, {"status": "active"}, {"status": "inactive"}, {"name": "x", "clientSecret": "y"}} {
			want(t, 409, h.Do(t, h.Admin, "PATCH", provider(p), change))
		}
		want(t, 200, h.Do(t, h.Admin, "PATCH", provider(p), object{"clientSecret": brokertest.ClientSecret}))
		want(t, 200, h.Do(t, h.Admin, "PATCH", provider(p), object{}))
		want(t, 409, h.Do(t, h.User, "POST", authorizeAt(p), nil))
		want(t, 404, h.Do(t, h.User, "POST", callback, open))
		want(t, 403, h.Do(t, h.User, "POST", tokenOf(a), nil))
		want(t, 403, h.Do(t, h.User, "GET", userinfoOf(a), nil))
		listed := list(t, want(t, 200, h.Do(t, h.User, "GET", root+"authorizedProviders/", nil))["data"])
		if len(listed) != 1 || listed[0]["status"] != "invalidProviderState" {
			t.Errorf("its authorizations are listed as %v", listed)
		}
		if again := jobOf(t, h, h.Do(t, h.Admin, "DELETE", provider(p), nil)); again != job {
			t.Errorf("DELETE again made another job")
		}

		// It occupies nothing: the same name, type, client and slug are free at once.
		successor := createID(t, h, object{"slug": "ours"})
		work()
		if got := ended(t, h, job); got["status"] != "COMPLETED" {
			t.Errorf("the job ended %v", got)
		}
		want(t, 200, h.Do(t, h.User, "GET", provider(successor), nil))
		consent(t, h, h.User, successor, "ada")
	})
}

func TestAProviderThatWasDeleted(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, nil)
		a, open := consent(t, h, h.User, p, "ada"), approved(t, h, h.User, p, "grace")
		job := deleted(t, h, p)
		if job["status"] != "COMPLETED" {
			t.Fatalf("the job ended %v", job)
		}
		for _, who := range []brokertest.Person{h.Admin, h.User} {
			want(t, 404, h.Do(t, who, "GET", provider(p), nil))
			want(t, 404, h.Do(t, who, "POST", authorizeAt(p), nil))
			want(t, 404, h.Do(t, who, "POST", callback, open))
			want(t, 404, h.Do(t, who, "POST", tokenOf(a), nil))
			want(t, 404, h.Do(t, who, "GET", userinfoOf(a), nil))
			want(t, 404, h.Do(t, who, "DELETE", authorization(a), nil))
			for _, path := range []string{"providers/?ids=" + p, "authorizedProviders/", "authorizedProviders/?providerId=" + p} {
				if got := ids(t, want(t, 200, h.Do(t, who, "GET", root+path, nil))); len(got) != 0 {
					t.Errorf("%s lists %v", path, got)
				}
			}
		}
		want(t, 404, h.Do(t, h.Admin, "PATCH", provider(p), object{"name": "x"}))
		want(t, 404, h.Do(t, h.Admin, "DELETE", provider(p), nil))
		want(t, 404, h.Do(t, h.Admin, "DELETE", provider(p)+"?force=true", nil))

		// The job stays.
		if again := want(t, 200, h.Do(t, h.Admin, "GET", root+"jobs/"+text(t, job, "id")+"/", nil)); !same(again, job) {
			t.Errorf("the job was %v, is %v", job, again)
		}
		// And nothing of the secret is left.
		var secrets int
		if err := database(t, h).QueryRow("SELECT count(*) FROM secure_configs").Scan(&secrets); err != nil || secrets != 0 {
			t.Errorf("%d client secrets are left (%v)", secrets, err)
		}
	})
}

func TestDeletingAProviderThatNobodyUsed(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		job := deleted(t, h, createID(t, h, nil))
		d := details(t, job)
		if job["status"] != "COMPLETED" || d["total"] != "0" || fmt.Sprint(d["authorization_ids"]) != "[]" {
			t.Errorf("the job ended %v", job)
		}
	})
}

// D4: a refusal of the client stops the job. D5: the deletion is not undone; with
// the right secret DELETE goes on, as a new job.
func TestADeletionThatEndedInError(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, nil)
		consent(t, h, h.User, p, "ada")
		h.IdP.SetSecret(brokertest.ClientID, "rotated")
		first := deleted(t, h, p)
		wantJob(t, first, text(t, first, "id"), "DELETE_PROVIDER", "ERROR")
		if d := details(t, first); d["total"] != "1" || d["revoked"] != "0" || d["pending"] != "1" || text(t, d, "error") == "" {
			t.Errorf("its details are %v", d)
		}

		if got := want(t, 200, h.Do(t, h.User, "GET", provider(p), nil)); got["status"] != "disabled" {
			t.Errorf("the provider is %v", got["status"])
		}
		for _, status := range []string{"active", "inactive", "disabled"} {
			want(t, 409, h.Do(t, h.Admin, "PATCH", provider(p), object{"status": status}))
		}
		want(t, 409, h.Do(t, h.User, "POST", authorizeAt(p), nil))
		want(t, 200, h.Do(t, h.Admin, "PATCH", provider(p), object{"clientSecret": "rotated"}))

		second := deleted(t, h, p)
		if d := details(t, second); second["status"] != "COMPLETED" || second["id"] == first["id"] || d["resumes"] != first["id"] || d["revoked"] != "1" {
			t.Errorf("the second job is %v", second)
		}
		if n := grants(h); n != 0 {
			t.Errorf("%d grants are left upstream", n)
		}
	})
}

// D4: only what failed for good is an error, and it is named.
func TestWhatCannotBeRevokedIsNamed(t *testing.T) {
	t.Parallel()
	timing := broker.Timing{Backoff: time.Millisecond}
	eachWith(t, brokertest.Options{Timing: timing}, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, nil)
		a := consent(t, h, h.User, p, "ada")
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.Revoke, Status: 500})
		job := deleted(t, h, p)
		d := details(t, job)
		failure, _ := d["failure"].(string)
		if job["status"] != "ERROR" || d["failed"] != "1" || len(failure) <= len(a) || failure[:len(a)] != a {
			t.Fatalf("the job ended %v", job)
		}
		// Giving up on it is honest about it.
		forced := ended(t, h, jobOf(t, h, h.Do(t, h.Admin, "DELETE", provider(p)+"?force=true", nil)))
		if d := details(t, forced); forced["status"] != "COMPLETED" || d["abandoned"] != "1" {
			t.Errorf("the forced job ended %v", forced)
		}
		want(t, 404, h.Do(t, h.Admin, "GET", provider(p), nil))
	})
}

func TestStatsCountWhatThereIs(t *testing.T) {
	paused(t, func(t *testing.T, h *brokertest.Instance, work func()) {
		p := createID(t, h, nil)
		createID(t, h, object{"type": "github"})
		want(t, 200, h.Do(t, h.Admin, "PATCH", provider(createID(t, h, nil)), object{"status": "inactive"}))
		ada := consent(t, h, h.User, p, "ada")
		change(t, h, tokensHaveDied)
		accessToken(t, h, h.User, ada) // refreshed
		consent(t, h, h.Colleague, p, "grace")
		want(t, 204, h.Do(t, h.User, "DELETE", authorization(consent(t, h, h.User, p, "linus")), nil))
		want(t, 201, h.Do(t, h.Other, "POST", root+"providers/", newProvider(nil))) // not ours

		id := jobOf(t, h, h.Do(t, h.Admin, "POST", root+"jobs/", object{"type": "STATS"}))
		wantJob(t, want(t, 200, h.Do(t, h.Admin, "GET", root+"jobs/"+id+"/", nil)), id, "STATS", "PENDING")
		work()
		job := ended(t, h, id)
		wantJob(t, job, id, "STATS", "COMPLETED")
		d := details(t, job)
		for name, value := range map[string]string{
			"providers.test.active": "1", "providers.test.inactive": "1", "providers.github.active": "1", "authorizations.active": "2",
			"last_day.made": "3", "last_day.refreshed": "1", "last_day.revoked": "1", "last_day.refresh_failed": "0",
		} {
			if d[name] != value {
				t.Errorf("%s is %v, want %s", name, d[name], value)
			}
		}
	})
}

func TestOnlyStatsAreStartedByHand(t *testing.T) {
	h := embedded(t)
	for _, body := range []object{{"type": "DELETE_PROVIDER"}, {"type": "stats"}, {"type": nil}, {"type": ""}, {}} {
		wantFields(t, h.Do(t, h.Admin, "POST", root+"jobs/", body), "type")
	}
	want(t, 404, h.Do(t, h.Admin, "GET", root+"jobs/"+unknownID+"/", nil))
}

// D1: tokens of which the upstream did not say whose they are, are revoked alone, a
// deletion's too. Their grant may be the one that somebody has consented to at another
// provider of the same client. Where only whole grants can be revoked, nothing is sent.
func TestD1_TokensOfNobodyAreRevokedAloneOrNotAtAll(t *testing.T) {
	paused(t, func(t *testing.T, h *brokertest.Instance, work func()) {
		whole := object{"type": "oauth2", "config": object{"authStyle": "basic", "authorizeUrl": h.IdPURL + "/authorize",
			"tokenUrl": h.IdPURL + "/token", "userInfoUrl": h.IdPURL + "/userinfo", "revokeUrl": h.IdPURL + "/revoke", "issuer": h.IdPURL}}
		lives := consent(t, h, h.User, createID(t, h, whole), "ada")
		jobs := map[string]string{}
		for outcome, config := range map[string]object{"revoked": {"type": "github", "metadata": object{"host": h.IdPURL}}, "superseded": whole} {
			p := createID(t, h, config)
			body := approved(t, h, h.User, p, "ada")
			h.IdP.Inject(testidp.Fault{Endpoint: testidp.UserInfo, Status: 200, Body: `{"name":"somebody"}`})
			want(t, 502, h.Do(t, h.User, "POST", callback, body))
			h.IdP.ClearFaults()
			jobs[outcome] = jobOf(t, h, h.Do(t, h.Admin, "DELETE", provider(p), nil))
		}
		work()
		for outcome, job := range jobs {
			if got := ended(t, h, job); details(t, got)[outcome] != "1" || got["status"] != "COMPLETED" {
				t.Errorf("want one %s: %v", outcome, got)
			}
		}
		if n := calls(h, testidp.GrantDelete) + calls(h, testidp.Revoke); n != 0 {
			t.Errorf("%d revocations may have taken more than one token", n)
		}
		accessToken(t, h, h.User, lives)
		want(t, 200, h.Do(t, h.User, "GET", userinfoOf(lives), nil))
	})
}
