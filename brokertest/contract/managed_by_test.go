package contract_test

import (
	"testing"

	"github.com/grantd/grantd/brokertest"
)

// Which file of providers made a provider is told, and stays.
func TestAProviderKnowsTheFileThatMadeIt(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		if p := create(t, h, nil); p["managedBy"] != nil {
			t.Errorf("without a file it is %v", p["managedBy"])
		}
		made := create(t, h, object{"managedBy": "production"})
		at := provider(text(t, made, "id"))
		want(t, 200, h.Do(t, h.Admin, "PATCH", at, object{"name": "Another"}))
		for _, p := range []object{made, want(t, 200, h.Do(t, h.Admin, "GET", at, nil))} {
			if p["managedBy"] != "production" {
				t.Errorf("it is told as %v", p["managedBy"])
			}
		}
		a := consent(t, h, h.User, text(t, made, "id"), "ada")
		for _, answer := range []object{want(t, 200, h.Do(t, h.User, "GET", authorization(a), nil)), want(t, 201, h.Do(t, h.User, "POST", tokenOf(a), nil))["authorizedOauthProvider"].(object)} {
			if told := answer["provider"].(object)["managedBy"]; told != nil {
				t.Errorf("with an authorization it is %v", told)
			}
		}
		wantFields(t, h.Do(t, h.Admin, "PATCH", at, object{"managedBy": "staging"}), "managedBy")
		wantFields(t, h.Do(t, h.Admin, "POST", root+"providers/", newProvider(object{"managedBy": "Not A Name"})), "managedBy")
	})
}
