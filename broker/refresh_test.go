package broker_test

import (
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
	"github.com/grantd/grantd/testidp"
)

// stale makes an authorization's access token due for refresh and expired.
func stale(t *testing.T, h *brokertest.Instance, a models.Authorization) {
	t.Helper()
	age(t, h, a, -time.Minute)
}

// due makes it due for refresh while it still lives.
func due(t *testing.T, h *brokertest.Instance, a models.Authorization) {
	t.Helper()
	age(t, h, a, 30*time.Second)
}

// age lets the access token end in the given time, and its refresh be due now.
func age(t *testing.T, h *brokertest.Instance, a models.Authorization, left time.Duration) {
	t.Helper()
	l := must(h.Store.Linked(ctx, a.ID))(t)
	c := l.Credential
	ok, err := h.Store.SaveTokens(ctx, c.ID, c.Generation, store.Save{Attempt: "aged", Sealed: c.Sealed, HasRefreshToken: c.HasRefreshToken,
		Known: true, ExpiresIn: left, RefreshAfter: -time.Second})
	if err != nil || !ok {
		t.Fatalf("ageing the token: %v %v", ok, err)
	}
}

// R2: many callers at once make one refresh, and all get its token.
func TestR2_OneRefreshForManyCallers(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		a := h.Consent(t, h.User, h.Provider(t, "test"), "ada")
		stale(t, h, a)
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.Refresh, LatencyMS: 200})
		var wg sync.WaitGroup
		var mu sync.Mutex
		got := map[models.Secret]int{}
		for range 100 {
			wg.Go(func() {
				tok, err := h.Service.Token(ctx, h.User.Caller, a.ID, 0)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				got[models.Secret(tok.Access.Reveal())]++
			})
		}
		wg.Wait()
		if s := h.IdP.Stats(); len(got) != 1 || s.Calls[testidp.Refresh] != 1 || s.RefreshReused != 0 {
			t.Errorf("%d different tokens, %d refreshes, %d refresh tokens spent twice; want 1, 1, 0", len(got), s.Calls[testidp.Refresh], s.RefreshReused)
		}
	})
}

// R2, and trap 4: two processes share one refresh too, and one that is slow is waited
// for.
func TestR2_OneRefreshAcrossProcesses(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		other := brokertest.New(t, &brokertest.Options{DatabaseURL: h.DatabaseURL, RedisURL: h.RedisURL, Keys: h.Keys, IdP: h.IdP, IdPURL: h.IdPURL})
		a := h.Consent(t, h.User, h.Provider(t, "test"), "ada")
		stale(t, h, a)
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.Refresh, LatencyMS: 300})
		var wg sync.WaitGroup
		for i := range 40 {
			s := []*broker.Service{h.Service, other.Service}[i%2]
			wg.Go(func() {
				if _, err := s.Token(ctx, h.User.Caller, a.ID, 0); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if s := h.IdP.Stats(); s.Calls[testidp.Refresh] != 1 || s.RefreshReused != 0 {
			t.Errorf("%d refreshes, %d refresh tokens spent twice; want 1 and 0", s.Calls[testidp.Refresh], s.RefreshReused)
		}
	})
}

// R9: those who waited for a refresh share the row that was read after its save, and
// it is that row which says whether they may have the token.
func TestR9_WhoWaitedIsJudgedByTheRowAfterTheSave(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "test")
		a := h.Consent(t, h.User, p, "ada")
		stale(t, h, a)
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.Refresh, LatencyMS: 2000})
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				_, err := h.Service.Token(ctx, h.User.Caller, a.ID, 0)
				if models.CodeOf(err) != models.CodeForbidden {
					t.Errorf("a provider that was switched off meanwhile gives %v, want %s", err, models.CodeForbidden)
				}
			})
		}
		brokertest.Eventually(t, "the upstream is asked", func() bool { return h.IdP.Stats().Calls[testidp.Refresh] == 1 })
		if err := statusTo(p, models.ProviderInactive)(h); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		if l := must(h.Store.Linked(ctx, a.ID))(t); l.Credential.SavedBy == "aged" {
			t.Error("what the refresh brought was not saved")
		}
	})
}

// R2, and trap 5: a caller waits only so long; the call goes on, and what it brings is
// kept.
func TestR2_ASlowRefreshOutlivesItsCaller(t *testing.T) {
	o := brokertest.Options{Timing: broker.Timing{CallerWait: 50 * time.Millisecond}}
	eachWith(t, o, func(t *testing.T, h *brokertest.Instance) {
		a := h.Consent(t, h.User, h.Provider(t, "test"), "ada")
		stale(t, h, a)
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.Refresh, AnswerLatencyMS: 400, Times: 1})
		_, err := h.Service.Token(ctx, h.User.Caller, a.ID, 0)
		wantCode(t, err, models.CodeUpstream)
		brokertest.Eventually(t, "the late tokens are served", func() bool {
			_, err := h.Service.Token(ctx, h.User.Caller, a.ID, 0)
			return err == nil
		})
		if s := h.IdP.Stats(); s.Calls[testidp.Refresh] != 1 || s.RefreshReused != 0 {
			t.Errorf("%d refreshes, %d spent twice", s.Calls[testidp.Refresh], s.RefreshReused)
		}
	})
}

// A token that still lives is served when its refresh fails, for whatever reason.
func TestALivingTokenIsServedWhenItsRefreshFails(t *testing.T) {
	for name, fault := range map[string]testidp.Fault{
		"500":           {Endpoint: testidp.Refresh, Status: 500},
		"html 502":      {Endpoint: testidp.Refresh, Status: 502, Body: "<html>bad gateway</html>", ContentType: "text/html"},
		"429":           {Endpoint: testidp.Refresh, Status: 429, RetryAfter: "30"},
		"redirect":      {Endpoint: testidp.Refresh, Status: 307, Location: "https://evil.example/"},
		"invalid_grant": {Endpoint: testidp.Refresh, Error: "invalid_grant"},
		"wrong secret":  {Endpoint: testidp.Refresh, Error: "invalid_client"},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, h *brokertest.Instance) {
				a := h.Consent(t, h.User, h.Provider(t, "test"), "ada")
				due(t, h, a)
				h.IdP.Inject(fault)
				for range 5 {
					if _, err := h.Service.Token(ctx, h.User.Caller, a.ID, 0); err != nil {
						t.Fatalf("the token that lives was not served: %v", err)
					}
				}
				if n := h.IdP.Stats().Calls[testidp.Refresh]; n > 1 {
					t.Errorf("the upstream was asked %d times for one failure", n)
				}
			})
		})
	}
}

// R5: invalid_grant is remembered: the person must authorize again, and the
// upstream is not asked again. A renewed consent ends the verdict.
func TestR5_InvalidGrantExpiresUntilConsentIsRenewed(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "test")
		a := h.Consent(t, h.User, p, "ada")
		stale(t, h, a)
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.Refresh, Error: "invalid_grant"})
		for range 3 {
			_, err := h.Service.Token(ctx, h.User.Caller, a.ID, 0)
			wantCode(t, err, models.CodeGone)
		}
		if n := h.IdP.Stats().Calls[testidp.Refresh]; n != 1 {
			t.Errorf("the upstream was asked %d times, want once", n)
		}
		page := must(h.Service.Authorizations(ctx, h.User.Caller, broker.AuthorizationQuery{Status: "expired"}))(t)
		if len(page.Data) != 1 || page.Data[0].Status != models.AuthorizationExpired {
			t.Errorf("the expired authorizations are %+v", page.Data)
		}
		again := h.Consent(t, h.User, p, "ada")
		if again.ID != a.ID || again.Status != models.AuthorizationActive {
			t.Errorf("the renewed consent gave %s %s, want %s active", again.ID, again.Status, a.ID)
		}
	})
}

// R5: a refused client is the provider's problem; nobody has to consent again.
func TestR5_ANewSecretEndsInvalidOAuthClient(t *testing.T) {
	for _, typ := range []string{"test", "github"} {
		t.Run(typ, func(t *testing.T) {
			each(t, func(t *testing.T, h *brokertest.Instance) {
				p := h.Provider(t, typ)
				a := h.Consent(t, h.User, p, "ada")
				stale(t, h, a)
				h.IdP.SetSecret(brokertest.ClientID, "rotated")
				for range 3 {
					_, err := h.Service.Token(ctx, h.User.Caller, a.ID, 0)
					wantCode(t, err, models.CodeUpstream)
				}
				if n := h.IdP.Stats().Calls[testidp.Refresh]; n != 1 {
					t.Errorf("the upstream was asked %d times, want once", n)
				}
				if err := secretTo(p, "rotated")(h); err != nil {
					t.Fatal(err)
				}
				if _, err := h.Service.Token(ctx, h.User.Caller, a.ID, 0); err != nil {
					t.Errorf("with the right secret: %v", err)
				}
			})
		})
	}
}

// R5: who waits for a refresh that was begun with a former secret gets one with the new secret. A
// sweep's refresh was refused as an admin set the right secret, and a caller was told of that.
func TestR5_ARefusalOfAFormerSecretIsNotTold(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "test")
		a := h.Consent(t, h.User, p, "ada")
		stale(t, h, a)
		h.IdP.SetSecret(brokertest.ClientID, "rotated")
		release := hold(h, "ada")
		defer release()
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := h.Service.Token(ctx, h.User.Caller, a.ID, 0); err != nil {
				t.Errorf("a caller that waited got %v", err)
			}
		})
		brokertest.Eventually(t, "the upstream is asked", func() bool { return h.IdP.Stats().Calls[testidp.Refresh] == 1 })
		if err := secretTo(p, "rotated")(h); err != nil {
			t.Fatal(err)
		}
		release()
		all.Wait()
		if n := h.IdP.Stats().Calls[testidp.Refresh]; n != 2 {
			t.Errorf("the upstream was asked %d times, want once with each secret", n)
		}
	})
}

// R6: every answer with an access token is kept, whatever else is odd about it.
func TestR6_OddAnswersAreSaved(t *testing.T) {
	for _, expiry := range []string{`"3600"`, `0`, `-5`, `null`, `99999999999999999999`, `"soon"`} {
		t.Run(expiry, func(t *testing.T) {
			each(t, func(t *testing.T, h *brokertest.Instance) {
				a := h.Consent(t, h.User, h.Provider(t, "test"), "ada")
				stale(t, h, a)
				h.IdP.Inject(testidp.Fault{Endpoint: testidp.Refresh, ExpiresIn: json.RawMessage(expiry)})
				first := must(h.Service.Token(ctx, h.User.Caller, a.ID, 0))(t)
				second := must(h.Service.Token(ctx, h.User.Caller, a.ID, 0))(t)
				if first.Access.Reveal() != second.Access.Reveal() {
					t.Error("the token was refreshed again at once")
				}
			})
		})
	}
}

// Finding K4: the first answer told a lifetime, the answers to refreshes did not, and the
// token that they brought was served for ever.
func TestR14_TheLastLifetimeThatWasToldCounts(t *testing.T) {
	h := brokertest.New(t, &brokertest.Options{WithoutWorker: true})
	a := h.Consent(t, h.User, h.Provider(t, "test"), "ada") // told: an hour
	h.IdP.Inject(testidp.Fault{Endpoint: testidp.Refresh, ExpiresIn: json.RawMessage("null")})
	token := func() string {
		t.Helper()
		return must(h.Service.Token(ctx, h.User.Caller, a.ID, 0))(t).Access.Reveal()
	}
	last := token()
	for range 3 {
		h.Clock.Advance(50 * time.Minute)
		if token() != last {
			t.Error("a token was refreshed before its end")
		}
		h.Clock.Advance(11 * time.Minute)
		next := token()
		if next == last {
			t.Error("a token was served past the lifetime that was told")
		}
		last = next
	}

	// A token that was found to be invalid at once tells no lifetime: the next one lives longer.
	must(h.Service.RevokeToken(ctx, h.User.Caller, a.ID))(t)
	last = token()
	h.Clock.Advance(50 * time.Minute)
	if token() != last {
		t.Error("the end of a revoked token was taken for a lifetime")
	}
}

// Where no lifetime was ever told, a refresh after an hour keeps the token from being
// served for ever; the token is served on where that refresh fails.
func TestR14_AnHourIsAssumedForRefreshing(t *testing.T) {
	h := brokertest.New(t, &brokertest.Options{WithoutWorker: true})
	h.IdP.Inject(testidp.Fault{Endpoint: testidp.Refresh, ExpiresIn: json.RawMessage("null")},
		testidp.Fault{Endpoint: testidp.Token, ExpiresIn: json.RawMessage("null")})
	a := h.Consent(t, h.User, h.Provider(t, "test"), "ada")
	token := func() string {
		t.Helper()
		return must(h.Service.Token(ctx, h.User.Caller, a.ID, 0))(t).Access.Reveal()
	}
	first := token()
	h.Clock.Advance(50 * time.Minute)
	if token() != first {
		t.Error("a token of unknown lifetime was refreshed before the hour")
	}
	h.Clock.Advance(11 * time.Minute)
	h.IdP.ClearFaults()
	h.IdP.Inject(testidp.Fault{Endpoint: testidp.Refresh, Status: 503, Times: 1})
	if token() != first {
		t.Error("the old token was not served on while its refresh fails")
	}
	h.Clock.Advance(2 * time.Minute)
	if token() == first {
		t.Error("after an hour the token was not refreshed")
	}
}

// R6: an answer without a refresh token keeps the old one.
func TestR6_NoRefreshTokenKeepsTheOldOne(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		a := h.Consent(t, h.User, h.Provider(t, "test"), "ada")
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.Refresh, OmitRefresh: true})
		for range 3 {
			stale(t, h, a)
			must(h.Service.Token(ctx, h.User.Caller, a.ID, 0))(t)
		}
	})
}

// R3: after a reset connection nobody knows whether the refresh token was spent:
// one replay tells. Here it was, and the authorization ends honestly.
func TestR3_AnAmbiguousAttemptIsReplayedOnce(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		a := h.Consent(t, h.User, h.Provider(t, "test"), "ada")
		stale(t, h, a)
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.Refresh, ResetAfter: true, Times: 1})
		var err error
		brokertest.Eventually(t, "the replay has an outcome", func() bool {
			_, err = h.Service.Token(ctx, h.User.Caller, a.ID, 0)
			return models.CodeOf(err) == models.CodeGone
		})
		if n := h.IdP.Stats().Calls[testidp.Refresh]; n != 2 {
			t.Errorf("the upstream was asked %d times, want the attempt and one replay", n)
		}
		if l := must(h.Store.Linked(ctx, a.ID))(t); l.Credential.VerdictReason != "lost_response" {
			t.Errorf("the reason is %q, want lost_response", l.Credential.VerdictReason)
		}
	})
}

// R3: where the upstream had not spent it, the replay brings tokens.
func TestR3_AReplayMayBringTokens(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		a := h.Consent(t, h.User, h.Provider(t, "test"), "ada")
		stale(t, h, a)
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.Refresh, ResetAfter: true, OmitRefresh: true, Times: 1})
		brokertest.Eventually(t, "the replay brings tokens", func() bool {
			_, err := h.Service.Token(ctx, h.User.Caller, a.ID, 0)
			return err == nil
		})
	})
}

// R4: what decides about freshness is the database's clock; lives count from when
// the request was sent.
func TestR4_ExpiryCountsFromTheRequest(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.Exchange, AnswerLatencyMS: 300, ExpiresIn: json.RawMessage(`60`)})
		a := h.Consent(t, h.User, h.Provider(t, "test"), "ada")
		l := must(h.Store.Linked(ctx, a.ID))(t)
		if life := l.Credential.ExpiresAt.Sub(l.Credential.SavedAt); life > 59800*time.Millisecond {
			t.Errorf("the token is taken to live %v from its save; 300 ms had passed since the request", life)
		}
		if early := l.Credential.ExpiresAt.Sub(*l.Credential.RefreshAfter); early != 12*time.Second {
			t.Errorf("a read refreshes %v before the end, want a fifth of a life of 60 s", early)
		}
	})
}

// R9: a consent renewed while a refresh is under way wins; the refresh's tokens,
// when they come, are revoked alone.
func TestR9_ARenewedConsentBeatsARunningRefresh(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "test")
		a := h.Consent(t, h.User, p, "ada")
		stale(t, h, a)
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.Refresh, AnswerLatencyMS: 500, Times: 1})
		done := make(chan error)
		go func() {
			_, err := h.Service.Token(ctx, h.User.Caller, a.ID, 0)
			done <- err
		}()
		brokertest.Eventually(t, "the refresh is at the upstream", func() bool { return h.IdP.Stats().Calls[testidp.Refresh] == 1 })
		h.Consent(t, h.User, p, "ada")
		if err := <-done; err != nil {
			t.Errorf("the caller that waited got %v", err)
		}
		brokertest.Eventually(t, "only the renewed consent's grant is left", func() bool { return h.IdP.Stats().LiveGrants == 1 })
		if _, err := h.Service.UserInfo(ctx, h.User.Caller, a.ID); err != nil {
			t.Errorf("the renewed consent's token does not work: %v", err)
		}
	})
}

// A token that the upstream no longer takes is refreshed once for the profile.
func TestUserInfoRefreshesARefusedTokenOnce(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		a := h.Consent(t, h.User, h.Provider(t, "test"), "ada")
		h.IdP.ExpireAccessTokens()
		user := must(h.Service.UserInfo(ctx, h.User.Caller, a.ID))(t)
		if user.Sub != "ada" || h.IdP.Stats().Calls[testidp.Refresh] != 1 {
			t.Errorf("the profile is %+v after %d refreshes", user, h.IdP.Stats().Calls[testidp.Refresh])
		}
	})
}

// R8: while a failed refresh backs off, a profile that needs it is to be asked for
// again later; nobody has to authorize again for that.
func TestR8_UserInfoWaitsForTheBackOff(t *testing.T) {
	o := brokertest.Options{Timing: broker.Timing{Backoff: time.Minute}}
	eachWith(t, o, func(t *testing.T, h *brokertest.Instance) {
		a := h.Consent(t, h.User, h.Provider(t, "test"), "ada")
		h.IdP.ExpireAccessTokens()
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.Refresh, Status: 503})
		for range 2 {
			_, err := h.Service.UserInfo(ctx, h.User.Caller, a.ID)
			wantCode(t, err, models.CodeUpstream)
		}
		if n := h.IdP.Stats().Calls[testidp.Refresh]; n != 1 {
			t.Errorf("the refresh was tried %d times, want once", n)
		}
	})
}
