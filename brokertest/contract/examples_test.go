package contract_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/grantd/grantd/brokertest"
)

// bodiless are answered with 204.
var bodiless = []string{"testWebhook", "deleteWebhook", "withdrawConnectLink", "deleteAuthorization", "endSession", "endSessions", "revokeApiToken", "pollExternalDevice"}

// Finding 13: of 33 operations none had an example, so that a newcomer had to put the
// bodies together from the schemas.
func TestEveryBodyHasAnExampleThatFitsItsSchema(t *testing.T) {
	h := embedded(t)
	answered := map[string]bool{}
	for _, e := range h.Examples(t) {
		if e.Body == nil {
			t.Errorf("%s, %s: has no example", e.Operation, e.Where)
		} else if e.Wrong != nil {
			t.Errorf("%s, %s %s: %v\n%s", e.Operation, e.Where, e.Name, e.Wrong, e.Body)
		}
		if e.Where[0] == '2' {
			answered[e.Operation] = true
		}
	}
	for _, op := range operations(t, h) {
		if !answered[op.id] && !slices.Contains(bodiless, op.id) {
			t.Errorf("%s has no example of its answer", op.id)
		}
	}
}

// An example is there to be pasted: sent as it is, it is understood. The ids, codes and
// tokens in it are nobody's, and that is all that may be wrong with it.
func TestExamplesOfRequestsAreAccepted(t *testing.T) {
	t.Parallel()
	h := brokertest.New(t, &brokertest.Options{WithoutWorker: true, RedirectAllow: []string{"https://app.example.com"}})
	p := createID(t, h, object{"config": object{"device": true}})
	made, _ := link(t, h, h.Admin, p, nil)
	hook := text(t, want(t, 201, h.Do(t, h.Admin, "POST", root+"webhooks/", object{"url": "https://app.example.test/webhooks"})), "id")
	paths := map[string]operation{}
	for _, op := range operations(t, h) {
		paths[op.id] = op
	}
	sent := 0
	for _, e := range h.Examples(t) {
		if e.Where != "request" {
			continue
		}
		sent++
		op := paths[e.Operation]
		path := strings.NewReplacer("connectLinks/{id}", "connectLinks/"+made, "webhooks/{id}", "webhooks/"+hook, "{id}", p, "{externalauth}", p).Replace(op.path)
		a := h.Do(t, h.Admin, op.method, path, strings.ReplaceAll(string(e.Body), exampleProvider(t, e), p))
		unknown := strings.Contains(string(a.Body), "authorization_pending") || a.Status == 400 && !strings.Contains(string(a.Body), "JSON")
		if a.Status >= 300 && !unknown {
			t.Errorf("%s %s: %d %s", e.Operation, e.Name, a.Status, a.Body)
		}
	}
	if sent < 12 {
		t.Errorf("only %d examples were sent", sent)
	}
}

// exampleProvider is the provider's id in an example, or what occurs nowhere.
func exampleProvider(t *testing.T, e brokertest.Example) string {
	t.Helper()
	var body struct{ ProviderID string }
	if err := json.Unmarshal(e.Body, &body); err != nil {
		t.Fatal(err)
	}
	if body.ProviderID == "" {
		return "\x00"
	}
	return body.ProviderID
}
