// Command measure counts what tells whether a cut of the code into rooms is worth it: functions and exported names of
// every package, how many files of the broker use each other in circles, and how many names of each ground room of the
// broker other packages use. Tests are left out.
//
//	go run -C .ci/tools ./measure /path/to/grantd [room ...]
//
// Without rooms it counts for the three ground rooms that docs/decisions/0037-the-broker-stays-one-package.md is about. A
// room that is no package yet is planned as a list of files of one that is: broker/access=access,callers.
package main

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/tools/go/packages"
)

const module = "github.com/grantd/grantd/"

// ground are the rooms that the broker would be built on, as files of it.
var ground = []string{
	"broker/access=access,audit,callers,limits,redirect,tally",
	"broker/upstream=admission,bindings,inflight,pace,patience,upstream",
	"broker/custody=seal,link,verdicts",
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: measure FOLDER [ROOM ...]")
		os.Exit(2)
	}
	rooms := os.Args[2:]
	if len(rooms) == 0 {
		rooms = ground
	}
	all, err := packages.Load(&packages.Config{Dir: os.Args[1], Mode: packages.NeedName | packages.NeedFiles | packages.NeedImports |
		packages.NeedDeps | packages.NeedExportFile | packages.NeedTypes | packages.NeedSyntax | packages.NeedTypesInfo}, "./...")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if packages.PrintErrors(all) > 0 {
		os.Exit(1)
	}

	fmt.Printf("%-40s %10s %10s %10s\n", "package", "files", "functions", "exported")
	for _, p := range all {
		fmt.Printf("%-40s %10d %10d %10d\n", strings.TrimPrefix(p.PkgPath, module), len(p.Syntax), functions(p), exported(p))
	}

	for _, p := range all {
		if p.PkgPath == module+"broker" {
			pairs := references(p)
			n := 0
			for _, those := range pairs {
				n += len(those)
			}
			fmt.Printf("\nbroker: %d files use names of another file, as %d pairs; %d pairs run upwards in the best order that was found\n", len(pairs), n, upwards(pairs))
		}
	}

	total := map[string]bool{}
	for _, room := range rooms {
		name, files, planned := strings.Cut(room, "=")
		var byUser map[string]map[string]bool
		if planned {
			byUser = usedOfFiles(all, name, strings.Split(files, ","))
		} else {
			byUser = used(all, name)
		}
		room = name
		names := map[string]bool{}
		for _, those := range byUser {
			maps.Copy(names, those)
		}
		for name := range names {
			total[room+"."+name] = true
		}
		fmt.Printf("\n%s: %d names are used from outside\n", room, len(names))
		for _, user := range slices.Sorted(maps.Keys(byUser)) {
			fmt.Printf("  %4d by %s: %s\n", len(byUser[user]), user, strings.Join(slices.Sorted(maps.Keys(byUser[user])), ", "))
		}
	}
	fmt.Printf("\nall of them together: %d\n", len(total))
}

func functions(p *packages.Package) int {
	n := 0
	for _, file := range p.Syntax {
		for _, d := range file.Decls {
			if _, ok := d.(*ast.FuncDecl); ok {
				n++
			}
		}
	}
	return n
}

// exported counts package-level names and the methods of exported types.
func exported(p *packages.Package) int {
	n := 0
	for _, name := range p.Types.Scope().Names() {
		if !ast.IsExported(name) {
			continue
		}
		n++
		if t, ok := p.Types.Scope().Lookup(name).Type().(*types.Named); ok {
			for m := range t.Methods() {
				if m.Exported() {
					n++
				}
			}
		}
	}
	return n
}

// references tells, for each file of a package, which other files of it declare package-level names and methods that it uses.
func references(p *packages.Package) map[string]map[string]bool {
	file := func(at token.Pos) string { return filepath.Base(p.Fset.Position(at).Filename) }
	found := map[string]map[string]bool{}
	for id, object := range p.TypesInfo.Uses {
		if object.Pkg() != p.Types || !belongs(object) {
			continue
		}
		if f, ok := object.(*types.Func); ok {
			object = f.Origin()
		}
		from, to := file(id.Pos()), file(object.Pos())
		if from == to {
			continue
		}
		if found[from] == nil {
			found[from] = map[string]bool{}
		}
		found[from][to] = true
	}
	return found
}

// upwards counts the pairs of files that run against an order in which every file stands above those that it uses, as far
// as that is possible. Without circles it is 0. The order is found as Eades, Lin and Smyth describe it ("A fast and
// effective heuristic for the feedback arc set problem", 1993), so that the count is at most a little too high.
func upwards(pairs map[string]map[string]bool) int {
	users := map[string]map[string]bool{} // the pairs from the other end
	left := map[string]bool{}
	for from, those := range pairs {
		left[from] = true
		for to := range those {
			left[to] = true
			if users[to] == nil {
				users[to] = map[string]bool{}
			}
			users[to][from] = true
		}
	}
	count := func(those map[string]bool) int {
		n := 0
		for name := range those {
			if left[name] {
				n++
			}
		}
		return n
	}
	var top, bottom []string
	for len(left) > 0 {
		best, most := "", 0
		for _, name := range slices.Sorted(maps.Keys(left)) {
			uses, used := count(pairs[name]), count(users[name])
			if uses == 0 {
				best = ""
				bottom = append(bottom, name)
				delete(left, name)
				break
			}
			if used == 0 {
				uses = len(left) * len(left) // nobody uses it: to the top before all others
			}
			if best == "" || uses-used > most {
				best, most = name, uses-used
			}
		}
		if best != "" {
			top = append(top, best)
			delete(left, best)
		}
	}
	slices.Reverse(bottom)
	place := map[string]int{}
	for i, name := range append(top, bottom...) {
		place[name] = i
	}
	n := 0
	for from, those := range pairs {
		for to := range those {
			if place[to] < place[from] {
				n++
			}
		}
	}
	return n
}

// used tells, for each other package, which package-level names and methods of a room it uses.
func used(all []*packages.Package, room string) map[string]map[string]bool {
	found := map[string]map[string]bool{}
	for _, p := range all {
		if p.PkgPath == module+room {
			continue
		}
		for _, object := range p.TypesInfo.Uses {
			if object.Pkg() == nil || object.Pkg().Path() != module+room || !object.Exported() {
				continue
			}
			if belongs(object) {
				note(found, strings.TrimPrefix(p.PkgPath, module), object)
			}
		}
	}
	return found
}

// usedOfFiles tells, for each other file of the package and each other package, which package-level names and methods that
// are declared in the files it uses. A room of these files would have to export them.
func usedOfFiles(all []*packages.Package, room string, files []string) map[string]map[string]bool {
	found := map[string]map[string]bool{}
	home := module + room[:strings.LastIndex(room, "/")]
	inside := func(p *packages.Package, at token.Pos) (string, bool) {
		name := strings.TrimSuffix(filepath.Base(p.Fset.Position(at).Filename), ".go")
		return name, slices.Contains(files, name)
	}
	declared := map[string]bool{}
	for _, p := range all {
		if p.PkgPath != home {
			continue
		}
		for _, object := range p.TypesInfo.Defs {
			if object == nil || !belongs(object) {
				continue
			}
			if _, in := inside(p, object.Pos()); in {
				declared[named(object)] = true
			}
		}
	}
	for _, p := range all {
		for id, object := range p.TypesInfo.Uses {
			if object.Pkg() == nil || object.Pkg().Path() != home || !belongs(object) || !declared[named(object)] {
				continue
			}
			user := strings.TrimPrefix(p.PkgPath, module)
			if p.PkgPath == home {
				file, in := inside(p, id.Pos())
				if in {
					continue
				}
				user = home[len(module):] + "/" + file + ".go"
			}
			note(found, user, object)
		}
	}
	return found
}

// note writes down that somebody uses an object.
func note(found map[string]map[string]bool, user string, object types.Object) {
	if found[user] == nil {
		found[user] = map[string]bool{}
	}
	found[user][named(object)] = true
}

// belongs reports whether an object is a package-level name or a method.
func belongs(object types.Object) bool {
	if f, ok := object.(*types.Func); ok && f.Origin().Signature().Recv() != nil {
		return true
	}
	return object.Parent() == object.Pkg().Scope()
}

func named(object types.Object) string {
	if f, ok := object.(*types.Func); ok {
		if receiver := f.Origin().Signature().Recv(); receiver != nil {
			return receiverName(receiver.Type()) + "." + object.Name()
		}
	}
	return object.Name()
}

func receiverName(t types.Type) string {
	if pointer, ok := t.(*types.Pointer); ok {
		t = pointer.Elem()
	}
	if named, ok := t.(*types.Named); ok {
		return named.Obj().Name()
	}
	return t.String()
}
