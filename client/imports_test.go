package client

import (
	"os/exec"
	"strings"
	"testing"
)

// Who imports the client gets nothing else with it: no library of grantd's.
func TestTheClientBringsNothingAlong(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	const module = "github.com/grantd/grantd/"
	for imported := range strings.FieldsSeq(string(out)) {
		if imported != module+"models" && !strings.HasPrefix(imported+"/", module+"client/") {
			t.Errorf("the client imports %s", imported)
		}
	}
	if !strings.Contains(string(out), module+"models") {
		t.Errorf("go list says %s", out)
	}
}
