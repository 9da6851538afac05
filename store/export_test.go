package store

import (
	"context"
	"errors"
	"reflect"
	"slices"

	"gorm.io/gorm"

	"github.com/grantd/grantd/migrations"
	"github.com/grantd/grantd/models"
)

// Translate says what an error of a driver is to those who asked.
var Translate = translate

// FetchValues are what a fetch read, by column.
func FetchValues(l *models.Linked) map[string]any {
	values := map[string]any{}
	for _, c := range fetchColumns(l) {
		values[c.name] = reflect.ValueOf(c.to).Elem().Interface()
	}
	return values
}

// OnFetch calls f before each of the store's hot queries, with its ids.
func OnFetch(s *Store, f func(ids []string)) {
	load := s.fetches.load
	s.fetches.load = func(ctx context.Context, ids []string) (map[string]*models.Linked, error) {
		f(ids)
		return load(ctx, ids)
	}
}

// Waiting is how many fetches wait for the next hot query.
func Waiting(s *Store) int {
	s.fetches.mu.Lock()
	defer s.fetches.mu.Unlock()
	return len(s.fetches.waiting)
}

// OnStatement calls f after each statement that a store runs, in its transactions too,
// with its parameters.
func OnStatement(s *Store, f func(sql string, args []any)) error {
	note := func(db *gorm.DB) { f(db.Statement.SQL.String(), slices.Clone(db.Statement.Vars)) }
	c, name := s.db.Callback(), "test:on_statement"
	return errors.Join(
		c.Query().After("gorm:query").Register(name, note), c.Row().After("gorm:row").Register(name, note),
		c.Raw().After("gorm:raw").Register(name, note), c.Create().After("gorm:create").Register(name, note),
		c.Update().After("gorm:update").Register(name, note), c.Delete().After("gorm:delete").Register(name, note))
}

// Concurrently runs statements as those of a migration that is Concurrent.
func Concurrently(ctx context.Context, s *Store, statements []string) error {
	return concurrently(ctx, s.sql, statements)
}

// MigrateBy takes one more step.
func MigrateBy(ctx context.Context, s *Store, next migrations.Migration) error {
	all, err := migrations.All(s.dialect.name)
	if err != nil {
		return err
	}
	p, err := s.migratorOf(append(all, next))
	if err != nil {
		return err
	}
	_, err = s.migrateWith(ctx, p)
	return err
}
