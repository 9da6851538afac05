package broker_test

import (
	"strings"
	"testing"
	"time"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
)

// What answers is told from what does not, with the cause, and nothing of a client is sent.
func TestUpstreamsAreReachedWithoutAClient(t *testing.T) {
	h := brokertest.New(t, &brokertest.Options{Allow: []string{"127.0.0.1:9"}})
	there := h.Provider(t, "test")
	away, err := h.Service.CreateProvider(t.Context(), h.Other.Caller, models.ProviderInput{Type: "oidc", Name: "Away", ClientID: "away", ClientSecret: "secret",
		Config: map[string]any{"issuer": "http://127.0.0.1:9"}})
	if err != nil {
		t.Fatal(err)
	}
	all, err := broker.ReachUpstreams(t.Context(), h.Store, h.Upstream, 5*time.Second)
	if err != nil || len(all) != 2 {
		t.Fatalf("%v, %v", all, err)
	}
	for _, r := range all {
		switch r.ProviderID {
		case there.ID:
			if r.Err != nil {
				t.Errorf("the server that is there does not answer: %v", r.Err)
			}
		case away.ID:
			if r.Err == nil || !strings.Contains(r.Err.Error(), "refused") {
				t.Errorf("of the server that is away is said: %v", r.Err)
			}
		}
	}
}
