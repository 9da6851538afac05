package store

import (
	"context"
	"time"
)

// grantLease is who may decide about a grant upstream right now (D1).
type grantLease struct {
	GrantKey string `gorm:"primaryKey"`
	Owner    string
	Until    time.Time
	// RevokedAt is when the whole grant was last revoked, if that is not long ago.
	RevokedAt *time.Time
}

// LeaseGrant gives owner the lease on a grant, which decides whether it is revoked whole, or a
// new authorization of it becomes live. It reports whether it did.
func (s *Store) LeaseGrant(ctx context.Context, key, owner string, lease time.Duration) (bool, error) {
	return changed(s.db.WithContext(ctx).Exec(`INSERT INTO grant_leases (grant_key, owner, until) VALUES (?, ?, ?)
		ON CONFLICT (grant_key) DO UPDATE SET owner = excluded.owner, until = excluded.until
		WHERE grant_leases.until <= ? OR grant_leases.owner = excluded.owner`, key, owner, s.in(lease), s.now()))
}

// KeepGrants makes leases on grants that owner has last for so long from now, and holds them until the
// transaction ends. It reports whether owner has all of them, and none has run out.
func (s *Store) KeepGrants(ctx context.Context, keys []string, owner string, lease time.Duration) (bool, error) {
	if len(keys) == 0 {
		return true, nil
	}
	kept := s.db.WithContext(ctx).Model(&grantLease{}).Where("grant_key IN ? AND owner = ? AND until > ?", keys, owner, s.now()).
		Update("until", s.in(lease))
	return kept.RowsAffected == int64(len(keys)), kept.Error
}

// LeaseItemGrants takes the leases on the grants of the items that a lease holds, except those
// that somebody else decides about, and returns the keys it has. Always in the
// order of the keys, and with v1 those of the first version before the others: two
// that lease the same ones would block each other for good.
func (s *Store) LeaseItemGrants(ctx context.Context, lease string, leaseFor time.Duration, v1 bool) (map[string]bool, error) {
	columns := []string{"grant_key_v2"}
	if v1 {
		columns = []string{"grant_key", "grant_key_v2"}
	}
	for _, column := range columns {
		err := s.db.WithContext(ctx).Exec(`INSERT INTO grant_leases (grant_key, owner, until)
			SELECT k, CAST(? AS TEXT), ? FROM (SELECT DISTINCT `+column+` AS k FROM authorizations
				WHERE item_lease = ? AND outcome IS NULL AND `+column+` <> '') AS of WHERE true ORDER BY k
			ON CONFLICT (grant_key) DO UPDATE SET owner = excluded.owner, until = excluded.until
			WHERE grant_leases.until <= ?`, lease, s.in(leaseFor), lease, s.now()).Error
		if err != nil {
			return nil, err
		}
	}
	var keys []string
	err := s.db.WithContext(ctx).Model(&grantLease{}).Where("owner = ?", lease).Pluck("grant_key", &keys).Error
	return set(keys), err
}

// LiveGrants are the grants that authorizations still use, and of which organisations.
type LiveGrants map[string][]string

// Of reports whether the organisation's authorizations use a grant, and whether those
// of others do.
func (g LiveGrants) Of(key, org string) (own, other bool) {
	for _, user := range g[key] {
		own = own || user == org
		other = other || user != org
	}
	return own, other
}

// LiveGrants returns which grants of a lease's items some authorization still
// uses, whichever provider it belongs to (D1).
func (s *Store) LiveGrants(ctx context.Context, lease string) (LiveGrants, error) {
	var rows []struct{ GrantKey, OrgID string }
	err := s.db.WithContext(ctx).Raw(`SELECT DISTINCT a.grant_key_v2 AS grant_key, a.org_id FROM authorizations a JOIN providers p ON p.id = a.provider_id
		WHERE a.outcome IS NULL AND `+linked("a")+` AND p.delete_job_id IS NULL AND a.grant_key_v2 IN
		(SELECT grant_key_v2 FROM authorizations WHERE item_lease = ? AND outcome IS NULL AND grant_key_v2 <> '')`, lease).Scan(&rows).Error
	live := LiveGrants{}
	for _, r := range rows {
		live[r.GrantKey] = append(live[r.GrantKey], r.OrgID)
	}
	return live, err
}

// GrantShared reports whether an authorization other than the given one depends on a
// grant, whichever provider it belongs to (D1).
func (s *Store) GrantShared(ctx context.Context, key, authorization string) (bool, error) {
	var shared bool
	return shared, s.db.WithContext(ctx).Raw(`SELECT EXISTS (SELECT 1 FROM authorizations a JOIN providers p ON p.id = a.provider_id
		WHERE a.grant_key_v2 = ? AND a.id <> ? AND a.outcome IS NULL AND `+linked("a")+` AND p.delete_job_id IS NULL)`,
		key, authorization).Scan(&shared).Error
}

// GrantRevokedSince reports whether the whole grant of any of the keys was revoked
// since the given time, as far as is remembered: longer than a consent lives.
func (s *Store) GrantRevokedSince(ctx context.Context, keys []string, since time.Time) (bool, error) {
	var n int64
	err := s.db.WithContext(ctx).Model(&grantLease{}).Where("grant_key IN ? AND revoked_at >= ?", keys, since).Count(&n).Error
	return n > 0, err
}

// ReleaseGrants gives back the leases that owner has, and remembers which of the
// grants it revoked whole: tokens that were given meanwhile may have gone with it.
func (s *Store) ReleaseGrants(ctx context.Context, owner string, revoked []string) error {
	if len(revoked) > 0 {
		err := s.db.WithContext(ctx).Model(&grantLease{}).Where("owner = ? AND grant_key IN ?", owner, revoked).
			Updates(map[string]any{"owner": "", "until": s.now(), "revoked_at": s.now()}).Error
		if err != nil {
			return err
		}
	}
	return s.db.WithContext(ctx).Where("owner = ?", owner).Delete(&grantLease{}).Error
}

// ForgetGrants deletes leases that ended longer ago than the retention.
func (s *Store) ForgetGrants(ctx context.Context, retention time.Duration, limit int) (int64, error) {
	return s.forget(ctx, "grant_leases", "until", "", retention, limit)
}

func set(keys []string) map[string]bool {
	m := make(map[string]bool, len(keys))
	for _, k := range keys {
		m[k] = true
	}
	return m
}
