package processes

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// startLimit is when a process that says nothing is given up, stopLimit when one
// that was asked to end is killed: grantd itself allows 45 s for that.
const (
	startLimit = 60 * time.Second
	stopLimit  = 60 * time.Second
)

// Process is a grantd that serves: api, worker or serve.
type Process struct {
	Name string // its command line
	URL  string // where its API listens, "" for a worker

	cmd   *exec.Cmd
	ready chan struct{} // closed when it says that it serves
	done  chan struct{} // closed when it has ended
	err   error         // how it ended; read after done

	mu  sync.Mutex
	log strings.Builder
}

// Start starts a process and returns when it serves. The error has its log when
// it ended instead. The process ends with ours, however ours ends.
func (g *Grantd) Start(ctx context.Context, args ...string) (*Process, error) {
	// Not with ctx: the caller that starts a process decides how it ends.
	p := &Process{Name: strings.Join(args, " "), cmd: g.command(context.WithoutCancel(ctx), args),
		ready: make(chan struct{}), done: make(chan struct{})}
	if err := p.start(); err != nil {
		return nil, fmt.Errorf("starting grantd %s: %w", p.Name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	select {
	case <-p.ready:
		return p, nil
	case <-p.done:
		return nil, fmt.Errorf("grantd %s ended: %w\n%s", p.Name, p.err, p.Log())
	case <-ctx.Done():
		return nil, errors.Join(fmt.Errorf("grantd %s does not come up: %w\n%s", p.Name, ctx.Err(), p.Log()), p.Kill())
	}
}

// start forks on a thread that stays until the process has ended: the kernel's
// promise to end the child with its parent is about the parent's thread.
func (p *Process) start() error {
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for us
	dieWithUs(p.cmd.SysProcAttr)
	out, err := p.cmd.StderrPipe()
	if err != nil {
		return err
	}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.listen(out)
			p.err = p.cmd.Wait()
		}
		close(p.done)
	}()
	return <-started
}

// listen keeps the log, and waits in it for the line that says where the process
// serves.
func (p *Process) listen(out io.Reader) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for serves := false; lines.Scan(); {
		p.mu.Lock()
		p.log.Write(append(lines.Bytes(), '\n'))
		p.mu.Unlock()
		var line struct{ Msg, URL string }
		if serves || json.Unmarshal(lines.Bytes(), &line) != nil {
			continue
		}
		if serves = line.Msg == "grantd is listening" || line.Msg == "the worker is running"; serves {
			p.URL = line.URL
			close(p.ready)
		}
	}
	_, _ = io.Copy(io.Discard, out) // after a line that is too long
}

// Log is what the process has logged so far.
func (p *Process) Log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// Stop ends the process in order. An exit code other than 0 is an error.
func (p *Process) Stop() error { return errors.Join(p.Terminate(), p.Wait()) }

// Terminate asks the process to end in order, and returns at once. Asked twice,
// it ends out of order.
func (p *Process) Terminate() error { return p.signal(syscall.SIGTERM) }

// Wait returns when a process that was asked to end has ended.
func (p *Process) Wait() error {
	select {
	case <-p.done:
		return p.err
	case <-time.After(stopLimit):
		return errors.Join(fmt.Errorf("grantd %s did not stop and was killed", p.Name), p.Kill())
	}
}

// Kill ends the process as a crash would, and returns when it is gone.
func (p *Process) Kill() error {
	err := p.signal(syscall.SIGKILL)
	<-p.done
	return err
}

// signal is for a process that may have ended meanwhile, which is no error.
func (p *Process) signal(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signalling grantd %s: %w", p.Name, err)
	}
	return nil
}

// PID is the process's number.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// CPU is how much processor time the process has used since its start. It needs
// Linux's /proc.
func (p *Process) CPU() (time.Duration, error) {
	path := fmt.Sprintf("/proc/%d/stat", p.PID())
	stat, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	// The second field is a name in brackets, which may contain spaces.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	var ticks int64
	for _, i := range []int{11, 12} { // utime and stime, the 14th and 15th field
		if i >= len(fields) {
			return 0, fmt.Errorf("%s has no times", path)
		}
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", path, err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil // Linux always counts hundredths here
}

// Memory is how much of the machine's memory the process holds, in bytes
// (VmRSS). It needs /proc.
func (p *Process) Memory() (int64, error) {
	path := fmt.Sprintf("/proc/%d/status", p.PID())
	status, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kB, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kB << 10, err
		}
	}
	return 0, fmt.Errorf("%s has no VmRSS", path)
}
