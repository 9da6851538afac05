package contract_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/grantd/grantd/brokertest"
)

// A client secret is replaced over the API with the former one kept for a while; admins are told of it with the provider.
func TestTheFormerSecretIsKeptOverTheAPI(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, nil)
		for value, field := range map[any]string{-1: "formerSecretExpiresIn", 604801: "formerSecretExpiresIn", "1h": "formerSecretExpiresIn"} {
			wantFields(t, h.Do(t, h.Admin, "PATCH", provider(p), object{"clientSecret": "new", "formerSecretExpiresIn": value}), field)
		}
		wantFields(t, h.Do(t, h.Admin, "PATCH", provider(p), object{"formerSecretExpiresIn": 60}), "formerSecretExpiresIn")
		want(t, 403, h.Do(t, h.User, "PATCH", provider(p), object{"clientSecret": "new", "formerSecretExpiresIn": 60}))
		want(t, 404, h.Do(t, h.Other, "PATCH", provider(p), object{"clientSecret": "new", "formerSecretExpiresIn": 60}))

		changed := want(t, 200, h.Do(t, h.Admin, "PATCH", provider(p), object{"clientSecret": "new", "formerSecretExpiresIn": 604800}))
		former, ok := changed["formerSecret"].(object)
		if !ok || former["expiresAt"] == nil || former["usedAt"] != nil {
			t.Errorf("the answer tells %v", changed["formerSecret"])
		}
		consent(t, h, h.User, p, "ada") // with the former secret: the upstream does not know the new one
		if former, _ = want(t, 200, h.Do(t, h.Admin, "GET", provider(p), nil))["formerSecret"].(object); former["usedAt"] == nil {
			t.Errorf("the provider tells %v", former)
		}
		if told := want(t, 200, h.Do(t, h.User, "GET", provider(p), nil)); told["formerSecret"] != nil {
			t.Errorf("a user is told %v", told["formerSecret"])
		}
		if now := want(t, 200, h.Do(t, h.Admin, "PATCH", provider(p), object{"formerSecretExpiresIn": 0})); now["formerSecret"] != nil {
			t.Errorf("it was ended, and is told: %v", now["formerSecret"])
		}
		if strings.Contains(dump(t, h), brokertest.ClientSecret) || strings.Contains(h.Log.String(), brokertest.ClientSecret) {
			t.Error("a secret is kept in the open")
		}
	})
}

// In the console the form of a new secret says how long the former one is kept, the provider's page and the overview tell
// when the new one is refused, and the former one is ended there.
func TestTheFormerSecretIsKeptInTheConsole(t *testing.T) {
	h := embedded(t)
	p := createID(t, h, object{"name": "Tracker"})
	s, user := admin(t, h), surf(t, h)
	user.signIn(h.User)
	at := "/console/providers/" + p
	wantPage(t, s.get(at+"/secret"), 200, `<option value="86400" selected>`, `<option value="0">`)
	wantPage(t, s.post(at+"/secret", url.Values{"clientSecret": {""}, "keep": {"3600"}}), 422, `id="problem"`, `<option value="3600" selected>`)
	wantPage(t, s.post(at+"/secret", url.Values{"clientSecret": {"new"}, "keep": {"99999999"}}), 422, "7 days")
	saved := s.post(at+"/secret", url.Values{"clientSecret": {"new"}, "keep": {"3600"}})
	page := s.get(saved.to)
	wantPage(t, page, 200, "secret is saved", `id="former"`, `id="end-former"`)
	if strings.Contains(page.body, "secret-refused") {
		t.Error("the new secret is said to be refused, which nobody tried yet")
	}
	consent(t, h, h.User, p, "ada")
	wantPage(t, s.get(at), 200, `id="secret-refused"`, "refuses the new client secret")
	wantPage(t, s.get("/console/"), 200, `id="refused-`+p+`"`, "Tracker")
	wantPage(t, s.get("/console/audit?action=provider.secret_refused"), 200, `href="/console/providers/`+p+`"`)

	end := at + "/former-secret"
	wantPage(t, s.send("POST", end, "", from("cross-site")), 403, "another site")
	wantPage(t, user.post(end, nil), 403, "Only for admins")
	wantPage(t, s.get(at), 200, `id="former"`)
	for range 2 {
		ended := s.get(s.post(end, nil).to)
		wantPage(t, ended, 200, "The former client secret is deleted")
		if strings.Contains(ended.body, `id="former"`) {
			t.Error("the former secret is told after its end")
		}
	}
	wantPage(t, s.get("/console/"), 200, `id="quiet"`)
}

// replaceSecret gives a provider a secret that the upstream does not know, beside the former one, which it took.
func replaceSecret(t *testing.T, h *brokertest.Instance, p string) {
	t.Helper()
	want(t, 200, h.Do(t, h.Admin, "PATCH", provider(p), object{"clientSecret": "new", "formerSecretExpiresIn": 3600}))
	change(t, h, "UPDATE secure_configs SET used_at = created_at WHERE ends_at IS NOT NULL")
}
