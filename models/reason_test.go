package models

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"
)

// The reason why an authorization has expired was a code without a sentence. Every
// constant of the type Reason has a sentence that tells what to do, and a row in
// docs/api.md.
func TestEveryReasonHasASentence(t *testing.T) {
	page, err := os.ReadFile("../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	declared := declaredReasons(t)
	if len(declared) < 5 || len(declared) != len(Reasons) {
		t.Errorf("%d reasons are declared, %d have a sentence", len(declared), len(Reasons))
	}
	seen := map[string]Reason{}
	for _, r := range declared {
		text := Reasons[r]
		if !strings.HasSuffix(text, ".") || !strings.Contains(text, "onsent again") {
			t.Errorf("%s: %q does not tell what to do", r, text)
		}
		if other, twice := seen[text]; twice {
			t.Errorf("%s and %s have the same sentence", r, other)
		}
		seen[text] = r
		if r.Message() != text {
			t.Errorf("%s: the message is %q", r, r.Message())
		}
		if !strings.Contains(string(page), "\n| `"+string(r)+"` |") {
			t.Errorf("docs/api.md has no row for the reason %s", r)
		}
	}
}

func TestAReasonOfTheUpstreamIsNamed(t *testing.T) {
	if got := Reason("invalid_grant").Message(); !strings.Contains(got, "the error invalid_grant.") {
		t.Errorf("it says %q", got)
	}
	if got := Reason("").Message(); strings.Contains(got, "error") || !strings.HasSuffix(got, "Consent again.") {
		t.Errorf("without a code it says %q", got)
	}
}

// declaredReasons reads reason.go for the constants of the type Reason.
func declaredReasons(t *testing.T) []Reason {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "reason.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var all []Reason
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if typ, ok := spec.Type.(*ast.Ident); !ok || typ.Name != "Reason" {
			return true
		}
		for _, v := range spec.Values {
			text, err := strconv.Unquote(v.(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, Reason(text))
		}
		return true
	})
	return all
}
