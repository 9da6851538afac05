//go:build !unix

package secrets

import "os/exec"

// killWhole leaves it at the program itself.
func killWhole(*exec.Cmd) {}
