package secrets

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tink-crypto/tink-go/v2/keyset"
)

func load(t *testing.T, path string) *Keyring {
	t.Helper()
	k, err := File{Path: path}.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func addKey(t *testing.T, path string) uint32 {
	t.Helper()
	id, err := File{Path: path}.AddKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func keys(t *testing.T, path string) []Key {
	t.Helper()
	list, err := File{Path: path}.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// primary returns the id of the key that seals.
func primary(t *testing.T, path string) uint32 {
	t.Helper()
	for _, k := range keys(t, path) {
		if k.Primary {
			return k.ID
		}
	}
	t.Fatal("no key is the primary")
	return 0
}

// TestK3_RotationTakesTwoSteps: a process that has read the file since the key was added
// opens what any other process seals, before and after the promotion.
func TestK3_RotationTakesTwoSteps(t *testing.T) {
	t.Parallel()
	path, o := create(t), CredentialOwner("c", "a", "o", "u", "p")
	before, old := load(t, path), primary(t, path)
	id := addKey(t, path)
	added := load(t, path)
	if primary(t, path) != old {
		t.Fatal("a key that was added seals at once")
	}
	mustOpen(t, before, o, seal(t, added, o, "added"), "added")

	if err := (File{Path: path}).Promote(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	promoted := load(t, path)
	if primary(t, path) != id {
		t.Fatal("the promoted key is not the primary")
	}
	fresh := seal(t, promoted, o, "fresh")
	mustOpen(t, added, o, fresh, "fresh")
	mustOpen(t, promoted, o, seal(t, added, o, "late"), "late")
	mustNotOpen(t, before, o, fresh)

	if err := (File{Path: path}).Remove(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, load(t, path), o, fresh, "fresh")
	mustNotOpen(t, load(t, path), o, seal(t, before, o, "old"))
}

func TestK3_ResealingChangesTheKeyAlone(t *testing.T) {
	t.Parallel()
	path, o := create(t), CredentialOwner("c", "a", "o", "u", "p")
	before := load(t, path)
	old := seal(t, before, o, "token")
	canary, err := before.Canary()
	if err != nil {
		t.Fatal(err)
	}
	if err := (File{Path: path}).Promote(t.Context(), addKey(t, path)); err != nil {
		t.Fatal(err)
	}
	after := load(t, path)
	fresh, err := after.Reseal(o, old)
	if err != nil || !bytes.HasPrefix(fresh, after.PrimaryPrefix()) {
		t.Fatalf("re-sealed to %x, %v", fresh, err)
	}
	mustOpen(t, after, o, fresh, "token")
	if _, err := after.Reseal(CredentialOwner("c", "a", "o", "mallory", "p"), old); !errors.Is(err, ErrUndecryptable) {
		t.Errorf("a value was re-sealed for another owner: %v", err)
	}
	if canary, err = after.ResealCanary(canary); err != nil || after.CheckCanary(canary) != nil || before.CheckCanary(canary) == nil {
		t.Errorf("the canary was not re-sealed: %v", err)
	}
}

func TestK3_KeysAreTold(t *testing.T) {
	t.Parallel()
	path := create(t)
	addKey(t, path)
	list := keys(t, path)
	if len(list) != 2 || !list[0].Primary || list[1].Primary || !list[1].Enabled || list[0].Prefix == list[1].Prefix {
		t.Fatalf("keys = %+v", list)
	}
	if got := string(load(t, path).PrimaryPrefix()); got != list[0].Prefix {
		t.Errorf("the primary's prefix is listed as %x, want %x", list[0].Prefix, got)
	}
}

func TestK3_WhatWouldLoseTokensIsRefused(t *testing.T) {
	t.Parallel()
	path := create(t)
	old := primary(t, path)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for want, err := range map[string]error{
		"is the primary":   File{Path: path}.Remove(t.Context(), old),
		"grantd keys list": File{Path: path}.Remove(t.Context(), old+1),
		"there is no key":  File{Path: path}.Promote(t.Context(), old+1),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("err = %v, want %q", err, want)
		}
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Error("the keyset was touched")
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

func TestK3_ADisabledKeyIsNotPromoted(t *testing.T) {
	t.Parallel()
	path := create(t)
	id := addKey(t, path)
	if err := (File{Path: path}).change(t.Context(), func(m *keyset.Manager, _ []Key) error { return m.Disable(id) }); err != nil {
		t.Fatal(err)
	}
	if err := (File{Path: path}).Promote(t.Context(), id); err == nil || !strings.Contains(err.Error(), "disabled") {
		t.Errorf("err = %v", err)
	}
}

// TestK3_AChangeKeepsWhoMayRead: a keyset that a group may read must not be
// closed to it by a rotation, nor opened to more.
func TestK3_AChangeKeepsWhoMayRead(t *testing.T) {
	t.Parallel()
	path := create(t)
	for _, want := range []fs.FileMode{0o400, 0o600, 0o640} {
		if err := os.Chmod(path, want); err != nil {
			t.Fatal(err)
		}
		addKey(t, path)
		if got := mode(t, path); got != want {
			t.Errorf("mode %04o became %04o", want, got)
		}
	}
}

func TestK3_AChangeReplacesWhatALinkPointsTo(t *testing.T) {
	t.Parallel()
	path := create(t)
	link := filepath.Join(t.TempDir(), "link.json")
	if err := os.Symlink(path, link); err != nil {
		t.Skip(err)
	}
	addKey(t, link)
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link became %v, %v", info, err)
	}
	if n := len(keys(t, path)); n != 2 {
		t.Errorf("the file has %d keys", n)
	}
}

// TestK3_TwoChangesAtOnce: the second would write back what it read before the
// first one's key, which may seal already, and so lose it.
func TestK3_TwoChangesAtOnce(t *testing.T) {
	t.Parallel()
	path := create(t)
	var second error
	err := File{Path: path}.change(t.Context(), func(*keyset.Manager, []Key) error {
		_, second = File{Path: path}.AddKey(t.Context())
		return nil
	})
	if err != nil || !errors.Is(second, fs.ErrExist) || !strings.Contains(second.Error(), "delete "+path+".new") {
		t.Fatalf("first %v, second %v", err, second)
	}
	addKey(t, path)
}

func TestK3_AMissingKeysetIsNotMade(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "none.json")
	if _, err := (File{Path: path}).AddKey(t.Context()); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "grantd keys init") {
		t.Errorf("err = %v", err)
	}
}
