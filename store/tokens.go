package store

import (
	"context"

	"github.com/grantd/grantd/models"
)

// InsertAPIToken keeps a new API token.
func (s *Store) InsertAPIToken(ctx context.Context, t *models.APIToken) error {
	return s.db.WithContext(ctx).Create(t).Error
}

// APIToken returns the API token with this id, revoked and expired ones too.
func (s *Store) APIToken(ctx context.Context, id string) (models.APIToken, error) {
	var t models.APIToken
	return t, found(s.db.WithContext(ctx).First(&t, "id = ?", id).Error, "API token")
}

// APITokens returns all API tokens, oldest first.
func (s *Store) APITokens(ctx context.Context) ([]models.APIToken, error) {
	var all []models.APIToken
	return all, s.db.WithContext(ctx).Order("created_at, id").Find(&all).Error
}

// Services returns an organisation's API tokens of services that are alive, by their names.
func (s *Store) Services(ctx context.Context, org string) ([]models.APIToken, error) {
	var all []models.APIToken
	return all, s.db.WithContext(ctx).Where("org_id = ? AND role = ? AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?)",
		org, models.RoleService, s.now()).Order("name, created_at, id").Find(&all).Error
}

// RevokeAPIToken ends an API token and reports whether it was still alive.
func (s *Store) RevokeAPIToken(ctx context.Context, id string) (bool, error) {
	return changed(s.db.WithContext(ctx).Model(&models.APIToken{}).
		Where("id = ? AND revoked_at IS NULL", id).Update("revoked_at", s.now()))
}
