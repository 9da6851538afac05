//go:build unix

package secrets

import (
	"os"
	"syscall"
	"testing"
)

// TestK3_AChangeKeepsTheOwner: root rotates, and the server, which is not root,
// must still be able to read its keyset.
func TestK3_AChangeKeepsTheOwner(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root may give a file away")
	}
	path := create(t)
	if err := os.Chown(path, 12345, 54321); err != nil {
		t.Skip(err)
	}
	addKey(t, path)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if s := info.Sys().(*syscall.Stat_t); s.Uid != 12345 || s.Gid != 54321 {
		t.Errorf("the keyset belongs to %d:%d now", s.Uid, s.Gid)
	}
}
