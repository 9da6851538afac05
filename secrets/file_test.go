package secrets

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func create(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "new", "keyset.json")
	if err := (File{Path: path}).Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	return path
}

func mode(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

func TestK2_ANewKeysetIsPrivate(t *testing.T) {
	t.Parallel()
	path := create(t)
	if got := mode(t, path); got != 0o600 {
		t.Errorf("file mode %04o", got)
	}
	if got := mode(t, filepath.Dir(path)); got != 0o700 {
		t.Errorf("folder mode %04o", got)
	}
}

func TestK2_AKeysetIsNeverOverwritten(t *testing.T) {
	t.Parallel()
	path := create(t)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := (File{Path: path}).Create(t.Context()); !errors.Is(err, os.ErrExist) || !strings.Contains(err.Error(), "never overwritten") {
		t.Fatalf("err = %v", err)
	}
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Fatal("the keyset was touched")
	}
}

// TestK2_AKeysetAppearsWhole: a start that was killed while it wrote the keyset left
// half of one under its name, which the next start refused and nobody dared delete.
func TestK2_AKeysetAppearsWhole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, over := filepath.Join(dir, "keyset.json"), make(chan struct{})
	seen := make(chan error, 1)
	go func() { // reads whatever has the name, as soon as anything has
		defer close(seen)
		for {
			_, err := File{Path: path}.Load(t.Context())
			switch {
			case err != nil && !errors.Is(err, fs.ErrNotExist):
				seen <- err
				return
			case err == nil:
				return
			}
			select {
			case <-over:
				return
			default:
			}
		}
	}()
	made := make(chan error)
	for range 4 { // starts at the same time: one makes it, and no other touches it
		go func() { made <- File{Path: path}.Create(t.Context()) }()
	}
	won := 0
	for range 4 {
		if err := <-made; err == nil {
			won++
		} else if !errors.Is(err, fs.ErrExist) {
			t.Error(err)
		}
	}
	close(over)
	if err := <-seen; err != nil {
		t.Errorf("half of a keyset was seen: %v", err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || won != 1 || len(left) != 1 {
		t.Errorf("%d made it, and the folder holds %v (%v)", won, left, err)
	}
}

func TestALoadedKeysetOpensWhatItSealed(t *testing.T) {
	t.Parallel()
	path, o := create(t), CredentialOwner("c", "a", "o", "u", "p")
	first, err := File{Path: path}.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	again, err := File{Path: path}.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	mustOpen(t, again, o, seal(t, first, o, "token"), "token")
}

func TestK2_AKeysetOpenToOthersIsRefused(t *testing.T) {
	t.Parallel()
	path := create(t)
	for _, open := range []fs.FileMode{0o604, 0o620, 0o644, 0o660} {
		if err := os.Chmod(path, open); err != nil {
			t.Fatal(err)
		}
		if _, err := (File{Path: path}).Load(t.Context()); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %04o: err = %v", open, err)
		}
	}
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	if _, err := (File{Path: path}).Load(t.Context()); err != nil {
		t.Errorf("mode 0400: %v", err)
	}
}

func TestLoadSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := (File{Path: filepath.Join(dir, "none")}).Load(t.Context()); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "grantd keys init") {
		t.Errorf("missing: %v", err)
	}
	if _, err := (File{Path: dir}).Load(t.Context()); err == nil || !strings.Contains(err.Error(), "not a file") {
		t.Errorf("folder: %v", err)
	}
	for _, text := range []string{"", "{}", `{"primaryKeyId":1,"key":[]}`, "c2VjcmV0", `{"primaryKeyId":1,"key":[{"keyId":1}]}`} {
		path := filepath.Join(t.TempDir(), "keyset.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := File{Path: path}.Load(t.Context())
		if err == nil || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "c2VjcmV0") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
