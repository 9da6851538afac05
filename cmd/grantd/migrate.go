package main

import (
	"context"
	"errors"
	"fmt"
)

type migrateCommand struct{}

// Help is the longer text of `grantd migrate --help`.
func (migrateCommand) Help() string {
	return "Safe when several start at once: one of them works, the others wait. Run it before starting a newer grantd " +
		"on PostgreSQL; with SQLite every start does it."
}

// Run migrates.
func (migrateCommand) Run(ctx context.Context, c console, cfg *Config) (err error) {
	if err := cfg.validate(); err != nil {
		return err
	}
	st, err := cfg.openStore(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	steps, err := st.Migrate(ctx)
	if err != nil {
		return err
	}
	if err := st.CheckSchema(ctx); err != nil {
		return err
	}
	if steps == 0 {
		fmt.Fprintln(c.err, "The schema is up to date already.")
		return nil
	}
	fmt.Fprintf(c.err, "The schema is up to date now; migrations run: %d.\n", steps)
	return nil
}
