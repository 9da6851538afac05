package store

import (
	"cmp"
	"context"
	"slices"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/grantd/grantd/migrations"
	"github.com/grantd/grantd/models"
)

// Fetches counts token fetches of one authorization by one caller in one minute.
type Fetches struct {
	AuthorizationID string
	Caller          models.Caller
	Minute          time.Time
	N               int64
}

// AddFetches adds counts to what is known about the same minutes, always in the same
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
	return translate(err)
}

// LastFetches returns, to the minute, when a token of each of these authorizations was
// fetched last; one that was not fetched within the retention is left out.
func (s *Store) LastFetches(ctx context.Context, authorizations []string) (map[string]time.Time, error) {
	last := make(map[string]time.Time, len(authorizations))
	err := s.addLast(ctx, last, authorizations, `SELECT f.authorization_id, f.minute FROM authorizations a
		JOIN token_fetches f ON f.authorization_id = a.id AND f.minute =
			(SELECT MAX(l.minute) FROM token_fetches l WHERE l.authorization_id = a.id)
		WHERE a.id IN ?`)
	// What is added up by day is older than all that is counted by the minute.
	older := slices.DeleteFunc(slices.Clone(authorizations), func(id string) bool { return !last[id].IsZero() })
	if err != nil || len(older) == 0 {
		return last, err
	}
	return last, s.addLast(ctx, last, older, `SELECT d.authorization_id, d.last_minute AS minute FROM authorizations a
		JOIN token_fetch_days d ON d.authorization_id = a.id AND d.day =
			(SELECT MAX(l.day) FROM token_fetch_days l WHERE l.authorization_id = a.id)
		WHERE a.id IN ?`)
}

func (s *Store) addLast(ctx context.Context, last map[string]time.Time, authorizations []string, query string) error {
	var rows []struct {
		AuthorizationID string
		Minute          time.Time
	}
	err := s.db.WithContext(ctx).Raw(query, authorizations).Scan(&rows).Error
	for _, row := range rows {
		if row.Minute.After(last[row.AuthorizationID]) {
			last[row.AuthorizationID] = row.Minute
		}
	}
	return err
}

// AddUpFetches turns at most limit counts of minutes longer ago than keep into counts
// of their days, and returns how many. A count is moved or stays where it is: both
// happen in one transaction.
func (s *Store) AddUpFetches(ctx context.Context, keep time.Duration, limit int) (n int64, err error) {
	if s.dialect.name == migrations.Postgres {
		// The order is the same in every process, which keeps two of them from waiting
		// for each other's days.
		return n, s.db.WithContext(ctx).Raw(`WITH gone AS (DELETE FROM token_fetches WHERE `+s.dialect.rowsOf(
			"token_fetches WHERE minute <= ? ORDER BY minute LIMIT ?")+` RETURNING *),
			added AS (INSERT INTO token_fetch_days AS d (authorization_id, day, token_id, org_id, user_id, fetches, last_minute)
				SELECT authorization_id, date_trunc('day', minute, 'UTC') AS day, token_id, MIN(org_id), MIN(user_id), SUM(fetches), MAX(minute)
				FROM gone GROUP BY authorization_id, day, token_id ORDER BY authorization_id, day, token_id
				ON CONFLICT (authorization_id, day, token_id) DO UPDATE
				SET fetches = d.fetches + excluded.fetches, last_minute = GREATEST(d.last_minute, excluded.last_minute))
			SELECT count(*) FROM gone`, s.in(-keep), limit).Scan(&n).Error
	}
	before := s.in(-keep)
	return n, s.Tx(ctx, func(tx *Store) error {
		const old = "(SELECT rowid FROM token_fetches WHERE minute <= ? ORDER BY minute, rowid LIMIT ?)"
		err := tx.db.Exec(`INSERT INTO token_fetch_days AS d (authorization_id, day, token_id, org_id, user_id, fetches, last_minute)
			SELECT authorization_id, substr(minute, 1, 10) || ' 00:00:00.000' AS day, token_id, MIN(org_id), MIN(user_id), SUM(fetches), MAX(minute)
			FROM token_fetches WHERE rowid IN `+old+` GROUP BY authorization_id, day, token_id
			ON CONFLICT (authorization_id, day, token_id) DO UPDATE
			SET fetches = d.fetches + excluded.fetches, last_minute = MAX(d.last_minute, excluded.last_minute)`, before, limit).Error
		if err != nil {
			return err
		}
		r := tx.db.Exec("DELETE FROM token_fetches WHERE rowid IN "+old, before, limit)
		n = r.RowsAffected
		return r.Error
	})
}

// ForgetFetches deletes at most limit counts by the minute, and as many by the day,
// whose fetches are longer ago than the retention. It returns the larger number.
func (s *Store) ForgetFetches(ctx context.Context, retention time.Duration, limit int) (int64, error) {
	minutes, err := s.forget(ctx, "token_fetches", "minute", "", retention, limit)
	if err != nil {
		return minutes, err
	}
	days, err := s.forget(ctx, "token_fetch_days", "last_minute", "", retention, limit)
	return max(minutes, days), err
}
