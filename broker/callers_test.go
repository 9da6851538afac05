package broker

import (
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/grantd/grantd/models"
)

// H1: what is remembered of a caller is gone after ten seconds, when it was revoked
// here, and when there is too much of it.
func TestH1_CallersAreRememberedBriefly(t *testing.T) {
	if callerLife > 10*time.Second {
		t.Errorf("a token revoked elsewhere works here for %s more", callerLife)
	}
	var cache callerCache
	now := time.Now()
	hash := func(s string) [sha256.Size]byte { return sha256.Sum256([]byte(s)) }
	cache.put(hash("token"), models.APIToken{ID: "t"}, now.Add(callerLife))
	if got, ok := cache.get(hash("token"), now.Add(callerLife-1)); !ok || got.ID != "t" {
		t.Error("it is forgotten too early")
	}
	if _, ok := cache.get(hash("token"), now.Add(callerLife)); ok {
		t.Error("it is remembered too long")
	}
	cache.drop("t")
	if _, ok := cache.get(hash("token"), now); ok {
		t.Error("it is remembered although it was revoked")
	}
	for i := range 2*callerLimit + 1 {
		cache.put(hash(fmt.Sprint(i)), models.APIToken{}, now.Add(callerLife))
		if len(cache.byHash) > callerLimit {
			t.Fatalf("%d callers are remembered", len(cache.byHash))
		}
	}
}
