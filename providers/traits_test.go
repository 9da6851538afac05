package providers

import (
	"strings"
	"testing"
)

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

// What a type asks for by default is told to people in words, which are sentences without an end and fit a line of a phone.
func TestScopesAreToldInWords(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, Options{TestHost: "http://127.0.0.1:1"})
	for name, kind := range r.types {
		at := r.At(Client{Type: name})
		for _, scope := range kind.DefaultScopes {
			if at.ScopeInWords(scope) == "" {
				t.Errorf("%s does not say what %s allows", name, scope)
			}
		}
		for scope, words := range kind.ScopeWords {
			if !isScope(scope) || len(words) > 80 || words == "" || strings.ToUpper(words[:1]) != words[:1] || strings.ContainsAny(words, ".<>\n") {
				t.Errorf("%s says of %q: %q", name, scope, words)
			}
		}
	}
	for _, c := range []struct{ kind, scope, words string }{
		{"github", "email", ""}, {"oauth2", "email", ""}, {"oidc", "email", "See your e-mail address"}, {"microsoft", "offline_access", "Keep access while you are not using the application"},
		{"github", "repo", "Read and change all your repositories, private ones too"}, {"oidc", "repo", ""}, {"none", "email", ""},
	} {
		if got := r.At(Client{Type: c.kind}).ScopeInWords(c.scope); got != c.words {
			t.Errorf("%s, %s: %q, want %q", c.kind, c.scope, got, c.words)
		}
	}
}
