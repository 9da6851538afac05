package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gorm.io/gorm"

	"github.com/grantd/grantd/models"
)

// ProviderFilter says which of an organisation's providers are asked for. Empty
// fields do not filter.
type ProviderFilter struct {
	Within []string // ids; nil does not filter
	IDs    []string
	Types  []string
	// Hosts are metadata hosts; PublicTypes are the types whose public host is
	// among them, whose providers name no host of their own.
	Hosts       []string
	PublicTypes []string
	Descending  bool
	After       *Position
	Limit       int
}

// InsertProvider keeps a new provider and its sealed client secret.
// ErrDuplicate means that its slug is taken.
func (s *Store) InsertProvider(ctx context.Context, p *models.Provider, secret *models.SecureConfig) error {
	return s.Tx(ctx, func(tx *Store) error {
		if err := tx.db.Create(p).Error; err != nil {
			return slugTaken(err, p.Slug)
		}
		return tx.db.Create(secret).Error
	})
}

// Provider returns a provider, whatever its status.
func (s *Store) Provider(ctx context.Context, id string) (models.Provider, error) {
	var p models.Provider
	return p, found(s.db.WithContext(ctx).First(&p, "id = ?", id).Error, "OAuth provider")
}

// LockProvider returns a provider that nobody else changes, deletes or makes an
// authorization live for until this transaction ends.
func (s *Store) LockProvider(ctx context.Context, id string) (models.Provider, error) {
	return lockRow[models.Provider](ctx, s, "providers", id, "OAuth provider")
}

// lockRow returns the row of a table with this id, locked until this transaction ends. what names it where there is none.
func lockRow[T any](ctx context.Context, s *Store, table, id, what string) (T, error) {
	var row T
	var all []T
	err := s.db.WithContext(ctx).Raw("SELECT "+s.columns(table, row)+" FROM "+table+" WHERE id = ?"+s.dialect.lock, id).Scan(&all).Error
	switch {
	case err != nil:
		return row, err
	case len(all) == 0:
		return row, NotFound(what)
	}
	return all[0], nil
}

// ProviderSecret returns the sealed client secret a provider uses now.
func (s *Store) ProviderSecret(ctx context.Context, p models.Provider) (models.SecureConfig, error) {
	var c models.SecureConfig
	return c, s.db.WithContext(ctx).First(&c, "id = ?", p.SecureConfigID).Error
}

// FormerSecret returns the client secret that a provider's present one has replaced, as long as it has not ended.
func (s *Store) FormerSecret(ctx context.Context, provider string) (models.SecureConfig, error) {
	var c models.SecureConfig
	return c, found(s.db.WithContext(ctx).Where("provider_id = ? AND ends_at > ?", provider, s.now()).Take(&c).Error, "former client secret")
}

// KeepFormerSecret keeps a secret that is replaced, for a while and in place of one that was replaced before. It is used in
// a transaction that has locked the provider.
func (s *Store) KeepFormerSecret(ctx context.Context, c *models.SecureConfig, life time.Duration) error {
	if _, err := s.EndFormerSecret(ctx, c.ProviderID); err != nil {
		return err
	}
	now, err := s.Now(ctx)
	if err != nil {
		return err
	}
	ends := now.Add(life)
	c.EndsAt = &ends
	return s.db.WithContext(ctx).Create(c).Error
}

// EndFormerSecret deletes a provider's former secret, in a transaction that has locked the provider, and reports whether there
// was one.
func (s *Store) EndFormerSecret(ctx context.Context, provider string) (bool, error) {
	done := s.db.WithContext(ctx).Exec("DELETE FROM secure_configs WHERE provider_id = ? AND ends_at IS NOT NULL", provider)
	return done.RowsAffected > 0, done.Error
}

// EndedSecrets returns at most limit providers whose former secret's time is over.
func (s *Store) EndedSecrets(ctx context.Context, limit int) ([]string, error) {
	var all []string
	return all, s.db.WithContext(ctx).Model(&models.SecureConfig{}).Where("ends_at <= ?", s.now()).Order("ends_at, id").Limit(limit).Pluck("provider_id", &all).Error
}

// EndSecretInTime is EndFormerSecret for one whose time is over.
func (s *Store) EndSecretInTime(ctx context.Context, provider string) (bool, error) {
	done := s.db.WithContext(ctx).Exec("DELETE FROM secure_configs WHERE provider_id = ? AND ends_at <= ?", provider, s.now())
	return done.RowsAffected > 0, done.Error
}

// NoteFormerSecret notes that a former secret was accepted, unless that was noted lately. first reports that it never was
// before.
func (s *Store) NoteFormerSecret(ctx context.Context, id string, lately time.Duration) (first bool, err error) {
	done := s.db.WithContext(ctx).Exec("UPDATE secure_configs SET used_at = ? WHERE id = ? AND used_at IS NULL", s.now(), id)
	if done.Error != nil || done.RowsAffected > 0 {
		return done.RowsAffected > 0, done.Error
	}
	return false, s.db.WithContext(ctx).Exec("UPDATE secure_configs SET used_at = ? WHERE id = ? AND used_at <= ?", s.now(), id, s.in(-lately)).Error
}

// RefusedSecrets returns the former secrets of an organisation's providers that were accepted after the new ones had been
// refused.
func (s *Store) RefusedSecrets(ctx context.Context, org string, limit int) ([]models.SecureConfig, error) {
	var all []models.SecureConfig
	return all, s.db.WithContext(ctx).Where("ends_at > ? AND used_at IS NOT NULL AND provider_id IN (SELECT id FROM providers WHERE org_id = ?)", s.now(), org).
		Order("used_at DESC, id").Limit(limit).Find(&all).Error
}

// Providers returns a page of an organisation's providers. Those being deleted
// appear only when asked for by id.
func (s *Store) Providers(ctx context.Context, org string, f ProviderFilter) ([]models.Provider, error) {
	q := s.db.WithContext(ctx).Where("org_id = ?", org)
	if f.Within != nil {
		q = q.Where("id IN "+s.dialect.list, listed(f.Within))
	}
	if f.IDs != nil {
		q = q.Where("id IN "+s.dialect.list, listed(f.IDs))
	} else {
		q = q.Where("status <> ?", models.ProviderDeleted)
	}
	if f.Types != nil {
		q = q.Where("type IN "+s.dialect.list, listed(f.Types))
	}
	if f.Hosts != nil {
		q = q.Where("host IN "+s.dialect.list+" OR (host = '' AND type IN "+s.dialect.list+")", listed(f.Hosts), listed(f.PublicTypes))
	}
	return page[models.Provider](q, f.After, f.Descending, f.Limit)
}

// SaveProvider writes a provider that this transaction holds. ErrDuplicate means that
// its slug is taken.
func (s *Store) SaveProvider(ctx context.Context, p *models.Provider) error {
	return slugTaken(s.db.WithContext(ctx).Save(p).Error, p.Slug)
}

func slugTaken(err error, slug string) error {
	return taken(err, models.Error{Message: fmt.Sprintf("Another provider of the organisation has the slug %q.", slug),
		Fields: []models.FieldError{{Name: "slug", Message: "is taken; choose another"}}})
}

// SaveSecret writes the sealed client secret of a provider that this
// transaction holds.
func (s *Store) SaveSecret(ctx context.Context, c *models.SecureConfig) error {
	return s.db.WithContext(ctx).Save(c).Error
}

// ProviderInUse reports whether tokens or a consent under way were minted for
// the provider as it is now, so that it may not become another client (A4).
func (s *Store) ProviderInUse(ctx context.Context, id string) (bool, error) {
	var used bool
	err := s.db.WithContext(ctx).Raw(`SELECT EXISTS (SELECT 1 FROM authorizations WHERE provider_id = ? AND outcome IS NULL)
		OR EXISTS (SELECT 1 FROM flows WHERE provider_id = ? AND status IN ('open', 'claimed', 'exchanged') AND channel <> 'trial' AND expires_at > ?)`,
		id, id, s.now()).Scan(&used).Error
	return used, err
}

// DeleteProvider removes a provider, its secret, its flows and its connect links. What is left of
// its authorizations are outcomes.
func (s *Store) DeleteProvider(ctx context.Context, id string) error {
	return s.Tx(ctx, func(tx *Store) error {
		for _, statement := range []string{"DELETE FROM flows WHERE provider_id = ?", "DELETE FROM connect_links WHERE provider_id = ?"} {
			if err := tx.db.Exec(statement, id).Error; err != nil {
				return err
			}
		}
		return tx.db.Exec("DELETE FROM providers WHERE id = ?", id).Error
	})
}

// CountProviders counts an organisation's providers by type and status.
func (s *Store) CountProviders(ctx context.Context, org string) ([]Count, error) {
	var counts []Count
	return counts, s.db.WithContext(ctx).Raw(`SELECT type AS name, status AS status, count(*) AS n
		FROM providers WHERE org_id = ? GROUP BY type, status ORDER BY type, status`, org).Scan(&counts).Error
}

// Organisations returns every organisation that has a provider.
func (s *Store) Organisations(ctx context.Context) ([]string, error) {
	var orgs []string
	return orgs, s.db.WithContext(ctx).Model(&models.Provider{}).Distinct().Order("org_id").Pluck("org_id", &orgs).Error
}

// Count is one line of a statistic.
type Count struct {
	Name   string
	Status string
	N      int64
}

// counted reads a query's counts by name.
func counted[K ~string](query *gorm.DB) (map[K]int64, error) {
	var counts []Count
	err := query.Scan(&counts).Error
	byName := map[K]int64{}
	for _, c := range counts {
		byName[K(c.Name)] = c.N
	}
	return byName, err
}

// page orders a query by creation and cuts one page out of it, forwards or back
// from a position: keyset paging, so that the thousandth page costs what the first
// does. The rows come in the list's order either way.
func page[T any](q *gorm.DB, from *Position, descending bool, limit int) ([]T, error) {
	return pageBy[T](q, "created_at", from, descending, limit)
}

// pageBy is page where another column holds the time.
func pageBy[T any](q *gorm.DB, at string, from *Position, descending bool, limit int) ([]T, error) {
	back := from != nil && from.Back
	order, beyond := at+", id", "("+at+", id) > (?, ?)"
	if descending != back {
		order, beyond = at+" DESC, id DESC", "("+at+", id) < (?, ?)"
	}
	if from != nil {
		q = q.Where(beyond, from.CreatedAt, from.ID)
	}
	var rows []T
	err := q.Order(order).Limit(limit).Find(&rows).Error
	if back {
		slices.Reverse(rows)
	}
	return rows, err
}

// ActiveProviders returns at most limit active providers of all organisations, the oldest first.
func (s *Store) ActiveProviders(ctx context.Context, limit int) ([]models.Provider, error) {
	var all []models.Provider
	return all, s.db.WithContext(ctx).Where("status = ? AND delete_job_id IS NULL", models.ProviderActive).Order("id").Limit(limit).Find(&all).Error
}
