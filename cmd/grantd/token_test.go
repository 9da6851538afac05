package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// home returns an environment with a data folder that does not exist yet.
func home(t *testing.T) (vars []string, data string) {
	t.Helper()
	data = filepath.Join(t.TempDir(), "data")
	return []string{"GRANTD_DATA=" + data}, data
}

var tokenLine = regexp.MustCompile(`^grd_([0-9a-f-]{36})_[A-Za-z0-9_-]{43}\n$`)

// TestTokenCreate: on a machine where nothing was made before, the token is all
// there is on standard output.
func TestTokenCreate(t *testing.T) {
	t.Parallel()
	vars, data := home(t)
	o := mustRun(t, vars, "token", "create", "--org", "acme", "--user", "ada", "--role", "admin", "--expires", "720h", "--name", "CI")
	if !tokenLine.MatchString(o.out) {
		t.Fatalf("standard output is %q", o.out)
	}
	if strings.Contains(o.err, strings.TrimSpace(o.out)) {
		t.Error("standard error repeats the token")
	}
	if mode(t, data) != 0o700 || mode(t, filepath.Join(data, "keyset.json")) != 0o600 {
		t.Error("the data folder is open to others")
	}
}

func TestTokensAreListedAndRevoked(t *testing.T) {
	t.Parallel()
	vars, _ := home(t)
	created := mustRun(t, vars, "token", "create", "--org", "acme", "--user", "ada", "--role", "user", "--name", "CI")
	id := tokenLine.FindStringSubmatch(created.out)[1]

	list := mustRun(t, vars, "token", "list").out
	for _, want := range []string{id, "acme", "ada", "user", "does not expire", `"CI"`} {
		if !strings.Contains(list, want) {
			t.Errorf("the list does not show %s:\n%s", want, list)
		}
	}
	if strings.Contains(list, strings.TrimSpace(created.out)) {
		t.Error("the list shows the token")
	}

	if o := mustRun(t, vars, "token", "revoke", id); o.out != "" {
		t.Errorf("standard output is %q", o.out)
	}
	if list = mustRun(t, vars, "token", "list").out; !strings.Contains(list, "revoked") {
		t.Errorf("the list does not show the end:\n%s", list)
	}
	mustFail(t, grantd(t, vars, "token", "revoke", id), exitFailure, "No living API token")
}

func TestTokenCreateNamesTheFlagsAtFault(t *testing.T) {
	t.Parallel()
	vars, _ := home(t)
	o := grantd(t, vars, "token", "create", "--org", "a:b", "--user", "", "--role", "boss", "--expires=-1h")
	for _, flag := range []string{"--org: ", "--user: ", "--role: ", "--expires: "} {
		mustFail(t, o, exitUsage, flag)
	}
	if o.out != "" {
		t.Errorf("standard output is %q", o.out)
	}
}

// TestListingMakesNoDatabase: a mistyped path would otherwise look like an
// empty database.
func TestListingMakesNoDatabase(t *testing.T) {
	t.Parallel()
	vars, data := home(t)
	mustFail(t, grantd(t, vars, "token", "list"), exitFailure, "no database")
	mustFail(t, grantd(t, vars, "token", "revoke", "x"), exitFailure, "no database")
	if _, err := os.Stat(data); err == nil {
		t.Error("the data folder was made")
	}
}

// TestK2_ALostKeysetIsNotReplaced: with a new keyset the database would seem to
// work, and every token in it would be lost.
func TestK2_ALostKeysetIsNotReplaced(t *testing.T) {
	t.Parallel()
	vars, data := home(t)
	mustRun(t, vars, "token", "create", "--org", "acme", "--user", "ada", "--role", "admin")
	file := filepath.Join(data, "keyset.json")
	kept := read(t, file)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"token", "create", "--org", "acme", "--user", "ada", "--role", "admin"},
		{"serve", "--listen", "127.0.0.1:0"},
	} {
		mustFail(t, grantd(t, vars, args...), exitFailure, "GRANTD_KEYSET: there is no keyset at "+file)
		if _, err := os.Stat(file); err == nil {
			t.Fatal("a new keyset was made")
		}
	}

	// Another database's keyset is no better.
	other, otherData := home(t)
	mustRun(t, other, "keys", "init")
	mustFail(t, grantd(t, append(vars, "GRANTD_KEYSET="+filepath.Join(otherData, "keyset.json")), "token", "list"), exitFailure, "keyset")

	if err := os.WriteFile(file, []byte(kept), 0o600); err != nil {
		t.Fatal(err)
	}
	mustRun(t, vars, "token", "list")
}

func TestMigrate(t *testing.T) {
	t.Parallel()
	vars, data := home(t)
	mustRun(t, vars, "migrate")
	if o := mustRun(t, vars, "migrate"); !strings.Contains(o.err, "already") {
		t.Errorf("the second time it says %q", o.err)
	}
	if _, err := os.Stat(filepath.Join(data, "keyset.json")); err == nil {
		t.Error("migrate made a keyset")
	}
}
