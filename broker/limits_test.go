package broker_test

import (
	"context"
	"net/netip"
	"sync"
	"testing"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
)

func TestT2_ListenersOfOneLinkShareAPoller(t *testing.T) {
	eachWith(t, brokertest.Options{WithoutWorker: true}, func(t *testing.T, h *brokertest.House) {
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
