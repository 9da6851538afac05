package upgrade_test

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/pressly/goose/v3"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/migrations"
	"github.com/grantd/grantd/store"
)

// From every earlier version of the schema, with a row in every table, the migrations run to the end and change none of
// the values that were there.
func TestEveryEarlierSchemaIsMigratedWithItsRows(t *testing.T) {
	t.Parallel()
	brokertest.Each(t, func(t *testing.T, b brokertest.Backend) {
		dialect := map[brokertest.Backend]migrations.Dialect{brokertest.Embedded: migrations.SQLite, brokertest.Servers: migrations.Postgres}[b]
		steps := must(migrations.All(dialect))(t)
		for _, last := range steps[:len(steps)-1] {
			t.Run(strings.TrimSuffix(last.Name, ".sql"), func(t *testing.T) {
				url, _ := b.URLs(t)
				db := brokertest.SQL(t, url)
				migrateTo(t, db, dialect, steps, last.Version)
				var before []snapshot
				for _, table := range tables(steps, last.Version) {
					before = append(before, fill(t, db, dialect, table))
				}

				s := must(store.Open(ctx, store.Options{URL: url}))(t)
				t.Cleanup(func() { s.Close() })
				if n := must(s.Migrate(ctx))(t); n == 0 {
					t.Error("no step was taken")
				}
				if err := s.CheckSchema(ctx); err != nil {
					t.Error(err)
				}
				for _, was := range before {
					if now := read(t, db, was.table, was.columns); now != was.values {
						t.Errorf("the row of %s was\n%s\nand is\n%s", was.table, was.values, now)
					}
				}
			})
		}
	})
}

// migrateTo brings an empty database to a version, as an earlier grantd did.
func migrateTo(t *testing.T, db *sql.DB, d migrations.Dialect, steps []migrations.Migration, version int64) {
	t.Helper()
	var all []*goose.Migration
	for _, m := range steps {
		step := goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, m.SQL)
			return err
		}}
		if m.Concurrent && d == migrations.Postgres {
			step = goose.GoFunc{RunDB: func(ctx context.Context, db *sql.DB) error {
				for _, statement := range m.Statements() {
					if _, err := db.ExecContext(ctx, statement); err != nil {
						return err
					}
				}
				return nil
			}}
		}
		all = append(all, goose.NewGoMigration(m.Version, &step, nil))
	}
	name := map[migrations.Dialect]goose.Dialect{migrations.SQLite: goose.DialectSQLite3, migrations.Postgres: goose.DialectPostgres}[d]
	p := must(goose.NewProvider(name, db, nil, goose.WithGoMigrations(all...), goose.WithDisableGlobalRegistry(true)))(t)
	if _, err := p.UpTo(ctx, version); err != nil {
		t.Fatal(err)
	}
}

var created = regexp.MustCompile(`(?m)^CREATE TABLE (\w+)`)

// tables are those that there are at a version, in the order in which they were made.
func tables(steps []migrations.Migration, version int64) []string {
	var all []string
	for _, m := range steps {
		if m.Version <= version {
			for _, found := range created.FindAllStringSubmatch(m.SQL, -1) {
				all = append(all, found[1])
			}
		}
	}
	return all
}

// snapshot is the one row of a table.
type snapshot struct {
	table   string
	columns []string
	values  string
}

// fill puts one row into a table, with a value in every column. All texts are the same, so that rows refer to each other.
func fill(t *testing.T, db *sql.DB, d migrations.Dialect, table string) snapshot {
	t.Helper()
	types := columnTypes(t, db, table)
	row := snapshot{table: table}
	var places []string
	var values []any
	for i, c := range types {
		row.columns = append(row.columns, c.Name())
		place := "?"
		if d == migrations.Postgres {
			place = fmt.Sprint("$", i+1)
		}
		places = append(places, place)
		values = append(values, value(t, table, c))
	}
	if _, err := db.Exec(`INSERT INTO `+table+` (`+strings.Join(row.columns, ", ")+`) VALUES (`+strings.Join(places, ", ")+`)`, values...); err != nil {
		t.Fatalf("filling %s: %v", table, err)
	}
	row.values = read(t, db, table, row.columns)
	return row
}

func columnTypes(t *testing.T, db *sql.DB, table string) []*sql.ColumnType {
	t.Helper()
	rows := must(db.Query("SELECT * FROM " + table))(t)
	defer rows.Close()
	types := must(rows.ColumnTypes())(t)
	if rows.Next() {
		t.Fatalf("%s has a row already", table)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return types
}

func value(t *testing.T, table string, c *sql.ColumnType) any {
	t.Helper()
	switch strings.ToUpper(c.DatabaseTypeName()) {
	case "TEXT", "JSONB":
		return `["row"]` // fit for a column of JSON too, which SQLite keeps as text
	case "BYTEA", "BLOB":
		return []byte("row")
	case "BOOL", "BOOLEAN":
		return true
	case "INT8", "BIGINT", "INT4", "INTEGER":
		return int64(1)
	case "TIMESTAMPTZ", "DATETIME":
		return "2020-01-02 03:04:05.000"
	}
	t.Fatalf("%s.%s has a type that this test does not know: %s", table, c.Name(), c.DatabaseTypeName())
	return nil
}

// read is the row of a table, column by column.
func read(t *testing.T, db *sql.DB, table string, columns []string) string {
	t.Helper()
	values, into := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	if err := db.QueryRow("SELECT " + strings.Join(columns, ", ") + " FROM " + table).Scan(into...); err != nil {
		t.Fatalf("the row of %s: %v", table, err)
	}
	var text strings.Builder
	for i, name := range columns {
		fmt.Fprintf(&text, "%s=%v ", name, values[i])
	}
	return text.String()
}
