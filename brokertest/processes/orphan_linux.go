package processes

import "syscall"

// dieWithUs has the kernel end the child when we die, by a kill -9 or the
// time-out of a test as well.
func dieWithUs(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }
