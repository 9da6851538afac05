//go:build !linux

package processes

import "syscall"

// dieWithUs can do nothing here: only Stop and Kill end the child.
func dieWithUs(*syscall.SysProcAttr) {}
