package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func mode(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestK2_KeysInitNeverOverwrites(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	vars, file := []string{"GRANTD_DATA=" + data}, filepath.Join(data, "keyset.json")
	mustRun(t, vars, "keys", "init")
	if mode(t, data) != 0o700 || mode(t, file) != 0o600 {
		t.Errorf("modes %o and %o", mode(t, data), mode(t, file))
	}
	first := read(t, file)

	mustFail(t, grantd(t, vars, "keys", "init"), exitFailure, "never overwritten")
	if o := mustRun(t, vars, "keys", "init", "--if-missing"); o.err != "" {
		t.Errorf("--if-missing says %q", o.err)
	}
	if read(t, file) != first {
		t.Error("the keyset has changed")
	}
}

func TestK2_KeysInitIfMissingRefusesAKeysetThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "keyset.json")
	vars := []string{"GRANTD_KEYSET=" + file}
	mustRun(t, vars, "keys", "init", "--if-missing")
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	mustFail(t, grantd(t, vars, "keys", "init", "--if-missing"), exitFailure, "GRANTD_KEYSET")
}

func TestKeysInitWithPostgresNeedsAFile(t *testing.T) {
	t.Parallel()
	mustFail(t, grantd(t, []string{"GRANTD_DATABASE_URL=postgres://h/db"}, "keys", "init"), exitUsage, "GRANTD_KEYSET")
}
