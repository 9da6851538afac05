package tenants_test

import (
	"database/sql"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/grantd/grantd/api"
	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/worker"
)

const module = "github.com/grantd/grantd"

// inMemory returns where the parts of a process keep maps, channels and the like:
// everything that more than one organisation may meet in. Fields are named by the path
// that leads to them.
func inMemory() []string {
	var found []string
	seen := map[reflect.Type]bool{}
	var look func(path string, t reflect.Type)
	look = func(path string, t reflect.Type) {
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		switch {
		case t.Kind() == reflect.Map, t.Kind() == reflect.Chan, t.PkgPath() == "sync" && t.Name() == "Map", strings.HasSuffix(t.PkgPath(), "/singleflight"):
			found = append(found, path)
		case t.Kind() == reflect.Slice, t.Kind() == reflect.Array:
			look(path, t.Elem())
		case t.Kind() == reflect.Struct && strings.HasPrefix(t.PkgPath(), module) && !seen[t]:
			seen[t] = true
			name := strings.TrimPrefix(t.PkgPath(), module+"/") + "." + t.Name()
			for f := range t.Fields() {
				look(name+"."+f.Name, f.Type)
			}
		}
	}
	for _, root := range []reflect.Type{reflect.TypeFor[broker.Service](), reflect.TypeFor[api.Server](), reflect.TypeFor[worker.Worker]()} {
		look("", root)
	}
	slices.Sort(found)
	return found
}

// uniqueKeys returns the primary and unique keys of every table: what two rows cannot
// both have, and so what one organisation could occupy for another.
func uniqueKeys(t *testing.T, b brokertest.Backend) []string {
	t.Helper()
	database, _ := b.Migrated(t)
	brokertest.OpenStore(t, database, nil)
	db := brokertest.SQL(t, database)
	query := `SELECT m.name, (SELECT group_concat(name, ', ') FROM (SELECT name FROM pragma_index_info(i.name) ORDER BY seqno))
		FROM sqlite_master m, pragma_index_list(m.name) i WHERE m.type = 'table' AND i."unique" = 1
		UNION ALL SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table' AND c.pk = 1 AND c.type = 'INTEGER'`
	if b == brokertest.Servers {
		query = `SELECT c.relname, string_agg(a.attname, ', ' ORDER BY k.n) FROM pg_index i
			JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'public'
			CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY k(attnum, n)
			JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
			WHERE i.indisunique GROUP BY c.relname, i.indexrelid`
	}
	rows := must(db.Query(query))(t)
	defer rows.Close()
	var keys []string
	for rows.Next() {
		var table string
		var columns sql.NullString
		if err := rows.Scan(&table, &columns); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(table, "goose") {
			keys = append(keys, fmt.Sprintf("%s (%s)", table, columns.String))
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(keys)
	return keys
}
