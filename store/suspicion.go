package store

import (
	"context"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/grantd/grantd/models"
)

// What is learnt about an access token that was not refreshed. All of it concerns
// one generation, and none of it raises the generation: a save of the same one, or
// of a newer, ends it (R1).

// NoteValid remembers that the upstream takes the access token of l's generation,
// and how long yet, where that was unknown. It reports whether that is still the
// newest.
func (s *Store) NoteValid(ctx context.Context, l models.Linked, left *time.Duration) (bool, error) {
	row := s.checked(l, true)
	if left != nil && l.Credential.ExpiresAt == nil {
		row["expires_at"] = s.in(*left)
		if l.Credential.HasRefreshToken {
			row["refresh_after"] = s.in(*left)
		}
	}
	return changed(s.generation(ctx, l).Updates(row))
}

// atLatest is now, or the time in a column that is over: it does not come later by it.
func (s *Store) atLatest(column string) clause.Expr {
	return gorm.Expr("CASE WHEN "+column+" < ? THEN "+column+" ELSE ? END", s.now(), s.now())
}

// NoteRejected remembers that the upstream does not take the access token of l's
// generation. It is not served any more, and the next read refreshes it. Where
// nothing can, reason is why the person must authorize again; "" for no verdict.
func (s *Store) NoteRejected(ctx context.Context, l models.Linked, reason string) (bool, error) {
	row := s.checked(l, false)
	row["expires_at"] = s.atLatest("expires_at")
	if l.Credential.HasRefreshToken {
		row["refresh_after"] = s.atLatest("refresh_after")
	}
	if reason != "" {
		expire(row, l, reason)
	}
	noted, err := changed(s.generation(ctx, l).Updates(row))
	if noted && reason != "" {
		s.expired(reason)
	}
	return noted, err
}

// Acquit ends the verdict that an earlier check of l's generation was the reason of:
// the upstream has changed its mind. left is nil when unknown.
func (s *Store) Acquit(ctx context.Context, l models.Linked, reason string, left *time.Duration) error {
	row := map[string]any{"verdict": nil, "verdict_reason": "", "expires_at": nil}
	if left != nil {
		row["expires_at"] = s.in(*left)
	}
	return s.generation(ctx, l).Where("verdict_reason = ?", reason).Updates(row).Error
}

// EndAttempt forgets an attempt of l's generation whose outcome was unknown and is
// known now, if it cannot be running any more.
func (s *Store) EndAttempt(ctx context.Context, l models.Linked) error {
	return s.generation(ctx, l).Where("attempt_id = ? AND lease_until <= ?", l.Credential.AttemptID, s.now()).
		Updates(map[string]any{"attempt_id": nil, "lease_owner": nil, "lease_until": nil}).Error
}

// Suspect keeps the access token of l's generation from being handed out. It may
// live on upstream until it is revoked there. The next read refreshes it.
func (s *Store) Suspect(ctx context.Context, l models.Linked) (bool, error) {
	row := map[string]any{"suspected": l.Credential.Generation, "check_generation": 0}
	if l.Credential.HasRefreshToken {
		row["refresh_after"] = s.atLatest("refresh_after")
	}
	return changed(s.generation(ctx, l).Updates(row))
}

// NoteRevoked ends the access token of l's generation, and with a reason the whole
// authorization, because it was revoked upstream under the owner's lease, which ends
// too.
func (s *Store) NoteRevoked(ctx context.Context, l models.Linked, owner, reason string) (bool, error) {
	row := s.checked(l, false)
	row["expires_at"], row["lease_owner"], row["lease_until"] = s.now(), nil, s.leaseOver()
	if reason != "" {
		expire(row, l, reason)
	}
	noted, err := changed(s.generation(ctx, l).Where("lease_owner = ?", owner).Updates(row))
	if noted && reason != "" {
		s.expired(reason)
	}
	return noted, err
}

// generation is l's credential as long as nothing newer was saved.
func (s *Store) generation(ctx context.Context, l models.Linked) *gorm.DB {
	return s.credential(ctx, l.Credential.ID).Where("generation = ?", l.Credential.Generation)
}

func (s *Store) checked(l models.Linked, valid bool) map[string]any {
	return map[string]any{"checked_at": s.now(), "check_generation": l.Credential.Generation, "check_valid": valid}
}

// expire ends an authorization, as of l.
func expire(row map[string]any, l models.Linked, reason string) {
	judge(row, models.VerdictExpired, reason, l.Credential.Generation, l.Provider.SecretVersion)
}
