package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/ncruces/go-sqlite3"
	"gorm.io/gorm"

	"github.com/grantd/grantd/store"
)

// What a database says about a statement or its values is a fault of ours: only about
// itself is it an outage.
func TestT3_WhichErrorsOfADatabaseAreAnOutage(t *testing.T) {
	postgres := func(code string) error {
		return fmt.Errorf("loading: %w", &pgconn.PgError{Code: code, Message: "whatever"})
	}
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"none":                       {nil, false},
		"connection failure":         {postgres("08006"), true},
		"serialization failure":      {postgres("40001"), true},
		"deadlock":                   {postgres("40P01"), true},
		"too many connections":       {postgres("53300"), true},
		"disk full":                  {postgres("53100"), true},
		"shutdown":                   {postgres("57P01"), true},
		"starting":                   {postgres("57P03"), true},
		"statement timeout":          {postgres("57014"), true},
		"input or output":            {postgres("58030"), true},
		"lock not available":         {postgres("55P03"), true},
		"has become a replica":       {postgres("25006"), true},
		"idle in transaction":        {postgres("25P03"), true},
		"NUL in a text":              {postgres("22021"), false},
		"NUL in JSON":                {postgres("22P05"), false},
		"number out of range":        {postgres("22003"), false},
		"unique violation":           {fmt.Errorf("%w: %w", gorm.ErrDuplicatedKey, &pgconn.PgError{Code: "23505"}), false},
		"undefined column":           {postgres("42703"), false},
		"too many parameters":        {postgres("54000"), false},
		"in failed transaction":      {postgres("25P02"), false},
		"corrupted index":            {postgres("XX002"), false},
		"SQLite is locked":           {fmt.Errorf("saving: %w", sqlite3.BUSY), true},
		"SQLite's disk is full":      {sqlite3.FULL, true},
		"SQLite's disk fails":        {sqlite3.IOERR, true},
		"SQLite cannot be written":   {sqlite3.READONLY, true},
		"SQLite is interrupted":      {sqlite3.INTERRUPT, true},
		"SQLite's constraint":        {sqlite3.CONSTRAINT, false},
		"SQLite's syntax error":      {sqlite3.ERROR, false},
		"SQLite's text is too long":  {sqlite3.TOOBIG, false},
		"SQLite's file is malformed": {sqlite3.CORRUPT, false},
		"cut off":                    {fmt.Errorf("reading: %w", io.ErrUnexpectedEOF), true},
		"deadline":                   {fmt.Errorf("reading: %w", context.DeadlineExceeded), true},
		"no row":                     {store.ErrNotFound, false},
		"anything else":              {errors.New("scanning JSON"), false},
	} {
		if got := store.IsUnavailable(c.err); got != c.want {
			t.Errorf("%s (%v): %t, want %t", name, c.err, got, c.want)
		}
	}
}

// The same, of the errors that the drivers really make.
func TestT3_RealErrorsOfBothDatabases(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		if _, err := f.Flow(ctx, "a\x00b"); err == nil || store.IsUnavailable(err) {
			t.Errorf("a NUL in an id: %v", err)
		}
		gone, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := f.Flow(gone, "x"); !store.IsUnavailable(err) || !errors.Is(err, context.Canceled) {
			t.Errorf("a caller who left: %v", err)
		}
		late, cancel := context.WithTimeout(ctx, time.Nanosecond)
		defer cancel()
		if _, err := f.Flow(late, "x"); !store.IsUnavailable(err) {
			t.Errorf("the time is over: %v", err)
		}
		f.Close()
		if _, err := f.Flow(ctx, "x"); !store.IsUnavailable(err) {
			t.Errorf("at shutdown: %v", err)
		}
		if err := f.Tx(ctx, func(*store.Store) error { return nil }); !store.IsUnavailable(err) {
			t.Errorf("a transaction at shutdown: %v", err)
		}
	})
	_, err := store.Open(ctx, store.Options{URL: "postgres://nobody:wrong@127.0.0.1:1/none"})
	if !store.IsUnavailable(err) {
		t.Errorf("nothing listens: %v", err)
	}
}

// Finding F8: a cursor with NUL inside its base64 went to the database, whose refusal
// was told as an outage.
func TestT3_ACursorNamesAnID(t *testing.T) {
	good := store.Position{CreatedAt: time.Now().UTC(), ID: id()}
	if back, err := store.ParsePosition(good.String()); err != nil || !back.CreatedAt.Equal(good.CreatedAt) || back.ID != good.ID {
		t.Errorf("%v comes back as %v: %v", good, back, err)
	}
	for _, bad := range []string{"a\x00b", "a\xffb", "", "a b", "ü"} {
		good.ID = bad
		if got, err := store.ParsePosition(good.String()); err == nil {
			t.Errorf("%q is taken for %v", bad, got)
		}
	}
}

// Finding F8: 70,000 ids in a filter were 70,000 parameters of a statement, more than
// either database takes.
func TestT3_AFilterTakesAnyNumberOfValues(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		many := make([]string, 70_000)
		for i := range many {
			many[i] = fmt.Sprint("x", i)
		}
		none, err := f.Providers(ctx, "acme", store.ProviderFilter{IDs: many, Types: many, Hosts: many, Limit: 10})
		if err != nil || len(none) != 0 {
			t.Errorf("ids of nothing: %v, %v", none, err)
		}
		found, err := f.Providers(ctx, "acme", store.ProviderFilter{IDs: append(many, f.provider.ID), Types: append(many, "github"),
			Hosts: many, PublicTypes: []string{"github"}, Limit: 10})
		if err != nil || len(found) != 1 {
			t.Errorf("the provider among them: %v, %v", found, err)
		}
		if none, err := f.Jobs(ctx, "acme", store.JobFilter{Types: many, Statuses: many, Limit: 10}); err != nil || len(none) != 0 {
			t.Errorf("jobs: %v, %v", none, err)
		}
		if none, err := f.JobItems(ctx, id(), store.ItemFilter{Outcomes: many, Limit: 10}); err != nil || len(none) != 0 {
			t.Errorf("items: %v, %v", none, err)
		}
		if none, err := f.Outcomes(ctx, many); err != nil || len(none) != 0 {
			t.Errorf("outcomes: %v, %v", none, err)
		}
	})
}
