package broker

import (
	"context"
	"testing"
)

func TestT1_EachOrganisationHasPlacesOfItsOwn(t *testing.T) {
	c := newConcurrency(2)
	take := func(org string) func() {
		release, err := c.take(t.Context(), org)
		if err != nil {
			t.Fatal(err)
		}
		return release
	}
	first, second := take("b"), take("b")
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.take(over, "b"); err == nil {
		t.Error("an organisation has more than its places")
	}
	take("a")()
	first()
	take("b")()
	second()
	if len(c.byOrg) != 0 {
		t.Errorf("%d organisations are kept that have nothing under way", len(c.byOrg))
	}
}
