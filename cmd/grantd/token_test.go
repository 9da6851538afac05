package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// home returns an environment with a data folder that does not exist yet.
func home(t *testing.T) (vars []string, data string) {
	t.Helper()
	data = filepath.Join(t.TempDir(), "data")
	return []string{"GRANTD_DATA=" + data}, data
}

// prepared is home after the database and the keyset were made.
func prepared(t *testing.T) (vars []string, data string) {
	t.Helper()
	vars, data = home(t)
	mustRun(t, vars, "migrate")
	mustRun(t, vars, "keys", "init")
	return vars, data
}

var tokenLine = regexp.MustCompile(`^grd_([0-9a-f-]{36})_[A-Za-z0-9_-]{43}\n$`)

// TestTokenCreate: the token is all there is on standard output.
func TestTokenCreate(t *testing.T) {
	t.Parallel()
	vars, data := prepared(t)
	o := mustRun(t, vars, "token", "create", "--org", "acme", "--user", "ada", "--role", "admin", "--expires", "30d", "--name", "CI")
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
	vars, _ := prepared(t)
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
	mustFail(t, grantd(t, vars, "token", "revoke", id), exitFailure, "no valid API token")
	mustFail(t, grantd(t, vars, "token", "revoke", "--with-made", id), exitFailure, "no valid API token")
	mustRun(t, vars, "token", "revoke", "--with-made", tokenLine.FindStringSubmatch(mustRun(t, vars, "token", "create", "--org", "acme", "--user", "ada", "--role", "user").out)[1])
}

func TestTokensAsJSON(t *testing.T) {
	t.Parallel()
	vars, _ := prepared(t)
	var made, listed tokenJSON
	parse(t, mustRun(t, vars, "token", "create", "--org", "acme", "--user", "ada", "--role", "user", "--expires", "1d12h", "--json").out, &made)
	if !tokenLine.MatchString(made.Token+"\n") || made.ExpiresAt == nil || made.ExpiresAt.Sub(made.CreatedAt) != 36*time.Hour {
		t.Errorf("made %+v", made)
	}
	all := []*tokenJSON{&listed}
	parse(t, mustRun(t, vars, "token", "list", "--json").out, &all)
	if listed.ID != made.ID || listed.Token != "" || !listed.Usable || listed.Org != "acme" {
		t.Errorf("listed %+v", listed)
	}
	var keys []keyRow
	parse(t, mustRun(t, vars, "keys", "list", "--json").out, &keys)
	if len(keys) != 1 || keys[0].State != "primary" || keys[0].Values == nil || *keys[0].Values != 1 { // the canary
		t.Errorf("keys %+v", keys)
	}
}

func parse(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
}

// API tokens and keys of the keyset used to be made and ended without a trace.
func TestAPITokensAndKeysAreAudited(t *testing.T) {
	t.Parallel()
	vars, data := prepared(t)
	made := mustRun(t, vars, "token", "create", "--org", "acme", "--user", "ada", "--role", "admin")
	id := tokenLine.FindStringSubmatch(made.out)[1]
	mustRun(t, vars, "token", "revoke", id)
	key := strings.TrimSpace(mustRun(t, vars, "keys", "add").out)
	former := firstKey(t, vars)
	mustRun(t, vars, "keys", "promote", key)
	mustRun(t, vars, "keys", "reseal")
	mustRun(t, vars, "keys", "remove", former)

	st, err := store.Open(t.Context(), store.Options{URL: "sqlite:" + filepath.Join(data, "grantd.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	for org, want := range map[string][]models.Action{
		"acme": {models.ActionTokenCreated, models.ActionTokenEnded},
		"":     {models.ActionKeyAdded, models.ActionKeyPromoted, models.ActionResealed, models.ActionKeyRemoved},
	} {
		counts, err := st.CountActions(t.Context(), org, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		for _, action := range want {
			if counts[action] != 1 {
				t.Errorf("organisation %q has %d events %s", org, counts[action], action)
			}
		}
	}

	// The file can be changed where there is no database, which is said.
	alone, _ := home(t)
	mustRun(t, alone, "keys", "init")
	if o := mustRun(t, alone, "keys", "add"); !strings.Contains(o.err, "not recorded in the audit trail") {
		t.Errorf("without a database it says %q", o.err)
	}
}

func firstKey(t *testing.T, vars []string) string {
	t.Helper()
	var keys []keyRow
	parse(t, mustRun(t, vars, "keys", "list", "--json").out, &keys)
	return keys[0].ID
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

func TestTokenCreateOfAServiceNeedsProvidersThatExist(t *testing.T) {
	t.Parallel()
	vars, _ := prepared(t)
	service := []string{"token", "create", "--org", "acme", "--user", "app-web", "--role", "service"}
	mustFail(t, grantd(t, vars, service...), exitUsage, "--provider: ")
	mustFail(t, grantd(t, vars, append(service, "--provider", "github")...), exitUsage, `--provider: "github" is neither`)
}

// In the wrong folder `token create` made a database and a keyset, and printed a token
// that no server knew; with a role that does not exist it made both before it refused.
func TestOnlyServingAndMigratingMakeADatabase(t *testing.T) {
	t.Parallel()
	vars, data := home(t)
	path := filepath.Join(data, "grantd.db")
	mustFail(t, grantd(t, vars, "token", "list"), exitFailure, "there is no database at "+path)
	mustFail(t, grantd(t, vars, "token", "revoke", "x"), exitFailure, "there is no database at "+path)
	mustFail(t, grantd(t, vars, "token", "create", "--org", "acme", "--user", "ada", "--role", "admin"), exitFailure, "there is no database at "+path)
	mustFail(t, grantd(t, vars, "token", "create", "--org", "acme", "--user", "ada", "--role", "owner"), exitUsage, "--role: ")
	mustFail(t, grantd(t, vars, "keys", "reseal"), exitFailure, "there is no database at "+path)
	mustFail(t, grantd(t, vars, "keys", "list"), exitFailure, "there is no keyset at ")
	if _, err := os.Stat(data); err == nil {
		t.Error("the data folder was made")
	}
}

// TestK2_ALostKeysetIsNotReplaced: with a new keyset the database would seem to
// work, and every token in it would be lost.
func TestK2_ALostKeysetIsNotReplaced(t *testing.T) {
	t.Parallel()
	vars, data := prepared(t)
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
