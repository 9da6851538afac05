package store

import (
	"context"

	"github.com/grantd/grantd/models"
)

// AccountColumn is where the hash is kept of what one source names an account.
type AccountColumn string

// The columns, beside sub.
const (
	IDTokenAccount       AccountColumn = "id_token_account"
	IntrospectionAccount AccountColumn = "introspection_account"
)

// FirstAccount keeps what a source named the account, unless it has said so before.
func (s *Store) FirstAccount(ctx context.Context, authorization string, column AccountColumn, hash string) error {
	return s.db.WithContext(ctx).Model(&models.Authorization{}).
		Where("id = ? AND "+string(column)+" = '' AND outcome IS NULL", authorization).Update(string(column), hash).Error
}

// Mismatch ends l's authorization, since the upstream said that its tokens, or those
// that a refresh brought, are another account's (R12). attempt is the refresh that
// found out, "" for a check. It reports whether l's generation was the newest still.
// The verdict does not depend on the client secret, which secret version 0 says.
func (s *Store) Mismatch(ctx context.Context, l models.Linked, attempt, reason string) (bool, error) {
	row := s.checked(l, false)
	judge(row, models.VerdictExpired, reason, l.Credential.Generation, 0)
	q := s.generation(ctx, l)
	if attempt != "" {
		q = q.Where("attempt_id = ?", attempt)
		row["last_attempt"], row["last_error"] = attempt, reason
		row["attempt_id"] = nil
		s.endLease(row, attempt, nil, nil)
	}
	ended, err := changed(q.Updates(row))
	if ended {
		s.expired(reason)
	}
	return ended, err
}

// MarkTokensForeign says that an authorization's tokens are not those of its account, so
// that they are revoked alone or not at all.
func (s *Store) MarkTokensForeign(ctx context.Context, authorization string) error {
	return s.db.WithContext(ctx).Model(&models.Authorization{}).Where("id = ? AND outcome IS NULL", authorization).
		Updates(map[string]any{"grant_key": "", "grant_key_v2": "", "revoke_scope": models.RevokeToken, "updated_at": s.now()}).Error
}
