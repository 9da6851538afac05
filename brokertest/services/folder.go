package services

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const folderPrefix = "grantd-test-"

// makeFolder makes a folder and locks it, which tells sweepFolders that it is in
// use: the lock ends with the process, however it ends.
func makeFolder() (path string, unlock func(), err error) {
	path, err = os.MkdirTemp("", folderPrefix)
	if err != nil {
		return "", nil, err
	}
	lock, err := lockFolder(path)
	if err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(path))
	}
	return path, func() { lock.Close() }, nil
}

func lockFolder(path string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(path, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// sweepFolders removes what killed test processes left behind, some 40 MB each.
// A folder younger than a minute may not have been locked yet.
func sweepFolders() {
	folders, _ := filepath.Glob(filepath.Join(os.TempDir(), folderPrefix+"*"))
	for _, path := range folders {
		info, err := os.Stat(path)
		if err != nil || time.Since(info.ModTime()) < time.Minute {
			continue
		}
		if lock, err := lockFolder(path); err == nil {
			_ = os.RemoveAll(path) // what cannot be removed is somebody else's
			lock.Close()
		}
	}
}
