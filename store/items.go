package store

import (
	"context"
	"strconv"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/grantd/grantd/models"
)

// An item is an authorization that is to be revoked: one of a provider that is
// being deleted, or one that was unlinked. Its lease says who revokes it; unlike
// a refresh, an outcome that comes after the lease went to somebody else is
// refused (D6).

// Items are the items of one job: all of a provider that is being deleted, or
// those that a job took for itself.
type Items struct{ column, id string }

// ItemsOfProvider are a provider's, unlinked or not (D2).
func ItemsOfProvider(id string) Items { return Items{"provider_id", id} }

// ItemsOfJob are those that were given to the job.
func ItemsOfJob(id string) Items { return Items{"job_id", id} }

// ClaimItems leases up to limit items to the owner of the lease, and returns how
// many: those that are due, and with paused also those that wait for their time,
// but none that somebody else holds.
func (s *Store) ClaimItems(ctx context.Context, of Items, lease string, leaseFor time.Duration, limit int, paused bool) (int64, error) {
	claimable := "item_due_at <= ?"
	if paused {
		claimable = "(item_due_at <= ? OR item_lease IS NULL)"
	}
	r := s.db.WithContext(ctx).Exec(`WITH due AS MATERIALIZED
		(SELECT id FROM authorizations WHERE `+of.column+` = ? AND outcome IS NULL AND `+claimable+`
		ORDER BY item_due_at LIMIT ?`+s.dialect.skipLocked+`)
		UPDATE authorizations SET item_lease = ?, item_due_at = ? WHERE id IN (SELECT id FROM due)`,
		of.id, s.now(), limit, lease, s.in(leaseFor))
	return r.RowsAffected, r.Error
}

// ClaimItem leases one unlinked authorization, due or not, unless somebody is at
// it. It reports whether it did.
func (s *Store) ClaimItem(ctx context.Context, id, lease string, leaseFor time.Duration) (bool, error) {
	return changed(s.db.WithContext(ctx).Model(&models.Authorization{}).
		Where("id = ? AND unlinked_at IS NOT NULL AND outcome IS NULL AND (item_lease IS NULL OR item_due_at <= ?)", id, s.now()).
		Updates(map[string]any{"item_lease": lease, "item_due_at": s.in(leaseFor)}))
}

// LeaseItemCredentials gives the lease the credentials of all its items to itself,
// except those that a refresh is using (R9).
func (s *Store) LeaseItemCredentials(ctx context.Context, lease string, leaseFor time.Duration) error {
	return s.db.WithContext(ctx).Model(&models.Credential{}).
		Where("authorization_id IN (SELECT id FROM authorizations WHERE item_lease = ? AND outcome IS NULL)", lease).
		Where("lease_until IS NULL OR lease_until <= ?", s.now()).
		Updates(map[string]any{"lease_owner": lease, "lease_until": s.in(leaseFor)}).Error
}

// ItemsUnder returns what a lease holds, with providers and credentials.
func (s *Store) ItemsUnder(ctx context.Context, lease string) ([]models.Linked, error) {
	var rows []models.Authorization
	if err := s.db.WithContext(ctx).Where("item_lease = ? AND outcome IS NULL", lease).Find(&rows).Error; err != nil {
		return nil, err
	}
	return s.link(ctx, rows)
}

// GiveBackItem lets an item be claimed again after the given time. An attempt
// that says something about the item itself is counted; a pause is not (D4).
func (s *Store) GiveBackItem(ctx context.Context, id, lease, reason string, after time.Duration, attempt bool) error {
	row := map[string]any{"item_lease": nil, "item_due_at": s.in(after), "outcome_reason": reason}
	if attempt {
		row["item_attempts"] = gorm.Expr("item_attempts + 1")
	}
	return s.db.WithContext(ctx).Model(&models.Authorization{}).
		Where("id = ? AND item_lease = ? AND outcome IS NULL", id, lease).Updates(row).Error
}

// Settled is an item whose revocation ended.
type Settled struct {
	ID         string
	Generation int64 // of the credential that was revoked
	Outcome    models.Outcome
	Reason     string
	Keep       *models.SupersededPair // what is kept of a superseded one (D7)
	Spared     bool                   // of its grant, because of another organisation (D1)
}

// SettleItems writes the outcomes of items under a lease, once each, and wipes what
// is no longer needed; job is whose items they are, none for a single disconnect. It
// returns those it really settled: an item whose lease has gone to somebody else is not
// among them, nor one whose credential has newer tokens, which must be revoked in turn
// (R9). CountSettled counts them, in the same transaction.
func (s *Store) SettleItems(ctx context.Context, lease string, job *string, settled []Settled) ([]Settled, error) {
	var done []Settled
	err := s.Tx(ctx, func(tx *Store) error {
		done = done[:0]
		groups := map[[2]string][]Settled{}
		for _, i := range settled {
			key := [2]string{string(i.Outcome), i.Reason}
			groups[key] = append(groups[key], i)
		}
		for key, group := range groups {
			ids, err := tx.settleGroup(lease, job, models.Outcome(key[0]), key[1], group)
			if err != nil {
				return err
			}
			written := set(ids)
			for _, i := range group {
				if written[i.ID] {
					done = append(done, i)
				}
			}
		}
		return tx.keepSuperseded(done)
	})
	return done, err
}

// CountSettled adds items that were settled to the counts of their job. It comes last in
// the transaction that settles them, since nobody else counts in the job until that ends.
func (s *Store) CountSettled(ctx context.Context, job string, done []Settled) error {
	counts := map[string]int{}
	for _, i := range done {
		counts[string(i.Outcome)]++
		if i.Keep != nil {
			counts["kept"]++
		}
		if i.Spared {
			counts["spared"]++
		}
	}
	if len(counts) == 0 {
		return nil
	}
	added := map[string]any{}
	for column, n := range counts {
		added[column] = gorm.Expr(column+" + ?", n)
	}
	return s.db.WithContext(ctx).Model(&models.Job{}).Where("id = ?", job).Updates(added).Error
}

// wiped is what an authorization does not keep once it is revoked (P1).
const wiped = `, sub = '', login = '', email = '', picture = '', id_token_account = '', introspection_account = '', scopes = '[]', missing_scopes = '[]', scopes_cut = FALSE,
	grant_key = '', grant_key_v2 = '', fingerprint = '', fingerprint_v2 = ''`

// settleGroup settles items that share an outcome and its reason.
func (s *Store) settleGroup(lease string, job *string, o models.Outcome, reason string, group []Settled) ([]string, error) {
	pairs := make([]string, len(group))
	var args []any
	for i, item := range group {
		pairs[i] = "(CAST(? AS TEXT), CAST(? AS BIGINT))"
		args = append(args, item.ID, item.Generation)
	}
	match := "(SELECT authorization_id FROM credentials WHERE (authorization_id, generation) IN (VALUES " + strings.Join(pairs, ", ") + "))"
	wipe := wiped
	if o == models.OutcomeFailed { // it may be resumed, and needs all of it then
		wipe = ""
	}
	var ids []string
	err := s.db.Raw(`UPDATE authorizations SET outcome = ?, outcome_reason = ?, outcome_at = ?, job_id = ?, item_lease = NULL,
		unlinked_at = COALESCE(unlinked_at, ?), updated_at = ?`+wipe+`
		WHERE item_lease = ? AND outcome IS NULL AND id IN `+match+` RETURNING id`,
		append([]any{o, reason, s.now(), job, s.now(), s.now(), lease}, args...)...).Scan(&ids).Error
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	if o == models.OutcomeFailed {
		err = s.db.Exec("UPDATE credentials SET lease_owner = NULL, lease_until = ? WHERE authorization_id IN ? AND lease_owner = ?", s.leaseOver(), ids, lease).Error
	} else {
		err = s.db.Exec("DELETE FROM credentials WHERE authorization_id IN ?", ids).Error
	}
	if err != nil {
		return nil, err
	}
	if f := s.observer.Revoked; f != nil {
		s.committed(func() { f(o, len(ids)) })
	}
	return ids, nil
}

// AnyPending reports whether any item has no outcome yet.
func (s *Store) AnyPending(ctx context.Context, of Items) (bool, error) {
	var any bool
	return any, s.db.WithContext(ctx).Raw("SELECT EXISTS (SELECT 1 FROM authorizations WHERE "+of.column+" = ? AND outcome IS NULL)",
		of.id).Scan(&any).Error
}

// CountItems counts the items without outcome and returns the first ids.
func (s *Store) CountItems(ctx context.Context, of Items, sample int) (int64, models.Strings, error) {
	q := s.db.WithContext(ctx).Model(&models.Authorization{}).Where(of.column+" = ? AND outcome IS NULL", of.id)
	var n int64
	if err := q.Session(&gorm.Session{}).Count(&n).Error; err != nil {
		return 0, nil, err
	}
	var ids []string
	return n, ids, q.Order("id").Limit(sample).Pluck("id", &ids).Error
}

// NextItemDue returns in how long the next item may be claimed, 0 when one may be
// now, and false when there is none.
func (s *Store) NextItemDue(ctx context.Context, of Items) (time.Duration, bool, error) {
	return s.untilFirst(ctx, s.db.WithContext(ctx).Model(&models.Authorization{}).
		Where(of.column+" = ? AND outcome IS NULL", of.id), "item_due_at")
}

// untilFirst returns how long it is until the earliest time in a column of a query's
// rows, 0 when that is over, and false when there are no rows.
func (s *Store) untilFirst(ctx context.Context, query *gorm.DB, column string) (time.Duration, bool, error) {
	var due []time.Time
	err := query.Order(column).Limit(1).Pluck(column, &due).Error
	if err != nil || len(due) == 0 {
		return 0, false, err
	}
	now, err := s.Now(ctx)
	return max(0, due[0].Sub(now)), true, err
}

// PendingSample is how many items of a job PendingByProvider looks at.
const PendingSample = 2000

// PendingByProvider counts, of the items of a job that have no outcome yet, those that are due first, at most
// PendingSample.
func (s *Store) PendingByProvider(ctx context.Context, job string) (map[string]int64, error) {
	return counted[string](s.db.WithContext(ctx).Raw(`SELECT provider_id AS name, count(*) AS n FROM
		(SELECT provider_id FROM authorizations WHERE job_id = ? AND outcome IS NULL ORDER BY item_due_at LIMIT `+strconv.Itoa(PendingSample)+`) AS due
		GROUP BY provider_id`, job))
}

// DueTombstones returns unlinked authorizations of providers that are not being
// deleted and have not used up their share (S3), whose revocation is due, of each
// organisation some, and moves their due time so that replicas sweeping at once share them
// out (O1).
func (s *Store) DueTombstones(ctx context.Context, next time.Duration, limit int) ([]string, error) {
	return claimOfEach(ctx, s, tombstones, limit, func(org string, limit int) (ids []string, err error) {
		return ids, s.db.WithContext(ctx).Raw(`UPDATE authorizations SET item_due_at = ?, item_lease = NULL WHERE `+s.dialect.rowsOf(
			tombstones.of(` AND `+ofNoDeletion+` AND NOT EXISTS
				(SELECT 1 FROM pauses w WHERE w.provider_id = authorizations.provider_id AND w.class = 'revoke_pace' AND w.until > ?)`))+` RETURNING id`,
			s.in(next), org, s.now(), s.now(), limit).Scan(&ids).Error
	})
}

// ofNoDeletion leaves out the authorizations of providers that are being deleted.
const ofNoDeletion = `EXISTS (SELECT 1 FROM providers p WHERE p.id = authorizations.provider_id AND p.delete_job_id IS NULL)`

// AbandonTombstones gives up on single revocations that were tried for longer
// than the retention (P1).
func (s *Store) AbandonTombstones(ctx context.Context, retention time.Duration, limit int) error {
	return s.Tx(ctx, func(tx *Store) error {
		var gone []models.Authorization
		err := tx.db.Raw(`UPDATE authorizations SET outcome = ?, outcome_at = ?`+wiped+` WHERE `+tx.dialect.rowsOf(
			`authorizations WHERE unlinked_at <= ? AND outcome IS NULL AND job_id IS NULL AND `+ofNoDeletion+`
			ORDER BY unlinked_at LIMIT ?`)+` RETURNING id, org_id, user_id, provider_id, unlinked_at, created_at`,
			models.OutcomeAbandoned, tx.now(), tx.in(-retention), limit).Scan(&gone).Error
		if err != nil || len(gone) == 0 {
			return err
		}
		var ids []string
		var told []models.Event
		for _, a := range gone {
			ids = append(ids, a.ID)
			if a.WasLinked() {
				told = append(told, a.Event(models.EventConnectionDisconnected, string(models.OutcomeAbandoned)))
			}
		}
		if err := tx.Tell(ctx, told...); err != nil {
			return err
		}
		return tx.db.Exec("DELETE FROM credentials WHERE authorization_id IN ?", ids).Error
	})
}

// ForgetTombstones deletes what is left of single disconnects after the
// retention.
func (s *Store) ForgetTombstones(ctx context.Context, retention time.Duration, limit int) (int64, error) {
	return s.forget(ctx, "authorizations", "outcome_at", " AND job_id IS NULL AND outcome IS NOT NULL", retention, limit)
}

// UnlinkExpired makes authorizations whose person must authorize again, and did not
// for longer than the retention, items of revocation.
func (s *Store) UnlinkExpired(ctx context.Context, retention time.Duration, limit int) error {
	return s.db.WithContext(ctx).Exec(`UPDATE authorizations SET unlinked_at = ?, updated_at = ?, item_due_at = ? WHERE id IN
		(SELECT c.authorization_id FROM credentials c WHERE c.verdict = 'expired' AND c.saved_at <= ? AND EXISTS
			(SELECT 1 FROM authorizations a JOIN providers p ON p.id = a.provider_id WHERE a.id = c.authorization_id
			AND `+verdictHolds+` AND p.trouble = '' AND a.unlinked_at IS NULL AND a.outcome IS NULL AND p.delete_job_id IS NULL)
		ORDER BY c.saved_at LIMIT `+strconv.Itoa(limit)+`)`,
		s.now(), s.now(), s.now(), s.in(-retention)).Error
}
