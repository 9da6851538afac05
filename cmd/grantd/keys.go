package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/secrets"
)

type keysCommand struct {
	Init    keysInitCommand    `cmd:"" help:"Make a new keyset; an existing one is never overwritten."`
	List    keysListCommand    `cmd:"" help:"List the keys, and how many values in the database each has sealed."`
	Add     keysAddCommand     `cmd:"" help:"Rotation, step 1: add a key, which opens but does not seal yet."`
	Promote keysPromoteCommand `cmd:"" help:"Rotation, step 2: make a key the one that seals."`
	Reseal  keysResealCommand  `cmd:"" help:"Rotation, step 3: seal everything in the database again, beside running servers."`
	Remove  keysRemoveCommand  `cmd:"" help:"Rotation, step 4: take a key out that nothing needs any more."`
	Seal    keysSealCommand    `cmd:"" help:"Have the keyset sealed by GRANTD_KEYSET_KEK, or sealed again by the newest version of that key."`
	Unseal  keysUnsealCommand  `cmd:"" help:"Write the keyset in clear again."`
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
func (k keysInitCommand) Run(ctx context.Context, c console, cfg *Config) error {
	file, err := cfg.keysetFor(c)
	if err != nil {
		return err
	}
	err = file.Create(ctx)
	switch {
	case k.IfMissing && errors.Is(err, fs.ErrExist):
		// A keyset that cannot be used is better noticed now than at the start.
		_, err := file.Load(ctx)
		return named("GRANTD_KEYSET", err)
	case err != nil:
		return named("GRANTD_KEYSET", err)
	}
	if file.KEK != nil {
		fmt.Fprintf(c.err, "Made the keyset %s, sealed by %s. Keep a copy of it, and never delete that key:\n"+
			"without either of them every stored token is lost.\n", cfg.Keyset, file.KEK)
		return nil
	}
	fmt.Fprintf(c.err, "Made the keyset %s. Keep a copy of it, apart from the database's backups:\n"+
		"without it every stored token is lost, with it they can be read.\n", cfg.Keyset)
	return nil
}

type keysSealCommand struct {
	From string `placeholder:"KEY" help:"The key that the keyset is sealed by now, written like GRANTD_KEYSET_KEK, if that is another one."`
}

// Help is the longer text of `grantd keys seal --help`.
func (keysSealCommand) Help() string {
	return "Replaces the file, once the key has been seen to open what it sealed. Nothing in the database changes, and running servers go on: " +
		"they have read the file. Copies of a keyset in clear still open everything, those in backups too."
}

// Run seals the keyset.
func (k keysSealCommand) Run(ctx context.Context, c console, cfg *Config) error {
	file, err := cfg.keysetFor(c, cfg.needKEK())
	if err != nil {
		return err
	}
	sealed, err := file.Sealed()
	if err != nil {
		return named("GRANTD_KEYSET", err)
	}
	var former secrets.File // in clear
	switch {
	case sealed && k.From == "":
		former = file
	case sealed:
		if former, err = cfg.keysetSealedBy(k.From, cfg.logger(c.err)); err != nil {
			return usageError{named("--from", err)}
		}
	case k.From != "":
		return usageError{errors.New("--from: the keyset is in clear; leave this out")}
	}
	if err := file.Reencrypt(ctx, former.KEK); err != nil {
		return named("GRANTD_KEYSET", err)
	}
	cfg.auditKeyset(ctx, c, models.ActionKeysetSealed, "")
	fmt.Fprintf(c.err, "The keyset %s is sealed by %s.\n%s, which needs the same GRANTD_KEYSET_KEK.\n", cfg.Keyset, file.KEK, everywhere)
	if !sealed {
		fmt.Fprintln(c.err, "Copies of it in clear still open everything: delete them, or rotate its keys (`grantd keys add`).")
	}
	return nil
}

type keysUnsealCommand struct{}

// Help is the longer text of `grantd keys unseal --help`.
func (keysUnsealCommand) Help() string {
	return "Afterwards the file is the secret, and GRANTD_KEYSET_KEK must be unset. Nothing in the database changes."
}

// Run writes the keyset in clear.
func (keysUnsealCommand) Run(ctx context.Context, c console, cfg *Config) error {
	file, err := cfg.keysetFor(c, cfg.needKEK())
	if err != nil {
		return err
	}
	if sealed, err := file.Sealed(); err != nil || !sealed {
		return named("GRANTD_KEYSET", cmp.Or(err, errors.New("the keyset is in clear already; unset GRANTD_KEYSET_KEK")))
	}
	plain := secrets.File{Path: file.Path, Installation: file.Installation}
	if err := plain.Reencrypt(ctx, file.KEK); err != nil {
		return named("GRANTD_KEYSET", err)
	}
	cfg.auditKeyset(ctx, c, models.ActionKeysetUnsealed, "")
	fmt.Fprintf(c.err, "The keys in %s are in clear. Unset GRANTD_KEYSET_KEK.\n%s.\n", cfg.Keyset, everywhere)
	return nil
}

func (c *Config) needKEK() error {
	if c.KeysetKEK == "" {
		return errors.New("GRANTD_KEYSET_KEK: must name the key that seals the keyset: vault:MOUNT/NAME or exec:PROGRAM")
	}
	return nil
}
