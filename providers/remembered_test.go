package providers

import (
	"fmt"
	"testing"
)

// T1: what is remembered for one owner is bounded, and pushes out nothing of another's:
// the metadata of issuers, and their keys.
func TestT1_WhatIsRememberedPushesOutOnlyItsOwners(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, Options{})
	keys := func(owner, url string) *keySet {
		return (&upstream{Registry: r, c: Client{Owner: owner}}).keysAt(url)
	}
	const address = "https://login.example"
	issuer, keySet := r.issuers.entry("acme", address), keys("acme", address)
	for i := range 3 * maxRemembered {
		r.issuers.entry("globex", fmt.Sprint(i))
		keys("globex", fmt.Sprint(i))
	}
	if n, m := len(r.issuers.entries["globex"]), len(r.keySets["globex"]); n != maxRemembered || m != maxRemembered {
		t.Errorf("%d issuers and %d sets of keys are remembered for one owner", n, m)
	}
	if r.issuers.entry("acme", address) != issuer || keys("acme", address) != keySet {
		t.Error("what was the other owner's is forgotten")
	}
}
