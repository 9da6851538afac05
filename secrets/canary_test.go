package secrets

import (
	"errors"
	"testing"
)

func TestK2_TheCanaryKnowsItsKeyset(t *testing.T) {
	t.Parallel()
	k := generate(t)
	canary, err := k.Canary()
	if err != nil {
		t.Fatal(err)
	}
	if err := k.CheckCanary(canary); err != nil {
		t.Fatal(err)
	}
	if err := generate(t).CheckCanary(canary); !errors.Is(err, ErrUndecryptable) {
		t.Fatalf("another keyset passes: %v", err)
	}
	if err := k.CheckCanary(nil); !errors.Is(err, ErrUndecryptable) {
		t.Fatalf("an empty canary passes: %v", err)
	}
}

func TestK2_ATokenIsNoCanary(t *testing.T) {
	t.Parallel()
	k := generate(t)
	if err := k.CheckCanary(seal(t, k, canaryOwner, "something else")); err == nil {
		t.Fatal("another text passes")
	}
}
