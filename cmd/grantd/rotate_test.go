package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// founded returns an environment with a database that was sealed with a keyset,
// and where the keyset is.
func founded(t *testing.T) (vars []string, keyset string) {
	t.Helper()
	vars, data := prepared(t)
	mustRun(t, vars, "token", "create", "--org", "acme", "--user", "ada", "--role", "admin")
	return vars, filepath.Join(data, "keyset.json")
}

// added adds a key and returns its id.
func added(t *testing.T, vars []string) string {
	t.Helper()
	return strings.TrimSpace(mustRun(t, vars, "keys", "add").out)
}

// listed returns the state and the values of each key.
func listed(t *testing.T, vars []string) map[string]string {
	t.Helper()
	lines := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^(\d+) +(\w+ +\S+)$`).FindAllStringSubmatch(mustRun(t, vars, "keys", "list").out, -1) {
		lines[m[1]] = strings.Join(strings.Fields(m[2]), " ")
	}
	return lines
}

// primaryOf returns the id of the key that seals.
func primaryOf(t *testing.T, vars []string) string {
	t.Helper()
	for id, state := range listed(t, vars) {
		if strings.HasPrefix(state, "primary") {
			return id
		}
	}
	t.Fatal("no key is the primary")
	return ""
}

func wantListed(t *testing.T, vars []string, want map[string]string) {
	t.Helper()
	got := listed(t, vars)
	if len(got) != len(want) {
		t.Errorf("listed %v, want %v", got, want)
	}
	for id, state := range want {
		if got[id] != state {
			t.Errorf("key %s is listed as %q, want %q", id, got[id], state)
		}
	}
}

// TestK3_AKeysetIsRotatedByCommands, one a step, and each says what comes next.
func TestK3_AKeysetIsRotatedByCommands(t *testing.T) {
	t.Parallel()
	vars, file := founded(t)
	before := read(t, file)
	old := primaryOf(t, vars)

	o := mustRun(t, vars, "keys", "add")
	id := strings.TrimSpace(o.out)
	if !strings.Contains(o.err, "restart every grantd") || !strings.Contains(o.err, "grantd keys promote "+id) {
		t.Errorf("adding says %q", o.err)
	}
	wantListed(t, vars, map[string]string{old: "primary 1", id: "opens 0"})
	if o := mustRun(t, vars, "keys", "promote", id); o.out != "" || !strings.Contains(o.err, "grantd keys reseal") {
		t.Errorf("promoting says %q", o.err)
	}
	wantListed(t, vars, map[string]string{old: "opens 1", id: "primary 0"})

	mustFail(t, grantd(t, vars, "keys", "remove", old), exitFailure, "key "+old+" is needed: it sealed 1 of the values")
	if o := mustRun(t, vars, "keys", "reseal"); o.out != "" || !strings.Contains(o.err, "1 of 1 (100 %)") || !strings.Contains(o.err, "Everything is under the primary key") {
		t.Errorf("re-sealing says %q", o.err)
	}
	if o := mustRun(t, vars, "keys", "reseal"); !strings.Contains(o.err, "again: 0") {
		t.Errorf("the second time it says %q", o.err)
	}
	if o := mustRun(t, vars, "keys", "remove", old); !strings.Contains(o.err, "Backups") {
		t.Errorf("removing says %q", o.err)
	}
	wantListed(t, vars, map[string]string{id: "primary 1"})
	if mode(t, file) != 0o600 {
		t.Errorf("the keyset has mode %o", mode(t, file))
	}
	mustRun(t, vars, "token", "list")

	// A process with the keyset as it was before does not start.
	if err := os.WriteFile(file, []byte(before), 0o600); err != nil {
		t.Fatal(err)
	}
	mustFail(t, grantd(t, vars, "token", "list"), exitFailure, "keyset")
	wantListed(t, vars, map[string]string{old: "primary 0", id: "missing 1"})
}

func TestK3_KeysThatAreNotThereAreRefused(t *testing.T) {
	t.Parallel()
	vars, file := founded(t)
	before := read(t, file)
	for _, command := range []string{"promote", "remove"} {
		mustFail(t, grantd(t, vars, "keys", command, "1"), exitFailure, "there is no key 1 in "+file)
		mustFail(t, grantd(t, vars, "keys", command, "first"), exitUsage, "first")
		mustFail(t, grantd(t, vars, "keys", command), exitUsage, "id")
	}
	mustFail(t, grantd(t, vars, "keys", "remove", primaryOf(t, vars)), exitFailure, "promote another one first")
	if read(t, file) != before {
		t.Error("the keyset has changed")
	}
}

// TestK3_OnlyTheKeysetsOwnDatabaseLetsAKeyGo: that another one needs a key for
// nothing says nothing.
func TestK3_OnlyTheKeysetsOwnDatabaseLetsAKeyGo(t *testing.T) {
	t.Parallel()
	vars, file := founded(t)
	id := added(t, vars)
	foreign, _ := founded(t)
	empty, _ := home(t)
	mustRun(t, empty, "migrate")
	none, _ := home(t)
	for _, c := range []struct {
		vars []string
		want string
	}{
		{foreign, "GRANTD_KEYSET: the keyset does not belong to this database"},
		{empty, "is it the right one?"},
		{none, "no database"},
	} {
		with := append(c.vars, "GRANTD_KEYSET="+file)
		mustFail(t, grantd(t, with, "keys", "remove", id), exitFailure, c.want)
		mustFail(t, grantd(t, with, "keys", "reseal"), exitFailure, c.want)
	}
	mustRun(t, vars, "keys", "remove", id)
}

// TestListingKeysMakesNothing: neither a database to count in, nor a keyset.
func TestListingKeysMakesNothing(t *testing.T) {
	t.Parallel()
	vars, data := home(t)
	mustFail(t, grantd(t, vars, "keys", "list"), exitFailure, "grantd keys init")
	mustRun(t, vars, "keys", "init")
	if o := mustRun(t, vars, "keys", "list"); !strings.Contains(o.out, "primary  ?") || !strings.Contains(o.err, "no database") {
		t.Errorf("prints %q and says %q", o.out, o.err)
	}
	if _, err := os.Stat(filepath.Join(data, "grantd.db")); err == nil {
		t.Error("a database was made")
	}
	for _, command := range [][]string{{"list"}, {"add"}, {"promote", "1"}, {"reseal"}, {"remove", "1"}} {
		with := []string{"GRANTD_DATABASE_URL=postgres://h/db"}
		mustFail(t, grantd(t, with, append([]string{"keys"}, command...)...), exitUsage, "GRANTD_KEYSET")
	}
}
