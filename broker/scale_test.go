package broker_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
	"github.com/grantd/grantd/testidp"
)

// D6: several workers share one deletion; every item is revoked once.
func TestD6_WorkersShareADeletion(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		for range 2 {
			brokertest.New(t, &brokertest.Options{DatabaseURL: h.DatabaseURL, RedisURL: h.RedisURL, Keys: h.Keys, IdP: h.IdP, IdPURL: h.IdPURL})
		}
		p := h.Provider(t, "test")
		var wg sync.WaitGroup
		for w := range 6 {
			wg.Go(func() {
				for i := range 25 {
					h.Consent(t, h.User, p, fmt.Sprintf("person%d-%d", w, i))
				}
			})
		}
		wg.Wait()
		j := ended(t, h, must(h.Service.DeleteProvider(ctx, h.Admin.Caller, p.ID, false))(t).ID)
		if j.Status != models.JobCompleted || detail(j, "revoked") != "150" || detail(j, "total") != "150" {
			t.Errorf("the job ended %s with revoked %v of %v", j.Status, detail(j, "revoked"), detail(j, "total"))
		}
		if n := h.IdP.Stats().LiveGrants; n != 0 {
			t.Errorf("%d grants are left upstream", n)
		}
	})
}

// D3: a deletion takes over what its provider still had to revoke.
func TestD3_ADeletionAdoptsTombstones(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "test")
		a := h.Consent(t, h.User, p, "ada")
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.Revoke, Status: 500, Times: 1})
		if err := h.Service.Disconnect(ctx, h.User.Caller, a.ID); err != nil {
			t.Fatal(err)
		}
		j := ended(t, h, must(h.Service.DeleteProvider(ctx, h.Admin.Caller, p.ID, false))(t).ID)
		if j.Status != models.JobCompleted || h.IdP.Stats().LiveGrants != 0 {
			t.Errorf("the job ended %s with %v; %d grants live", j.Status, j.Details, h.IdP.Stats().LiveGrants)
		}
	})
}

// D1: a provider is made again with the same client while the old one is deleted:
// what the person grants again survives the old one's revocation.
func TestD1_ANewerConsentSurvivesAnOlderRevocation(t *testing.T) {
	for _, typ := range []string{"test", "github"} {
		t.Run(typ, func(t *testing.T) {
			each(t, func(t *testing.T, h *brokertest.Instance) {
				old := h.Provider(t, typ)
				h.Consent(t, h.User, old, "ada")
				h.IdP.Inject(testidp.Fault{Endpoint: testidp.Revoke, Status: 429, RetryAfter: "1", Times: 1})
				j := must(h.Service.DeleteProvider(ctx, h.Admin.Caller, old.ID, false))(t)
				again := h.Consent(t, h.User, h.Provider(t, typ), "ada")
				if j = ended(t, h, j.ID); j.Status != models.JobCompleted {
					t.Fatalf("the job ended %s with %v", j.Status, j.Details)
				}
				if _, err := h.Service.UserInfo(ctx, h.User.Caller, again.ID); err != nil {
					t.Errorf("the newer consent died with the older provider: %v", err)
				}
				if n := h.IdP.Stats().LiveAccessTokens; n != 1 {
					t.Errorf("%d tokens live upstream, want the new one alone", n)
				}
			})
		})
	}
}

// D1: disconnect, 429, reconnect, and then the tombstone runs: the new token lives.
func TestD1_ATombstoneSparesARenewedConsent(t *testing.T) {
	o := brokertest.Options{Timing: broker.Timing{Backoff: 20 * time.Millisecond, Resweep: 50 * time.Millisecond}}
	eachWith(t, o, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "github")
		a := h.Consent(t, h.User, p, "ada")
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.Revoke, Status: 429, RetryAfter: "1", Times: 1})
		if err := h.Service.Disconnect(ctx, h.User.Caller, a.ID); err != nil {
			t.Fatal(err)
		}
		again := h.Consent(t, h.User, p, "ada")
		brokertest.Eventually(t, "the old token is revoked", func() bool { return h.IdP.Stats().LiveAccessTokens == 1 })
		if _, err := h.Service.UserInfo(ctx, h.User.Caller, again.ID); err != nil {
			t.Errorf("the renewed consent died: %v", err)
		}
	})
}

// S3: an upstream that asks for a pause is not called, by any slice, and tried
// with one item afterwards. A pause is no attempt: nothing fails by it.
func TestS3_APausedUpstreamIsNotCalled(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "test")
		for i := range 100 {
			h.Consent(t, h.User, p, fmt.Sprint("person", i))
		}
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.Revoke, Status: 429, RetryAfter: "3600"})
		j := must(h.Service.DeleteProvider(ctx, h.Admin.Caller, p.ID, false))(t)
		brokertest.Eventually(t, "the job shows its pause", func() bool {
			return detail(must(h.Service.Job(ctx, h.Admin.Caller, j.ID))(t), "paused_until") != nil
		})
		if n := h.IdP.Stats().Calls[testidp.Revoke]; n > 64 {
			t.Errorf("a paused upstream was called %d times; only what was in flight may be", n)
		}
	})
}

// S3: after a pause one caller is let through, the others wait for its answer.
func TestS3_OneProbeAfterAPause(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b brokertest.Backend) {
		s := b.Store(t, nil)
		pause(t, s, paused("acme", "a", store.ClassRevoke), -time.Second)
		first := must(s.Pass(ctx, upstreamOf("acme", "a"), time.Minute, store.ClassRevoke))(t)
		second := must(s.Pass(ctx, upstreamOf("acme", "a"), time.Minute, store.ClassRevoke))(t)
		if !first.Probe || first.Wait != 0 || second.Wait == 0 {
			t.Errorf("the first was let through %+v, the second %+v", first, second)
		}
		if err := s.EndPause(ctx, first, []string{origin}); err != nil {
			t.Fatal(err)
		}
		if third := must(s.Pass(ctx, upstreamOf("acme", "a"), time.Minute, store.ClassRevoke))(t); third.Wait != 0 || third.Probe {
			t.Errorf("after a good probe the third got %+v", third)
		}
	})
}

// A user who leaves: everything unusable at once, and revoked by a job.
func TestRevokingALeavingUser(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		one, two := h.Provider(t, "test"), h.Provider(t, "github")
		a := h.Consent(t, h.User, one, "ada")
		h.Consent(t, h.User, two, "ada")
		kept := h.Consent(t, h.Colleague, one, "grace")
		_, err := h.Service.RevokeUser(ctx, h.User.Caller, "ada")
		wantCode(t, err, models.CodeForbidden)
		j := must(h.Service.RevokeUser(ctx, h.Admin.Caller, "ada"))(t)
		_, err = h.Service.Token(ctx, h.User.Caller, a.ID, 0)
		wantCode(t, err, models.CodeNotFound)
		j = ended(t, h, j.ID)
		if j.Status != models.JobCompleted || detail(j, "total") != "2" || detail(j, "revoked") != "2" {
			t.Errorf("the job ended %s with %v", j.Status, j.Details)
		}
		if _, err := h.Service.Token(ctx, h.Colleague.Caller, kept.ID, 0); err != nil {
			t.Errorf("a colleague's authorization gives %v", err)
		}
		if n := h.IdP.Stats().LiveGrants; n != 1 {
			t.Errorf("%d grants live upstream, want the colleague's", n)
		}
	})
}

// R5: five rejections in a row put the client under suspicion: nothing more is marked
// expired, and everybody recovers with the right secret.
func TestR5_ManyRejectionsPutTheClientUnderSuspicion(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "test")
		var all []models.Authorization
		for i := range 12 {
			a := h.Consent(t, h.User, p, fmt.Sprint("person", i))
			stale(t, h, a)
			all = append(all, a)
		}
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.Refresh, Error: "invalid_grant"})
		expired := 0
		for _, a := range all {
			if _, err := h.Service.Token(ctx, h.User.Caller, a.ID, 0); models.CodeOf(err) == models.CodeGone {
				expired++
			}
		}
		if expired != 4 {
			t.Errorf("%d authorizations were marked expired, want the fifth rejection to mark none", expired)
		}
		h.IdP.ClearFaults()
		if err := secretTo(p, brokertest.ClientSecret)(h); err != nil {
			t.Fatal(err)
		}
		// Those that were not marked may be asked for again once their own pause is over.
		for _, a := range all[:5] {
			if _, err := h.Service.Token(ctx, h.User.Caller, a.ID, 0); err != nil {
				t.Errorf("after a new secret %s gives %v", a.ID, err)
			}
		}
	})
}

// R7: tokens in use are refreshed before anybody meets the refresh.
func TestR7_TokensInUseAreRefreshedAhead(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "test")
		used, idle := h.Consent(t, h.User, p, "ada"), h.Consent(t, h.User, p, "grace")
		due(t, h, idle)
		l := must(h.Store.Linked(ctx, used.ID))(t)
		must(h.Store.SaveTokens(ctx, used.CredentialID, l.Credential.Generation, store.Save{Attempt: "soon", Sealed: l.Credential.Sealed,
			HasRefreshToken: true, Known: true, ExpiresIn: time.Hour, RefreshAfter: 3 * time.Second}))(t)
		must(h.Service.Token(ctx, h.User.Caller, used.ID, 0))(t)
		if err := h.Service.FlushFetches(ctx); err != nil {
			t.Fatal(err)
		}
		brokertest.Eventually(t, "the token in use is refreshed", func() bool { return h.IdP.Stats().Calls[testidp.Refresh] == 1 })
		if l := must(h.Store.Linked(ctx, idle.ID))(t); l.Credential.SavedBy != "aged" {
			t.Error("a token that nobody uses was refreshed too")
		}
	})
}

// R7: a refresh token that would lapse unused is kept alive.
func TestR7_IdleRefreshTokensAreKeptAlive(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		a := h.Consent(t, h.User, h.Provider(t, "test"), "ada")
		l := must(h.Store.Linked(ctx, a.ID))(t)
		must(h.Store.SaveTokens(ctx, a.CredentialID, l.Credential.Generation, store.Save{Attempt: "idle", Sealed: l.Credential.Sealed,
			HasRefreshToken: true, Known: true, ExpiresIn: time.Hour, RefreshAfter: time.Hour, RefreshExpiresIn: time.Millisecond}))(t)
		brokertest.Eventually(t, "the idle refresh token is used", func() bool { return h.IdP.Stats().Calls[testidp.Refresh] == 1 })
	})
}

// R3: the sweeper replays an attempt whose outcome is unknown, without anybody asking.
func TestR3_TheSweeperBeginsTheReplay(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "test")
		for i, ask := range []func(a models.Authorization) error{
			func(a models.Authorization) error {
				stale(t, h, a)
				_, err := h.Service.Token(ctx, h.User.Caller, a.ID, 0)
				return err
			},
			func(a models.Authorization) error { // long before the token is due
				_, err := h.Service.Reset(ctx, h.User.Caller, a.ID)
				return err
			},
		} {
			a, before := h.Consent(t, h.User, p, fmt.Sprint("person", i)), h.IdP.Stats().Calls[testidp.Refresh]
			h.IdP.Inject(testidp.Fault{Endpoint: testidp.Refresh, ResetAfter: true, OmitRefresh: true, Times: 1})
			wantCode(t, ask(a), models.CodeUpstream)
			brokertest.Eventually(t, "the replay came", func() bool { return h.IdP.Stats().Calls[testidp.Refresh] == before+2 })
			brokertest.Eventually(t, "its tokens are there", func() bool {
				l := must(h.Store.Linked(ctx, a.ID))(t)
				return l.Credential.AttemptID == nil && l.Credential.LastError == ""
			})
		}
	})
}

// R7: minTtl asks for a longer life, within bounds.
func TestR7_MinTTL(t *testing.T) {
	h := brokertest.New(t, nil)
	a := h.Consent(t, h.User, h.Provider(t, "test"), "ada")
	first := must(h.Service.Token(ctx, h.User.Caller, a.ID, 14*time.Minute))(t)
	h.Clock.Advance(50 * time.Minute) // of an hour
	if again := must(h.Service.Token(ctx, h.User.Caller, a.ID, 5*time.Minute))(t); again.Access.Reveal() != first.Access.Reveal() {
		t.Error("a token with ten minutes left was replaced for a caller that wants five")
	}
	longer := must(h.Service.Token(ctx, h.User.Caller, a.ID, 14*time.Minute))(t)
	if longer.Access.Reveal() == first.Access.Reveal() {
		t.Error("a token with ten minutes left was served to a caller that wants fourteen")
	}
	if again := must(h.Service.Token(ctx, h.User.Caller, a.ID, 24*time.Hour))(t); again.Access.Reveal() != longer.Access.Reveal() {
		t.Error("a token younger than a minute was replaced")
	}
}
