package store

import (
	"context"
	"fmt"

	"github.com/grantd/grantd/models"
)

// Sealed is a column of sealed values. What begins a value names its key, so that
// SQL can tell which rows wait to be sealed again (K3).
type Sealed struct {
	Table, Column string
	key           string
	only          string // the rows of a table that holds other things too
}

// The sealed columns. A column that is missing here would keep its values under
// a key that is taken away.
var (
	SealedCanary      = Sealed{"meta", "value", "name", "name = 'canary'"}
	SealedSecrets     = Sealed{"secure_configs", "sealed", "id", "true"}
	SealedCredentials = Sealed{"credentials", "sealed", "id", "true"}
	SealedRequests    = Sealed{"flows", "sealed", "id", "true"}
	SealedExchanges   = Sealed{"flows", "sealed_tokens", "id", "true"}

	SealedSuperseded = Sealed{"superseded_pairs", "sealed", "id", "true"}

	SealedWebhooks       = Sealed{"webhooks", "sealed", "id", "true"}
	SealedFormerWebhooks = Sealed{"webhooks", "former_sealed", "id", "true"}

	AllSealed = []Sealed{SealedCanary, SealedSecrets, SealedCredentials, SealedRequests, SealedExchanges, SealedSuperseded, SealedWebhooks, SealedFormerWebhooks}
)

// CountSealed counts sealed values by their first bytes.
func (s *Store) CountSealed(ctx context.Context, prefixSize int) (map[string]int64, error) {
	counts := map[string]int64{}
	for _, c := range AllSealed {
		var some []struct {
			Prefix []byte
			N      int64
		}
		err := s.db.WithContext(ctx).Raw(fmt.Sprintf(`SELECT substr(%[1]s, 1, %[2]d) AS prefix, count(*) AS n FROM %[3]s
			WHERE %[4]s AND length(%[1]s) > 0 GROUP BY 1`, c.Column, prefixSize, c.Table, c.only)).Scan(&some).Error
		if err != nil {
			return nil, fmt.Errorf("counting %s.%s by key: %w", c.Table, c.Column, err)
		}
		for _, one := range some {
			counts[string(one.Prefix)] += one.N
		}
	}
	return counts, nil
}

// notUnder ends a query for values of the column, in the table called as given,
// that do not begin with the prefix: those after an id, in the order of ids.
func (c Sealed) notUnder(alias string, prefix []byte, after string, limit int) (string, []any) {
	value, key := alias+"."+c.Column, alias+"."+c.key
	return fmt.Sprintf(` WHERE length(%[1]s) > 0 AND substr(%[1]s, 1, %[2]d) <> ? AND %[3]s > ? ORDER BY %[3]s LIMIT ?`,
		value, len(prefix), key), []any{prefix, after, limit}
}

// SealedSecret is a client secret with the provider that it belongs to.
type SealedSecret struct {
	models.Provider `gorm:"embedded"`
	ConfigID        string
	Sealed          []byte
}

// SecretsNotUnder returns client secrets not sealed by the key with this prefix.
// Secret and provider are of one moment: they change together, and only together
// they open.
func (s *Store) SecretsNotUnder(ctx context.Context, prefix []byte, after string, limit int) ([]SealedSecret, error) {
	end, args := SealedSecrets.notUnder("s", prefix, after, limit)
	var all []SealedSecret
	return all, s.db.WithContext(ctx).Raw("SELECT "+s.columns("p", models.Provider{})+`, s.id AS config_id, s.sealed
		FROM secure_configs s JOIN providers p ON p.id = s.provider_id`+end, args...).Scan(&all).Error
}

// SealedCredential is a pair of tokens with the authorization it belongs to.
type SealedCredential struct {
	models.Authorization `gorm:"embedded"`
	Sealed               []byte
}

// CredentialsNotUnder returns credentials not sealed by the key with this prefix.
func (s *Store) CredentialsNotUnder(ctx context.Context, prefix []byte, after string, limit int) ([]SealedCredential, error) {
	end, args := SealedCredentials.notUnder("c", prefix, after, limit)
	var all []SealedCredential
	return all, s.db.WithContext(ctx).Raw("SELECT "+s.columns("a", models.Authorization{})+`, c.sealed
		FROM credentials c JOIN authorizations a ON a.id = c.authorization_id`+end, args...).Scan(&all).Error
}

// SupersededNotUnder returns superseded pairs not sealed by the key with this prefix.
func (s *Store) SupersededNotUnder(ctx context.Context, prefix []byte, after string, limit int) ([]models.SupersededPair, error) {
	end, args := SealedSuperseded.notUnder("k", prefix, after, limit)
	var all []models.SupersededPair
	return all, s.db.WithContext(ctx).Raw("SELECT "+s.columns("k", models.SupersededPair{})+" FROM superseded_pairs k"+end, args...).Scan(&all).Error
}

// WebhooksNotUnder returns webhooks whose value in one of the two sealed columns is not
// sealed by the key with this prefix.
func (s *Store) WebhooksNotUnder(ctx context.Context, c Sealed, prefix []byte, after string, limit int) ([]models.Webhook, error) {
	end, args := c.notUnder("w", prefix, after, limit)
	var all []models.Webhook
	return all, s.db.WithContext(ctx).Raw(`SELECT `+s.columns("w", models.Webhook{})+` FROM webhooks w`+end, args...).Scan(&all).Error
}

// FlowsNotUnder returns flows whose value in one of the two sealed columns is not
// sealed by the key with this prefix.
func (s *Store) FlowsNotUnder(ctx context.Context, c Sealed, prefix []byte, after string, limit int) ([]models.Flow, error) {
	end, args := c.notUnder("f", prefix, after, limit)
	var all []models.Flow
	return all, s.db.WithContext(ctx).Raw("SELECT "+s.columns("f", models.Flow{})+" FROM flows f"+end, args...).Scan(&all).Error
}

// Reseal replaces a sealed value unless it is no longer the one that was opened,
// and reports whether it did. Something newer that was saved meanwhile is kept (K3).
func (s *Store) Reseal(ctx context.Context, c Sealed, id string, old, sealed []byte) (bool, error) {
	return changed(s.db.WithContext(ctx).Exec(
		fmt.Sprintf(`UPDATE %s SET %s = ? WHERE %s = ? AND %s = ?`, c.Table, c.Column, c.key, c.Column), sealed, id, old))
}
