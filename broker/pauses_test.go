package broker_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
	"github.com/grantd/grantd/testidp"
)

const origin = "https://idp.example"

var endpointClasses = []store.Class{store.ClassToken, store.ClassRevoke, store.ClassAPI}

func upstreamOf(org, provider string) store.Upstream {
	return store.Upstream{ProviderID: provider, OrgID: org, Origins: []string{origin}}
}

func paused(org, provider string, class store.Class) store.Pause {
	return store.Pause{ProviderID: provider, OrgID: org, Origin: origin, Class: class}
}

func pause(t *testing.T, s *store.Store, p store.Pause, d time.Duration) {
	t.Helper()
	if err := s.Pause(ctx, p, d); err != nil {
		t.Fatal(err)
	}
}

// S3: when providers of three organisations meet a pause at one origin, it is the
// origin's, for as long as three have met it. Any number of providers of fewer
// organisations concern nobody else.
func TestS3_ThreeOrganisationsPauseTheOrigin(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b brokertest.Backend) {
		s := b.Store(t, nil)
		for _, class := range endpointClasses {
			wait := func() time.Duration { return must(s.Pass(ctx, upstreamOf("d", "d"), time.Minute, class))(t).Wait }
			for _, p := range []string{"b1", "b2", "b3", "b4"} {
				pause(t, s, paused("b", p, class), time.Hour)
			}
			pause(t, s, paused("c", "c1", class), time.Hour)
			if got := wait(); got != 0 {
				t.Errorf("%s: after five providers of two organisations a third waits %s", class, got)
			}
			elsewhere := paused("a", "a1", class)
			elsewhere.Origin = "https://other.example"
			pause(t, s, elsewhere, time.Hour)
			elsewhere.Origin = ""
			pause(t, s, elsewhere, time.Hour)
			if got := wait(); got != 0 {
				t.Errorf("%s: what was met elsewhere counts too: %s", class, got)
			}
			pause(t, s, paused("a", "a1", class), 20*time.Minute)
			if got := wait(); got <= 19*time.Minute || got > 20*time.Minute {
				t.Errorf("%s: after three organisations a fourth waits %s, want as long as all three do", class, got)
			}
			if got := must(s.Pass(ctx, store.Upstream{ProviderID: "d", OrgID: "d", Origins: []string{"https://other.example"}}, time.Minute, class))(t); got.Wait != 0 {
				t.Errorf("%s: who calls another origin waits %s", class, got.Wait)
			}
		}
	})
}

// S3: after an origin's pause each provider tries once, so that none can keep the
// others from trying; an answer of that origin ends it for all, an answer from
// elsewhere does not, and nobody's answer ends what another provider met.
func TestS3_AnOriginsPauseEndsWithItsAnswer(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b brokertest.Backend) {
		database, _ := b.Migrated(t)
		s := brokertest.OpenStore(t, database, nil)
		const class = store.ClassToken
		pass := func(org string) store.Gate {
			return must(s.Pass(ctx, upstreamOf(org, org+"1"), time.Minute, class))(t)
		}
		for _, org := range []string{"x", "y", "z"} {
			pause(t, s, paused(org, org+"1", class), time.Hour)
		}
		pause(t, s, store.Pause{ProviderID: "over", Class: class}, -time.Second)
		must(brokertest.SQL(t, database).Exec(`UPDATE pauses SET until = (SELECT until FROM pauses WHERE provider_id = 'over')`))(t)
		hostile, other := pass("b"), pass("a")
		if !hostile.Probe || !other.Probe {
			t.Fatalf("one provider's probe keeps another from its own: %+v, %+v", hostile, other)
		}
		if again := pass("a"); again.Wait == 0 {
			t.Error("the same provider tried twice at once")
		}
		if err := s.EndPause(ctx, hostile, []string{"https://b.example"}); err != nil {
			t.Fatal(err)
		}
		if gate := pass("c"); !gate.Probe {
			t.Errorf("an answer from elsewhere ended the origin's pause: %+v", gate)
		}
		if err := s.EndPause(ctx, other, []string{origin}); err != nil {
			t.Fatal(err)
		}
		if gate := pass("d"); gate.Probe || gate.Wait != 0 {
			t.Errorf("an answer of the origin did not end its pause: %+v", gate)
		}
		if gate := pass("x"); !gate.Probe {
			t.Errorf("another provider's answer ended the pause that x met: %+v", gate)
		}
	})
}

// S3: a probe's answer ends what it was the probe for, and nothing that was met since.
func TestS3_ALateProbeEndsNothingNew(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b brokertest.Backend) {
		s := b.Store(t, nil)
		pause(t, s, paused("a", "a1", store.ClassRevoke), -time.Second)
		gate := must(s.Pass(ctx, upstreamOf("a", "a1"), time.Minute, store.ClassRevoke))(t)
		pause(t, s, paused("a", "a1", store.ClassRevoke), 30*time.Second)
		if err := s.EndPause(ctx, gate, []string{origin}); err != nil {
			t.Fatal(err)
		}
		left, _, err := s.PauseOf(ctx, upstreamOf("a", "a1"), store.ClassRevoke)
		if err != nil || left == nil || *left > 30*time.Second || *left < 20*time.Second {
			t.Errorf("the pause that was asked for since lasts %v: %v", left, err)
		}
	})
}

// S3: a provider whose origins are not known, since its metadata was not read here yet,
// still respects its own pauses.
func TestS3_OwnPausesNeedNoOrigin(t *testing.T) {
	brokertest.Each(t, func(t *testing.T, b brokertest.Backend) {
		s := b.Store(t, nil)
		pause(t, s, paused("a", "a1", store.ClassToken), 2*time.Hour)
		gate := must(s.Pass(ctx, store.Upstream{ProviderID: "a1", OrgID: "a"}, time.Minute, store.ClassToken))(t)
		if gate.Wait < 59*time.Minute || gate.Wait > time.Hour {
			t.Errorf("it waits %s, want an hour at most", gate.Wait)
		}
	})
}

// moody is an organisation's own authorization server: it throttles everybody, or serves everybody.
type moody struct{ *httptest.Server }

func newMoody(t *testing.T, throttles bool) *moody {
	m := &moody{httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case throttles:
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(http.StatusTooManyRequests)
		case strings.HasPrefix(r.URL.Path, "/userinfo"):
			fmt.Fprint(w, `{"sub":"mallory"}`)
		default:
			fmt.Fprintf(w, `{"access_token":"a%d","refresh_token":"r%d","token_type":"Bearer","expires_in":3600}`, time.Now().UnixNano(), time.Now().UnixNano())
		}
	}))}
	t.Cleanup(m.Close)
	return m
}

func (m *moody) host() string { return strings.TrimPrefix(m.URL, "http://") }

// posing is a provider of the hostile organisation: what it calls is its own server,
// and a URL that it never calls names the upstream of others.
func posing(t *testing.T, h *brokertest.Instance, who brokertest.Person, m *moody, i int) models.Provider {
	t.Helper()
	return must(h.Service.CreateProvider(ctx, who.Caller, models.ProviderInput{Name: fmt.Sprint("Posing ", m.host(), i), Type: "oauth2",
		ClientID: brokertest.ClientID, ClientSecret: "guessed",
		Config: oauth2Config(m.URL, map[string]any{"deviceUrl": h.IdPURL + "/device"})}))(t)
}

// Finding F1: three providers of one organisation named another's upstream in a URL that
// was never called, and a 429 of their own server paused it for everybody for an hour.
// The same organisation's good answer then ended a pause that the upstream had asked for.
func TestT1_AnotherOrganisationsPausesAreItsOwn(t *testing.T) {
	throttles, serves := newMoody(t, true), newMoody(t, false)
	o := brokertest.Options{Allow: []string{throttles.host(), serves.host()}, WithoutWorker: true}
	eachWith(t, o, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "test")
		a, leaving := h.Consent(t, h.User, p, "ada"), h.Consent(t, h.User, p, "grace")
		orgs := []brokertest.Person{h.Other, h.Person(t, "initech", "boss", models.RoleAdmin), h.Person(t, "hooli", "boss", models.RoleAdmin)}
		imports := func(m *moody, n int, wants models.Code) {
			t.Helper()
			for i := range n {
				who := orgs[i%len(orgs)]
				q := posing(t, h, who, m, i)
				_, err := h.Service.Import(ctx, who.Caller, models.Import{ProviderID: q.ID, RefreshToken: models.Secret(fmt.Sprint("made-up", i))})
				wantCode(t, err, wants)
			}
		}
		imports(throttles, 6, models.CodeUpstream)

		stale(t, h, a)
		if _, err := h.Service.Token(ctx, h.User.Caller, a.ID, 0); err != nil {
			t.Errorf("another organisation's 429 holds up a refresh: %v", err)
		}
		if _, err := h.Service.UserInfo(ctx, h.User.Caller, a.ID); err != nil {
			t.Errorf("another organisation's 429 holds up user info: %v", err)
		}
		if err := h.Service.Disconnect(ctx, h.User.Caller, leaving.ID); err != nil {
			t.Fatal(err)
		}
		if n := h.IdP.Stats().LiveGrants; n != 1 {
			t.Errorf("%d grants live after a disconnect, want the other one", n)
		}

		// The upstream asks for a pause, and the hostile organisation's server does not.
		h.IdP.Inject(testidp.Fault{Endpoint: testidp.Refresh, Status: 429, RetryAfter: "3600", Times: 1})
		stale(t, h, a)
		_, err := h.Service.Token(ctx, h.User.Caller, a.ID, 0)
		wantCode(t, err, models.CodeUpstream)
		imports(serves, 3, "")
		before := h.IdP.Stats().Calls[testidp.Refresh]
		_, err = h.Service.Token(ctx, h.User.Caller, a.ID, 0)
		wantCode(t, err, models.CodeUpstream)
		if n := h.IdP.Stats().Calls[testidp.Refresh]; n != before {
			t.Error("another organisation's success ended a pause that the upstream had asked for")
		}
	})
}

// Finding F1: a provider with another organisation's client id and figure used up the
// budget of that organisation. A client id is public.
func TestT1_AnotherOrganisationsCallsUseUpNoBudget(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := budgeted(t, h)
		consents(t, h, p, 2)
		twin := must(h.Service.CreateProvider(ctx, h.Other.Caller, models.ProviderInput{Name: "Twin", Type: "test",
			ClientID: brokertest.ClientID, ClientSecret: brokertest.ClientSecret, Config: map[string]any{"callsPerHour": 80}}))(t)
		for i := range 2 * atOnce {
			a := h.Consent(t, h.Other, twin, fmt.Sprint("somebody", i))
			if err := h.Service.Disconnect(ctx, h.Other.Caller, a.ID); err != nil {
				t.Fatal(err)
			}
		}
		if err := h.Service.Wait(ctx); err != nil {
			t.Fatal(err)
		}
		if j := ended(t, h, must(h.Service.DeleteProvider(ctx, h.Admin.Caller, p.ID, false))(t).ID); detail(j, "revoked") != "2" {
			t.Errorf("the deletion ended %s with %v", j.Status, j.Details)
		}
	})
}
