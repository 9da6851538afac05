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

func TestT1_PlacesAreSharedAmongOrganisations(t *testing.T) {
	s := newShares(8)
	var releases []func()
	for _, c := range []struct {
		org  string
		gets int
	}{{"b", 4}, {"c", 2}, {"d", 1}, {"b", 0}, {"a", 1}, {"e", 0}} {
		n := 0
		for range 10 {
			if release, ok := s.try(c.org); ok {
				n++
				releases = append(releases, release)
			}
		}
		if n != c.gets {
			t.Errorf("%s got %d places, not %d", c.org, n, c.gets)
		}
	}
	for _, release := range releases {
		release()
	}
	if s.taken != 0 || len(s.byOrg) != 0 {
		t.Errorf("%d places and %d organisations are kept", s.taken, len(s.byOrg))
	}
}
