package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/grantd/grantd/models"
)

// AuthorizationFilter says which authorizations of an organisation are asked
// for. Empty fields do not filter.
type AuthorizationFilter struct {
	Providers  []string // ids; nil does not filter
	UserID     string
	Account    string // its sub, login or e-mail address
	ProviderID string
	Status     models.AuthorizationStatus
	After      *Position
	Limit      int
}

// Authorizations returns a page of an organisation's linked authorizations.
func (s *Store) Authorizations(ctx context.Context, org string, f AuthorizationFilter) ([]models.Linked, error) {
	rows, err := s.filtered(ctx, org, f)
	if err != nil {
		return nil, err
	}
	return s.link(ctx, rows)
}

func (s *Store) filtered(ctx context.Context, org string, f AuthorizationFilter) ([]models.Authorization, error) {
	if f.Status != "" && f.Status != models.AuthorizationActive && f.UserID == "" && f.Account == "" { // of a user or account there are few
		found, err := s.causesFound(ctx, "")
		if err != nil {
			return nil, err
		}
		if found {
			return s.withStatus(ctx, org, f)
		}
	}
	where, args := f.conditions(s, "authorizations")
	q := s.db.WithContext(ctx).Where("org_id = ?", org).Where(where, args...)
	if f.Status != "" {
		q = s.ofStatus(q, f.Status)
	}
	return page[models.Authorization](q, f.After, false, f.Limit)
}

// conditions are those of a filter, but for the status, with the values that they take.
func (f AuthorizationFilter) conditions(s *Store, authorization string) (string, []any) {
	where, args := linked(authorization), []any(nil)
	add := func(condition string, value any) {
		where, args = where+" AND "+condition, append(args, value)
	}
	if f.Providers != nil {
		add(authorization+".provider_id IN "+s.dialect.list, listed(f.Providers))
	}
	if f.UserID != "" {
		add(authorization+".user_id = ?", f.UserID)
	}
	if f.Account != "" {
		add(fmt.Sprintf("? IN (%[1]s.sub, %[1]s.login, %[1]s.email)", authorization), f.Account)
	}
	if f.ProviderID != "" {
		add(authorization+".provider_id = ?", f.ProviderID)
	}
	return where, args
}

// link adds to each authorization its provider and credential, with one query
// for all of them each.
func (s *Store) link(ctx context.Context, rows []models.Authorization) ([]models.Linked, error) {
	now, err := s.Now(ctx)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	var providerIDs, credentialIDs []string
	for _, a := range rows {
		providerIDs = append(providerIDs, a.ProviderID)
		credentialIDs = append(credentialIDs, a.CredentialID)
	}
	providers := map[string]models.Provider{}
	var ps []models.Provider
	if err := s.db.WithContext(ctx).Find(&ps, "id IN ?", unique(providerIDs)).Error; err != nil {
		return nil, err
	}
	for _, p := range ps {
		providers[p.ID] = p
	}
	credentials := map[string]models.Credential{}
	var cs []models.Credential
	if err := s.db.WithContext(ctx).Find(&cs, "id IN ?", credentialIDs).Error; err != nil {
		return nil, err
	}
	for _, c := range cs {
		credentials[c.ID] = c
	}
	linked := make([]models.Linked, len(rows))
	for i, a := range rows {
		linked[i] = models.Linked{Authorization: a, Provider: providers[a.ProviderID], Credential: credentials[a.CredentialID], Now: now}
	}
	return linked, nil
}

func unique(ids []string) []string {
	seen := map[string]bool{}
	var out []string
	for _, id := range ids {
		if !seen[id] {
			seen[id] = true
			out = append(out, id)
		}
	}
	return out
}

// LiveAuthorization returns the authorization of this account that may be used,
// ErrNotFound when there is none.
func (s *Store) LiveAuthorization(ctx context.Context, provider, user, sub string) (models.Authorization, error) {
	var a models.Authorization
	return a, found(s.db.WithContext(ctx).
		First(&a, "provider_id = ? AND user_id = ? AND sub = ? AND "+linked("authorizations"), provider, user, sub).Error, "OAuth provider authorization")
}

// InsertAuthorization keeps a new authorization and its sealed tokens.
func (s *Store) InsertAuthorization(ctx context.Context, a *models.Authorization, save Save) error {
	return s.Tx(ctx, func(tx *Store) error {
		if err := tx.db.Create(a).Error; err != nil {
			return err
		}
		row := save.columns(tx)
		row["id"], row["authorization_id"], row["generation"] = a.CredentialID, a.ID, 1
		row["org_id"], row["made_at"] = a.OrgID, a.CreatedAt
		return tx.db.Model(&models.Credential{}).Create(row).Error
	})
}

// UpdateAuthorization writes what a renewed consent told about the account.
func (s *Store) UpdateAuthorization(ctx context.Context, a *models.Authorization) error {
	return s.db.WithContext(ctx).Model(a).Where("unlinked_at IS NULL").
		Select("login", "email", "picture", "scopes", "missing_scopes", "scopes_cut", "fingerprint", "fingerprint_v2", "grant_key_v2", "grant_key", "revoke_scope",
			"id_token_account", "introspection_account", "oauth_client_id", "updated_at").Updates(a).Error
}

// SetScopes writes which scopes a refresh brought, unless the authorization has
// changed since it was read, and so was consented to again.
func (s *Store) SetScopes(ctx context.Context, read models.Authorization, scopes, missing models.Strings, cut bool) error {
	return s.Tx(ctx, func(tx *Store) error {
		written, err := changed(tx.db.Model(&models.Authorization{}).
			Where("id = ? AND updated_at = ? AND unlinked_at IS NULL", read.ID, read.UpdatedAt).
			Updates(map[string]any{"scopes": scopes, "missing_scopes": missing, "scopes_cut": cut, "updated_at": tx.now()}))
		if err != nil || !written || slices.Equal(read.Scopes, scopes) {
			return err
		}
		return tx.Tell(ctx, read.Event(models.EventScopesChanged, ""))
	})
}

// Unlink makes an authorization unusable and leaves it to be revoked. It reports
// whether this call did it.
func (s *Store) Unlink(ctx context.Context, id string) (bool, error) {
	return changed(s.db.WithContext(ctx).Model(&models.Authorization{}).
		Where("id = ? AND unlinked_at IS NULL", id).
		Updates(map[string]any{"unlinked_at": s.now(), "updated_at": s.now()}))
}

// CountLinks counts an organisation's linked authorizations by provider (Name) and status: of the providers named, or
// where ids is nil of all.
func (s *Store) CountLinks(ctx context.Context, org string, ids []string) ([]Count, error) {
	return s.countLinked(ctx, "name, status", org, ids)
}

// countLinked counts by some columns of Count, and in their order.
func (s *Store) countLinked(ctx context.Context, by, org string, ids []string) ([]Count, error) {
	of, args := "", []any{s.now(), org}
	if ids != nil {
		of, args = " AND a.provider_id IN "+s.dialect.list, append(args, listed(ids))
	}
	var counts []Count
	err := s.db.WithContext(ctx).Raw(`SELECT `+by+`, count(*) AS n FROM (SELECT a.provider_id AS name, `+statusOf("a")+` AS status
		FROM authorizations a JOIN providers p ON p.id = a.provider_id JOIN credentials c ON c.authorization_id = a.id
		WHERE a.org_id = ? AND `+linked("a")+of+`) AS t GROUP BY `+by+` ORDER BY `+by, args...).Scan(&counts).Error
	return counts, err
}
