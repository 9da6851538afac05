package main

import (
	"fmt"
	"syscall"
)

// smallDisk mounts a file system in memory. That needs root; elsewhere the row is
// left out: to be refused at a file's size (RLIMIT_FSIZE) ends a Go process.
func smallDisk(s *scene, bytes int) string {
	s.Helper()
	folder := s.TempDir()
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, fmt.Sprintf("size=%d", bytes)); err != nil {
		s.Skip("only root may mount a small disk: ", err)
	}
	s.Cleanup(func() {
		if err := syscall.Unmount(folder, syscall.MNT_DETACH); err != nil {
			s.Error(err)
		}
	})
	return folder
}
