package providers

import "testing"

// R7, R9: what a server does is what its admin says, and what is not said stays on
// the safe side.
func TestR7_ConfigDecidesAboutTraits(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, Options{})
	for _, tc := range []struct {
		config       map[string]any
		kills, spare bool
	}{
		{nil, true, false},
		{map[string]any{"refreshKillsAccess": false}, false, false},
		{map[string]any{"revokesSingly": true}, true, true},
		{map[string]any{"refreshKillsAccess": true, "revokesSingly": false}, true, false},
		{map[string]any{"refreshKillsAccess": "false", "revokesSingly": 1}, true, false},
	} {
		got, ok := r.At(Client{Type: "oidc", ID: "x", Config: tc.config}).Traits()
		if !ok || got.RefreshKillsAccess != tc.kills || got.RevokesSingly != tc.spare {
			t.Errorf("%v: %v, kills %v, singly %v", tc.config, ok, got.RefreshKillsAccess, got.RevokesSingly)
		}
	}
	if typ, _ := r.Type("oidc"); !typ.RefreshKillsAccess || typ.RevokesSingly {
		t.Error("one client's config changed the type of all")
	}
	if _, ok := r.At(Client{Type: "gone"}).Traits(); ok {
		t.Error("an unknown type has traits")
	}
}

// A type that knows its upstream lets nobody say otherwise.
func TestTraitsAreNotForEveryType(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, Options{})
	c := Client{Type: "github", ID: "x", Config: map[string]any{"refreshKillsAccess": false}}
	if got, _ := r.At(c).Traits(); !got.RefreshKillsAccess {
		t.Error("a setting that is not the type's was applied")
	}
	if wrong := r.At(c).Validate(); len(wrong) != 1 || wrong[0].Name != "config.refreshKillsAccess" {
		t.Errorf("%v", wrong)
	}
	c = Client{Type: "oidc", ID: "x", Config: map[string]any{"issuer": "https://idp.example", "refreshKillsAccess": false, "revokesSingly": true}}
	if wrong := r.At(c).Validate(); wrong != nil {
		t.Errorf("%v", wrong)
	}
	c.Config["revokesSingly"] = "yes"
	if wrong := r.At(c).Validate(); len(wrong) != 1 || wrong[0].Name != "config.revokesSingly" {
		t.Errorf("%v", wrong)
	}
}
