package store

import (
	"context"

	"github.com/grantd/grantd/models"
)

// LatestLinks returns, of each provider that a user has linked authorizations at,
// the one that was consented to last; of one provider only, if it is given.
func (s *Store) LatestLinks(ctx context.Context, c models.Caller, provider string) ([]models.Linked, error) {
	query, args := `SELECT id, row_number() OVER (PARTITION BY provider_id ORDER BY updated_at DESC, id DESC) AS age
		FROM authorizations WHERE org_id = ? AND user_id = ? AND `+linked("authorizations"), []any{c.OrgID, c.UserID}
	if provider != "" {
		query, args = query+" AND provider_id = ?", append(args, provider)
	}
	var rows []models.Authorization
	err := s.db.WithContext(ctx).Where("id IN (SELECT id FROM ("+query+") AS ranked WHERE age = 1)", args...).
		Order("created_at, id").Find(&rows).Error
	if err != nil {
		return nil, err
	}
	return s.link(ctx, rows)
}

// LinkedIDs returns the ids of all that a user has linked at a provider.
func (s *Store) LinkedIDs(ctx context.Context, c models.Caller, provider string) ([]string, error) {
	var ids []string
	return ids, s.db.WithContext(ctx).Model(&models.Authorization{}).
		Where("org_id = ? AND user_id = ? AND provider_id = ? AND "+linked("authorizations"), c.OrgID, c.UserID, provider).
		Order("id").Pluck("id", &ids).Error
}

// Outcomes returns the outcome of authorizations that were unlinked: ids, outcomes
// with their reasons, and whether somebody is at them.
func (s *Store) Outcomes(ctx context.Context, ids []string) ([]models.Authorization, error) {
	var rows []models.Authorization
	return rows, s.db.WithContext(ctx).Select("id", "item_lease", "outcome", "outcome_reason").Find(&rows, "id IN "+s.dialect.list, listed(ids)).Error
}

// ProviderBySlug returns an organisation's provider by its slug. One whose
// deletion was asked for has none any more (D5).
func (s *Store) ProviderBySlug(ctx context.Context, org, slug string) (models.Provider, error) {
	var p models.Provider
	return p, found(s.db.WithContext(ctx).First(&p, "org_id = ? AND slug = ? AND delete_job_id IS NULL", org, slug).Error, "OAuth provider")
}

// UsableProviders returns all of an organisation's providers that are active.
func (s *Store) UsableProviders(ctx context.Context, org string) ([]models.Provider, error) {
	var all []models.Provider
	return all, s.db.WithContext(ctx).Where("org_id = ? AND status = ?", org, models.ProviderActive).
		Order("created_at, id").Find(&all).Error
}

// Unlinked returns an authorization that a user had and that is only there to be revoked, or was, and its provider.
func (s *Store) Unlinked(ctx context.Context, c models.Caller, id string) (models.Authorization, models.Provider, error) {
	var a models.Authorization
	err := s.db.WithContext(ctx).First(&a, "id = ? AND org_id = ? AND user_id = ? AND NOT "+linked("authorizations"), id, c.OrgID, c.UserID).Error
	if err != nil {
		return a, models.Provider{}, found(err, "OAuth provider authorization")
	}
	p, err := s.Provider(ctx, a.ProviderID)
	return a, p, err
}
