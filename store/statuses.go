package store

import (
	"cmp"
	"context"
	"slices"
	"time"

	"gorm.io/gorm"

	"github.com/grantd/grantd/migrations"
	"github.com/grantd/grantd/models"
)

// The status of an authorization follows from its credential and its provider. Most
// authorizations are active, so the others are found from what makes them so, each cause by
// an index, and what is active is counted as the rest.

// statusOf derives an authorization's status in SQL, as models.Linked.Status does for one
// that was read; it takes the time.
func statusOf(authorization string) string {
	return `CASE
		WHEN ` + providerState(authorization) + ` THEN 'invalidProviderState'
		WHEN ` + verdictHolds + ` THEN c.verdict
		WHEN p.trouble = 'client' AND ` + inTrouble + ` AND c.has_refresh_token THEN 'invalidOAuthClient'
		WHEN NOT c.has_refresh_token AND (c.expires_at <= ? OR c.suspected = c.generation) THEN 'expired'
		ELSE 'active' END`
}

// providerState is, in SQL, that an authorization's provider p is off, or is not the client
// that its tokens were issued to.
func providerState(authorization string) string {
	return `(p.status <> 'active' OR ` + changedClient(authorization) + `)`
}

func changedClient(authorization string) string {
	return `(p.fingerprint <> ` + authorization + `.fingerprint
		AND (p.fingerprint_v2 = '' OR p.fingerprint_v2 <> ` + authorization + `.fingerprint_v2))`
}

// expiring are the credentials c that can make an authorization expired. No credential is
// among both.
var expiring = []string{
	"c.verdict IS NOT NULL",
	"c.verdict IS NULL AND NOT c.has_refresh_token AND (c.expires_at IS NOT NULL OR c.suspected = c.generation)",
}

// statusAmong is the status of the authorization of a credential c, NULL where it does not
// meet a condition; it takes the time, and then what the condition takes. It is a subquery
// because PostgreSQL would make a join of all authorizations first.
func statusAmong(condition string) string {
	return `(SELECT ` + statusOf("a") + ` FROM authorizations a JOIN providers p ON p.id = a.provider_id WHERE a.id = c.authorization_id AND ` + condition + `)`
}

// withStatus returns a page of an organisation's linked authorizations that have a status
// other than active, of those that meet a condition on authorizations a.
func (s *Store) withStatus(ctx context.Context, org string, f AuthorizationFilter) ([]models.Authorization, error) {
	if f.Status != models.AuthorizationExpired {
		return s.ofProvidersWith(ctx, org, f)
	}
	var found []foundLink
	err := s.byIndex(ctx, func(tx *Store) error {
		for _, cause := range expiring {
			where, args := f.conditions(s, "a")
			all := gorm.Expr(`SELECT c.authorization_id AS id, c.made_at AS created_at FROM credentials c
				WHERE c.org_id = ? AND `+cause+` AND `+statusAmong(where)+` = 'expired'`, slices.Concat([]any{org, s.now()}, args)...)
			rows, err := page[foundLink](tx.db.WithContext(ctx).Table("(?) AS found", all), f.After, false, f.Limit)
			if err != nil {
				return err
			}
			found = append(found, rows...)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(found, func(a, b foundLink) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	if n := len(found) - f.Limit; n > 0 && f.After != nil && f.After.Back {
		found = found[n:]
	} else if n > 0 {
		found = found[:f.Limit]
	}
	ids := make([]string, len(found))
	for i, l := range found {
		ids[i] = l.ID
	}
	var rows []models.Authorization
	return rows, s.db.WithContext(ctx).Order("created_at, id").Find(&rows, "id IN "+s.dialect.list, listed(ids)).Error
}

// byIndex runs queries of which few rows are wanted, in the order of an index. PostgreSQL does
// not know how many rows have a status, so that it would rather read and sort all of them.
func (s *Store) byIndex(ctx context.Context, f func(*Store) error) error {
	if s.dialect.name != migrations.Postgres {
		return f(s)
	}
	return s.Tx(ctx, func(tx *Store) error {
		err := tx.db.Exec(`SELECT set_config(name, 'off', true) FROM unnest(ARRAY['enable_seqscan', 'enable_bitmapscan', 'enable_hashjoin',
			'enable_mergejoin', 'enable_sort', 'jit']) AS name`).Error
		if err != nil {
			return err
		}
		return f(tx)
	})
}

// foundLink is an authorization's place in a list.
type foundLink struct {
	ID        string
	CreatedAt time.Time
}

// ofProvidersWith is withStatus for a status that follows from the provider.
func (s *Store) ofProvidersWith(ctx context.Context, org string, f AuthorizationFilter) ([]models.Authorization, error) {
	var ids []string
	which := providersOff + " OR " + providersChanged
	if f.Status == models.AuthorizationInvalidOAuthClient {
		which = providersRefused
	}
	err := s.byIndex(ctx, func(tx *Store) error {
		return tx.db.Raw("SELECT p.id FROM providers p WHERE p.org_id = ? AND ("+which+")", org).Scan(&ids).Error
	})
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	where, args := f.conditions(s, "authorizations")
	return page[models.Authorization](s.ofStatus(s.db.WithContext(ctx).Where(where, args...).
		Where("provider_id IN "+s.dialect.list, listed(ids)), f.Status), f.After, false, f.Limit)
}

// ofStatus has a query of authorizations look at the status of each.
func (s *Store) ofStatus(q *gorm.DB, status models.AuthorizationStatus) *gorm.DB {
	return q.Where(`EXISTS (SELECT 1 FROM providers p, credentials c WHERE p.id = authorizations.provider_id
		AND c.authorization_id = authorizations.id AND `+statusOf("authorizations")+` = ?)`, s.now(), status)
}

// Providers p of which a status follows. Those that are another client than some of their
// authorizations are found on either side of their own fingerprint.
var (
	providersOff     = "p.status <> 'active'"
	providersRefused = "p.status = 'active' AND p.trouble = 'client' AND " + inTrouble
	providersChanged = "p.status = 'active' AND (p.fingerprint_v2 = '' OR " + clientBeside("<") + " OR " + clientBeside(">") + ")"
)

func clientBeside(side string) string {
	return `EXISTS (SELECT 1 FROM authorizations o WHERE o.provider_id = p.id AND o.unlinked_at IS NULL
		AND o.fingerprint_v2 ` + side + ` p.fingerprint_v2 AND o.fingerprint <> p.fingerprint)`
}

// CountAuthorizations counts an organisation's linked authorizations by status.
func (s *Store) CountAuthorizations(ctx context.Context, org string) ([]Count, error) {
	switch found, err := s.causesFound(ctx, org); {
	case err != nil:
		return nil, err
	case !found:
		return s.countLinked(ctx, "status", org, nil)
	}
	of := func(status, providers, authorizations string) string {
		return ` SELECT ` + status + ` AS status, CAST(COALESCE(sum((SELECT count(*) FROM ` + authorizations + ` AND a.provider_id = p.id AND a.unlinked_at IS NULL)), 0) AS BIGINT) AS n
			FROM providers p WHERE p.org_id = ? AND ` + providers + ` GROUP BY 1`
	}
	statement := of("CASE WHEN "+providersOff+" THEN 'invalidProviderState' ELSE 'active' END", "TRUE", "authorizations a WHERE TRUE") + ` UNION ALL` +
		of("'changed'", providersChanged, "authorizations a WHERE "+changedClient("a")) + ` UNION ALL` +
		of("'invalidOAuthClient'", providersRefused, "authorizations a JOIN credentials c ON c.authorization_id = a.id WHERE "+statusOf("a")+" = 'invalidOAuthClient'")
	args := []any{org, org, s.now(), org}
	for _, cause := range expiring {
		statement += ` UNION ALL SELECT 'expired', count(*) FROM credentials c WHERE c.org_id = ? AND ` + cause + ` AND ` + statusAmong("a.unlinked_at IS NULL") + ` = 'expired'`
		args = append(args, org, s.now())
	}
	var found []Count
	err := s.byIndex(ctx, func(tx *Store) error { // by one statement, so that all are of one moment
		return tx.db.Raw(statement, args...).Scan(&found).Error
	})
	if err != nil {
		return nil, err
	}
	byStatus := map[string]int64{}
	for _, c := range found {
		switch c.Status {
		case "changed":
			byStatus[string(models.AuthorizationInvalidProviderState)] += c.N
			byStatus[string(models.AuthorizationActive)] -= c.N
		case string(models.AuthorizationExpired), string(models.AuthorizationInvalidOAuthClient):
			byStatus[c.Status] += c.N
			byStatus[string(models.AuthorizationActive)] -= c.N
		default: // of providers that are active or off
			byStatus[c.Status] += c.N
		}
	}
	var counts []Count
	for _, status := range models.AuthorizationStatuses {
		if n := byStatus[string(status)]; n > 0 {
			counts = append(counts, Count{Status: string(status), N: n})
		}
	}
	slices.SortFunc(counts, func(a, b Count) int { return cmp.Compare(a.Status, b.Status) })
	return counts, nil
}

// causesFound reports whether statuses are found by their causes: not while there are rows of
// the release before that are to be filled in, and those of an organisation are not counted so
// while everything of a user of it is being unlinked. org is "" where nothing is counted.
func (s *Store) causesFound(ctx context.Context, org string) (bool, error) {
	var found bool
	return found, s.db.WithContext(ctx).Raw(`SELECT NOT EXISTS (SELECT 1 FROM credentials WHERE org_id IS NULL)
		AND NOT EXISTS (SELECT 1 FROM user_revocations WHERE org_id = ?)`, org).Scan(&found).Error
}

// FillCredentials fills organisation and time into at most limit credentials that the release
// before wrote, and returns into how many.
func (s *Store) FillCredentials(ctx context.Context, limit int) (int64, error) {
	r := s.db.WithContext(ctx).Exec(`UPDATE credentials SET org_id = (SELECT a.org_id FROM authorizations a WHERE a.id = credentials.authorization_id),
		made_at = (SELECT a.created_at FROM authorizations a WHERE a.id = credentials.authorization_id)
		WHERE `+s.dialect.rowsOf("credentials WHERE org_id IS NULL ORDER BY id LIMIT ?"), limit)
	return r.RowsAffected, r.Error
}
