package store

import (
	"context"
	"time"

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

// Services returns an organisation's API tokens of services that are valid, by their names.
func (s *Store) Services(ctx context.Context, org string) ([]models.APIToken, error) {
	var all []models.APIToken
	return all, s.db.WithContext(ctx).Where("org_id = ? AND role = ? AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?)",
		org, models.RoleService, s.now()).Order("name, created_at, id").Find(&all).Error
}

// APITokensPage returns a page of an organisation's API tokens, the newest first: of one user, and made with one API
// token, where those are given.
func (s *Store) APITokensPage(ctx context.Context, org, user, madeBy string, after *Position, limit int) ([]models.APIToken, error) {
	q := of(s.db.WithContext(ctx), org, user)
	if madeBy != "" {
		q = q.Where("made_by = ? AND made_by <> ''", madeBy) // in the words of its index
	}
	return page[models.APIToken](q, after, true, limit)
}

// LockAPIToken returns an API token that nobody revokes until this transaction ends.
func (s *Store) LockAPIToken(ctx context.Context, id string) (models.APIToken, error) {
	return lockRow[models.APIToken](ctx, s, "api_tokens", id, "API token")
}

// RevokeAPITokens ends an API token, and with withMade all that were made with it, and with those. It returns those that
// had not ended before. It is used in a transaction: a transaction that makes an API token locks the one that it is made with, so
// that what is made is either found here or not made.
func (s *Store) RevokeAPITokens(ctx context.Context, id string, withMade bool) ([]models.APIToken, error) {
	ids := []string{id}
	ended, err := s.endTokens(ctx, ids)
	for withMade && err == nil && len(ids) > 0 {
		var made []string
		err = s.db.WithContext(ctx).Model(&models.APIToken{}).Where("made_by <> '' AND made_by IN "+s.dialect.list, listed(ids)).
			Order("id").Pluck("id", &made).Error
		if err != nil || len(made) == 0 {
			break
		}
		var more []models.APIToken
		more, err = s.endTokens(ctx, made)
		ended, ids = append(ended, more...), made
	}
	return ended, err
}

func (s *Store) endTokens(ctx context.Context, ids []string) ([]models.APIToken, error) {
	var ended []models.APIToken
	err := s.db.WithContext(ctx).Model(&ended).Clauses(returning(s.db, ended)).
		Where("revoked_at IS NULL AND id IN "+s.dialect.list, listed(ids)).Update("revoked_at", s.now()).Error
	return ended, err
}

// NoteTokenUses notes that API tokens are in use, unless that was noted recently. One that somebody else is writing is left
// out.
func (s *Store) NoteTokenUses(ctx context.Context, ids []string, recent time.Duration) error {
	return s.db.WithContext(ctx).Exec("UPDATE api_tokens SET last_used_at = ? WHERE "+s.dialect.rowsOf("api_tokens WHERE id IN "+s.dialect.list+
		" AND (last_used_at IS NULL OR last_used_at <= ?) ORDER BY id LIMIT ?"), s.now(), listed(ids), s.in(-recent), len(ids)).Error
}
