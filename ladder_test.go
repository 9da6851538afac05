package grantd_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/grantd/grantd"

// room is one row of the ladder.
type room struct {
	level int      // tests may use rooms on their own level or below
	uses  []string // what its code may import, besides itself
}

// ladder says which room may import which: nothing imports upwards, and rooms on one level do not import each other. A
// package belongs to the longest row that its path begins with, so a room inside a room has a row of its own, and a
// folder without one belongs to the room around it. A handler cannot hold business logic, because api imports neither
// store nor providers nor secrets.
var ladder = map[string]room{
	"cmd/grantd": {7, []string{"api", "api/pages", "worker", "broker", "metrics", "store", "providers", "jobs", "secrets", "models", "migrations", "traces", "testidp", "client", "commands"}},

	"api":         {6, []string{"api/pages", "api/console", "broker", "metrics", "models", "traces"}},
	"api/pages":   {6, []string{"broker", "models"}},
	"api/console": {6, []string{"broker", "models"}},
	"worker":      {6, []string{"broker", "metrics", "jobs", "models", "traces"}},

	"broker": {5, []string{"metrics", "store", "providers", "jobs", "secrets", "models"}},

	"metrics": {3, []string{"store", "providers", "jobs", "models"}},

	"store":     {2, []string{"models", "migrations", "traces"}},
	"providers": {2, []string{"models", "traces"}},
	"jobs":      {2, []string{"models", "traces"}},
	"secrets":   {2, []string{"models"}},

	"models":     {1, nil},
	"migrations": {1, nil},
	"traces":     {1, nil},

	// Only cmd and tests import these two: they talk to grantd over HTTP.
	"testidp": {2, []string{"models"}},
	"client":  {2, []string{"models"}},

	// What asks a running grantd for the people and programs who type it: it knows the client alone.
	"commands": {3, []string{"client", "models"}},
}

// planned are the rows of rooms that broker and api are to be cut into. A row moves into the ladder with its package,
// and into the uses of the room around it. Ground rooms know no other room of the broker; a journey knows the ground
// rooms and no other journey; external stands on the journeys.
var planned = map[string]room{
	"broker/access":   {3, []string{"store", "models"}},
	"broker/upstream": {3, []string{"store", "providers", "jobs", "secrets", "models"}},
	"broker/custody":  {3, []string{"store", "secrets", "models"}},

	"broker/work":       journey,
	"broker/tokens":     journey,
	"broker/consent":    journey,
	"broker/revocation": journey,
	"broker/clients":    journey,
	"broker/external":   {5, []string{"broker/work", "broker/tokens", "broker/consent", "broker/revocation", "broker/clients", "broker/access", "broker/upstream", "broker/custody", "store", "models"}},
}

var journey = room{4, []string{"broker/access", "broker/upstream", "broker/custody", "store", "providers", "jobs", "secrets", "models"}}

// insideBroker are rooms whose tests import neither each other nor the test kit, which imports the whole broker. Tests
// of the whole stay outside.
const insideBroker = "broker/"

// kit is the test kit. It may import anything, and is imported by tests and by its own commands only.
const kit = "brokertest"

// forTests is what any test may import besides the rooms at its level or below.
var forTests = []string{kit, "testidp", "client"}

// homes says where a third-party library lives: code elsewhere does not import it, so that replacing it is the work of
// one room. The longest row that matches counts. A library of a room is a library of the rooms inside it too. Tests and
// the test kit may use any library.
var homes = map[string][]string{
	"github.com/labstack/echo":            {"api"},
	"github.com/danielgtaylor/huma":       {"api"},
	"github.com/hibiken/asynq":            {"jobs", "worker"},
	"github.com/redis/go-redis":           {"jobs"},
	"github.com/go-redis/redis_rate":      {"jobs"},
	"github.com/alicebob/miniredis":       {"jobs"},
	"gorm.io":                             {"store"},
	"github.com/jackc/pgx":                {"store"},
	"github.com/ncruces":                  {"store"},
	"github.com/pressly/goose":            {"store"},
	"github.com/google/uuid":              {"store", "broker"},
	"golang.org/x/oauth2":                 {"providers"},
	"github.com/coreos/go-oidc":           {"providers"},
	"github.com/go-jose/go-jose":          {"providers"},
	"code.dny.dev/ssrf":                   {"providers"},
	"github.com/sony/gobreaker":           {"providers"},
	"golang.org/x/sync":                   {"broker", "providers", "worker"},
	"github.com/tink-crypto":              {"secrets"},
	"github.com/alecthomas/kong":          {"cmd/grantd"},
	"golang.org/x/term":                   {"commands"},
	"go.yaml.in/yaml":                     {"commands"},
	"github.com/prometheus/client_golang": {"api", "metrics"},
	"go.opentelemetry.io":                 {"traces"},
}

func TestNoImportBreaksTheLadder(t *testing.T) {
	watchTree(t)
	packages := listPackages(t)
	for _, complaint := range complaints(packages, ladder) {
		t.Error(complaint)
	}

	// Every row has a package: a listing without packages would break no rule, and a row without one is out of date.
	for name := range ladder {
		if !slices.ContainsFunc(packages, func(p listed) bool { return p.ImportPath == module+"/"+name }) {
			t.Errorf("the ladder has a row for %s, which is no package", name)
		}
	}
	for name := range planned {
		if slices.ContainsFunc(packages, func(p listed) bool { return p.ImportPath == module+"/"+name }) {
			t.Errorf("%s is a package now: move its row from planned to the ladder", name)
		}
	}
}

// withPlanned is the ladder as it will be when every planned room is there.
func withPlanned() map[string]room {
	all := maps.Clone(ladder)
	maps.Copy(all, planned)
	for name := range planned {
		around, _, _ := strings.Cut(name, "/")
		row := all[around]
		row.uses = slices.Concat(row.uses, []string{name})
		all[around] = row
	}
	return all
}

func TestTheLadderItselfPointsDown(t *testing.T) {
	all := withPlanned()
	for name, row := range all {
		for _, used := range row.uses {
			if strings.HasPrefix(used, name+"/") {
				continue // a room may use the rooms inside it
			}
			if other, known := all[used]; !known {
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
		"so does a folder below it":           {listed{ImportPath: in("api/charts"), Imports: []string{in("secrets")}}, "api/charts must not import secrets"},
		"a room looks up":                     {listed{ImportPath: in("store"), Imports: []string{in("broker")}}, "store must not import broker"},
		"neighbours":                          {listed{ImportPath: in("worker"), Imports: []string{in("api")}}, "worker must not import api"},
		"code uses the test kit":              {listed{ImportPath: in("cmd/grantd"), Imports: []string{in("brokertest/services")}}, "cmd/grantd must not import brokertest/services"},
		"the vocabulary imports":              {listed{ImportPath: in("models"), Imports: []string{in("migrations")}}, "models must not import migrations"},
		"a room without a row":                {listed{ImportPath: in("util")}, "util has no row"},
		"a room without a row is imported":    {listed{ImportPath: in("broker"), Imports: []string{in("util/slices")}}, "broker must not import util/slices"},
		"a journey knows another":             {listed{ImportPath: in("broker/tokens"), Imports: []string{in("broker/revocation")}}, "broker/tokens must not import broker/revocation"},
		"so does its test":                    {listed{ImportPath: in("broker/consent"), TestImports: []string{in("broker/clients")}}, "tests of broker/consent must not import broker/clients"},
		"and its test from outside":           {listed{ImportPath: in("broker/work"), XTestImports: []string{in("broker/tokens")}}, "tests of broker/work must not import broker/tokens"},
		"a room's test uses the test kit":     {listed{ImportPath: in("broker/custody"), XTestImports: []string{in("brokertest")}}, "tests of broker/custody must not import brokertest"},
		"a room knows the broker around it":   {listed{ImportPath: in("broker/revocation"), Imports: []string{in("broker")}}, "broker/revocation must not import broker"},
		"a room's test does":                  {listed{ImportPath: in("broker/external"), TestImports: []string{in("broker")}}, "tests of broker/external must not import broker"},
		"a folder below a room inside":        {listed{ImportPath: in("broker/clients/icons"), Imports: []string{in("broker/work")}}, "broker/clients/icons must not import broker/work"},
		"a ground room knows another":         {listed{ImportPath: in("broker/access"), Imports: []string{in("broker/custody")}}, "broker/access must not import broker/custody"},
		"a ground room knows a journey":       {listed{ImportPath: in("broker/upstream"), Imports: []string{in("broker/tokens")}}, "broker/upstream must not import broker/tokens"},
		"who may do what asks no upstream":    {listed{ImportPath: in("broker/access"), Imports: []string{in("providers")}}, "broker/access must not import providers"},
		"a journey knows the outer view":      {listed{ImportPath: in("broker/tokens"), Imports: []string{in("broker/external")}}, "broker/tokens must not import broker/external"},
		"an edge passes by the broker":        {listed{ImportPath: in("worker"), Imports: []string{in("broker/work")}}, "worker must not import broker/work"},
		"pages reach for the store":           {listed{ImportPath: in("api/pages"), Imports: []string{in("store")}}, "api/pages must not import store"},
		"the console knows the pages":         {listed{ImportPath: in("api/console"), Imports: []string{in("api/pages")}}, "api/console must not import api/pages"},
		"pages know the JSON surface":         {listed{ImportPath: in("api/pages"), Imports: []string{in("api")}}, "api/pages must not import api"},
		"a command without a row":             {listed{ImportPath: in("cmd/other")}, "cmd/other has no row"},
		"a library away from a room inside":   {listed{ImportPath: in("broker/tokens"), Imports: []string{"gorm.io/gorm"}}, "broker/tokens must not import gorm.io/gorm"},
		"a test looks up":                     {listed{ImportPath: in("store"), TestImports: []string{in("broker")}}, "tests of store must not import broker"},
		"so does one from outside":            {listed{ImportPath: in("broker"), XTestImports: []string{in("api")}}, "tests of broker must not import api"},
		"a library away from home":            {listed{ImportPath: in("broker"), Imports: []string{"gorm.io/gorm"}}, "broker must not import gorm.io/gorm"},
		"a version is the same library":       {listed{ImportPath: in("cmd/grantd"), Imports: []string{"github.com/labstack/echo/v4"}}, "cmd/grantd must not import github.com/labstack/echo/v4"},
		"a library nobody knows":              {listed{ImportPath: in("jobs"), Imports: []string{"example.com/left-pad"}}, "example.com/left-pad has no home"},
		"a namesake of a library":             {listed{ImportPath: in("store"), Imports: []string{"gorm.io.example.com/gorm"}}, "gorm.io.example.com/gorm has no home"},
		"a library in the vocabulary":         {listed{ImportPath: in("models"), Imports: []string{"github.com/google/uuid"}}, "models must not import github.com/google/uuid"},
		"code uses a library for tests alone": {listed{ImportPath: in("api"), Imports: []string{"github.com/google/go-cmp/cmp"}}, "github.com/google/go-cmp/cmp has no home"},

		"down is allowed":                  {listed{ImportPath: in("broker"), Imports: []string{in("store"), in("models"), "context", "net/http"}}, ""},
		"within a room, too":               {listed{ImportPath: in("api"), Imports: []string{in("api/charts")}}, ""},
		"and to a room inside":             {listed{ImportPath: in("broker"), Imports: []string{in("broker/tokens"), in("broker/access")}, XTestImports: []string{in("broker/work"), in("brokertest")}}, ""},
		"a journey stands on the ground":   {listed{ImportPath: in("broker/tokens"), Imports: []string{in("broker/custody"), in("store")}, TestImports: []string{in("broker/access"), in("migrations"), in("testidp")}}, ""},
		"external stands on journeys":      {listed{ImportPath: in("broker/external"), Imports: []string{in("broker/tokens")}, TestImports: []string{in("broker/consent")}}, ""},
		"a room inside shares libraries":   {listed{ImportPath: in("broker/work"), Imports: []string{"github.com/google/uuid"}}, ""},
		"a library at home":                {listed{ImportPath: in("store"), Imports: []string{"gorm.io/gorm", "github.com/jackc/pgx/v5/stdlib"}}, ""},
		"the test kit may do anything":     {listed{ImportPath: in("brokertest/bench"), Imports: []string{in("cmd/grantd"), in("store"), "github.com/labstack/echo/v4"}}, ""},
		"tests may look sideways and down": {listed{ImportPath: in("api"), XTestImports: []string{in("worker"), in("store"), in("brokertest"), in("client"), "gorm.io/gorm"}}, ""},
		"the root may be there":            {listed{ImportPath: module}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := complaints([]listed{c.pkg}, withPlanned())
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

// complaints are sentences about every import that breaks the ladder.
func complaints(packages []listed, ladder map[string]room) []string {
	roomOf := func(path string) string { return longestRow(path, ladder) }
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
				} else if !slices.ContainsFunc(rooms, func(home string) bool { return name == home || strings.HasPrefix(name, home+"/") }) {
					complain("%s must not import %s: it lives in %s", path, imported, strings.Join(rooms, ", "))
				}
			}
		}

		for _, imported := range slices.Concat(p.TestImports, p.XTestImports) {
			if !ours(imported) {
				continue
			}
			other := roomOf(within(imported))
			used, known := ladder[other]
			switch {
			case other == name:
			case strings.HasPrefix(name, insideBroker):
				if other == kit || !known || used.level >= row.level {
					complain("tests of %s must not import %s: tests of a room inside the broker may use rooms below it only", path, within(imported))
				}
			case !slices.Contains(forTests, other) && (!known || used.level > row.level):
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

// longestRow is the row that a package belongs to: the longest that its path begins with, else its first folder.
func longestRow(path string, ladder map[string]room) string {
	for name := path; name != "."; name = filepath.ToSlash(filepath.Dir(name)) {
		if _, known := ladder[name]; known {
			return name
		}
	}
	first, _, _ := strings.Cut(path, "/")
	return first
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
