// Command lint is what `make check` holds the code to, beside vet: staticcheck with all of its checks, and analyzers that
// others wrote, in one run that remembers its results for packages that did not change.
//
// What is left out stands in this file, each with its reason. A single place is excepted by a comment in the line before it,
// which staticcheck itself refuses without a reason, and reports when nothing is left to except:
//
//	//lint:ignore CHECK reason
package main

import (
	"go/ast"
	"os"
	"strings"

	"github.com/jingyugao/rowserrcheck/passes/rowserr"
	"github.com/kisielk/errcheck/errcheck"
	"github.com/nishanths/exhaustive"
	"github.com/polyfloyd/go-errorlint/errorlint"
	"github.com/ryanrolds/sqlclosecheck/pkg/analyzer"
	"github.com/timakin/bodyclose/passes/bodyclose"
	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/passes/nilness"
	"honnef.co/go/tools/lintcmd"
	"honnef.co/go/tools/quickfix"
	"honnef.co/go/tools/simple"
	"honnef.co/go/tools/staticcheck"
	"honnef.co/go/tools/stylecheck"
	"honnef.co/go/tools/unused"
)

// leftOut are checks of staticcheck that the code need not pass.
var leftOut = map[string]string{
	"QF1001": "which form of a negated condition reads better depends on the condition",
	"QF1008": "a field of an embedded struct is sometimes named in full because its owner matters: l.Provider.Provider",
}

func main() {
	checks := "all"
	for name := range leftOut {
		checks += ",-" + name
	}
	cmd := lintcmd.NewCommand("lint")
	cmd.ParseFlags(append([]string{"-checks", checks}, os.Args[1:]...))

	cmd.AddAnalyzers(simple.Analyzers...)      // S
	cmd.AddAnalyzers(staticcheck.Analyzers...) // SA
	for _, a := range stylecheck.Analyzers {   // ST
		if a.Analyzer.Name == "ST1003" {
			a.Analyzer = where(a.Analyzer, func(_ *analysis.Pass, d analysis.Diagnostic) bool {
				return !strings.Contains(d.Message, "IdP") // as identity providers are written
			})
		}
		cmd.AddAnalyzers(a)
	}
	cmd.AddAnalyzers(quickfix.Analyzers...) // QF
	cmd.AddAnalyzers(unused.Analyzer)       // U

	// A default is a decision about all other values. Without one, a new value of an enum must be decided about.
	set(exhaustive.Analyzer, "d", "true")
	set(exhaustive.Analyzer, "typeignore", `^reflect\.Kind$|/models\.Code$`) // a switch asks for the kinds, or the error codes, that it knows

	cmd.AddBareAnalyzers(
		outsideTests(bodyclose.Analyzer), // a test's server ends with the test, and its connections with it
		where(errcheck.Analyzer, mayMatter),
		outsideTests(errorlint.NewAnalyzer()), // a test may ask for exactly one error
		exhaustive.Analyzer,
		nilness.Analyzer,
		noNolint,
		rowserr.NewAnalyzer(),
		analyzer.NewAnalyzer(), // sqlclosecheck
	)
	cmd.Run()
}

func set(a *analysis.Analyzer, name, value string) {
	if err := a.Flags.Set(name, value); err != nil {
		panic(err)
	}
}

// where has an analyzer report only what keep says yes to.
func where(a *analysis.Analyzer, keep func(*analysis.Pass, analysis.Diagnostic) bool) *analysis.Analyzer {
	filtered := *a
	filtered.Run = func(pass *analysis.Pass) (any, error) {
		p := *pass
		p.Report = func(d analysis.Diagnostic) {
			if keep(pass, d) {
				pass.Report(d)
			}
		}
		return a.Run(&p)
	}
	return &filtered
}

func outsideTests(a *analysis.Analyzer) *analysis.Analyzer {
	return where(a, func(pass *analysis.Pass, d analysis.Diagnostic) bool { return !inTest(pass, d) })
}

// inTest reports whether a diagnostic is about a test or the test kit.
func inTest(pass *analysis.Pass, d analysis.Diagnostic) bool {
	return strings.HasSuffix(pass.Fset.Position(d.Pos).Filename, "_test.go") || strings.Contains(pass.Pkg.Path(), "/brokertest")
}

// mayMatter leaves out errors that nobody can do anything about.
func mayMatter(pass *analysis.Pass, d analysis.Diagnostic) bool {
	if inTest(pass, d) {
		return false // it shows in what the test asserts next
	}
	statement, call := callAt(pass, d)
	if call == nil {
		return true
	}
	name := ""
	switch f := call.Fun.(type) {
	case *ast.SelectorExpr:
		name = f.Sel.Name
	case *ast.Ident:
		name = f.Name
	}
	switch name {
	case "Fprint", "Fprintf", "Fprintln", "WriteString", "Write", "Execute":
		return false // an answer or a message to somebody who has gone; what must not be lost goes through Store and os.File, where Sync and Close are checked
	case "Close", "Remove", "RemoveAll":
		_, deferred := statement.(*ast.DeferStmt)
		return !deferred // of something that was read, or that is no longer needed
	}
	return true
}

// callAt finds the call that a diagnostic of errcheck is about, and the statement that it is.
func callAt(pass *analysis.Pass, d analysis.Diagnostic) (ast.Stmt, *ast.CallExpr) {
	var statement ast.Stmt
	var call *ast.CallExpr
	for _, file := range pass.Files {
		if d.Pos < file.FileStart || d.Pos > file.FileEnd {
			continue
		}
		ast.Inspect(file, func(n ast.Node) bool {
			var c *ast.CallExpr
			switch s := n.(type) {
			case *ast.ExprStmt:
				c, _ = s.X.(*ast.CallExpr)
			case *ast.DeferStmt:
				c = s.Call
			case *ast.GoStmt:
				c = s.Call
			}
			if c != nil && c.Pos() <= d.Pos && d.Pos <= c.End() {
				statement, call = n.(ast.Stmt), c // the innermost comes last
			}
			return true
		})
	}
	return statement, call
}

// noNolint refuses the comments of other linters, which nothing here reads.
var noNolint = &analysis.Analyzer{
	Name: "nonolint",
	Doc:  "refuse //nolint and #nosec, which nothing reads",
	Run: func(pass *analysis.Pass) (any, error) {
		for _, file := range pass.Files {
			for _, group := range file.Comments {
				for _, c := range group.List {
					if strings.HasPrefix(c.Text, "//nolint") || strings.Contains(c.Text, "#nosec") {
						pass.Reportf(c.Pos(), "nothing reads this comment: write //lint:ignore CHECK reason")
					}
				}
			}
		}
		return nil, nil
	},
}
