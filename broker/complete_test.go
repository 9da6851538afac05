package broker_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/testidp"
)

// begun is a consent whose person has approved it, up to the callback.
func begun(t *testing.T, h *brokertest.Instance, p models.Provider, account string) models.Callback {
	t.Helper()
	back := h.Approve(t, h.Authorize(t, h.User, p), account)
	back.ProviderID = p.ID
	return back
}

// R10: a client that gave up waiting fetches the result with the same state and
// code, once; the code is sent once.
func TestR10_AnUndeliveredResultIsFetchedOnce(t *testing.T) {
	o := brokertest.Options{Timing: broker.Timing{CallerWait: 50 * time.Millisecond}}
	eachWith(t, o, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "test")
		back := begun(t, h, p, "ada")
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.Exchange, AnswerLatencyMS: 400, Times: 1})
		_, err := h.Service.Complete(ctx, h.User.Caller, back)
		wantCode(t, err, models.CodeUpstream)
		var done broker.Completed
		brokertest.Eventually(t, "the result is there", func() bool {
			done, err = h.Service.Complete(ctx, h.User.Caller, back)
			return err == nil
		})
		if done.Authorization.Status != models.AuthorizationActive || done.User.Sub != "ada" {
			t.Errorf("what was fetched later is %+v", done)
		}
		// On a slow machine the answer may take longer than this caller waits.
		brokertest.Eventually(t, "it is not there a second time", func() bool {
			_, err = h.Service.Complete(ctx, h.User.Caller, back)
			e, refused := errors.AsType[*models.Error](err)
			return refused && e.Code == models.CodeBadRequest
		})
		if n := h.IdP.Stats().Calls[testidp.Exchange]; n != 1 {
			t.Errorf("the code was sent %d times, want once", n)
		}
	})
}

// R10: many at once with the same state and code spend it once, and one is answered.
func TestR10_ManyCallbacksSpendTheCodeOnce(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		back := begun(t, h, h.Provider(t, "test"), "ada")
		var wg sync.WaitGroup
		var ok atomic.Int64
		for range 20 {
			wg.Go(func() {
				if _, err := h.Service.Complete(ctx, h.User.Caller, back); err == nil {
					ok.Add(1)
				}
			})
		}
		wg.Wait()
		if s := h.IdP.Stats(); ok.Load() != 1 || s.Calls[testidp.Exchange] != 1 || s.CodesReused != 0 || s.LiveGrants != 1 {
			t.Errorf("%d were answered, the code was sent %d times, %d grants live; want 1, 1, 1", ok.Load(), s.Calls[testidp.Exchange], s.LiveGrants)
		}
	})
}

// R10: when the profile cannot be had the tokens are kept, and asking again works.
func TestR10_TokensAreKeptWhileTheProfileIsAway(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		back := begun(t, h, h.Provider(t, "test"), "ada")
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.UserInfo, Status: 503, Times: 1})
		_, err := h.Service.Complete(ctx, h.User.Caller, back)
		wantCode(t, err, models.CodeUpstream)
		if _, err := h.Service.Complete(ctx, h.User.Caller, back); err != nil {
			t.Errorf("asking again gave %v", err)
		}
		if n := h.IdP.Stats().Calls[testidp.Exchange]; n != 1 {
			t.Errorf("the code was sent %d times, want once", n)
		}
	})
}

// R10: tokens that never get an owner are revoked when their flow's time is over.
func TestR10_TokensWithoutAnOwnerAreRevoked(t *testing.T) {
	o := brokertest.Options{Timing: broker.Timing{FlowLife: 2 * time.Second}}
	eachWith(t, o, func(t *testing.T, h *brokertest.Instance) {
		back := begun(t, h, h.Provider(t, "test"), "ada")
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.UserInfo, Status: 503})
		_, err := h.Service.Complete(ctx, h.User.Caller, back)
		wantCode(t, err, models.CodeUpstream)
		h.IdP.ClearFaults()
		h.Clock.Advance(time.Minute) // PostgreSQL has its own clock, and waits
		brokertest.Eventually(t, "the ownerless tokens are revoked", func() bool { return h.IdP.Stats().LiveGrants == 0 })
	})
}

// Protocol rules 3 and 4: an error at the callback never reaches the token
// endpoint, and leaves an authorization that exists alone.
func TestADeclinedConsentChangesNothing(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "test")
		a := h.Consent(t, h.User, p, "ada")
		answer := h.Authorize(t, h.User, p)
		back := models.Callback{ProviderID: p.ID, State: models.Secret(answer.State), Error: "access_denied", ErrorDescription: "<script>alert(1)</script>"}
		_, err := h.Service.Complete(ctx, h.User.Caller, back)
		wantCode(t, err, models.CodeBadRequest)
		back.Error, back.Code = "", "some-code"
		// On a slow machine the answer may take longer than this caller waits.
		brokertest.Eventually(t, "it is not there a second time", func() bool {
			_, err = h.Service.Complete(ctx, h.User.Caller, back)
			e, refused := errors.AsType[*models.Error](err)
			return refused && e.Code == models.CodeBadRequest
		})
		if n := h.IdP.Stats().Calls[testidp.Exchange]; n != 1 {
			t.Errorf("the token endpoint was asked %d times, want only for the first consent", n)
		}
		if _, err := h.Service.Token(ctx, h.User.Caller, a.ID, 0); err != nil {
			t.Errorf("the authorization that existed gives %v", err)
		}
	})
}

// Protocol rule 11: the same account keeps its authorization; another account of
// the same user is another authorization.
func TestAuthorizationsAreKeyedByAccount(t *testing.T) {
	for _, typ := range []string{"test", "github"} {
		t.Run(typ, func(t *testing.T) {
			each(t, func(t *testing.T, h *brokertest.Instance) {
				p := h.Provider(t, typ)
				ada := h.Consent(t, h.User, p, "ada")
				grace := h.Consent(t, h.User, p, "grace")
				again := h.Consent(t, h.User, p, "ada")
				if ada.ID == grace.ID || ada.ID != again.ID {
					t.Errorf("ada has %s and %s, grace %s", ada.ID, again.ID, grace.ID)
				}
				brokertest.Eventually(t, "the replaced pair is revoked, alone", func() bool { return h.IdP.Stats().LiveAccessTokens == 2 })
				if _, err := h.Service.UserInfo(ctx, h.User.Caller, again.ID); err != nil {
					t.Errorf("the renewed token does not work: %v", err)
				}
			})
		})
	}
}

// D2: a callback that comes after DELETE does not spend its code; one whose code
// was being spent is revoked with the rest.
func TestD2_CallbacksDuringADeletion(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "test")
		h.Consent(t, h.User, p, "ada")
		late, early := begun(t, h, p, "grace"), begun(t, h, p, "linus")
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.Exchange, AnswerLatencyMS: 600, Times: 1})
		spending := make(chan error)
		go func() {
			_, err := h.Service.Complete(ctx, h.User.Caller, early)
			spending <- err
		}()
		brokertest.Eventually(t, "the code is at the upstream", func() bool { return h.IdP.Stats().Calls[testidp.Exchange] == 2 })
		j := must(h.Service.DeleteProvider(ctx, h.Admin.Caller, p.ID, false))(t)
		_, err := h.Service.Complete(ctx, h.User.Caller, late)
		wantCode(t, err, models.CodeNotFound)
		wantCode(t, <-spending, models.CodeNotFound)
		j = ended(t, h, j.ID)
		if j.Status != models.JobCompleted || detail(j, "total") != "2" || detail(j, "revoked") != "2" {
			t.Errorf("the job ended %s with %v", j.Status, j.Details)
		}
		if s := h.IdP.Stats(); s.LiveGrants != 0 || s.Calls[testidp.Exchange] != 2 {
			t.Errorf("%d grants live, %d codes were sent; want 0 and 2", s.LiveGrants, s.Calls[testidp.Exchange])
		}
	})
}
