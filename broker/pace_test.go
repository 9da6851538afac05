package broker_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
	"github.com/grantd/grantd/testidp"
)

// atOnce is what half of budgeted's revocations give at once; the next comes after
// minutes.
const atOnce = 4

// budgeted is a provider whose upstream takes 80 calls an hour. Two revoke a pair,
// and half of that is for work in the background: 20 pairs, a fifth of them at once.
func budgeted(t *testing.T, h *brokertest.Instance) models.Provider {
	t.Helper()
	return configured(t, h, map[string]any{"callsPerHour": 80})
}

func configured(t *testing.T, h *brokertest.Instance, config map[string]any) models.Provider {
	t.Helper()
	return must(h.Service.CreateProvider(ctx, h.Admin.Caller, models.ProviderInput{Name: "Budgeted", Type: "test",
		ClientID: brokertest.ClientID, ClientSecret: brokertest.ClientSecret, Config: config}))(t)
}

func consents(t *testing.T, h *brokertest.Instance, p models.Provider, n int) []models.Authorization {
	t.Helper()
	var all []models.Authorization
	for i := range n {
		all = append(all, h.Consent(t, h.User, p, fmt.Sprint("person", i)))
	}
	return all
}

// heldUp waits until a job shows that it is paused with so many revoked, and checks
// what it shows.
func heldUp(t *testing.T, h *brokertest.Instance, id string, revoked, pending int) models.Job {
	t.Helper()
	var j models.Job
	brokertest.Eventually(t, fmt.Sprintf("the job is delayed after %d", revoked), func() bool {
		j = must(h.Service.Job(ctx, h.Admin.Caller, id))(t)
		return detail(j, "paused_until") != nil && detail(j, "revoked") == fmt.Sprint(revoked) && detail(j, "pending") == fmt.Sprint(pending)
	})
	if detail(j, "failed") != "0" {
		t.Errorf("the job shows %v, want nothing failed", j.Details)
	}
	return j
}

func timeOf(t *testing.T, j models.Job, name string) time.Time {
	t.Helper()
	s, _ := detail(j, name).(string)
	return must(time.Parse(time.RFC3339, s))(t)
}

// S3: a deletion leaves half of what the upstream takes to those who wait, says
// until when it waits, and does not count that as an attempt.
func TestS3_ADeletionTakesHalfOfTheBudget(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := budgeted(t, h)
		consents(t, h, p, atOnce+6)
		j := heldUp(t, h, must(h.Service.DeleteProvider(ctx, h.Admin.Caller, p.ID, false))(t).ID, atOnce, 6)
		if n := h.IdP.Stats().Calls[testidp.Revoke]; n != 2*atOnce {
			t.Errorf("the upstream was called %d times, want two for each of %d", n, atOnce)
		}
		end, paused := timeOf(t, j, "estimated_end"), timeOf(t, j, "paused_until")
		if least := time.Until(paused) + 5*225*time.Second; !end.After(paused) || time.Until(end) < least-time.Minute {
			t.Errorf("six are left at one in 225 s: the end is estimated in %s, the pause lasts %s", time.Until(end), time.Until(paused))
		}
		must(h.Store.ClaimItems(ctx, store.ItemsOfProvider(p.ID), "look", 0, 6, true))(t)
		for _, l := range must(h.Store.ItemsUnder(ctx, "look"))(t) {
			if l.Authorization.ItemAttempts != 0 {
				t.Errorf("waiting was counted as %d attempts", l.Authorization.ItemAttempts)
			}
		}
		must(h.Service.DeleteProvider(ctx, h.Admin.Caller, p.ID, true))(t)
		if j = ended(t, h, j.ID); j.Status != models.JobCompleted || detail(j, "abandoned") != "6" {
			t.Errorf("giving up was delayed too: %s with %v", j.Status, j.Details)
		}
	})
}

// S3: a leaving user's job waits where it must, and goes on elsewhere.
func TestS3_ALeavingUsersJobWaitsPerProvider(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		consents(t, h, budgeted(t, h), atOnce+2)
		consents(t, h, h.Provider(t, "test"), 5)
		j := must(h.Service.RevokeUser(ctx, h.Admin.Caller, h.User.Caller.UserID))(t)
		heldUp(t, h, j.ID, atOnce+5, 2)
	})
}

// S3: nobody who disconnects waits for the limiter, but what they use up is missing
// elsewhere.
func TestS3_DisconnectsAreNotHeldUpButCount(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := budgeted(t, h)
		all := consents(t, h, p, atOnce+5)
		for _, a := range all[:atOnce+2] {
			if err := h.Service.Disconnect(ctx, h.User.Caller, a.ID); err != nil {
				t.Fatal(err)
			}
		}
		if n := h.IdP.Stats().LiveGrants; n != 3 {
			t.Errorf("%d grants live after the disconnects, want the three others", n)
		}
		if err := h.Service.Wait(ctx); err != nil {
			t.Fatal(err)
		}
		heldUp(t, h, must(h.Service.DeleteProvider(ctx, h.Admin.Caller, p.ID, false))(t).ID, 0, 3)
	})
}

// S3: nor does somebody who disconnects all at once that they have at a provider.
func TestS3_DisconnectsOfAllAreNotHeldUp(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := budgeted(t, h)
		consents(t, h, p, atOnce+2)
		if said := must(h.Service.DisconnectExternal(ctx, h.User.Caller, p.Slug))(t); said != "" {
			t.Errorf("it was not finished at once: %s", said)
		}
		if n := h.IdP.Stats().LiveGrants; n != 0 {
			t.Errorf("%d grants live after the disconnect", n)
		}
	})
}

// S3: a disconnect that failed is tried again by a worker, who has no such right.
func TestS3_TombstonesKeepToTheShare(t *testing.T) {
	eachWith(t, brokertest.Options{WithoutWorker: true}, func(t *testing.T, h *brokertest.Instance) {
		all := consents(t, h, budgeted(t, h), atOnce)
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.Revoke, Status: 500})
		for _, a := range all {
			if err := h.Service.Disconnect(ctx, h.User.Caller, a.ID); err != nil {
				t.Fatal(err)
			}
		}
		if err := h.Service.Wait(ctx); err != nil {
			t.Fatal(err)
		}
		before := h.IdP.Stats().Calls[testidp.Revoke]
		if err := h.Service.RevokeOne(ctx, all[0].ID); err != nil {
			t.Fatal(err)
		}
		must(h.Store.ClaimItem(ctx, all[0].ID, "look", 0))(t)
		a := must(h.Store.ItemsUnder(ctx, "look"))(t)[0].Authorization
		if a.OutcomeReason != "paced" || a.ItemAttempts != 1 || h.IdP.Stats().Calls[testidp.Revoke] != before {
			t.Errorf("tried again beyond the share: reason %q after %d attempts", a.OutcomeReason, a.ItemAttempts)
		}
		h.Clock.Advance(time.Second) // on SQLite; the first failure's back-off is a second, the share's wait is minutes
		other := h.Consent(t, h.User, h.Provider(t, "test"), "ada")
		if err := h.Service.Disconnect(ctx, h.User.Caller, other.ID); err != nil { // it fails too, and may be tried again
			t.Fatal(err)
		}
		var rung []string
		brokertest.Eventually(t, "the other provider's is due", func() bool {
			rung = append(rung, must(h.Store.DueTombstones(ctx, time.Hour, 10))(t)...)
			return slices.Contains(rung, other.ID)
		})
		if len(rung) != 1 {
			t.Errorf("the sweep rings for %d revocations that have to wait", len(rung)-1)
		}
	})
}

// S3: what was granted and needed no call is given back.
func TestS3_WhatNeedsNoCallUsesNothingUp(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := budgeted(t, h)
		all := consents(t, h, p, atOnce)
		db := brokertest.SQL(t, h.DatabaseURL)
		sealed := map[string][]byte{}
		for _, a := range all { // none can be opened, so that no call is sent
			sealed[a.ID] = must(h.Store.Linked(ctx, a.ID))(t).Credential.Sealed
			must(db.Exec(`UPDATE credentials SET sealed = $1 WHERE authorization_id = $2`, []byte("damaged"), a.ID))(t)
		}
		j := ended(t, h, must(h.Service.DeleteProvider(ctx, h.Admin.Caller, p.ID, false))(t).ID)
		if detail(j, "failed") != fmt.Sprint(atOnce) || h.IdP.Stats().Calls[testidp.Revoke] != 0 {
			t.Fatalf("the job ended with %v", j.Details)
		}
		if err := h.Service.Wait(ctx); err != nil {
			t.Fatal(err)
		}
		for id, was := range sealed {
			must(db.Exec(`UPDATE credentials SET sealed = $1 WHERE authorization_id = $2`, was, id))(t)
		}
		j = ended(t, h, must(h.Service.DeleteProvider(ctx, h.Admin.Caller, p.ID, false))(t).ID)
		if j.Status != models.JobCompleted || detail(j, "revoked") != fmt.Sprint(atOnce) {
			t.Errorf("the job that could open them ended %s with %v", j.Status, j.Details)
		}
	})
}

// S3: refreshes that nobody asked for stop where half of the token endpoint's budget
// is used; a caller's own does not, and neither does the replay of a lost answer (R3).
func TestS3_RefreshesAheadLeaveHalfToCallers(t *testing.T) {
	eachWith(t, brokertest.Options{WithoutWorker: true}, func(t *testing.T, h *brokertest.Instance) {
		p := configured(t, h, map[string]any{"tokenCallsPerHour": 4}) // two an hour, one at once
		all := consents(t, h, p, 4)
		for _, a := range all[1:] {
			must(h.Service.Token(ctx, h.User.Caller, a.ID, 0))(t)
			due(t, h, a)
		}
		if err := h.Service.FlushFetches(ctx); err != nil {
			t.Fatal(err)
		}
		recent := func() int { return len(must(h.Store.InUseAndDue(ctx, 0, 10, nil))(t)) }
		if n := recent(); n != 3 {
			t.Fatalf("%d tokens are due, want 3", n)
		}
		stale(t, h, all[0])
		must(h.Service.Token(ctx, h.User.Caller, all[0].ID, 0))(t) // uses up what there is at once
		refreshes := func(of models.Authorization, what string, want int64) {
			t.Helper()
			if err := h.Service.Wait(ctx); err != nil {
				t.Fatal(err)
			}
			before := h.IdP.Stats().Calls[testidp.Refresh]
			if err := h.Service.RefreshAhead(ctx, of.ID); err != nil {
				t.Fatal(err)
			}
			if n := h.IdP.Stats().Calls[testidp.Refresh] - before; n != want {
				t.Errorf("%s: %d calls, want %d", what, n, want)
			}
		}
		refreshes(all[1], "a refresh ahead of its callers", 0)
		if n := recent(); n != 0 {
			t.Errorf("the sweep rings for %d refreshes that have to wait", n)
		}
		if _, err := h.Service.Token(ctx, h.User.Caller, all[1].ID, 0); err != nil || h.IdP.Stats().Calls[testidp.Refresh] != 2 {
			t.Errorf("a caller's own refresh was delayed: %v", err)
		}
		stale(t, h, all[2])
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.Refresh, ResetAfter: true, OmitRefresh: true, Times: 1})
		_, err := h.Service.Token(ctx, h.User.Caller, all[2].ID, 0)
		wantCode(t, err, models.CodeUpstream)
		brokertest.Eventually(t, "the replay may begin", func() bool { return len(must(h.Store.AmbiguousAndOver(ctx, 0, 10))(t)) == 1 })
		refreshes(all[2], "the replay of a lost answer", 1)
	})
}

// S3: user info has a pause of its own, for which tokens and consents do not wait.
func TestS3_APauseOfUserInfoIsItsOwn(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "test")
		a := h.Consent(t, h.User, p, "ada")
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.UserInfo, Status: 429, RetryAfter: "3600", Times: 1})
		for range 2 {
			answer := h.Do(t, h.User, "GET", "/api/v2/externalOAuth/authorizedProviders/"+a.ID+"/userinfo/", nil)
			if answer.Status != 502 || answer.Header.Get("Retry-After") == "" {
				t.Errorf("userinfo answers %d with Retry-After %q", answer.Status, answer.Header.Get("Retry-After"))
			}
		}
		if n := h.IdP.Stats().Calls[testidp.UserInfo]; n != 2 {
			t.Errorf("user info was asked for %d times, want by the consent and once", n)
		}
		stale(t, h, a)
		if _, err := h.Service.Token(ctx, h.User.Caller, a.ID, 0); err != nil {
			t.Errorf("a token waits for user info: %v", err)
		}
		h.Consent(t, h.User, p, "grace")
		if n := h.IdP.Stats().Calls[testidp.UserInfo]; n != 3 {
			t.Errorf("a consent did not ask who consented: %d calls", n)
		}
		j := ended(t, h, must(h.Service.DeleteProvider(ctx, h.Admin.Caller, p.ID, false))(t).ID)
		if j.Status != models.JobCompleted {
			t.Errorf("a deletion waits for user info: %s", j.Status)
		}
	})
}

// S3: after the pause one caller finds out for all, a consent's answer counts too,
// and its code is not lost.
func TestS3_UserInfoIsProbedAfterItsPause(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "test")
		a := h.Consent(t, h.User, p, "ada")
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.UserInfo, Status: 429, RetryAfter: "1", Times: 1})
		b := h.Consent(t, h.User, p, "grace") // asks again until it is there
		if b.ID == a.ID {
			t.Fatal("two accounts share an authorization")
		}
		brokertest.Eventually(t, "user info answers again", func() bool {
			_, err := h.Service.UserInfo(ctx, h.User.Caller, a.ID)
			return err == nil
		})
		if left, _, err := h.Store.PauseOf(ctx, store.Upstream{ProviderID: p.ID, OrgID: p.OrgID}, store.ClassAPI); left != nil || err != nil {
			t.Errorf("a good probe did not end the pause: %v %v", left, err)
		}
	})
}

// S3: what concerns one client alone never becomes the host's, however many tenants
// have the same trouble.
func TestS3_OneTenantsTroubleDoesNotStopTheOthers(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b brokertest.Backend) {
		s := b.Store(t, nil)
		for _, class := range []store.Class{store.ClassTokenPace, store.ClassRevokePace} {
			for _, org := range []string{"a", "b", "c", "d"} {
				pause(t, s, paused(org, org+"1", class), time.Hour)
			}
			if gate := must(s.Pass(ctx, upstreamOf("e", "e1"), time.Minute, class))(t); gate.Wait != 0 {
				t.Errorf("%s of four providers stops a fifth", class)
			}
		}
	})
	each(t, func(t *testing.T, h *brokertest.Instance) {
		bad, good := h.Provider(t, "test"), h.Provider(t, "test")
		of := consents(t, h, bad, 1)[0]
		other := h.Consent(t, h.Colleague, good, "grace")
		if err := secretTo(bad, "wrong")(h); err != nil {
			t.Fatal(err)
		}
		stale(t, h, of)
		stale(t, h, other)
		_, err := h.Service.Token(ctx, h.User.Caller, of.ID, 0)
		wantCode(t, err, models.CodeUpstream)
		if _, err := h.Service.Token(ctx, h.Colleague.Caller, other.ID, 0); err != nil {
			t.Errorf("another provider at the host gives %v", err)
		}
	})
}

// S3: a worker that cannot ask Redis how much others take keeps to a quarter.
func TestS3_WithoutRedisADeletionKeepsToAQuarter(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b brokertest.Backend) {
		database, _ := b.Migrated(t)
		h := brokertest.New(t, &brokertest.Options{DatabaseURL: database, RedisURL: "redis://127.0.0.1:1"})
		p := budgeted(t, h) // 20 an hour; a quarter gives one at once
		consents(t, h, p, 3)
		heldUp(t, h, must(h.Service.DeleteProvider(ctx, h.Admin.Caller, p.ID, false))(t).ID, 1, 2)
	})
}
