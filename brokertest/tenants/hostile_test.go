package tenants_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
)

// How much both organisations do in a round, and how often it is repeated. What the
// hostile one may have open at once is for the limits to say (T2): here it is bounded by itself.
const (
	enough     = 2 // rounds, if one of them was good
	rounds     = 8 // at most, where none was good
	listens    = 100
	attackers  = 8
	attacks    = 400 // in each round, at most
	colleagues = 16  // whose accounts acme connects at each of its providers
	uses       = 3   // of each account
)

// TestT1_AHostileOrganisationChangesNothing: while one organisation does at full strength
// what strangers have found (F1, F2, F3, F5), the people of another consent, refresh and
// disconnect side by side, and its admin deletes. Its outcomes and counts are those of a
// round without the hostile organisation, always, and in the best of the rounds its slowest
// calls take no more than twice as long.
func TestT1_AHostileOrganisationChangesNothing(t *testing.T) {
	mean := newMean(t)
	w := newWorld(t, brokertest.Options{Backend: brokertest.Servers, Allow: []string{strings.TrimPrefix(mean.URL, "http://")}})
	w.throttling = mean.URL + "/throttled"
	w.day(t) // warms up what a process has to make once
	var ratios []float64
	for i := 0; i < enough || i < rounds && slices.Min(ratios) > 2; i++ {
		peace := w.day(t)
		stop := w.attack(t, i)
		war := w.day(t)
		stop()
		if diff := cmp.Diff(peace.outcomes, war.outcomes); diff != "" {
			t.Errorf("another organisation changed what happened (-in peace +under attack):\n%s", diff)
		}
		ratios = append(ratios, float64(war.p99())/float64(peace.p99()))
		t.Logf("round %d: p99 of %d calls %s in peace, %s under attack", i, len(peace.took), peace.p99(), war.p99())
	}
	if best := slices.Min(ratios); best > 2 {
		t.Errorf("under attack the slowest calls take %.1f times as long in every round: %.1f", best, ratios)
	}
}

// day is what acme's people do, how it ended and how long each call took.
type day struct {
	outcomes []string // sorted once the day is over

	mu   sync.Mutex
	took []time.Duration
}

func (d *day) p99() time.Duration {
	slices.Sort(d.took)
	return d.took[len(d.took)*99/100]
}

// call makes one call of acme's and notes its outcome.
func (d *day) call(what string, f func() (string, error)) {
	began := time.Now()
	said, err := f()
	took := time.Since(began)
	if err != nil {
		said = "failed: " + err.Error()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.took = append(d.took, took)
	d.outcomes = append(d.outcomes, what+": "+said)
}

// day has acme register two providers, its people connect and use accounts of both, and its admin end it all.
func (w *world) day(t *testing.T) *day {
	t.Helper()
	d := &day{}
	var all sync.WaitGroup
	providers := []models.Provider{
		w.provider(t, w.Admin, models.ProviderInput{}),
		w.provider(t, w.Admin, models.ProviderInput{Type: "oauth2", Config: configured(w.IdPURL, nil)}),
	}
	for _, p := range providers {
		for i := range colleagues {
			all.Go(func() { w.colleague(t, d, p, i) })
		}
	}
	all.Wait()
	for _, p := range providers {
		var j models.Job
		d.call("deletion", func() (string, error) {
			var err error
			j, err = w.Service.DeleteProvider(ctx, w.Admin.Caller, p.ID, false)
			return "", err
		})
		j = w.ended(t, w.Admin, j.ID)
		for _, name := range []string{"total", "revoked", "superseded", "failed"} {
			d.outcomes = append(d.outcomes, name+": "+detail(j, name))
		}
		d.outcomes = append(d.outcomes, "job: "+string(j.Status))
	}
	slices.Sort(d.outcomes)
	return d
}

// colleague connects an account, uses it, and every second one disconnects it.
func (w *world) colleague(t *testing.T, d *day, p models.Provider, i int) {
	var back models.Callback
	d.call("authorize", func() (string, error) {
		answer, err := w.Service.Authorize(ctx, w.User.Caller, broker.AuthorizeRequest{ProviderID: p.ID, RedirectURI: brokertest.Callback})
		if err == nil {
			back = w.Approve(t, answer, account(i))
		}
		return "", err
	})
	back.ProviderID = p.ID
	var a models.Authorization
	d.call("callback", func() (string, error) {
		done, err := w.Service.Complete(ctx, w.User.Caller, back)
		a = done.Authorization
		return string(a.Status), err
	})
	for range uses {
		d.call("token", func() (string, error) {
			answer := w.Do(t, w.User, "POST", "/api/v2/externalOAuth/authorizedProviders/"+a.ID+"/token/", nil)
			return fmt.Sprint(answer.Status), nil
		})
		d.call("reset", func() (string, error) { _, err := w.Service.Reset(ctx, w.User.Caller, a.ID); return "", err })
		d.call("user info", func() (string, error) {
			user, err := w.Service.UserInfo(ctx, w.User.Caller, a.ID)
			return user.Sub, err
		})
	}
	if i%2 == 0 {
		d.call("disconnect", func() (string, error) { return "", w.Service.Disconnect(ctx, w.User.Caller, a.ID) })
	}
}

func account(i int) string { return fmt.Sprint("colleague", i) }

// newMean is the hostile organisation's authorization server. Below /throttled it answers
// 429; elsewhere it gives tokens whose scope no database can store, and says it is for
// somebody of acme.
func newMean(t *testing.T) *httptest.Server {
	var n atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case strings.HasPrefix(r.URL.Path, "/throttled"), strings.HasSuffix(r.URL.Path, "/revoke"):
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(http.StatusTooManyRequests)
		case strings.HasSuffix(r.URL.Path, "/userinfo"):
			fmt.Fprintf(w, `{"sub":%q,"name":"a\u0000b"}`, account(0))
		default:
			fmt.Fprintf(w, `{"access_token":"a%d","refresh_token":"r%d","token_type":"Bearer","expires_in":3600,"scope":"read a\u0000b"}`, n.Add(1), n.Load())
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// attack has the hostile organisation do all it can until it is stopped.
func (w *world) attack(t *testing.T, round int) (stop func()) {
	unused := map[string]any{"deviceUrl": w.IdPURL + "/device", "introspectUrl": w.IdPURL + "/introspect"}
	poisoned := strings.TrimSuffix(w.throttling, "/throttled")
	register := func(config map[string]any) models.Provider {
		return w.provider(t, w.hostile, models.ProviderInput{Type: "oauth2", Config: config})
	}
	var posing, poisoning []models.Provider
	for range 3 {
		posing = append(posing, register(configured(w.throttling, unused)))
		poisoning = append(poisoning, register(configured(poisoned, unused)))
	}
	twin := register(configured(w.IdPURL, map[string]any{"callsPerHour": 10, "tokenCallsPerHour": 10}))
	budget := w.provider(t, w.hostile, models.ProviderInput{Config: map[string]any{"callsPerHour": 10, "tokenCallsPerHour": 10}})
	twins := []models.Authorization{}
	for i := range colleagues {
		twins = append(twins, w.Consent(t, w.hostile, twin, account(i)), w.Consent(t, w.hostile, budget, account(i)))
	}
	kinds := []func(i int){
		func(i int) { // F1: a pause, and a budget that is used up
			_, _ = w.Service.Import(ctx, w.hostile.Caller, models.Import{ProviderID: posing[i%3].ID, RefreshToken: models.Secret(fmt.Sprint("made-up-", round, i))})
		},
		func(i int) { // F1 and F2: the same client and accounts
			_, _ = w.Service.Reset(ctx, w.hostile.Caller, twins[i%len(twins)].ID)
		},
		func(i int) { // F3: what no database stores, left behind as flows and tombstones
			done, err := w.Service.Import(ctx, w.hostile.Caller, models.Import{ProviderID: poisoning[i%3].ID, RefreshToken: models.Secret(fmt.Sprint("poison-", round, i))})
			if err == nil {
				_ = w.Service.Disconnect(ctx, w.hostile.Caller, done.Authorization.ID)
			}
		},
		func(int) { // F5: consents that are never completed
			_, _ = w.Service.Authorize(ctx, w.hostile.Caller, broker.AuthorizeRequest{ProviderID: twin.ID, RedirectURI: brokertest.Callback})
		},
	}
	attack, leave := context.WithCancel(ctx)
	var all sync.WaitGroup
	var next, waiting atomic.Int64
	for range attackers {
		all.Go(func() {
			for i := int(next.Add(1)); i <= attacks && attack.Err() == nil; i = int(next.Add(1)) {
				kinds[i%len(kinds)](i)
			}
		})
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: listens}}
	for range listens { // F5: many who wait for what never comes
		all.Go(func() {
			req, err := http.NewRequest("GET", w.URL+"/api/v2/workspaceagents/me/external-auth?listen=1&id="+posing[0].Slug, nil)
			if err != nil {
				t.Error(err)
				return
			}
			req.Header.Set("Authorization", "Bearer "+w.hostile.Token.Reveal())
			answer, err := client.Do(req.WithContext(attack))
			if err != nil { // it was left waiting
				waiting.Add(1)
				return
			}
			_, _ = io.Copy(io.Discard, answer.Body)
			answer.Body.Close()
		})
	}
	return func() {
		leave()
		all.Wait()
		client.CloseIdleConnections()
		t.Logf("round %d: %d attacks, %d left waiting", round, min(next.Load(), attacks), waiting.Load())
		if next.Load() < attacks/10 || waiting.Load() == 0 {
			t.Errorf("the attack was none: %d attacks, %d left waiting", next.Load(), waiting.Load())
		}
		for _, p := range slices.Concat(posing, poisoning, []models.Provider{twin, budget}) {
			if _, err := w.Service.DeleteProvider(ctx, w.hostile.Caller, p.ID, true); err != nil {
				t.Errorf("cleaning up: %v", err)
			}
		}
	}
}
