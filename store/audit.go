package store

import (
	"cmp"
	"context"
	"slices"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/grantd/grantd/models"
)

// AuditEvent says who did what to which thing: ids and codes only (H2).
type AuditEvent struct {
	ID              string `gorm:"primaryKey"`
	OrgID           string
	At              time.Time
	UserID          string
	TokenID         string
	Action          Action
	ProviderID      string
	AuthorizationID string
	JobID           string
	Code            string
}

// Action is what happened.
type Action string

// The actions.
const (
	ActionProviderCreated      Action = "provider.created"
	ActionProviderChanged      Action = "provider.changed"
	ActionProviderDeleteAsked  Action = "provider.delete_asked"
	ActionProviderDeleted      Action = "provider.deleted"
	ActionFlowFailed           Action = "flow.failed"
	ActionAuthorizationMade    Action = "authorization.made"
	ActionAuthorizationRenewed Action = "authorization.renewed"
	ActionAuthorizationUnlink  Action = "authorization.unlinked"
	ActionRefreshed            Action = "token.refreshed"
	ActionRefreshFailed        Action = "token.refresh_failed"
	ActionTokenDead            Action = "token.dead"
	ActionTroubleBegun         Action = "provider.trouble_begun"
	ActionTroubleEnded         Action = "provider.trouble_ended"
	ActionIdentityMismatch     Action = "authorization.identity_mismatch"
	ActionResetAsked           Action = "token.reset_asked"
	ActionReset                Action = "token.reset"
	ActionTokenRevokeAsked     Action = "token.revoke_asked"
	ActionTokenRevoked         Action = "token.revoked"
	ActionRevoked              Action = "authorization.revoked"
	ActionJobCreated           Action = "job.created"
	ActionTokenCreated         Action = "api_token.created"
	ActionTokenEnded           Action = "api_token.revoked"
	ActionSignedIn             Action = "session.begun"
	ActionSignedOut            Action = "session.ended"
	ActionKeyAdded             Action = "keyset.key_added"
	ActionKeyPromoted          Action = "keyset.key_promoted"
	ActionKeyRemoved           Action = "keyset.key_removed"
	ActionResealed             Action = "keyset.resealed"
)

// Audit writes events; within a transaction they stand or fall with the change.
func (s *Store) Audit(ctx context.Context, events ...AuditEvent) error {
	if len(events) == 0 {
		return nil
	}
	now, err := s.Now(ctx)
	if err != nil {
		return err
	}
	for i := range events {
		events[i].At = now
	}
	return s.db.WithContext(ctx).Create(&events).Error
}

// Fetches counts token fetches of one authorization by one caller in one minute.
type Fetches struct {
	AuthorizationID string
	Caller          models.Caller
	Minute          time.Time
	N               int64
}

// AddFetches adds counts to what is known of the same minutes, always in the same
// order: replicas that write the same rows would block each other for good.
func (s *Store) AddFetches(ctx context.Context, all []Fetches) error {
	slices.SortFunc(all, func(a, b Fetches) int {
		return cmp.Or(cmp.Compare(a.AuthorizationID, b.AuthorizationID), cmp.Compare(a.Caller.TokenID, b.Caller.TokenID), a.Minute.Compare(b.Minute))
	})
	if s.pool != nil && !s.inTx {
		return s.addFetchesAtOnce(ctx, all)
	}
	return s.Tx(ctx, func(tx *Store) error {
		for some := range slices.Chunk(all, 1000) {
			rows := make([]map[string]any, len(some))
			for i, f := range some {
				rows[i] = map[string]any{"authorization_id": f.AuthorizationID, "token_id": f.Caller.TokenID, "minute": f.Minute.UTC(),
					"org_id": f.Caller.OrgID, "user_id": f.Caller.UserID, "fetches": f.N}
			}
			err := tx.db.Table("token_fetches").Clauses(clause.OnConflict{
				Columns:   []clause.Column{{Name: "authorization_id"}, {Name: "token_id"}, {Name: "minute"}},
				DoUpdates: clause.Assignments(map[string]any{"fetches": gorm.Expr("token_fetches.fetches + excluded.fetches")}),
			}).Create(rows).Error
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// addFetchesAtOnce hands PostgreSQL a list for each column. It does this every second
// with as many rows as authorizations were fetched of: a statement with a value for
// each column of each row takes it several times as long, and longer to parse than
// to do.
func (s *Store) addFetchesAtOnce(ctx context.Context, all []Fetches) error {
	const query = `INSERT INTO token_fetches AS f (authorization_id, token_id, minute, org_id, user_id, fetches)
		SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::text[], $6::bigint[])
		ON CONFLICT (authorization_id, token_id, minute) DO UPDATE SET fetches = f.fetches + excluded.fetches`
	n := len(all)
	authorizations, tokens, orgs, users := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	minutes, counts := make([]time.Time, n), make([]int64, n)
	for i, f := range all {
		authorizations[i], tokens[i], minutes[i] = f.AuthorizationID, f.Caller.TokenID, f.Minute
		orgs[i], users[i], counts[i] = f.Caller.OrgID, f.Caller.UserID, f.N
	}
	_, err := s.pool.Exec(ctx, query, authorizations, tokens, minutes, orgs, users, counts)
	return err
}

// LastFetches returns, to the minute, when a token of each of these authorizations was
// fetched last; one that was not fetched within the retention is left out.
func (s *Store) LastFetches(ctx context.Context, authorizations []string) (map[string]time.Time, error) {
	var rows []struct {
		AuthorizationID string
		Minute          time.Time
	}
	err := s.db.WithContext(ctx).Raw(`SELECT f.authorization_id, f.minute FROM authorizations a
		JOIN token_fetches f ON f.authorization_id = a.id AND f.minute =
			(SELECT MAX(l.minute) FROM token_fetches l WHERE l.authorization_id = a.id)
		WHERE a.id IN ?`, authorizations).Scan(&rows).Error
	last := make(map[string]time.Time, len(rows))
	for _, row := range rows {
		last[row.AuthorizationID] = row.Minute
	}
	return last, err
}

// CountActions counts an organisation's events of the last while, by action.
func (s *Store) CountActions(ctx context.Context, org string, last time.Duration) (map[Action]int64, error) {
	return counted[Action](s.db.WithContext(ctx).Raw(`SELECT action AS name, count(*) AS n FROM audit_events
		WHERE org_id = ? AND at > ? GROUP BY action`, org, s.in(-last)))
}

// ForgetAudit deletes events and counts of fetches older than the retention.
func (s *Store) ForgetAudit(ctx context.Context, retention time.Duration, limit int) error {
	err := s.db.WithContext(ctx).Exec("DELETE FROM audit_events WHERE id IN (SELECT id FROM audit_events WHERE at <= ? LIMIT ?)",
		s.in(-retention), limit).Error
	if err != nil {
		return err
	}
	return s.db.WithContext(ctx).Exec(`DELETE FROM token_fetches WHERE (authorization_id, token_id, minute) IN
		(SELECT authorization_id, token_id, minute FROM token_fetches WHERE minute <= ? LIMIT ?)`, s.in(-retention), limit).Error
}
