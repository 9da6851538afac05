package services

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
)

// startTimeout bounds one start, of a server that recovers from a kill as well.
const startTimeout = 30 * time.Second

// stopTimeout is how long a server may take to stop in order before it is killed.
const stopTimeout = 10 * time.Second

// portTries is how many free ports are tried: another process may take one
// between the moment it was found free and the moment the server listens.
const portTries = 5

// Server is one server process of ours, for tests of faults. It keeps its port
// and its data until Close, so that it can be taken away and come back.
// Its methods may be called from several goroutines.
type Server struct {
	URL  string
	Addr string // host:port
	// Folder holds the data and the log.
	Folder string

	recipe recipe
	mu     sync.Mutex
	port   int
	proc   *process // nil while stopped
	unlock func()
}

// recipe is how a server of one kind is run.
type recipe struct {
	name    string
	prepare func(ctx context.Context, folder string) error               // once, before the first start
	command func(folder string, port int) command                        // the server itself
	ready   func(ctx context.Context, folder string, port, pid int) bool // answers, and is the process we started
	stop    syscall.Signal                                               // ends it in order
	orphan  syscall.Signal                                               // what it gets when we die
	url     func(addr string) string
}

// launch makes a folder and starts the server on a port that is free.
func launch(ctx context.Context, r recipe) (*Server, error) {
	folder, unlock, err := makeFolder()
	if err != nil {
		return nil, err
	}
	s := &Server{Folder: folder, recipe: r, unlock: unlock}
	if err := r.prepare(ctx, folder); err != nil {
		return nil, errors.Join(fmt.Errorf("preparing %s: %w", r.name, err), s.Close())
	}
	for range portTries {
		if s.port, err = freePort(); err != nil {
			break
		}
		s.Addr = loopback(s.port)
		s.URL = r.url(s.Addr)
		if err = s.Start(ctx); err == nil {
			return s, nil
		}
	}
	return nil, errors.Join(err, s.Close())
}

// Start starts the server again, on the same port and data, and returns when it
// answers. Nothing happens when it runs.
func (s *Server) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc != nil && !s.proc.ended() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	p, err := startProcess(s.recipe.command(s.Folder, s.port), s.recipe.orphan, s.logPath())
	if err != nil {
		return fmt.Errorf("starting %s: %w", s.recipe.name, err)
	}
	if err := s.await(ctx, p); err != nil {
		return errors.Join(err, p.kill())
	}
	s.proc = p
	return nil
}

// await polls until p answers, and gives up as soon as it has ended.
func (s *Server) await(ctx context.Context, p *process) error {
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for !s.recipe.ready(ctx, s.Folder, s.port, p.pid) {
		select {
		case <-p.done:
			return fmt.Errorf("%s ended while starting:\n%s", s.recipe.name, tail(s.logPath()))
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w\n%s", s.recipe.name, ctx.Err(), tail(s.logPath()))
		case <-poll.C:
		}
	}
	return nil
}

// Stop ends the server in order: clients are sent away, data is written.
func (s *Server) Stop() error { return s.end((*process).stop) }

// Kill ends the server and its children with SIGKILL, as a crash would.
func (s *Server) Kill() error {
	return s.end(func(p *process, _ syscall.Signal) error { return p.kill() })
}

func (s *Server) end(how func(*process, syscall.Signal) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return nil
	}
	p := s.proc
	s.proc = nil
	return how(p, s.recipe.stop)
}

// Pause freezes the server: connections stay open and nothing answers.
func (s *Server) Pause() error { return s.signal(syscall.SIGSTOP) }

// Resume lets a paused server go on.
func (s *Server) Resume() error { return s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return fmt.Errorf("%s is not running", s.recipe.name)
	}
	return s.proc.signalAll(sig)
}

// Close stops the server and removes its folder. It may be called twice.
func (s *Server) Close() error {
	err := s.Stop()
	s.unlock()
	return errors.Join(err, os.RemoveAll(s.Folder))
}

func (s *Server) logPath() string { return s.Folder + "/server.log" }

// tail returns the end of a log, for an error.
func tail(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-2000):])
}
