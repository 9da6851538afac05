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

// Who gives a secret again because it stands in a file changes nothing, unless it is another one.
func TestTheSameSecretGivenAgainChangesNothing(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		made := create(t, h, nil)
		at := provider(text(t, made, "id"))
		version := func() (n int) {
			if err := database(t, h).QueryRow(`SELECT secret_version FROM providers`).Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		change := func(o object) object { return want(t, 200, h.Do(t, h.Admin, "PATCH", at, o)) }
		for _, o := range []object{
			{"clientSecret": brokertest.ClientSecret, "keepSameSecret": true},
			{"clientSecret": brokertest.ClientSecret, "keepSameSecret": true, "formerSecretExpiresIn": 60},
			{"keepSameSecret": true},
		} {
			if got := change(o); got["updatedAt"] != made["updatedAt"] || version() != 1 {
				t.Errorf("%v changes the provider: version %d", o, version())
			}
		}
		if got := change(object{"clientSecret": brokertest.ClientSecret, "keepSameSecret": true, "name": "Another"}); got["name"] != "Another" || version() != 1 {
			t.Errorf("with another name: %v, version %d", got["name"], version())
		}
		if change(object{"clientSecret": "another-secret", "keepSameSecret": true}); version() != 2 {
			t.Errorf("another secret: version %d", version())
		}
		if change(object{"clientSecret": "another-secret", "keepSameSecret": false}); version() != 3 {
			t.Errorf("the same one, as a change: version %d", version())
		}
		// Where it is sent to changes: it is bound to the new place.
		if change(object{"clientSecret": "another-secret", "keepSameSecret": true, "metadata": object{"host": "localhost:1"}}); version() != 4 {
			t.Errorf("elsewhere: version %d", version())
		}
	})
}
