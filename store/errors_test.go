package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/ncruces/go-sqlite3"
	"gorm.io/gorm"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// What a database says about a statement or its values is a fault of ours: only about
// itself is it an outage.
func TestT3_WhichErrorsOfADatabaseAreAnOutage(t *testing.T) {
	postgres := func(code string) error {
		return fmt.Errorf("loading: %w", &pgconn.PgError{Code: code, Message: "whatever"})
	}
	ruling := models.Errorf(models.CodeConflict, "The provider is disabled.")
	for name, c := range map[string]struct {
		err  error
		want models.Code
	}{
		"none":                           {nil, ""},
		"connection failure":             {postgres("08006"), models.CodeUnavailable},
		"serialization failure":          {postgres("40001"), models.CodeUnavailable},
		"deadlock":                       {postgres("40P01"), models.CodeUnavailable},
		"too many connections":           {postgres("53300"), models.CodeUnavailable},
		"disk full":                      {postgres("53100"), models.CodeUnavailable},
		"shutdown":                       {postgres("57P01"), models.CodeUnavailable},
		"starting":                       {postgres("57P03"), models.CodeUnavailable},
		"statement timeout":              {postgres("57014"), models.CodeUnavailable},
		"input or output":                {postgres("58030"), models.CodeUnavailable},
		"lock not available":             {postgres("55P03"), models.CodeUnavailable},
		"has become a replica":           {postgres("25006"), models.CodeUnavailable},
		"idle in transaction":            {postgres("25P03"), models.CodeUnavailable},
		"NUL in a text":                  {postgres("22021"), models.CodeInternal},
		"NUL in JSON":                    {postgres("22P05"), models.CodeInternal},
		"number out of range":            {postgres("22003"), models.CodeInternal},
		"not null violation":             {postgres("23502"), models.CodeInternal},
		"foreign key violation":          {postgres("23503"), models.CodeInternal},
		"unique violation":               {fmt.Errorf("%w: %w", gorm.ErrDuplicatedKey, &pgconn.PgError{Code: "23505"}), models.CodeInternal},
		"undefined column":               {postgres("42703"), models.CodeInternal},
		"too many parameters":            {postgres("54000"), models.CodeInternal},
		"in failed transaction":          {postgres("25P02"), models.CodeInternal},
		"corrupted index":                {postgres("XX002"), models.CodeInternal},
		"no SQLSTATE":                    {postgres(""), models.CodeInternal},
		"SQLite is busy":                 {fmt.Errorf("saving: %w", sqlite3.BUSY), models.CodeUnavailable},
		"SQLite is busy with a snapshot": {sqlite3.BUSY_SNAPSHOT, models.CodeUnavailable},
		"SQLite's table is locked":       {sqlite3.LOCKED, models.CodeUnavailable},
		"SQLite has no memory":           {sqlite3.NOMEM, models.CodeUnavailable},
		"SQLite's disk is full":          {sqlite3.FULL, models.CodeUnavailable},
		"SQLite's disk fails":            {sqlite3.IOERR, models.CodeUnavailable},
		"SQLite's disk fails at a sync":  {sqlite3.IOERR_FSYNC, models.CodeUnavailable},
		"SQLite cannot be opened":        {sqlite3.CANTOPEN, models.CodeUnavailable},
		"SQLite cannot be written":       {sqlite3.READONLY, models.CodeUnavailable},
		"SQLite is interrupted":          {sqlite3.INTERRUPT, models.CodeUnavailable},
		"SQLite's constraint":            {sqlite3.CONSTRAINT, models.CodeInternal},
		"SQLite's syntax error":          {sqlite3.ERROR, models.CodeInternal},
		"SQLite's text is too long":      {sqlite3.TOOBIG, models.CodeInternal},
		"SQLite's file is malformed":     {sqlite3.CORRUPT, models.CodeInternal},
		"cut off":                        {fmt.Errorf("reading: %w", io.ErrUnexpectedEOF), models.CodeUnavailable},
		"deadline":                       {fmt.Errorf("reading: %w", context.DeadlineExceeded), models.CodeUnavailable},
		"the transaction is over":        {sql.ErrTxDone, models.CodeUnavailable},
		"a caller who left":              {fmt.Errorf("reading: %w", context.Canceled), models.CodeCancelled},
		"a caller who left in a dial":    {&net.OpError{Op: "dial", Err: context.Canceled}, models.CodeCancelled},
		"no row":                         {store.ErrNotFound, models.CodeInternal},
		"no row of a name":               {store.NotFound("Flow"), models.CodeNotFound},
		"a ruling":                       {fmt.Errorf("changing: %w", ruling), models.CodeConflict},
		"a ruling for want of a disk":    {&models.Error{Code: models.CodeUpstream, Err: sqlite3.FULL}, models.CodeUpstream},
		"anything else":                  {errors.New("scanning JSON"), models.CodeInternal},
	} {
		got := store.Translate(c.err)
		if models.CodeOf(got) != c.want || !errors.Is(got, c.err) {
			t.Errorf("%s (%v): %q, want %q", name, c.err, models.CodeOf(got), c.want)
		}
		if again := store.Translate(got); again != got {
			t.Errorf("%s is translated a second time, into %v", name, again)
		}
		outage := c.want == models.CodeUnavailable
		if store.IsUnavailable(c.err) != outage || store.IsUnavailable(got) != outage {
			if name != "a ruling for want of a disk" {
				t.Errorf("%s (%v): an outage %t, want %t", name, c.err, !outage, outage)
			}
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
		late, cancel := context.WithTimeout(ctx, time.Nanosecond)
		defer cancel()
		for how, one := range map[string]func(context.Context) error{
			"a row":         func(ctx context.Context) error { _, err := f.Flow(ctx, "x"); return err },
			"rows":          func(ctx context.Context) error { _, err := f.Organisations(ctx); return err },
			"a number":      func(ctx context.Context) error { _, err := f.Living(ctx, "x", 1); return err },
			"a scanned row": func(ctx context.Context) error { _, err := f.Linked(ctx, "x"); return err },
			"a fetch":       func(ctx context.Context) error { _, err := f.Fetchable(ctx, "x"); return err },
			"counts": func(ctx context.Context) error {
				return f.AddFetches(ctx, []store.Fetches{{AuthorizationID: "x", Minute: time.Now(), N: 1}})
			},
			"a change":      func(ctx context.Context) error { _, err := f.Unlink(ctx, "x"); return err },
			"a transaction": func(ctx context.Context) error { return f.Tx(ctx, func(*store.Store) error { return nil }) },
		} {
			if err := one(gone); models.CodeOf(err) != models.CodeCancelled || store.IsUnavailable(err) || !errors.Is(err, context.Canceled) {
				t.Errorf("%s, for a caller who left: %v", how, err)
			}
			if err := one(late); models.CodeOf(err) != models.CodeUnavailable || !store.IsUnavailable(err) {
				t.Errorf("%s, and the time is over: %v", how, err)
			}
		}
		f.Close()
		if _, err := f.Flow(ctx, "x"); models.CodeOf(err) != models.CodeUnavailable || !store.IsUnavailable(err) {
			t.Errorf("at shutdown: %v", err)
		}
		if _, err := f.Fetchable(ctx, "x"); models.CodeOf(err) != models.CodeUnavailable || !store.IsUnavailable(err) {
			t.Errorf("a fetch at shutdown: %v", err)
		}
		if err := f.Tx(ctx, func(*store.Store) error { return nil }); models.CodeOf(err) != models.CodeUnavailable || !store.IsUnavailable(err) {
			t.Errorf("a transaction at shutdown: %v", err)
		}
	})
	_, err := store.Open(ctx, store.Options{URL: "postgres://nobody:wrong@127.0.0.1:1/none"})
	if !store.IsUnavailable(err) {
		t.Errorf("nothing listens: %v", err)
	}
}

// What is missing or taken is answered by its name. A row that nobody asked for by a name
// is a fault of ours.
func TestT3_WhatIsMissingOrTakenHasAName(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		for sentence, one := range map[string]func() error{
			"OAuth provider not found.":               func() error { _, err := f.Provider(ctx, "x"); return err },
			"OAuth provider authorization not found.": func() error { _, err := f.Fetchable(ctx, "x"); return err },
			"Flow not found.":                         func() error { _, err := f.Flow(ctx, "x"); return err },
			"Job not found.":                          func() error { _, err := f.Job(ctx, "x"); return err },
			"API token not found.":                    func() error { _, err := f.APIToken(ctx, "x"); return err },
			"Session not found.": func() error {
				_, err := f.Session(ctx, []byte("x"), store.Idle{})
				return err
			},
		} {
			err := one()
			if said, ok := errors.AsType[*models.Error](err); !ok || said.Code != models.CodeNotFound || said.Message != sentence || !store.IsNotFound(err) {
				t.Errorf("got %v, want %q", err, sentence)
			}
		}
		if _, err := f.Credential(ctx, "x"); !store.IsNotFound(err) || models.CodeOf(err) != models.CodeInternal {
			t.Errorf("a credential: %v", err)
		}
		ruling := models.Errorf(models.CodeConflict, "The provider is disabled.")
		if err := f.Tx(ctx, func(*store.Store) error { return ruling }); err != error(ruling) {
			t.Errorf("a transaction makes %v of a ruling", err)
		}
		again := models.Provider{ID: id(), OrgID: f.provider.OrgID, Name: "Again", Slug: f.provider.Slug, Type: "github", Status: models.ProviderActive, ClientID: "c", SecureConfigID: id()}
		err := f.InsertProvider(ctx, &again, &models.SecureConfig{ID: again.SecureConfigID, ProviderID: again.ID})
		said, ok := errors.AsType[*models.Error](err)
		if !ok || said.Code != models.CodeConflict || len(said.Fields) != 1 || said.Fields[0].Name != "slug" || !errors.Is(err, store.ErrDuplicate) {
			t.Errorf("a slug that is taken: %v", err)
		}
	})
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
