package contract_test

import (
	"testing"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/testidp"
)

// Finding G3: a public client could not be registered without inventing a secret, and
// its deletion then ended in an ERROR that no secret could fix.
func TestAPublicClientFromRegistrationToDeletion(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		h.IdP.AddClient(testidp.Client{ID: "app"})
		config := object{"authStyle": "none", "authorizeUrl": h.IdPURL + "/authorize", "tokenUrl": h.IdPURL + "/token",
			"userInfoUrl": h.IdPURL + "/userinfo", "revokeUrl": h.IdPURL + "/revoke"}
		p := createID(t, h, object{"type": "oauth2", "clientId": "app", "clientSecret": nil, "config": config})
		id := consent(t, h, h.User, p, "ada")
		want(t, 201, h.Do(t, h.User, "POST", authorization(id)+"reset/", nil))
		job := deleted(t, h, p)
		if details(t, job)["revoked"] != "1" || job["status"] != "COMPLETED" {
			t.Errorf("the job ended %v", job)
		}
	})
}

// A client without a secret can be pointed elsewhere as it is, but not become a
// confidential one without a secret.
func TestAClientWithoutASecretCanBeChanged(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, object{"type": "oidc", "clientSecret": nil, "config": object{"issuer": "https://one.example"}})
		patch := func(body object) brokertest.Answer { return h.Do(t, h.Admin, "PATCH", provider(p), body) }
		want(t, 200, patch(object{"config": object{"issuer": "https://two.example"}}))
		wantFields(t, patch(object{"config": object{"issuer": "https://two.example", "authStyle": "basic"}}), "clientSecret")
		want(t, 200, patch(object{"config": object{"issuer": "https://two.example", "authStyle": "basic"}, "clientSecret": "now-it-has-one"}))
		wantFields(t, patch(object{"config": object{"issuer": "https://three.example"}}), "clientSecret")
		want(t, 200, patch(object{"config": object{"issuer": "https://two.example"}}))
	})
}

// Finding G5: what only an admin can correct was answered with "try again shortly".
func TestAWrongIssuerIsNoPassingOutage(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, object{"type": "oidc", "config": object{"issuer": h.IdPURL}})
		a := h.Do(t, h.User, "POST", authorizeAt(p)+"?redirect_uri="+brokertest.Callback, nil)
		got := want(t, 502, a)
		if got["detail"] != "no_metadata" || a.Header.Get("Retry-After") != "" {
			t.Errorf("%v, Retry-After %q", got, a.Header.Get("Retry-After"))
		}
	})
}
