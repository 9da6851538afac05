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
	"github.com/grantd/grantd/models"
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
