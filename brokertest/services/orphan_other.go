//go:build !linux

package services

import "syscall"

// dieWithUs can do nothing here: only Close ends the child.
func dieWithUs(*syscall.SysProcAttr, syscall.Signal) {}
