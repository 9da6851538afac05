//go:build unix

package main

import (
	"os"
	"syscall"
)

// lockFile takes a lock that ends with the open file, and fails where there is one.
func lockFile(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }

// waitForLock waits for the same lock.
func waitForLock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX) }
