//go:build unix

package secrets

import (
	"io/fs"
	"os"
	"syscall"
)

// keepOwner gives f to the user and the group that another file belongs to.
func keepOwner(f *os.File, was fs.FileInfo) error {
	is, err := f.Stat()
	if err != nil {
		return err
	}
	old, known := was.Sys().(*syscall.Stat_t)
	own, same := is.Sys().(*syscall.Stat_t)
	if !known || !same || old.Uid == own.Uid && old.Gid == own.Gid {
		return nil
	}
	return f.Chown(int(old.Uid), int(old.Gid))
}
