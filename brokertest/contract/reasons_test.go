package contract_test

import (
	"testing"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
)

// Finding 5: what had expired did not tell why, and then only by a code.
func TestAnExpiredAuthorizationTellsWhyInASentence(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		for _, c := range []struct {
			refreshes bool
			reason    models.Reason
			end       func(id string)
		}{
			{false, models.ReasonNoRefreshToken, func(string) { change(t, h, tokensHaveDied) }},
			{false, models.ReasonTokenRevoked, func(id string) { want(t, 200, h.Do(t, h.User, "DELETE", tokenOf(id), nil)) }},
			{false, models.ReasonRevokedUpstream, func(id string) {
				withdraw(t, h, accessToken(t, h, h.User, id))
				want(t, 200, h.Do(t, h.User, "POST", checkOf(id), nil))
			}},
			{true, "bad_refresh_token", func(id string) {
				withdraw(t, h, accessToken(t, h, h.User, id))
				change(t, h, tokensHaveDied)
				want(t, 410, h.Do(t, h.User, "POST", tokenOf(id), nil))
			}},
		} {
			if h.IdP.ClearFaults(); !c.refreshes {
				withoutRefresh(h)
			}
			p := gitHubApp(t, h)
			id := consent(t, h, h.User, p, "ada")
			active := want(t, 200, h.Do(t, h.User, "GET", authorization(id), nil))
			if active["status"] != "active" || active["reason"] != nil || active["reasonMessage"] != nil {
				t.Errorf("before %s: %v", c.reason, active)
			}
			c.end(id)
			listed := list(t, want(t, 200, h.Do(t, h.User, "GET", root+"authorizedProviders/?providerId="+p, nil))["data"])[0]
			one := want(t, 200, h.Do(t, h.User, "GET", authorization(id), nil))
			for _, got := range []object{listed, one} {
				if got["status"] != "expired" || got["reason"] != string(c.reason) || got["reasonMessage"] != c.reason.Message() {
					t.Errorf("it is %v because of %v: %v; want %s", got["status"], got["reason"], got["reasonMessage"], c.reason)
				}
			}
		}
	})
}
