package broker_test

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
)

func TestT2_ListenersOfOneLinkShareAPoller(t *testing.T) {
	eachWith(t, brokertest.Options{WithoutWorker: true}, func(t *testing.T, h *brokertest.Instance) {
		p := h.Provider(t, "test")
		const many = 100
		var all sync.WaitGroup
		listen := func(who brokertest.Person, n int) {
			for range n {
				all.Go(func() {
					got, err := h.Service.AwaitAgentToken(t.Context(), who.Caller, broker.AgentQuery{ID: p.ID})
					if err != nil || got.Access == "" {
						t.Errorf("%s got no token: %v", who.Caller.UserID, err)
					}
				})
			}
		}
		listening := func(clients, pollers int) func() bool {
			return func() bool { c, p := h.Service.Listening(); return c == clients && p == pollers }
		}
		listen(h.User, many)
		brokertest.Eventually(t, "many listen with one poller", listening(many, 1))
		listen(h.Colleague, 1)
		brokertest.Eventually(t, "somebody else has a poller of their own", listening(many+1, 2))
		h.Consent(t, h.User, p, "ada")
		brokertest.Eventually(t, "all but the other have their token", listening(1, 1))
		h.Consent(t, h.Colleague, p, "grace")
		all.Wait()
		if clients, pollers := h.Service.Listening(); clients != 0 || pollers != 0 {
			t.Errorf("%d clients and %d pollers are left", clients, pollers)
		}
	})
}

// A place is given back, also where a caller leaves before its time.
func TestT2_PlacesAreGivenBack(t *testing.T) {
	t.Parallel()
	h := brokertest.New(t, &brokertest.Options{WithoutWorker: true, Limits: broker.Limits{Waiting: broker.Limit{Caller: 1, Org: 10}}})
	id := must(h.Service.StartStats(ctx, h.Admin.Caller))(t).ID
	for range 3 {
		w := must(h.Service.WatchJob(ctx, h.Admin.Caller, id))(t)
		_, err := h.Service.WatchJob(ctx, h.Admin.Caller, id)
		wantCode(t, err, models.CodeRateLimited)
		gone, cancel := context.WithCancel(ctx)
		cancel()
		w.Changed(gone)
		w.Close()
	}
	if _, err := h.Store.StartJob(ctx, id); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Store.FinishJob(ctx, id, models.JobCompleted, "", nil); err != nil {
		t.Fatal(err)
	}
	for range 3 { // what has ended needs no place
		defer must(h.Service.WatchJob(ctx, h.Admin.Caller, id))(t).Close()
	}
}

// Finding F5: 1,500 `listen=1` requests of one user took another organisation's latency
// from 22 ms to 3.8 s, and 3,000 open consents of one user were all answered 200.
func TestT2_OneUserAtFullStrengthTakesNothingFromOthers(t *testing.T) {
	t.Parallel()
	h := brokertest.New(t, &brokertest.Options{WithoutWorker: true})
	p := h.Provider(t, "test")
	theirs := must(h.Service.CreateProvider(ctx, h.Other.Caller, models.ProviderInput{
		Name: "Theirs", Type: "test", ClientID: brokertest.ClientID, ClientSecret: brokertest.ClientSecret}))(t)
	limits := broker.DefaultLimits

	answers := make(chan error, 1500)
	for range cap(answers) {
		go func() {
			_, err := h.Service.AwaitAgentToken(t.Context(), h.User.Caller, broker.AgentQuery{ID: p.ID})
			answers <- err
		}()
	}
	for range cap(answers) - limits.Waiting.Caller {
		wantCode(t, <-answers, models.CodeRateLimited)
	}
	// The last of those that were admitted may be on its way to the poller still.
	brokertest.Eventually(t, "all that may wait listen with one poller", func() bool {
		clients, pollers := h.Service.Listening()
		return clients == limits.Waiting.Caller && pollers == 1
	})

	var opened, refused atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 3000 / 8 {
				_, err := h.Service.Authorize(ctx, h.User.Caller, broker.AuthorizeRequest{ProviderID: p.ID, RedirectURI: brokertest.Callback})
				switch {
				case err == nil:
					opened.Add(1)
				case models.CodeOf(err) == models.CodeRateLimited:
					refused.Add(1)
				default:
					t.Errorf("a consent is answered with %v", err)
				}
			}
		})
	}
	other := make(chan error, 1)
	go func() { // waits beside them
		_, err := h.Service.AwaitAgentToken(t.Context(), h.Other.Caller, broker.AgentQuery{ID: theirs.ID})
		other <- err
	}()
	brokertest.Eventually(t, "the other organisation listens with a poller of its own", func() bool { _, pollers := h.Service.Listening(); return pollers == 2 })
	h.Consent(t, h.Other, theirs, "grace")
	if err := <-other; err != nil {
		t.Errorf("the other organisation's listener is answered with %v", err)
	}
	all.Wait()
	if opened.Load() != int64(limits.Consents.Caller) || refused.Load() != 3000-opened.Load() {
		t.Errorf("%d consents were begun and %d refused", opened.Load(), refused.Load())
	}
}

func TestT2_AnAddressIsOneNetworkOfACustomer(t *testing.T) {
	t.Parallel()
	h := brokertest.New(t, &brokertest.Options{WithoutWorker: true, Limits: broker.Limits{Failures: 1}})
	for _, c := range []struct {
		at      string
		refused bool
	}{
		{"192.0.2.1", false}, {"192.0.2.1", true}, {"::ffff:192.0.2.1", true}, {"192.0.2.2", false},
		{"2001:db8:0:1::1", false}, {"2001:db8:0:1:ffff::2", true}, {"2001:db8:0:2::1", false}, {"fe80::1%eth0", false}, {"fe80::2%eth1", true},
	} {
		if err := h.Service.AddFailure(netip.MustParseAddr(c.at)); (err != nil) != c.refused {
			t.Errorf("%s: %v", c.at, err)
		}
	}
}

// While a tally is full nobody is added, and nobody's count is dropped.
func TestT2_AFullTallyDropsNoCount(t *testing.T) {
	t.Parallel()
	h := brokertest.New(t, &brokertest.Options{WithoutWorker: true, Limits: broker.Limits{Failures: 2}})
	address := func(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}) }
	for n := range broker.TallySize {
		if err := h.Service.AddFailure(address(n)); err != nil {
			t.Fatal(err)
		}
	}
	for range 5 {
		if err := h.Service.AddFailure(address(broker.TallySize)); err != nil {
			t.Errorf("an address that came when the tally was full: %v", err)
		}
	}
	if err := h.Service.AddFailure(address(0)); err != nil {
		t.Errorf("the second failure: %v", err)
	}
	wantCode(t, h.Service.AddFailure(address(0)), models.CodeRateLimited)
}
