package broker_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/secrets"
	"github.com/grantd/grantd/store"
	"github.com/grantd/grantd/testidp"
)

// rotation is a database whose keyset is being rotated. The processes are those
// of the two steps: behind has read the file after the key was added, ahead after
// it was promoted.
type rotation struct {
	first         *brokertest.Instance
	behind, ahead *brokertest.Instance
	path          string
	oldID         uint32
	old, fresh    *secrets.Keyring
}

// rotating fills a database under one key, and promotes another.
func rotating(t *testing.T, b brokertest.Backend, fill func(*brokertest.Instance)) rotation {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keyset.json")
	if err := (secrets.File{Path: path}).Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := rotation{path: path, oldID: must(secrets.File{Path: path}.Keys(t.Context()))(t)[0].ID, old: must(secrets.File{Path: path}.Load(t.Context()))(t)}
	r.first = brokertest.New(t, &brokertest.Options{Backend: b, Keys: r.old, WithoutWorker: true})
	fill(r.first)
	id := must(secrets.File{Path: path}.AddKey(t.Context()))(t)
	r.behind = r.process(t)
	if err := (secrets.File{Path: path}).Promote(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	r.ahead = r.process(t)
	r.fresh = r.ahead.Keys
	return r
}

// process starts another process on the same database, with the keyset as the
// file has it now.
func (r rotation) process(t *testing.T) *brokertest.Instance {
	t.Helper()
	h := r.first
	return brokertest.New(t, &brokertest.Options{DatabaseURL: h.DatabaseURL, RedisURL: h.RedisURL,
		Keys: must(secrets.File{Path: r.path}.Load(t.Context()))(t), IdP: h.IdP, IdPURL: h.IdPURL, WithoutWorker: true})
}

// wantUnderOneKey fails unless everything was sealed by the promoted key.
func (r rotation) wantUnderOneKey(t *testing.T) {
	t.Helper()
	primary := string(r.fresh.PrimaryPrefix())
	counts := must(r.first.Store.CountSealed(ctx, len(primary)))(t)
	if len(counts) != 1 || counts[primary] == 0 {
		t.Errorf("sealed values by prefix: %v, want all under %q", counts, primary)
	}
}

// refreshed makes the upstream forget every access token, and has each instance
// fetch the profile behind each authorization, which takes a refresh.
func refreshed(t *testing.T, all []models.Authorization, instances ...*brokertest.Instance) {
	t.Helper()
	instances[0].IdP.ExpireAccessTokens()
	var wg sync.WaitGroup
	for _, a := range all {
		for _, h := range instances {
			wg.Go(func() {
				if _, err := h.Service.UserInfo(ctx, h.User.Caller, a.ID); err != nil {
					t.Errorf("in the midst of a rotation: %v", err)
				}
			})
		}
	}
	wg.Wait()
}

// K3: a keyset is rotated while every token is refreshed all the time, by
// processes of both steps, and by two re-sealings at once. Nothing is lost, and
// the old key is needed for nothing any more.
func TestK3_RotationWhileTokensAreRefreshed(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b brokertest.Backend) {
		var all []models.Authorization
		r := rotating(t, b, func(h *brokertest.Instance) {
			p := h.Provider(t, "test")
			for _, account := range []string{"ada", "grace"} {
				all = append(all, h.Consent(t, h.User, p, account))
			}
			_, _, superseded, _ := twice(t, h)
			if err := h.Service.Disconnect(ctx, h.User.Caller, superseded.ID); err != nil {
				t.Fatal(err)
			}
			if n := rows(t, h, "SELECT count(*) FROM superseded_pairs"); n != 1 {
				t.Fatalf("%d pairs are kept", n)
			}
		})

		var rounds atomic.Int64
		var stop atomic.Bool
		var wg sync.WaitGroup
		wg.Go(func() {
			for ; !stop.Load(); rounds.Add(1) {
				refreshed(t, all, r.behind, r.ahead)
			}
		})
		for range 2 {
			wg.Go(func() {
				for rounds.Load() < 4 && !t.Failed() {
					if done, err := r.ahead.Service.Reseal(ctx, nil); err != nil || len(done.Closed) > 0 {
						t.Errorf("re-sealing: %+v, %v", done, err)
					}
				}
				stop.Store(true)
			})
		}
		wg.Wait()

		// The last process of the first step has ended.
		if done, err := r.ahead.Service.Reseal(ctx, nil); err != nil || len(done.Closed) > 0 || done.Behind > 0 {
			t.Errorf("at the end: %+v, %v", done, err)
		}
		r.wantUnderOneKey(t)
		if err := (secrets.File{Path: r.path}).Remove(t.Context(), r.oldID); err != nil {
			t.Fatal(err)
		}
		r.wantNothingLost(t, all)
	})
}

// wantNothingLost starts a process without the old key, and uses everything that
// was sealed with it.
func (r rotation) wantNothingLost(t *testing.T, all []models.Authorization) {
	t.Helper()
	last := r.process(t)
	for _, a := range all {
		l := must(last.Store.Linked(ctx, a.ID))(t)
		owner := secrets.CredentialOwner(a.CredentialID, a.ID, a.OrgID, a.UserID, l.Provider.ID)
		if _, err := r.old.Open(owner, l.Credential.Sealed); err == nil {
			t.Error("the old key still opens a credential")
		}
		must(last.Service.Token(ctx, last.User.Caller, a.ID, 0))(t)
	}
	if r.old.CheckCanary(must(last.Store.Meta(ctx, "canary"))(t)) == nil {
		t.Error("a process with the old keyset would start")
	}
	refreshed(t, all, last)
	if s := last.IdP.Stats(); s.RefreshReused != 0 {
		t.Errorf("%d refresh tokens were spent twice", s.RefreshReused)
	}
}

// K3: a consent that was under way goes on after the rotation, its code spent or
// not.
func TestK3_AConsentUnderWaySurvivesARotation(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b brokertest.Backend) {
		var open, half models.Callback
		r := rotating(t, b, func(h *brokertest.Instance) {
			p := h.Provider(t, "test")
			open, half = begun(t, h, p, "linus"), begun(t, h, p, "ada")
			h.IdP.Inject(testidp.Fault{Endpoint: testidp.UserInfo, Status: 503, Times: 1})
			_, err := h.Service.Complete(ctx, h.User.Caller, half)
			wantCode(t, err, models.CodeUpstream)
		})
		if done, err := r.ahead.Service.Reseal(ctx, nil); err != nil || done.Done != 5 || len(done.Closed) > 0 {
			t.Errorf("%+v, %v; want canary, secret, two requests and one pair of tokens done", done, err)
		}
		if err := (secrets.File{Path: r.path}).Remove(t.Context(), r.oldID); err != nil {
			t.Fatal(err)
		}
		last := r.process(t)
		for _, cb := range []models.Callback{open, half} {
			must(last.Service.Complete(ctx, last.User.Caller, cb))(t)
		}
		if n := last.IdP.Stats().Calls[testidp.Exchange]; n != 2 {
			t.Errorf("%d codes were sent, want 2", n)
		}
	})
}

// K3: so does one on another device, whose code upstream is sealed in the flow.
func TestK3_ADeviceSurvivesARotation(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b brokertest.Backend) {
		var p models.Provider
		var begun broker.DeviceFlow
		r := rotating(t, b, func(h *brokertest.Instance) {
			p = h.Provider(t, "test")
			on := map[string]any{"device": true}
			must(h.Service.ChangeProvider(ctx, h.Admin.Caller, p.ID, models.ProviderPatch{Config: &on}))(t)
			begun = must(h.Service.BeginDevice(ctx, h.User.Caller, p.ID))(t)
		})
		must(r.ahead.Service.Reseal(ctx, nil))(t)
		if err := (secrets.File{Path: r.path}).Remove(t.Context(), r.oldID); err != nil {
			t.Fatal(err)
		}
		last := r.process(t)
		last.IdP.ApproveDevice(begun.UserCode, "ada")
		brokertest.Eventually(t, "the device has its answer", func() bool {
			_, err := last.Service.PollDevice(ctx, last.User.Caller, p.ID, begun.DeviceCode)
			if err != nil {
				wantCode(t, err, models.CodeBadRequest) // too early
			}
			return err == nil || t.Failed()
		})
	})
}

// K3: a process that was not restarted after the promotion seals as before. That
// is told, since the key could not leave, and fixed by re-sealing again.
func TestK3_AProcessThatIsBehindIsTold(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b brokertest.Backend) {
		var all []models.Authorization
		r := rotating(t, b, func(h *brokertest.Instance) {
			all = append(all, h.Consent(t, h.User, h.Provider(t, "test"), "ada"))
		})
		done, err := r.ahead.Service.Reseal(ctx, func(done, total int64) {
			if done == total { // the credentials come last
				refreshed(t, all, r.behind)
			}
		})
		if err != nil || done.Behind != 1 || len(done.Closed) > 0 {
			t.Errorf("%+v, %v; want 1 behind", done, err)
		}
		if done, err = r.ahead.Service.Reseal(ctx, nil); err != nil || done.Done != 1 || done.Behind != 0 {
			t.Errorf("again: %+v, %v; want 1 done", done, err)
		}
		r.wantUnderOneKey(t)
	})
}

// K3: a value that no key opens is reported and left as it is; the rest goes on, and
// again changes nothing.
func TestK3_WhatDoesNotOpenIsReported(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b brokertest.Backend) {
		var broken models.Authorization
		r := rotating(t, b, func(h *brokertest.Instance) {
			p := h.Provider(t, "test")
			broken = h.Consent(t, h.User, p, "ada")
			h.Consent(t, h.User, p, "grace")
			c := must(h.Store.Credential(ctx, broken.CredentialID))(t)
			damaged := append([]byte(nil), c.Sealed...)
			damaged[len(damaged)-1] ^= 1
			if !must(h.Store.Reseal(ctx, store.SealedCredentials, c.ID, c.Sealed, damaged))(t) {
				t.Fatal("could not damage a row")
			}
		})
		before := must(r.first.Store.Credential(ctx, broken.CredentialID))(t)
		for i, want := range []bool{true, false} {
			done, err := r.ahead.Service.Reseal(ctx, nil)
			if err != nil || len(done.Closed) != 1 || done.Closed[0] != "credentials "+broken.CredentialID || done.Behind != 0 {
				t.Errorf("time %d: %+v, %v", i+1, done, err)
			}
			if (done.Done > 0) != want {
				t.Errorf("time %d: %d values were sealed again", i+1, done.Done)
			}
		}
		if after := must(r.first.Store.Credential(ctx, broken.CredentialID))(t); string(after.Sealed) != string(before.Sealed) {
			t.Error("the value that does not open was touched")
		}
	})
}

// K3: progress is told batch by batch, up to the total.
func TestK3_ProgressIsTold(t *testing.T) {
	r := rotating(t, brokertest.Embedded, func(h *brokertest.Instance) {
		p := h.Provider(t, "test")
		err := h.Store.Tx(ctx, func(tx *store.Store) error {
			for i := range 250 {
				f := models.Flow{ID: fmt.Sprintf("flow-%03d", i), OrgID: "acme", UserID: "ada", ProviderID: p.ID, StateHash: []byte{byte(i)}}
				owner := secrets.FlowOwner(f.ID, secrets.FlowRequest, f.OrgID, f.UserID, f.ProviderID)
				f.Sealed = must(h.Keys.Seal(owner, []byte("{}")))(t)
				if err := tx.InsertFlow(ctx, &f, time.Hour); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	var told [][2]int64
	done := must(r.ahead.Service.Reseal(ctx, func(done, total int64) { told = append(told, [2]int64{done, total}) }))(t)
	const all = 1 + 1 + 250 // the canary, the secret, the flows
	if done.Done != all || len(told) != 4 || told[2] != [2]int64{202, all} || told[3] != [2]int64{all, all} {
		t.Errorf("%d values were sealed again, progress was %v", done.Done, told)
	}
	r.wantUnderOneKey(t)
}

// Re-sealing makes the MAC of the present token anew, so that it is found when the old key is gone; the former token, which a
// refresh left alive, is found for as long as the key of its MAC is there. Tokens are exchanged all the while.
func TestK3_TokensAreIntrospectedAndExchangedAcrossARotation(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b brokertest.Backend) {
		var p models.Provider
		var service brokertest.Person
		var former, now string
		var fetch func(h *brokertest.Instance) string
		r := rotating(t, b, func(h *brokertest.Instance) {
			p = oauth2Provider(t, h, map[string]any{"refreshKillsAccess": false})
			service = h.Limited(t, broker.NewAPIToken{OrgID: "acme", UserID: "app-web", Role: models.RoleService, Providers: []string{p.ID}})
			a := h.Consent(t, h.User, p, "ada")
			user := h.User
			fetch = func(h *brokertest.Instance) string {
				return must(h.Service.Token(ctx, user.Caller, a.ID, 0))(t).Access.Reveal()
			}
			former = fetch(h)
			sqlOf(t, h, "UPDATE credentials SET refresh_after = saved_at")
			brokertest.Eventually(t, "the token is refreshed", func() bool { now = fetch(h); return now != former })
			x := broker.Exchange{Client: service.Token, Subject: user.Token, Audiences: []string{p.Slug}}
			fetch = func(h *brokertest.Instance) string {
				e := must(h.Service.BeginExchange(ctx, x))(t)
				return must(h.Service.Exchange(ctx, e, x))(t).Access.Reveal()
			}
		})
		look := func(when string, h *brokertest.Instance, formerCounts bool) {
			t.Helper()
			for token, active := range map[string]bool{former: formerCounts, now: true, now + "x": false} {
				got, err := h.Service.Introspect(ctx, service.Caller, models.Secret(token))
				if err != nil || got.Active != active || active && (got.UserID != "ada" || got.ProviderID != p.ID) {
					t.Errorf("%s: the former token is %t, the present one %t: %+v, %v", when, token == former, token == now, got, err)
				}
			}
			if got := fetch(h); got != now {
				t.Errorf("%s: another token is exchanged", when)
			}
		}
		look("before the rotation", r.first, true)
		look("a process with both keys", r.behind, true)
		look("a process with the new key promoted", r.ahead, true)
		if done := must(r.ahead.Service.Reseal(ctx, nil))(t); done.Done == 0 || done.Behind != 0 {
			t.Fatalf("re-sealed: %+v", done)
		}
		look("re-sealed", r.ahead, true)
		look("re-sealed, and a process that seals with the old key", r.behind, true)
		if err := (secrets.File{Path: r.path}).Remove(t.Context(), r.oldID); err != nil {
			t.Fatal(err)
		}
		look("without the old key", r.process(t), false)
	})
}
