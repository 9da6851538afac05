package broker

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"slices"
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

// Authenticate tells who a bearer token stands for. Whatever is wrong with the
// token, the answer is the same.
func (s *Service) Authenticate(ctx context.Context, token models.Secret) (models.Caller, error) {
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

const tokenPrefix = "grd_"

// NewAPIToken is what an API token is asked for with.
type NewAPIToken struct {
	OrgID, UserID string
	Role          models.Role
	Name          string        // for people; may be empty
	Life          time.Duration // 0 means that it does not expire
	Providers     []string      // ids or slugs of those that it is limited to; none for no limit, which a service must have
}

// CreateAPIToken makes an API token and returns it in plain text, once. Like the
// other two it is the command line's: whoever holds the database may use it.
func (s *Service) CreateAPIToken(ctx context.Context, n NewAPIToken) (models.APIToken, models.Secret, error) {
	if err := n.Validate(); err != nil {
		return models.APIToken{}, "", err
	}
	limits, err := s.limitsOf(ctx, n)
	if err != nil {
		return models.APIToken{}, "", err
	}
	now, err := s.store.Now(ctx)
	if err != nil {
		return models.APIToken{}, "", err
	}
	t := models.APIToken{ID: newID(), OrgID: n.OrgID, UserID: n.UserID, Role: n.Role, Name: n.Name, Providers: limits, CreatedAt: now}
	if n.Life > 0 {
		end := now.Add(n.Life)
		t.ExpiresAt = &end
	}
	token := tokenPrefix + t.ID + "_" + randomText()
	hash := sha256.Sum256([]byte(token))
	t.Hash = hash[:]
	err = s.store.Tx(ctx, func(tx *store.Store) error {
		if err := tx.InsertAPIToken(ctx, &t); err != nil {
			return err
		}
		return tx.Audit(ctx, tokenEvent(t, models.ActionTokenCreated))
	})
	if err != nil {
		return models.APIToken{}, "", err
	}
	return t, models.Secret(token), nil
}

var roles = []models.Role{models.RoleAdmin, models.RoleUser, models.RoleService}

// maxLimits is how many providers an API token can be limited to.
const maxLimits = 100

// limitsOf are the ids of the providers that an API token is to be limited to.
func (s *Service) limitsOf(ctx context.Context, n NewAPIToken) ([]string, error) {
	var ids []string
	for _, name := range n.Providers {
		p, err := s.namedProvider(ctx, models.Caller{OrgID: n.OrgID}, models.Storable(name))
		switch {
		case models.CodeOf(err) == models.CodeNotFound:
			return nil, models.Invalid(models.FieldError{Name: "provider", Message: fmt.Sprintf("%q is neither the id nor the slug of a provider of the organisation", fmt.Sprintf("%.64s", name))})
		case err != nil:
			return nil, err
		case !slices.Contains(ids, p.ID):
			ids = append(ids, p.ID)
		}
	}
	return ids, nil
}

// Validate reports each field that is wrong, by name.
func (n NewAPIToken) Validate() error {
	var wrong []models.FieldError
	for _, f := range []struct{ name, value string }{{"org", n.OrgID}, {"user", n.UserID}} {
		if !models.ValidIdentity(f.value) {
			wrong = append(wrong, models.FieldError{Name: f.name, Message: "must be 1 to 128 of the characters A-Z a-z 0-9 . _ @ + -"})
		}
	}
	if !slices.Contains(roles, n.Role) {
		wrong = append(wrong, models.FieldError{Name: "role", Message: "must be admin, user or service"})
	}
	if n.Role == models.RoleService && len(n.Providers) == 0 {
		wrong = append(wrong, models.FieldError{Name: "provider", Message: "must name the providers that the service may use"})
	}
	if len(n.Providers) > maxLimits {
		wrong = append(wrong, models.FieldError{Name: "provider", Message: fmt.Sprintf("must name at most %d providers", maxLimits)})
	}
	if len(n.Name) > 255 {
		wrong = append(wrong, models.FieldError{Name: "name", Message: "must be at most 255 bytes"})
	}
	if n.Life < 0 {
		wrong = append(wrong, models.FieldError{Name: "expires", Message: "must not be negative"})
	}
	if wrong != nil {
		return models.Invalid(wrong...)
	}
	return nil
}

// tokenEvent is about an API token, which the command line makes and ends: the event names
// whose it is.
func tokenEvent(t models.APIToken, action models.Action) models.AuditEvent {
	e := event(t.Caller(), action).done()
	e.Code = string(t.Role)
	return e
}

// APITokens returns every API token, without the tokens themselves.
func (s *Service) APITokens(ctx context.Context) ([]models.APIToken, error) {
	return s.store.APITokens(ctx)
}

// RevokeAPIToken ends an API token: at once in this process, within ten seconds
// in the others (H1).
func (s *Service) RevokeAPIToken(ctx context.Context, id string) error {
	done := false
	err := s.store.Tx(ctx, func(tx *store.Store) (err error) {
		if done, err = tx.RevokeAPIToken(ctx, id); err != nil || !done {
			return err
		}
		t, err := tx.APIToken(ctx, id)
		if err != nil {
			return err
		}
		return tx.Audit(ctx, tokenEvent(t, models.ActionTokenEnded))
	})
	if err != nil {
		return err
	}
	s.callers.drop(id)
	if !done {
		return models.Errorf(models.CodeNotFound, "No living API token has the id %q.", fmt.Sprintf("%.64s", id))
	}
	return nil
}
