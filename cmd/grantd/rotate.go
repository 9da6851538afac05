package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"text/tabwriter"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/providers"
	"github.com/grantd/grantd/secrets"
	"github.com/grantd/grantd/store"
)

// Rotation (K3), a command a step. A server reads the keyset when it starts, so
// after each step that changes the file it is copied to every host and every
// process restarted; a process that has not seen the new key yet could not open
// what those ahead of it seal.

// everywhere is what follows each change of the file.
const everywhere = "Copy the file to every host and restart every grantd that uses this database"

type keysListCommand struct {
	JSON bool `name:"json" help:"Print a JSON array."`
}

// Help is the longer text of `grantd keys list --help`.
func (keysListCommand) Help() string {
	return "Values are client secrets, pairs of tokens, consents under way, and the canary that ties the database to its keyset. " +
		"Without a database, or with one that was not migrated, they are not counted."
}

// Run prints a table.
func (k keysListCommand) Run(ctx context.Context, c console, cfg *Config) error {
	file, err := cfg.keysetFor(c)
	if err != nil {
		return err
	}
	keys, err := file.Keys(ctx)
	if err != nil {
		return named("GRANTD_KEYSET", err)
	}
	counts, err := cfg.countSealed(ctx, c)
	if err != nil {
		return err
	}
	rows := keyRows(keys, counts)
	if k.JSON {
		return printJSON(c.out, rows)
	}
	return printKeys(c.out, rows)
}

// countSealed counts what each key has sealed, by prefix; nil where there is no
// database to count in yet. Listing neither makes nor migrates one.
func (c *Config) countSealed(ctx context.Context, out console) (counts map[string]int64, err error) {
	if err := c.mustExist(); err != nil {
		fmt.Fprintf(out.err, "Nothing was counted: %v.\n", err)
		return nil, nil
	}
	st, err := c.openStore(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	if err := st.CheckSchema(ctx); err != nil {
		fmt.Fprintf(out.err, "Nothing was counted: %v.\n", err)
		return nil, nil
	}
	return st.CountSealed(ctx, secrets.PrefixSize)
}

// keyRow is a key as the list shows it. Values is nil where nothing was counted.
type keyRow struct {
	ID     string `json:"id"`
	State  string `json:"state"`
	Values *int64 `json:"values"`
}

func keyRows(keys []secrets.Key, counts map[string]int64) []keyRow {
	rows := []keyRow{}
	left := maps.Clone(counts)
	for _, k := range keys {
		row := keyRow{ID: fmt.Sprint(k.ID), State: keyState(k)}
		if counts != nil {
			n := counts[k.Prefix]
			row.Values = &n
		}
		rows = append(rows, row)
		delete(left, k.Prefix)
	}
	// What else there is was sealed by keys that are gone, or not here yet.
	for _, prefix := range slices.Sorted(maps.Keys(left)) {
		n := left[prefix]
		rows = append(rows, keyRow{keyID(prefix), "missing", &n})
	}
	return rows
}

func printKeys(w io.Writer, rows []keyRow) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tSTATE\tVALUES")
	for _, r := range rows {
		values := "?"
		if r.Values != nil {
			values = fmt.Sprint(*r.Values)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", r.ID, r.State, values)
	}
	return table.Flush()
}

func keyState(k secrets.Key) string {
	switch {
	case k.Primary:
		return "primary"
	case !k.Enabled:
		return "disabled"
	}
	return "opens"
}

// keyID reads the id out of a prefix: one byte that says so, and the id.
func keyID(prefix string) string {
	if len(prefix) != secrets.PrefixSize {
		return fmt.Sprintf("%x", prefix)
	}
	return fmt.Sprint(binary.BigEndian.Uint32([]byte(prefix)[1:]))
}

type keysAddCommand struct{}

// Help is the longer text of `grantd keys add --help`.
func (keysAddCommand) Help() string {
	return "Prints the new key's id on standard output. Nothing is sealed with it before `grantd keys promote`, " +
		"and that must wait until every process has read the file: one that has not could not open what others seal."
}

// Run adds a key.
func (keysAddCommand) Run(ctx context.Context, c console, cfg *Config) error {
	file, err := cfg.keysetFor(c)
	if err != nil {
		return err
	}
	id, err := file.AddKey(ctx)
	if err != nil {
		return named("GRANTD_KEYSET", err)
	}
	cfg.auditKeyset(ctx, c, models.ActionKeyAdded, fmt.Sprint(id))
	fmt.Fprintf(c.err, "Added key %d to %s; nothing is sealed with it yet.\n%s.\nOnly then: grantd keys promote %d\n", id, cfg.Keyset, everywhere, id)
	_, err = fmt.Fprintln(c.out, id)
	return err
}

// auditKeyset records a change of the keyset's file in the database that it belongs to.
// The file may be changed where there is no database: then it says that nothing was
// recorded.
func (c *Config) auditKeyset(ctx context.Context, out console, action models.Action, key string) {
	record := func() error {
		if err := c.mustExist(); err != nil {
			return err
		}
		st, err := c.openStore(ctx)
		if err != nil {
			return err
		}
		defer st.Close()
		if err := st.CheckSchema(ctx); err != nil {
			return err
		}
		return st.Audit(ctx, broker.KeysetEvent(action, key))
	}
	if err := record(); err != nil {
		fmt.Fprintf(out.err, "This is not recorded in the audit trail: %v.\n", err)
	}
}

type keysPromoteCommand struct {
	ID uint32 `arg:"" help:"The key's id, as keys list shows it."`
}

// Help is the longer text of `grantd keys promote --help`.
func (keysPromoteCommand) Help() string {
	return "Only when every process has been restarted since `grantd keys add`. Promoting the former key again undoes it."
}

// Run promotes the key.
func (k keysPromoteCommand) Run(ctx context.Context, c console, cfg *Config) error {
	file, err := cfg.keysetFor(c)
	if err != nil {
		return err
	}
	if err := file.Promote(ctx, k.ID); err != nil {
		return named("GRANTD_KEYSET", err)
	}
	cfg.auditKeyset(ctx, c, models.ActionKeyPromoted, fmt.Sprint(k.ID))
	fmt.Fprintf(c.err, "Key %d is the one that seals, in %s.\n%s.\nThen: grantd keys reseal\n", k.ID, cfg.Keyset, everywhere)
	return nil
}

type keysResealCommand struct{}

// Help is the longer text of `grantd keys reseal --help`.
func (keysResealCommand) Help() string {
	return "Works on database and keyset directly, beside running servers, with the same settings as theirs. " +
		"It locks nothing, may be stopped and run again, and fails when something is left that the primary key did not seal."
}

// Run seals everything again.
func (keysResealCommand) Run(ctx context.Context, c console, cfg *Config) error {
	return cfg.withSealed(ctx, c, func(st *store.Store, keys *secrets.Keyring, log *slog.Logger) error {
		upstream, err := providers.New(providers.Options{Allow: cfg.UpstreamAllow, TestHost: cfg.TestProvider})
		if err != nil {
			return fmt.Errorf("GRANTD_UPSTREAM_ALLOW or GRANTD_TEST_PROVIDER: %w", err)
		}
		s, err := broker.New(ctx, broker.Options{Store: st, Upstream: upstream, Keys: keys, PublicURL: cfg.PublicURL, Log: log})
		if err != nil {
			return err
		}
		done, err := s.Reseal(ctx, percents(c.err))
		if err != nil {
			return err
		}
		if err := st.Audit(ctx, broker.KeysetEvent(models.ActionResealed, "")); err != nil {
			return fmt.Errorf("recording the re-sealing in the audit trail: %w", err)
		}
		return tellResealed(c.err, done)
	})
}

// percents tells progress whenever there is another percent of it.
func percents(w io.Writer) func(done, total int64) {
	last := int64(-1)
	return func(done, total int64) {
		if now := done * 100 / max(total, 1); now != last {
			last = now
			fmt.Fprintf(w, "%d of %d (%d %%)\n", done, total, now)
		}
	}
}

// tellResealed says what was done, and fails when that was not all.
func tellResealed(w io.Writer, r broker.Resealed) error {
	fmt.Fprintf(w, "Values sealed again: %d.\n", r.Done)
	var wrong []error
	if len(r.Closed) > 0 {
		for _, row := range r.Closed {
			fmt.Fprintf(w, "Does not open: %s\n", row)
		}
		wrong = append(wrong, fmt.Errorf("values that do not open: %d. They were left as they are; `grantd keys list` shows whether a key is missing, "+
			"and GRANTD_TEST_PROVIDER must be what the servers have", len(r.Closed)))
	}
	if r.Behind > 0 {
		wrong = append(wrong, fmt.Errorf("values sealed with another key meanwhile: %d. A grantd is running that has not read "+
			"the keyset since the promotion. Restart it, then run this again", r.Behind))
	}
	if len(wrong) == 0 {
		fmt.Fprintln(w, "Everything is under the primary key.")
	}
	return errors.Join(wrong...)
}

type keysRemoveCommand struct {
	ID uint32 `arg:"" help:"The key's id, as keys list shows it."`
}

// Help is the longer text of `grantd keys remove --help`.
func (keysRemoveCommand) Help() string {
	return "Refuses while anything in the database was sealed with the key. It cannot look into backups: " +
		"those from before the re-sealing need the key, so keep a copy of the former keyset for as long as you keep them, apart from them."
}

// Run removes the key.
func (k keysRemoveCommand) Run(ctx context.Context, c console, cfg *Config) error {
	return cfg.withSealed(ctx, c, func(st *store.Store, _ *secrets.Keyring, log *slog.Logger) error {
		file, err := cfg.keyset(log)
		if err != nil {
			return err
		}
		if err := k.mayLeave(ctx, st, file); err != nil {
			return err
		}
		if err := file.Remove(ctx, k.ID); err != nil {
			return named("GRANTD_KEYSET", err)
		}
		if err := st.Audit(ctx, broker.KeysetEvent(models.ActionKeyRemoved, fmt.Sprint(k.ID))); err != nil {
			fmt.Fprintf(c.err, "The removal is not recorded in the audit trail: %v.\n", err)
		}
		fmt.Fprintf(c.err, "Removed key %d from %s.\n%s.\nBackups of the database made before the re-sealing need the key: "+
			"keep a copy of the former keyset for as long as you keep them.\n", k.ID, cfg.Keyset, everywhere)
		return nil
	})
}

// mayLeave refuses to let a key go that anything was sealed with.
func (k keysRemoveCommand) mayLeave(ctx context.Context, st *store.Store, file secrets.File) error {
	keys, err := file.Keys(ctx)
	if err != nil {
		return named("GRANTD_KEYSET", err)
	}
	key, err := secrets.Find(file.Path, keys, k.ID)
	if err != nil || key.Primary { // the primary is refused by Remove, which says why
		return named("GRANTD_KEYSET", err)
	}
	counts, err := st.CountSealed(ctx, secrets.PrefixSize)
	if err != nil {
		return err
	}
	if n := counts[key.Prefix]; n > 0 {
		return fmt.Errorf("key %d is needed: it sealed %d of the values in the database, which would be lost without it; run `grantd keys reseal` first", k.ID, n)
	}
	return nil
}

// withSealed opens database and keyset and lets f use them, if they belong to
// each other: what is true of another database says nothing about this keyset.
func (c *Config) withSealed(ctx context.Context, out console, f func(*store.Store, *secrets.Keyring, *slog.Logger) error) (err error) {
	if err := errors.Join(c.validate(c.needKeyset()), c.mustExist()); err != nil {
		return err
	}
	log := c.logger(out.err)
	keys, err := c.loadKeyset(ctx, log)
	if err != nil {
		return err
	}
	st, err := c.openMigrated(ctx, false, nil, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	if err := belong(ctx, st, keys); err != nil {
		return err
	}
	return f(st, keys, log)
}

func belong(ctx context.Context, st *store.Store, keys *secrets.Keyring) error {
	canary, err := st.Meta(ctx, "canary")
	switch {
	case err != nil:
		return fmt.Errorf("asking the database for its keyset: %w", err)
	case canary == nil:
		return errors.New("GRANTD_DATABASE_URL: nothing in this database was sealed with any keyset yet; is it the right one?")
	}
	return named("GRANTD_KEYSET", keys.CheckCanary(canary))
}
