package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/grantd/grantd/secrets"
)

type keysCommand struct {
	Init    keysInitCommand    `cmd:"" help:"Make a new keyset; an existing one is never overwritten."`
	List    keysListCommand    `cmd:"" help:"List the keys, and how many values in the database each has sealed."`
	Add     keysAddCommand     `cmd:"" help:"Rotation, step 1: add a key, which opens but does not seal yet."`
	Promote keysPromoteCommand `cmd:"" help:"Rotation, step 2: make a key the one that seals."`
	Reseal  keysResealCommand  `cmd:"" help:"Rotation, step 3: seal everything in the database again, beside running servers."`
	Remove  keysRemoveCommand  `cmd:"" help:"Rotation, step 4: take a key out that nothing needs any more."`
}

type keysInitCommand struct {
	IfMissing bool `help:"Succeed quietly when there is a keyset already."`
}

// Help is the longer text of `grantd keys init --help`.
func (keysInitCommand) Help() string {
	return "The keyset seals every token and client secret in the database, which is worth nothing without it. " +
		"Keep a copy in a safe place, never beside the database's backups."
}

// Run makes the keyset.
func (k keysInitCommand) Run(c console, cfg *Config) error {
	if err := cfg.validate(cfg.needKeyset()); err != nil {
		return err
	}
	err := secrets.Create(cfg.Keyset)
	switch {
	case k.IfMissing && errors.Is(err, fs.ErrExist):
		// A keyset that cannot be used is better noticed now than at the start.
		_, err := secrets.Load(cfg.Keyset)
		return named("GRANTD_KEYSET", err)
	case err != nil:
		return named("GRANTD_KEYSET", err)
	}
	fmt.Fprintf(c.err, "Made the keyset %s. Keep a copy of it, apart from the database's backups:\n"+
		"without it every stored token is lost, with it they can be read.\n", cfg.Keyset)
	return nil
}
