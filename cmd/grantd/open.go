package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/secrets"
	"github.com/grantd/grantd/store"
	"github.com/grantd/grantd/traces"
)

// logger writes to w as the settings say. They have been validated, so an
// unknown level cannot happen.
func (c *Config) logger(w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.LogLevel))
	options := &slog.HandlerOptions{Level: level}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// openStore connects to the database. A SQLite file is made where there is
// none, in a folder that only its owner may enter: commands that must not make one ask
// mustExist first.
func (c *Config) openStore(ctx context.Context) (*store.Store, error) {
	return c.openTraced(ctx, nil)
}

func (c *Config) openTraced(ctx context.Context, tracer *traces.Tracer) (*store.Store, error) {
	if path := c.sqlitePath(); path != "" {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return nil, fmt.Errorf("making the folder of the database: %w", err)
		}
	}
	st, err := store.Open(ctx, store.Options{URL: c.DatabaseURL, AllowAsyncCommit: c.AllowAsyncCommit, FetchConns: c.FetchConnections, Traces: tracer})
	if err != nil {
		return nil, fmt.Errorf("GRANTD_DATABASE_URL (%s): %w%s", redact(c.DatabaseURL), err, passwordHint(c.DatabaseURL))
	}
	return st, nil
}

// passwordHint explains an address that was probably read in the wrong places, because a
// character of the password ended it.
func passwordHint(raw string) string {
	_, rest, _ := strings.Cut(raw, "://")
	before, _, _ := strings.Cut(rest, "@")
	if !strings.Contains(rest, "@") || !strings.ContainsAny(before, "/?#[]%") {
		return ""
	}
	return ". In a URL a password's / ? # [ ] @ and % are written as %2F %3F %23 %5B %5D %40 and %25; " +
		"or leave the password out of it and set PGPASSWORD"
}

// openMigrated is openStore, and brings the schema up to date where that is
// asked for or the database is a SQLite file, which nobody else may be using
// with an older grantd.
func (c *Config) openMigrated(ctx context.Context, migrate bool, tracer *traces.Tracer, log *slog.Logger) (*store.Store, error) {
	st, err := c.openTraced(ctx, tracer)
	if err != nil {
		return nil, err
	}
	if err := c.prepareSchema(ctx, st, migrate, log); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return st, nil
}

func (c *Config) prepareSchema(ctx context.Context, st *store.Store, migrate bool, log *slog.Logger) error {
	if migrate || c.sqlitePath() != "" {
		steps, err := st.Migrate(ctx)
		if err != nil {
			return err
		}
		if steps > 0 {
			log.Info("schema brought up to date", "steps", steps)
		}
	}
	return st.CheckSchema(ctx)
}

// newKeyring loads the keyset. With SQLite a missing one is made, but only while
// the database holds nothing that was sealed with another (K2): for a database
// in use a new keyset would be the silent loss of every token.
func (c *Config) newKeyring(ctx context.Context, st *store.Store, log *slog.Logger) (*secrets.Keyring, error) {
	file, err := c.keyset(log)
	if err != nil {
		return nil, err
	}
	keys, err := file.Load(ctx)
	if !errors.Is(err, fs.ErrNotExist) {
		return keys, named("GRANTD_KEYSET", err)
	}
	canary, metaErr := st.Meta(ctx, "canary")
	switch {
	case metaErr != nil:
		return nil, fmt.Errorf("asking the database for its keyset: %w", metaErr)
	case canary != nil:
		return nil, fmt.Errorf("GRANTD_KEYSET: there is no keyset at %s, and this database was sealed with one: "+
			"a database without its keyset is nothing. Put the file back from its backup, or point GRANTD_KEYSET at it", c.Keyset)
	case c.sqlitePath() == "":
		return nil, named("GRANTD_KEYSET", err)
	}
	if err := file.Create(ctx); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, named("GRANTD_KEYSET", err)
	}
	log.Info("made a keyset; keep a copy of it apart from the database's", "file", c.Keyset)
	keys, err = file.Load(ctx)
	return keys, named("GRANTD_KEYSET", err)
}

// loadKeyset reads the keyset, which must be there.
func (c *Config) loadKeyset(ctx context.Context, log *slog.Logger) (*secrets.Keyring, error) {
	file, err := c.keyset(log)
	if err != nil {
		return nil, err
	}
	keys, err := file.Load(ctx)
	return keys, named("GRANTD_KEYSET", err)
}

func named(variable string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", variable, err)
}

// tokenService opens what the token commands need: the rules over database and
// keyset, without upstreams and without Redis. close ends it.
func (c *Config) tokenService(ctx context.Context, log *slog.Logger) (s *broker.Service, close func() error, err error) {
	st, err := c.openMigrated(ctx, false, nil, log)
	if err != nil {
		return nil, nil, err
	}
	keys, err := c.loadKeyset(ctx, log)
	if err == nil {
		s, err = broker.New(ctx, broker.Options{Store: st, Keys: keys, PublicURL: c.PublicURL, Log: log, Sessions: c.sessionLife()})
	}
	if err != nil {
		return nil, nil, errors.Join(err, st.Close())
	}
	return s, st.Close, nil
}

// mustExist refuses a SQLite file that is not there, for every command but those that
// serve or migrate. In the wrong folder the others would otherwise make a new, empty
// database, and tokens that no server knows.
func (c *Config) mustExist() error {
	path := c.sqlitePath()
	if path == "" {
		return nil
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		full, absErr := filepath.Abs(path)
		if absErr != nil {
			full = path
		}
		return fmt.Errorf("there is no database at %s. If a server is running elsewhere, give this command the same GRANTD_DATA or "+
			"GRANTD_DATABASE_URL as the server; if not, `grantd serve` makes the database", full)
	}
	return nil
}
