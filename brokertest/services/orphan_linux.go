package services

import "syscall"

// dieWithUs has the kernel send sig to the child when we die, by a kill -9 or
// the time-out of a test as well.
func dieWithUs(attr *syscall.SysProcAttr, sig syscall.Signal) { attr.Pdeathsig = sig }
