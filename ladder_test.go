package grantd_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/grantd/grantd"

// room is one row of the house's table.
type room struct {
	level int      // tests may use rooms on their own level or below
	uses  []string // what its code may import, besides itself
}

// ladder is the plan of the house: nothing points up, and neighbours do not know each other. A folder below a room
// belongs to it. So a handler cannot hold business logic: api reaches neither store nor providers nor secrets.
var ladder = map[string]room{
	"cmd/grantd": {5, []string{"api", "worker", "broker", "store", "providers", "jobs", "secrets", "models", "migrations", "testidp", "client"}},

	"api":    {4, []string{"broker", "models"}},
	"worker": {4, []string{"broker", "jobs", "models"}},

	"broker": {3, []string{"store", "providers", "jobs", "secrets", "models"}},

	"store":     {2, []string{"models", "migrations"}},
	"providers": {2, []string{"models"}},
	"jobs":      {2, []string{"models"}},
	"secrets":   {2, []string{"models"}},

	"models":     {1, nil},
	"migrations": {1, nil},

	// Only cmd and tests import these two: they stand outside and talk to grantd over HTTP.
	"testidp": {2, []string{"models"}},
	"client":  {2, []string{"models"}},
}

// kit is the test kit. It may import anything, and is imported by tests and by its own commands only.
const kit = "brokertest"

// forTests is what any test may import besides the rooms at its level or below.
var forTests = []string{kit, "testidp", "client"}

// homes says where a third-party library lives: code elsewhere does not import it, so that replacing it is the work of
// one room. The longest row that matches counts. Tests and the test kit may use any library.
var homes = map[string][]string{
	"github.com/labstack/echo":            {"api"},
	"github.com/danielgtaylor/huma":       {"api"},
	"github.com/alexedwards/scs":          {"api"},
	"github.com/hibiken/asynq":            {"jobs", "worker"},
	"github.com/redis/go-redis":           {"jobs"},
	"github.com/go-redis/redis_rate":      {"jobs"},
	"github.com/alicebob/miniredis":       {"jobs"},
	"gorm.io":                             {"store"},
	"github.com/jackc/pgx":                {"store"},
	"github.com/ncruces":                  {"store"},
	"github.com/pressly/goose":            {"store"},
	"github.com/google/uuid":              {"store", "broker"},
	"golang.org/x/oauth2":                 {"providers", "client"}, // client: the interface that Go programs take tokens by
	"github.com/coreos/go-oidc":           {"providers"},
	"github.com/go-jose/go-jose":          {"providers"},
	"code.dny.dev/ssrf":                   {"providers"},
	"github.com/sony/gobreaker":           {"providers"},
	"golang.org/x/sync":                   {"broker", "providers", "worker"},
	"github.com/tink-crypto":              {"secrets"},
	"github.com/alecthomas/kong":          {"cmd/grantd"},
	"github.com/prometheus/client_golang": {"api", "worker", "broker", "cmd/grantd"},
	"go.opentelemetry.io":                 {"api", "worker", "providers", "cmd/grantd"},
}

func TestNoImportBreaksTheLadder(t *testing.T) {
	watchTree(t)
	packages := listPackages(t)
	for _, complaint := range complaints(packages) {
		t.Error(complaint)
	}

	// A listing that lost the house would have nothing to complain about.
	for _, name := range []string{"models", "store", "broker", "api", "worker", "cmd/grantd"} {
		if !slices.ContainsFunc(packages, func(p listed) bool { return p.ImportPath == module+"/"+name }) {
			t.Errorf("`go list ./...` does not show %s", name)
		}
	}
}

func TestTheLadderItselfPointsDown(t *testing.T) {
	for name, row := range ladder {
		for _, used := range row.uses {
			if other, known := ladder[used]; !known {
				t.Errorf("%s uses %s, which has no row", name, used)
			} else if other.level >= row.level {
				t.Errorf("%s (level %d) uses %s (level %d)", name, row.level, used, other.level)
			}
		}
	}
	for library, rooms := range homes {
		for _, name := range rooms {
			if _, known := ladder[name]; !known {
				t.Errorf("%s lives in %s, which has no row", library, name)
			}
		}
	}
}

// Made-up packages: what the checker must say about each, or nothing.
func TestTheCheckerSeesABrokenLadder(t *testing.T) {
	in := func(name string) string { return module + "/" + name }
	for name, c := range map[string]struct {
		pkg  listed
		want string
	}{
		"a handler reaches for the store":     {listed{ImportPath: in("api"), Imports: []string{in("store")}}, "api must not import store"},
		"so does a folder below it":           {listed{ImportPath: in("api/console"), Imports: []string{in("secrets")}}, "api/console must not import secrets"},
		"a room looks up":                     {listed{ImportPath: in("store"), Imports: []string{in("broker")}}, "store must not import broker"},
		"neighbours":                          {listed{ImportPath: in("worker"), Imports: []string{in("api")}}, "worker must not import api"},
		"code uses the test kit":              {listed{ImportPath: in("cmd/grantd"), Imports: []string{in("brokertest/services")}}, "cmd/grantd must not import brokertest/services"},
		"the vocabulary imports":              {listed{ImportPath: in("models"), Imports: []string{in("migrations")}}, "models must not import migrations"},
		"a room without a row":                {listed{ImportPath: in("util")}, "util has no row"},
		"a room without a row is imported":    {listed{ImportPath: in("broker"), Imports: []string{in("util/slices")}}, "broker must not import util/slices"},
		"a test looks up":                     {listed{ImportPath: in("store"), TestImports: []string{in("broker")}}, "tests of store must not import broker"},
		"so does one from outside":            {listed{ImportPath: in("broker"), XTestImports: []string{in("api")}}, "tests of broker must not import api"},
		"a library away from home":            {listed{ImportPath: in("broker"), Imports: []string{"gorm.io/gorm"}}, "broker must not import gorm.io/gorm"},
		"a version is the same library":       {listed{ImportPath: in("cmd/grantd"), Imports: []string{"github.com/labstack/echo/v4"}}, "cmd/grantd must not import github.com/labstack/echo/v4"},
		"a library nobody knows":              {listed{ImportPath: in("jobs"), Imports: []string{"example.com/left-pad"}}, "example.com/left-pad has no home"},
		"a namesake of a library":             {listed{ImportPath: in("store"), Imports: []string{"gorm.io.example.com/gorm"}}, "gorm.io.example.com/gorm has no home"},
		"a library in the vocabulary":         {listed{ImportPath: in("models"), Imports: []string{"github.com/google/uuid"}}, "models must not import github.com/google/uuid"},
		"code uses a library for tests alone": {listed{ImportPath: in("api"), Imports: []string{"github.com/google/go-cmp/cmp"}}, "github.com/google/go-cmp/cmp has no home"},

		"down is allowed":                  {listed{ImportPath: in("broker"), Imports: []string{in("store"), in("models"), "context", "net/http"}}, ""},
		"within a room, too":               {listed{ImportPath: in("api"), Imports: []string{in("api/console")}}, ""},
		"a library at home":                {listed{ImportPath: in("store"), Imports: []string{"gorm.io/gorm", "github.com/jackc/pgx/v5/stdlib"}}, ""},
		"the test kit may do anything":     {listed{ImportPath: in("brokertest/bench"), Imports: []string{in("cmd/grantd"), in("store"), "github.com/labstack/echo/v4"}}, ""},
		"tests may look sideways and down": {listed{ImportPath: in("api"), XTestImports: []string{in("worker"), in("store"), in("brokertest"), in("client"), "gorm.io/gorm"}}, ""},
		"the root may be there":            {listed{ImportPath: module}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := complaints([]listed{c.pkg})
			if c.want == "" && len(got) > 0 {
				t.Errorf("complains: %q", got)
			}
			if c.want != "" && (len(got) != 1 || !strings.Contains(got[0], c.want)) {
				t.Errorf("says %q, want one complaint with %q", got, c.want)
			}
		})
	}
}

// listed is what `go list` says about a package.
type listed struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// complaints are sentences about every import that breaks the plan.
func complaints(packages []listed) []string {
	var found []string
	complain := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }

	for _, p := range packages {
		path := within(p.ImportPath)
		name := roomOf(path)
		if path == "" || name == kit {
			continue
		}
		row, known := ladder[name]
		if !known {
			complain("%s has no row in the ladder: add a row to ladder_test.go, and to docs/architecture.md, or move its code into a room", path)
			continue
		}

		for _, imported := range p.Imports {
			if ours(imported) {
				if other := roomOf(within(imported)); other != name && !slices.Contains(row.uses, other) {
					complain("%s must not import %s: %s may use %s", path, within(imported), name, orNothing(row.uses))
				}
			} else if thirdParty(imported) {
				if rooms, known := homeOf(imported); !known {
					complain("%s imports %s, but %s has no home: add a row to homes in ladder_test.go", path, imported, imported)
				} else if !slices.Contains(rooms, name) {
					complain("%s must not import %s: it lives in %s", path, imported, strings.Join(rooms, ", "))
				}
			}
		}

		for _, imported := range slices.Concat(p.TestImports, p.XTestImports) {
			if !ours(imported) {
				continue
			}
			other := roomOf(within(imported))
			below, known := ladder[other]
			if !slices.Contains(forTests, other) && (!known || below.level > row.level) {
				complain("tests of %s must not import %s: they may use the test kit and rooms at their own level or below", path, within(imported))
			}
		}
	}
	return found
}

func ours(path string) bool { return path == module || strings.HasPrefix(path, module+"/") }

// within is a package's place in the module; the root's is empty.
func within(path string) string {
	return strings.TrimPrefix(strings.TrimPrefix(path, module), "/")
}

// roomOf is the row a package belongs to: its first folder, except that commands are rooms of their own.
func roomOf(path string) string {
	parts := strings.Split(path, "/")
	if parts[0] == "cmd" && len(parts) > 1 {
		return parts[0] + "/" + parts[1]
	}
	return parts[0]
}

// thirdParty tells a library from the standard library by the dot in its host.
func thirdParty(path string) bool {
	host, _, _ := strings.Cut(path, "/")
	return strings.Contains(host, ".")
}

func homeOf(path string) (rooms []string, known bool) {
	for prefix := path; prefix != "."; prefix = filepath.ToSlash(filepath.Dir(prefix)) {
		if rooms, known = homes[prefix]; known {
			return rooms, true
		}
	}
	return nil, false
}

func orNothing(names []string) string {
	if len(names) == 0 {
		return "nothing of ours"
	}
	return strings.Join(names, ", ")
}

func listPackages(t *testing.T) []listed {
	t.Helper()
	// -e: a package that does not build is somebody else's failure; what it imports is ours.
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var packages []listed
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := decoder.Decode(&p); err == io.EOF {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

// watchTree opens every folder of the module. go test remembers a result until a file the test opened changes, and
// it does not see what `go list` reads: without this, a forbidden import would pass as "(cached)".
func watchTree(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		if path != "." && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "node_modules") {
			return filepath.SkipDir
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
