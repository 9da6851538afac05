package tenants_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/jobs"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/testidp"
)

// hangingRevocations: revocations that an organisation's own server does not answer make
// no other organisation's disconnect or deletion wait.
func hangingRevocations(t *testing.T, _ *world) {
	const inFlight = 2
	var begun, ended atomic.Int64
	gate := make(chan struct{})
	hanging := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun.Add(1)
		select {
		case <-gate:
		case <-r.Context().Done():
		}
		ended.Add(1)
	}))
	t.Cleanup(hanging.Close)
	w := newWorld(t, brokertest.Options{Concurrency: inFlight, Timing: broker.Timing{RevokeCall: 5 * time.Minute},
		Allow: []string{strings.TrimPrefix(hanging.URL, "http://")}})
	t.Cleanup(func() { close(gate) }) // before the service waits for its calls
	q := w.provider(t, w.hostile, models.ProviderInput{Type: "oauth2", Config: configured(w.IdPURL, map[string]any{"revokeUrl": hanging.URL})})
	for i := range 3 * inFlight {
		w.Consent(t, w.hostile, q, fmt.Sprint("eve", i))
	}
	p := w.provider(t, w.Admin, models.ProviderInput{})
	a := w.Consent(t, w.User, p, "ada")
	w.Consent(t, w.User, p, "grace")

	must(w.Service.DeleteProvider(ctx, w.hostile.Caller, q.ID, false))(t)
	brokertest.Eventually(t, "the hostile organisation's calls hang", func() bool { return begun.Load() == inFlight })
	before := w.IdP.Stats().LiveGrants
	if err := w.Service.Disconnect(ctx, w.User.Caller, a.ID); err != nil {
		t.Fatal(err)
	}
	brokertest.Eventually(t, "another organisation's disconnect is sent", func() bool { return w.IdP.Stats().LiveGrants == before-1 })
	j := w.ended(t, w.Admin, must(w.Service.DeleteProvider(ctx, w.Admin.Caller, p.ID, false))(t).ID)
	if detail(j, "revoked") != "1" {
		t.Errorf("the deletion ended %s with %v", j.Status, j.Details)
	}
	if begun.Load() != inFlight || ended.Load() != 0 {
		t.Errorf("of the hostile organisation's calls %d began and %d ended meanwhile", begun.Load(), ended.Load())
	}
}

// hangingTasks: an organisation whose server first refuses to revoke and then does not answer has more deletions and
// disconnects to work on than a worker runs tasks at once. Another organisation's are worked on meanwhile.
func hangingTasks(t *testing.T, _ *world) {
	const inFlight = 2
	var hangs atomic.Bool
	var begun, ended atomic.Int64
	gate := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !hangs.Load() {
			rw.WriteHeader(http.StatusInternalServerError)
			return
		}
		begun.Add(1)
		select {
		case <-gate:
		case <-r.Context().Done():
		}
		ended.Add(1)
	}))
	t.Cleanup(server.Close)
	w := newWorld(t, brokertest.Options{Concurrency: inFlight, Timing: broker.Timing{RevokeCall: 5 * time.Minute, Slice: 5 * time.Minute, Backoff: 50 * time.Millisecond},
		Allow: []string{strings.TrimPrefix(server.URL, "http://")}})
	t.Cleanup(func() { close(gate) }) // before the service waits for its calls
	refusing := func(p models.ProviderInput) models.Provider {
		p.Type, p.Config = "oauth2", configured(w.IdPURL, map[string]any{"revokeUrl": server.URL})
		return w.provider(t, w.hostile, p)
	}
	q := refusing(models.ProviderInput{})
	for i := range jobs.Queues[jobs.QueueDefault] + 1 {
		a := w.Consent(t, w.hostile, q, fmt.Sprint("eve", i))
		if err := w.Service.Disconnect(ctx, w.hostile.Caller, a.ID); err != nil {
			t.Fatal(err)
		}
	}
	p := w.provider(t, w.Admin, models.ProviderInput{})
	a := w.Consent(t, w.User, p, "ada")
	w.Consent(t, w.User, p, "grace")

	var deleted []models.Provider
	for range jobs.Queues[jobs.QueueSlices] + 1 {
		d := refusing(models.ProviderInput{})
		w.Consent(t, w.hostile, d, "mallory")
		deleted = append(deleted, d)
	}
	hangs.Store(true)
	for _, d := range deleted {
		must(w.Service.DeleteProvider(ctx, w.hostile.Caller, d.ID, false))(t)
	}
	brokertest.Eventually(t, "the hostile organisation's calls hang", func() bool { return begun.Load() == inFlight })
	before := w.IdP.Stats().LiveGrants
	w.IdP.Inject(testidp.Fault{Endpoint: testidp.Revoke, Times: 1, Status: 500})
	if err := w.Service.Disconnect(ctx, w.User.Caller, a.ID); err != nil {
		t.Fatal(err)
	}
	brokertest.Eventually(t, "a worker revokes what another organisation disconnected", func() bool { return w.IdP.Stats().LiveGrants == before-1 })
	j := w.ended(t, w.Admin, must(w.Service.DeleteProvider(ctx, w.Admin.Caller, p.ID, false))(t).ID)
	if detail(j, "revoked") != "1" {
		t.Errorf("the deletion ended %s with %v", j.Status, j.Details)
	}
	if begun.Load() != inFlight || ended.Load() != 0 {
		t.Errorf("of the hostile organisation's calls %d began and %d ended meanwhile", begun.Load(), ended.Load())
	}
}
