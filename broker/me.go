package broker

import (
	"context"
	"strings"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// Me tells a caller who it is to grantd. Every role may ask.
func (s *Service) Me(ctx context.Context, c models.Caller) (models.Me, error) {
	me := models.Me{OrgID: c.OrgID, UserID: c.UserID, Role: c.Role, TokenID: c.TokenID, Providers: c.Providers}
	if entry, ok := strings.CutPrefix(c.TokenID, issuerPrefix); ok {
		me.By, me.Name, me.ExpiresAt = models.ByIssuer, entry, &c.EndsAt
		return me, nil
	}
	t, err := s.store.APIToken(ctx, c.TokenID)
	if store.IsNotFound(err) { // it was deleted since the caller was found in the cache
		return me, errBadToken
	}
	me.By, me.Name, me.ReturnOrigins, me.ExpiresAt = models.ByAPIToken, t.Name, t.ReturnOrigins, t.ExpiresAt
	return me, err
}
