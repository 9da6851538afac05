package broker

import (
	"context"
	"crypto/subtle"
	"time"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// Introspected is what grantd knows of an access token of an upstream that somebody showed (RFC 7662).
type Introspected struct {
	Active     bool // whether it would be handed out now, or was before a refresh that left it alive
	ExpiresAt  *time.Time
	Scopes     []string
	UserID     string // whose it is here
	ProviderID string
}

// IntrospectionClient tells who asks, as an exchange's client.
func (s *Service) IntrospectionClient(ctx context.Context, client models.Secret) (models.Caller, error) {
	p, err := s.exchangeClient(ctx, client)
	return p.Caller, err
}

// Introspect tells a service about an access token of its organisation and its providers. To everybody else, and about
// every other token, it says that the token is not active, after the same work. It asks no upstream and writes nothing.
func (s *Service) Introspect(ctx context.Context, c models.Caller, token models.Secret) (Introspected, error) {
	shown, err := s.store.ByAccessMAC(ctx, s.keys.MACs([]byte(token.Reveal())))
	if err != nil {
		return Introspected{}, err
	}
	if len(shown) == 0 {
		shown = []store.Shown{{AuthorizationID: newID()}}
	}
	var answer Introspected
	for _, one := range shown {
		l, err := s.store.Fetchable(ctx, one.AuthorizationID)
		if store.IsNotFound(err) {
			continue
		}
		if err != nil {
			return Introspected{}, err
		}
		if expires, ok := s.activeFor(c, l, one, token); ok {
			answer = Introspected{true, expires, l.Authorization.Scopes, l.Authorization.UserID, l.Provider.ID}
		}
	}
	return answer, nil
}

// activeFor reports whether a token is active for a service, and until when.
func (s *Service) activeFor(c models.Caller, l models.Linked, shown store.Shown, token models.Secret) (*time.Time, bool) {
	a := l.Authorization
	if !c.IsService() || a.OrgID != c.OrgID || a.UnlinkedAt != nil || !c.MayUse(a.ProviderID) || inForce(&l) != nil || l.Suspected() {
		return nil, false
	}
	if shown.PreviousUntil != nil {
		return shown.PreviousUntil, true
	}
	p, err := s.openPair(&l) // a process of the release before may have saved another token since
	if err != nil || subtle.ConstantTimeCompare([]byte(p.Access), []byte(token.Reveal())) != 1 {
		return nil, false
	}
	return l.Credential.ExpiresAt, l.Served()
}
