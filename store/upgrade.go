package store

import (
	"context"
	"strings"
	"time"

	"github.com/grantd/grantd/models"
)

// Rows of the release before, which have the first version of fingerprints, grant
// keys and bindings alone.

// The upgrades of which it is remembered when they began.
const (
	UpgradeOfKeys            = "keys"             // when rows of the release before were first met
	UpgradeOfUserRevocations = "user_revocations" // when the table was made, beside providers that were there
)

// UpgradeBegan returns when an upgrade began, nil where there was none.
func (s *Store) UpgradeBegan(ctx context.Context, name string) (*time.Time, error) {
	var began []time.Time
	err := s.db.WithContext(ctx).Table("upgrades").Where("name = ?", name).Pluck("began_at", &began).Error
	if err != nil || len(began) == 0 {
		return nil, err
	}
	return &began[0], nil
}

// BeginUpgrade remembers that rows of the release before were met, unless that is
// remembered.
func (s *Store) BeginUpgrade(ctx context.Context) error {
	return s.db.WithContext(ctx).Exec("INSERT INTO upgrades (name, began_at) VALUES ('keys', ?) ON CONFLICT (name) DO NOTHING", s.now()).Error
}

// AnyV1 reports whether any row has the first version alone.
func (s *Store) AnyV1(ctx context.Context) (bool, error) {
	var any bool
	return any, s.db.WithContext(ctx).Raw(`SELECT EXISTS (SELECT 1 FROM authorizations WHERE fingerprint_v2 = '' AND outcome IS NULL)
		OR EXISTS (SELECT 1 FROM providers WHERE fingerprint_v2 = '')`).Scan(&any).Error
}

// V1Providers returns providers without a fingerprint of the second version.
func (s *Store) V1Providers(ctx context.Context, limit int) ([]models.Provider, error) {
	var all []models.Provider
	return all, s.db.WithContext(ctx).Where("fingerprint_v2 = ''").Order("id").Limit(limit).Find(&all).Error
}

// SetFingerprint writes a provider's fingerprint of the second version, unless the
// provider became another client since it was read.
func (s *Store) SetFingerprint(ctx context.Context, read models.Provider, v2 string) error {
	return s.db.WithContext(ctx).Exec("UPDATE providers SET fingerprint_v2 = ? WHERE id = ? AND fingerprint = ? AND fingerprint_v2 = ''",
		v2, read.ID, read.Fingerprint).Error
}

// V1Row is an authorization that has keys of the first version alone, and its
// provider.
type V1Row struct {
	Authorization models.Authorization
	Provider      models.Provider
}

// V1Authorizations returns authorizations that may still be used or are to be revoked
// and have keys of the first version alone.
func (s *Store) V1Authorizations(ctx context.Context, limit int) ([]V1Row, error) {
	return s.v1Rows(ctx, "EXISTS (SELECT 1 FROM providers p WHERE p.id = authorizations.provider_id) ORDER BY id LIMIT ?", limit)
}

// V1OfGrants returns those of them that have one of the grant keys of the first
// version.
func (s *Store) V1OfGrants(ctx context.Context, keys ...string) ([]V1Row, error) {
	return s.v1Rows(ctx, "grant_key IN ?", keys)
}

// V1OfItems returns those of them that share a grant key of the first version with
// the items under a lease.
func (s *Store) V1OfItems(ctx context.Context, lease string) ([]V1Row, error) {
	return s.v1Rows(ctx, "grant_key IN (SELECT grant_key FROM authorizations WHERE item_lease = ? AND outcome IS NULL AND grant_key <> '')", lease)
}

func (s *Store) v1Rows(ctx context.Context, which string, args ...any) ([]V1Row, error) {
	var rows []models.Authorization
	err := s.db.WithContext(ctx).Raw("SELECT "+s.columns("authorizations", models.Authorization{})+" FROM authorizations WHERE fingerprint_v2 = '' AND outcome IS NULL AND "+which, args...).Scan(&rows).Error
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	linked, err := s.link(ctx, rows)
	var found []V1Row
	for _, l := range linked {
		if l.Provider.ID != "" {
			found = append(found, V1Row{l.Authorization, l.Provider})
		}
	}
	return found, err
}

// V2Keys are the keys of the second version of one authorization. Where it has no
// grant key of the first, GrantKey is "".
type V2Keys struct{ ID, Fingerprint, GrantKey string }

// SetKeys writes keys of the second version, except where somebody else did
// meanwhile.
func (s *Store) SetKeys(ctx context.Context, keys []V2Keys) error {
	if len(keys) == 0 {
		return nil
	}
	values := make([]string, len(keys))
	var args []any
	for i, k := range keys {
		values[i] = "(CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT))"
		args = append(args, k.ID, k.Fingerprint, k.GrantKey)
	}
	return s.db.WithContext(ctx).Exec(`WITH keys (id, fingerprint, grant_key) AS (VALUES `+strings.Join(values, ", ")+`)
		UPDATE authorizations SET fingerprint_v2 = keys.fingerprint, grant_key_v2 = keys.grant_key
		FROM keys WHERE authorizations.id = keys.id AND fingerprint_v2 = ''`, args...).Error
}

// V1Secrets returns client secrets that are bound to origins alone.
func (s *Store) V1Secrets(ctx context.Context, limit int) ([]SealedSecret, error) {
	var all []SealedSecret
	return all, s.db.WithContext(ctx).Raw("SELECT "+s.columns("p", models.Provider{})+`, s.id AS config_id, s.sealed
		FROM secure_configs s JOIN providers p ON p.id = s.provider_id WHERE s.binding = 1 ORDER BY s.id LIMIT ?`, limit).Scan(&all).Error
}

// RebindSecret replaces a secret that is bound to origins, unless it changed since it
// was read, as it does when its provider becomes another client.
func (s *Store) RebindSecret(ctx context.Context, read SealedSecret, sealed []byte) error {
	return s.db.WithContext(ctx).Exec(`UPDATE secure_configs SET sealed = ?, binding = 2 WHERE id = ? AND sealed = ?`,
		sealed, read.ConfigID, read.Sealed).Error
}

// SkipSecret leaves a secret as it is that cannot be bound again.
func (s *Store) SkipSecret(ctx context.Context, read SealedSecret) error {
	return s.db.WithContext(ctx).Exec("UPDATE secure_configs SET binding = 0 WHERE id = ? AND sealed = ?", read.ConfigID, read.Sealed).Error
}
