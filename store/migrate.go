package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/grantd/grantd/migrations"
)

// Migrate brings the schema up to date and returns how many steps it took. It is
// safe when several processes start at once: on PostgreSQL one of them holds a
// session lock, the others wait and find nothing left to do.
func (s *Store) Migrate(ctx context.Context) (int, error) {
	p, err := s.migrator()
	if err != nil {
		return 0, err
	}
	results, err := p.Up(ctx)
	if err != nil {
		return 0, fmt.Errorf("migrating the schema: %w", err)
	}
	return len(results), nil
}

// CheckSchema says what is wrong when the schema is not the one this binary
// was built for.
func (s *Store) CheckSchema(ctx context.Context) error {
	p, err := s.migrator()
	if err != nil {
		return err
	}
	current, target, err := p.GetVersions(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("reading the schema's version: %w", err)
	case current < target:
		return fmt.Errorf("the schema is at version %d and this grantd needs %d: run `grantd migrate`, or start with --migrate", current, target)
	case current > target:
		return fmt.Errorf("the schema is at version %d and this grantd knows only %d: use a newer grantd", current, target)
	}
	return nil
}

func (s *Store) migrator() (*goose.Provider, error) {
	all, err := migrations.All(s.dialect.name)
	if err != nil {
		return nil, err
	}
	steps := make([]*goose.Migration, len(all))
	for i, m := range all {
		steps[i] = goose.NewGoMigration(m.Version, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, m.SQL)
			return err
		}}, nil)
	}
	options := []goose.ProviderOption{goose.WithGoMigrations(steps...), goose.WithDisableGlobalRegistry(true)}
	dialect := goose.DialectSQLite3
	if s.dialect.name == migrations.Postgres {
		dialect = goose.DialectPostgres
		// goose asks for the lock every 5 s by itself, which is how long each of
		// several replicas that start together would wait for the one before.
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300))
		if err != nil {
			return nil, err
		}
		options = append(options, goose.WithSessionLocker(locker))
	}
	p, err := goose.NewProvider(dialect, s.sql, nil, options...)
	if errors.Is(err, goose.ErrNoMigrations) {
		return nil, errors.New("this binary contains no migrations")
	}
	return p, err
}
