package store

import (
	"context"
	"fmt"
	"time"
)

// A user may have very many authorizations. Revoking everything of one writes a single row,
// and from its commit on all queries count what was made until then as unlinked, as they do
// what belongs to a provider that is off (D2). The job of the row then unlinks it in
// batches.

// revokedAt is, in SQL, when everything of an authorization's user was revoked since it was
// made, and NULL where it was not. It is a subquery of one row on purpose: as a join, PostgreSQL
// may plan it before what a query is about. Nearly always the table is empty, which is asked
// once for each query and not for each row.
func revokedAt(authorization string) string {
	return fmt.Sprintf("CASE WHEN EXISTS (SELECT 1 FROM user_revocations) THEN "+
		"(SELECT r.at FROM user_revocations r WHERE r.org_id = %[1]s.org_id AND r.user_id = %[1]s.user_id AND r.at >= %[1]s.created_at) END", authorization)
}

// unlinkedAt is, in SQL, when an authorization was unlinked, NULL while it may be used.
func unlinkedAt(authorization string) string {
	return "COALESCE(" + authorization + ".unlinked_at, " + revokedAt(authorization) + ")"
}

// linked is, in SQL, that an authorization may be used.
func linked(authorization string) string {
	return "(" + authorization + ".unlinked_at IS NULL AND " + revokedAt(authorization) + " IS NULL)"
}

// RevokeUser makes everything that a user has linked unusable, and leaves it to a job to
// unlink. A job that was to do so before leaves it to this one.
func (s *Store) RevokeUser(ctx context.Context, org, user, job string) error {
	// Not before what is there, though the clock was set back.
	return s.db.WithContext(ctx).Exec(`INSERT INTO user_revocations (org_id, user_id, at, job_id)
		VALUES (?, ?, COALESCE((SELECT max(created_at) FROM authorizations WHERE org_id = ? AND user_id = ? AND unlinked_at IS NULL AND created_at > ?), ?), ?)
		ON CONFLICT (org_id, user_id) DO UPDATE SET job_id = excluded.job_id,
			at = CASE WHEN user_revocations.at > excluded.at THEN user_revocations.at ELSE excluded.at END`,
		org, user, org, user, s.now(), s.now(), job).Error
}

// UserRevokedAt returns when everything of a user was revoked, nil where nothing of that is
// left to do.
func (s *Store) UserRevokedAt(ctx context.Context, org, user string) (*time.Time, error) {
	var at []time.Time
	err := s.db.WithContext(ctx).Table("user_revocations").Where("org_id = ? AND user_id = ?", org, user).Pluck("at", &at).Error
	if err != nil || len(at) == 0 {
		return nil, err
	}
	return &at[0], nil
}

// UnlinkAccount unlinks what an account has linked, if everything of its user was revoked
// since, so that the account can be linked again. The sweep has it revoked.
func (s *Store) UnlinkAccount(ctx context.Context, provider, user, sub string) error {
	return s.db.WithContext(ctx).Exec(`UPDATE authorizations SET unlinked_at = ?, updated_at = ?, item_due_at = ?
		WHERE provider_id = ? AND user_id = ? AND sub = ? AND unlinked_at IS NULL AND `+revokedAt("authorizations")+` IS NOT NULL`,
		s.now(), s.now(), s.now(), provider, user, sub).Error
}

// userRevocation is a row of the table.
type userRevocation struct {
	OrgID, UserID string
	At            time.Time
	JobID         string
}

// ofUser are, in SQL, authorizations of a user whose providers are not being deleted: those
// are revoked by the jobs of their providers.
const ofUser = `authorizations WHERE org_id = ? AND user_id = ? AND EXISTS (SELECT 1 FROM providers p WHERE p.id = authorizations.provider_id AND p.delete_job_id IS NULL) AND `

// What a job that revokes a user is still to take: what is linked, and what failed in
// another job.
const (
	stillLinked  = ofUser + "unlinked_at IS NULL AND created_at <= ?"
	failedBefore = ofUser + "outcome = 'failed' AND (job_id IS NULL OR job_id <> ?)"
)

// TakeItemsOfUser gives at most limit authorizations of the user that a job revokes to the
// job, unlinked, to be revoked. With the last of them the row goes. It takes none while
// another worker does.
func (s *Store) TakeItemsOfUser(ctx context.Context, job string, limit int) error {
	if left, err := s.TakesItems(ctx, job); err != nil || !left {
		return err
	}
	return s.Tx(ctx, func(tx *Store) error {
		var rows []userRevocation
		err := tx.db.Raw("SELECT org_id, user_id, at, job_id FROM user_revocations WHERE job_id = ?"+tx.dialect.skipLocked, job).Scan(&rows).Error
		if err != nil || len(rows) == 0 {
			return err
		}
		r := rows[0]
		n, err := tx.takeLinked(ctx, r, limit)
		if err == nil && n < limit {
			err = tx.takeFailed(ctx, r, limit-n)
		}
		if err != nil || n == limit {
			return err
		}
		if left, err := tx.countLeft(ctx, r); err != nil || left > 0 { // somebody else may have locked some
			return err
		}
		return tx.db.Exec("DELETE FROM user_revocations WHERE job_id = ?", job).Error
	})
}

// takeLinked takes what is linked, the oldest first, and returns how many.
func (s *Store) takeLinked(ctx context.Context, r userRevocation, limit int) (int, error) {
	done := s.db.WithContext(ctx).Exec(`UPDATE authorizations SET unlinked_at = ?, updated_at = ?, job_id = ?, item_attempts = 0, item_due_at = ? WHERE `+
		s.dialect.rowsOf(stillLinked+" ORDER BY created_at, id LIMIT ?"), s.now(), s.now(), r.JobID, s.now(), r.OrgID, r.UserID, r.At, limit)
	return int(done.RowsAffected), done.Error
}

// takeFailed takes what failed in another job, whose outcomes are kept.
func (s *Store) takeFailed(ctx context.Context, r userRevocation, limit int) error {
	var ids []string
	err := s.db.WithContext(ctx).Raw("SELECT id FROM "+failedBefore+" ORDER BY id LIMIT ?"+s.dialect.skipLocked, r.OrgID, r.UserID, r.JobID, limit).Scan(&ids).Error
	if err != nil || len(ids) == 0 {
		return err
	}
	if err := s.keepFailed(ctx, "id IN "+s.dialect.list, listed(ids)); err != nil {
		return err
	}
	return s.db.WithContext(ctx).Exec(`UPDATE authorizations SET updated_at = ?, job_id = ?,
		outcome = NULL, outcome_reason = '', outcome_at = NULL, item_attempts = 0, item_due_at = ? WHERE id IN `+s.dialect.list,
		s.now(), r.JobID, s.now(), listed(ids)).Error
}

// TakesItems reports whether there may be items that a job has still to take.
func (s *Store) TakesItems(ctx context.Context, job string) (bool, error) {
	var any bool
	return any, s.db.WithContext(ctx).Raw("SELECT EXISTS (SELECT 1 FROM user_revocations WHERE job_id = ?)", job).Scan(&any).Error
}

// CountUntaken counts the items that a job has still to take.
func (s *Store) CountUntaken(ctx context.Context, job string) (int64, error) {
	var rows []userRevocation
	err := s.db.WithContext(ctx).Table("user_revocations").Find(&rows, "job_id = ?", job).Error
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	return s.countLeft(ctx, rows[0])
}

func (s *Store) countLeft(ctx context.Context, r userRevocation) (int64, error) {
	var n int64
	return n, s.db.WithContext(ctx).Raw("SELECT (SELECT count(*) FROM "+stillLinked+") + (SELECT count(*) FROM "+failedBefore+")",
		r.OrgID, r.UserID, r.At, r.OrgID, r.UserID, r.JobID).Scan(&n).Error
}
