package services

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// command is what to run, and as whom.
type command struct {
	path string
	args []string
	env  []string // beside our own
	dir  string
	user *syscall.Credential // nil for our own
}

func (c command) exec() *exec.Cmd {
	cmd := exec.Command(c.path, c.args...)
	cmd.Dir = c.dir
	if c.env != nil {
		cmd.Env = append(os.Environ(), c.env...)
	}
	// A group of its own: Ctrl-C in the terminal ends the tests first, and they
	// end their servers.
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.user, Setpgid: true}
	return cmd
}

// process is one that runs, or has ended.
type process struct {
	pid  int
	done chan struct{} // closed when it ended
}

// startProcess starts c with its output appended to the file log. The child gets
// the signal orphan when we die. Linux sends that when the *thread* dies which
// forked, so a goroutine holds on to its thread until the child has ended.
func startProcess(c command, orphan syscall.Signal, log string) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := c.exec()
	cmd.Stdout, cmd.Stderr = out, out
	dieWithUs(cmd.SysProcAttr, orphan)

	p := &process{done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := cmd.Start()
		if err == nil {
			p.pid = cmd.Process.Pid
		}
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in its log
		}
		close(p.done)
	}()
	return p, <-started
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// stop asks with sig, and kills what has not ended after stopTimeout.
func (p *process) stop(sig syscall.Signal) error {
	err := errors.Join(p.signalAll(syscall.SIGCONT), p.signal(p.pid, sig))
	select {
	case <-p.done:
		return err
	case <-time.After(stopTimeout):
		return errors.Join(err, fmt.Errorf("process %d did not stop and was killed", p.pid), p.kill())
	}
}

// kill ends the process and its children at once, and returns when all are gone:
// PostgreSQL does not start again beside a child of its former self.
func (p *process) kill() error {
	family := children(p.pid)
	err := p.signalAll(syscall.SIGKILL)
	<-p.done
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for slices.ContainsFunc(family, running) {
		<-poll.C
	}
	return err
}

// signalAll signals the process and its children. PostgreSQL puts each child in
// a group of its own, so a signal to the group would miss them. The process is
// frozen first, so that it has no more children while they are listed.
func (p *process) signalAll(sig syscall.Signal) error {
	err := p.signal(p.pid, syscall.SIGSTOP)
	for _, child := range append(children(p.pid), p.pid) {
		err = errors.Join(err, p.signal(child, sig))
	}
	return err
}

// signal is for a process that may have ended meanwhile, which is no error.
func (p *process) signal(pid int, sig syscall.Signal) error {
	if p.ended() {
		return nil
	}
	if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("signalling process %d: %w", pid, err)
	}
	return nil
}

// children lists the children of pid, none where there is no /proc.
func children(pid int) []int {
	var found []int
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if child, err := strconv.Atoi(e.Name()); err == nil {
			if _, parent := stat(child); parent == pid {
				found = append(found, child)
			}
		}
	}
	return found
}

// running reports whether pid is there and more than a name that waits for its
// parent to notice ("Z").
func running(pid int) bool {
	state, _ := stat(pid)
	return state != "" && state != "Z"
}

// stat reads the third and fourth word of /proc/N/stat, "" when there is none.
// The second word, the name, is in parentheses and may hold blanks.
func stat(pid int) (state string, parent int) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", 0
	}
	words := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(words) < 2 {
		return "", 0
	}
	parent, _ = strconv.Atoi(words[1])
	return words[0], parent
}
