package broker

import (
	"crypto/subtle"
	"sync"
	"time"

	"github.com/grantd/grantd/models"
)

// onceCode signs one browser in, once. It is kept in this process alone, for the one instance that somebody tries out on
// their own machine.
type onceCode struct {
	mu     sync.Mutex
	hash   []byte // of the code, nil for none
	until  time.Time
	caller models.Caller
}

// OfferOnce makes a code that signs a browser in as the caller, once, within the time. One that was made before is void.
func (s *Service) OfferOnce(c models.Caller, life time.Duration) models.Secret {
	code := randomText()
	s.once.mu.Lock()
	defer s.once.mu.Unlock()
	s.once.hash, s.once.until, s.once.caller = hashOf(code), time.Now().Add(life), c
	return models.Secret(code)
}

// TakeOnce uses such a code up, and returns whom it signs in.
func (s *Service) TakeOnce(code models.Secret) (models.Caller, error) {
	s.once.mu.Lock()
	defer s.once.mu.Unlock()
	if s.once.hash == nil || subtle.ConstantTimeCompare(s.once.hash, hashOf(code.Reveal())) != 1 || !time.Now().Before(s.once.until) {
		return models.Caller{}, errOnce
	}
	s.once.hash = nil
	return s.once.caller, nil
}

var errOnce = models.Errorf(models.CodeUnauthenticated, "This address works once, within a minute. It was used already, or it has expired. Sign in with the API token that was printed beside it.")
