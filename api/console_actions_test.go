package api

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"testing"
)

// asOperations are the operations that do what a form of the console does, by the path of the form.
var asOperations = map[string][]string{
	"/console/providers/new":               {"createProvider"},
	"/console/providers/:id/edit":          {"updateProvider"},
	"/console/providers/:id/secret":        {"updateProvider"},
	"/console/providers/:id/former-secret": {"updateProvider"},
	"/console/providers/:id/status":        {"updateProvider"},
	// A trial over the API makes a connection of the admin's own, which is kept or deleted: docs/api.md.
	"/console/providers/:id/try":          {"authorize", "callback", "getUserInfo", "checkToken"},
	"/console/providers/:id/try/keep":     {"callback"},
	"/console/providers/:id/try/remove":   {"deleteAuthorization"},
	"/console/providers/:id/delete":       {"deleteProvider"},
	"/console/connections/revoke":         {"revokeUser"},
	"/console/connections/:id/disconnect": {"deleteAuthorization"},
	"/console/links/:id/withdraw":         {"withdrawConnectLink"},
	"/console/statistics/count":           {"startJob"},
	"/console/tokens/new":                 {"createApiToken"},
	"/console/tokens/:id/revoke":          {"revokeApiToken"},
	"/console/webhooks/new":               {"createWebhook"},
	"/console/webhooks/:id/test":          {"testWebhook"},
	"/console/webhooks/:id/status":        {"updateWebhook"},
	"/console/webhooks/:id/replay":        {"replayDelivery"},
	"/console/webhooks/:id/rotate":        {"rotateWebhook"},
	"/console/webhooks/:id/delete":        {"deleteWebhook"},
	"/console/sessions/:id/end":           {"endSession"},
}

// No action exists only in the console: each of its forms has operations of the API that do the same.
func TestNoActionExistsOnlyInTheConsole(t *testing.T) {
	source, err := os.ReadFile("console/console.go")
	if err != nil {
		t.Fatal(err)
	}
	forms := map[string]bool{}
	for _, m := range regexp.MustCompile(`e\.POST\("([^"]+)"`).FindAllStringSubmatch(string(source), -1) {
		forms[m[1]] = true
		if asOperations[m[1]] == nil {
			t.Errorf("no operation of the API does what the form %s does", m[1])
		}
	}
	var d struct {
		Paths map[string]map[string]struct{ OperationID string }
	}
	if err := json.Unmarshal(newTestServer(t).OpenAPI(), &d); err != nil {
		t.Fatal(err)
	}
	var operations []string
	for _, methods := range d.Paths {
		for _, o := range methods {
			operations = append(operations, o.OperationID)
		}
	}
	for _, form := range slices.Sorted(maps.Keys(asOperations)) {
		if !forms[form] {
			t.Errorf("the console has no form %s any more", form)
		}
		for _, o := range asOperations[form] {
			if !slices.Contains(operations, o) {
				t.Errorf("%s: the API has no operation %s", form, o)
			}
		}
	}
}
