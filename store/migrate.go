package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/grantd/grantd/migrations"
)

// lockWait is how long, in PostgreSQL's words, a migration waits for a table that
// somebody else's transaction holds. All others who ask for the table wait behind it.
const lockWait = "5s"

// runsWith is the name in the table meta of the oldest schema whose grantd may run with
// this one.
const runsWith = "schema_runs_with"

// Migrate brings the schema up to date and returns how many steps it took. It is
// safe when several processes start at once: on PostgreSQL one of them holds a
// session lock, the others wait and find nothing left to do.
func (s *Store) Migrate(ctx context.Context) (int, error) {
	p, err := s.migrator()
	if err != nil {
		return 0, err
	}
	return s.migrateWith(ctx, p)
}

func (s *Store) migrateWith(ctx context.Context, p *goose.Provider) (int, error) {
	results, err := p.Up(ctx)
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok && refused.Code == "55P03" {
		err = fmt.Errorf("another transaction, such as a backup's, has used a table for more than %s; "+
			"what is not migrated is unchanged: run it again when that transaction has ended: %w", lockWait, err)
	}
	if err != nil {
		return 0, fmt.Errorf("migrating the schema: %w", err)
	}
	current, target, err := p.GetVersions(ctx)
	if err == nil && current == target { // and not that of a newer grantd, which says so itself
		err = s.db.WithContext(ctx).Exec(`INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value
			WHERE meta.value <> excluded.value`, runsWith, []byte(strconv.Itoa(migrations.RunsWith))).Error
	}
	if err != nil {
		return 0, fmt.Errorf("noting which grantd the schema is for: %w", err)
	}
	return len(results), nil
}

// CheckSchema says what is wrong when this binary cannot run with the schema. It can
// with its own, and with a newer one that says so: that of the next release, while
// its processes replace those of this one.
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
		value, err := s.Meta(ctx, runsWith)
		if err != nil {
			return fmt.Errorf("reading which grantd the schema is for: %w", err)
		}
		if oldest, err := strconv.ParseInt(string(value), 10, 64); err != nil || oldest > target {
			return fmt.Errorf("the schema is at version %d and this grantd knows only %d: use a newer grantd", current, target)
		}
	}
	return nil
}

func (s *Store) migrator() (*goose.Provider, error) {
	all, err := migrations.All(s.dialect.name)
	if err != nil {
		return nil, err
	}
	return s.migratorOf(all)
}

func (s *Store) migratorOf(all []migrations.Migration) (*goose.Provider, error) {
	postgres := s.dialect.name == migrations.Postgres
	steps := make([]*goose.Migration, len(all))
	for i, m := range all {
		steps[i] = goose.NewGoMigration(m.Version, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			statements := m.SQL
			if postgres {
				statements = "SET LOCAL lock_timeout = '" + lockWait + "';\n" + statements
			}
			_, err := tx.ExecContext(ctx, statements)
			return err
		}}, nil)
		if postgres && m.Concurrent {
			steps[i] = goose.NewGoMigration(m.Version, &goose.GoFunc{RunDB: func(ctx context.Context, db *sql.DB) error {
				return concurrently(ctx, db, m.Statements())
			}}, nil)
		}
	}
	options := []goose.ProviderOption{goose.WithGoMigrations(steps...), goose.WithDisableGlobalRegistry(true)}
	dialect := goose.DialectSQLite3
	if postgres {
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

var newIndex = regexp.MustCompile(`^CREATE (?:UNIQUE )?INDEX CONCURRENTLY IF NOT EXISTS (\w+)`)

// concurrently builds and drops indexes without locking their tables. An index whose
// building was interrupted is there, takes part in every write, and is used by no query:
// it is dropped and built anew.
func concurrently(ctx context.Context, db *sql.DB, statements []string) error {
	for _, statement := range statements {
		if made := newIndex.FindStringSubmatch(statement); made != nil {
			var broken bool
			err := db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM pg_index WHERE indexrelid = to_regclass($1) AND NOT indisvalid)`, made[1]).Scan(&broken)
			if err != nil {
				return fmt.Errorf("looking at the index %s: %w", made[1], err)
			}
			if broken {
				if _, err := db.ExecContext(ctx, "DROP INDEX CONCURRENTLY "+made[1]); err != nil {
					return fmt.Errorf("dropping the index %s, whose building was interrupted: %w", made[1], err)
				}
			}
		}
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}
