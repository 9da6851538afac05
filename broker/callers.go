package broker

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"strings"
	"sync"
	"time"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// callerCache remembers for a short while which token belongs to whom, so that a
// fetch costs one query and not two. A token revoked by another process works
// here for up to callerLife more (H1).
type callerCache struct {
	mu     sync.RWMutex
	byHash map[[sha256.Size]byte]cachedCaller
}

type cachedCaller struct {
	token models.APIToken
	until time.Time
}

func (c *callerCache) get(hash [sha256.Size]byte, now time.Time) (models.APIToken, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	found, ok := c.byHash[hash]
	return found.token, ok && now.Before(found.until)
}

// put forgets everything when full: simpler than an order of use, and the next
// requests fill it again at a query each.
func (c *callerCache) put(hash [sha256.Size]byte, t models.APIToken, until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byHash == nil || len(c.byHash) >= callerLimit {
		c.byHash = map[[sha256.Size]byte]cachedCaller{}
	}
	c.byHash[hash] = cachedCaller{t, until}
}

func (c *callerCache) drop(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for hash, found := range c.byHash {
		if found.token.ID == id {
			delete(c.byHash, hash)
		}
	}
}

// Authenticate tells who a bearer token stands for: an API token, or one of a trusted
// issuer. Whatever is wrong with the token, the answer is the same.
func (s *Service) Authenticate(ctx context.Context, token models.Secret) (models.Caller, error) {
	p, err := s.present(ctx, token)
	return p.Caller, err
}

// presented is a token that was accepted: whom it authenticates, and what its issuer says of them.
type presented struct {
	models.Caller
	issuer, sub string
	mayAct      *party // who may act for the bearer (RFC 8693 section 4.4), nil where nothing is said
}

// party is somebody as an issuer names them. Without an issuer it is the one who says so.
type party struct{ issuer, sub string }

func (s *Service) present(ctx context.Context, token models.Secret) (presented, error) {
	if !strings.HasPrefix(token.Reveal(), tokenPrefix) {
		return s.presentBearer(ctx, token.Reveal())
	}
	c, err := s.presentAPIToken(ctx, token)
	return presented{Caller: c, issuer: s.publicURL, sub: c.UserID}, err
}

func (s *Service) presentAPIToken(ctx context.Context, token models.Secret) (models.Caller, error) {
	now := time.Now()
	hash := sha256.Sum256([]byte(token.Reveal()))
	t, cached := s.callers.get(hash, now)
	if !cached {
		var err error
		if t, err = s.lookUpToken(ctx, token, hash); err != nil {
			return models.Caller{}, err
		}
	}
	if !t.Usable(now) {
		return models.Caller{}, errBadToken
	}
	if !cached {
		s.callers.put(hash, t, now.Add(callerLife))
		s.uses.add(t, now)
	}
	return t.Caller(), nil
}

var errBadToken = models.Errorf(models.CodeUnauthenticated, "The API token is missing, unknown, expired or revoked. Send it as: Authorization: Bearer grd_…")

func (s *Service) lookUpToken(ctx context.Context, token models.Secret, hash [sha256.Size]byte) (models.APIToken, error) {
	rest, ok := strings.CutPrefix(token.Reveal(), tokenPrefix)
	id, _, ok2 := strings.Cut(rest, "_")
	if !ok || !ok2 || !models.ValidID(id) {
		return models.APIToken{}, errBadToken
	}
	t, err := s.store.APIToken(ctx, id)
	switch {
	case store.IsNotFound(err):
		return models.APIToken{}, errBadToken
	case err != nil:
		return models.APIToken{}, err
	case subtle.ConstantTimeCompare(t.Hash, hash[:]) != 1:
		return models.APIToken{}, errBadToken
	}
	return t, nil
}
