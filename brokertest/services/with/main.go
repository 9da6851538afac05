// Command with runs another command with a PostgreSQL and a Redis to throw away:
//
//	go run ./brokertest/services/with go test ./...
//
// It finds or starts both once, hands them on as GRANTD_TEST_DATABASE_URL and
// GRANTD_TEST_REDIS_URL, and ends with the command's exit code (as the program;
// `go run` makes 1 of every failure). What is missing is said on standard
// error, and is a failure when GRANTD_TEST_REQUIRE_SERVICES=1.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/grantd/grantd/brokertest/services"
)

func main() {
	code, err := run(os.Args[1:], os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "with:", err)
	}
	os.Exit(code)
}

func run(args []string, stderr io.Writer) (code int, err error) {
	if len(args) == 0 {
		return 2, errors.New("say which command to run, such as `with go test ./...`")
	}
	// From the start: a signal while the servers start waits for the command.
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)

	set, err := services.Start(context.Background())
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, set.Close()) }()
	for _, note := range set.Notes {
		fmt.Fprintln(stderr, note)
	}
	if len(set.Missing) > 0 && services.Required() {
		return 1, errors.New("GRANTD_TEST_REQUIRE_SERVICES=1, and not all services are there")
	}
	return runCommand(args, environment(set), signals)
}

func environment(set *services.Set) []string {
	env := os.Environ()
	if set.PostgresURL != "" {
		env = append(env, "GRANTD_TEST_DATABASE_URL="+set.PostgresURL)
	}
	if set.RedisURL != "" {
		env = append(env, "GRANTD_TEST_REDIS_URL="+set.RedisURL)
	}
	return env
}

func runCommand(args, env []string, signals <-chan os.Signal) (int, error) {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = env
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return 127, err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for {
		select {
		case sig := <-signals:
			_ = cmd.Process.Signal(sig) // it may have ended meanwhile
		case err := <-done:
			return exitCode(err)
		}
	}
}

// exitCode is what a shell would report: 128 and the signal for a command that
// a signal ended.
func exitCode(err error) (int, error) {
	if err == nil {
		return 0, nil
	}
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return 1, err
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return exit.ExitCode(), nil
}
