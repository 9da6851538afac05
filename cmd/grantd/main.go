package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"reflect"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/grantd/grantd/commands"
)

// The exit codes that are used here; docs/cli.md has all of them.
const (
	exitOK      = commands.ExitOK
	exitFailure = commands.ExitFailure
	exitUsage   = commands.ExitUsage
)

func main() {
	tuneMemory()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal asks for an orderly end; the second one is not caught.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], console{os.Stdin, os.Stdout, os.Stderr}, os.Environ()))
}

// cli is the command line.
type cli struct {
	Config              `group:"settings"`
	commands.Connection `group:"connection"`

	commands.Commands

	Demo       demoCommand       `cmd:"" group:"server" help:"Play the whole story on embedded parts, and end."`
	Dev        devCommand        `cmd:"" group:"server" help:"Run everything on embedded parts, with a test provider to play with."`
	Serve      serveCommand      `cmd:"" group:"server" help:"Run API and worker in one process."`
	API        apiCommand        `cmd:"" group:"server" name:"api" help:"Run the API alone; needs PostgreSQL and Redis."`
	Worker     workerCommand     `cmd:"" group:"server" help:"Run a worker alone; needs PostgreSQL and Redis."`
	Migrate    migrateCommand    `cmd:"" group:"server" help:"Bring the database's schema up to date."`
	Keys       keysCommand       `cmd:"" group:"server" help:"Look after the keyset that seals all secrets."`
	Token      tokenCommand      `cmd:"" group:"server" help:"Make, list and revoke API tokens; with --for, print an access token of a provider."`
	Sessions   sessionsCommand   `cmd:"" group:"server" help:"List and end sessions of the pages."`
	Show       configCommand     `cmd:"" group:"server" name:"config" help:"Print the settings in force, passwords redacted."`
	Doctor     doctorCommand     `cmd:"" group:"server" help:"Examine settings, database, keyset, Redis, clock and public URL, and say what is wrong."`
	Health     healthCommand     `cmd:"" group:"server" help:"Ask the process beside it whether it is ready."`
	Version    versionCommand    `cmd:"" group:"other" help:"Print the version."`
	Completion completionCommand `cmd:"" group:"other" help:"Print a script that completes commands in a shell."`
	Help       helpCommand       `cmd:"" group:"other" help:"Explain a command, or all settings: grantd help settings."`

	ShowVersion kong.VersionFlag `name:"version" help:"Print the version."`
}

// console is where a command writes: what was asked for to out, everything else
// to err, so that "TOKEN=$(grantd token create …)" works.
type console struct {
	in       io.Reader
	out, err io.Writer
}

// groups are the parts of the help.
var groups = []kong.Group{
	{Key: "client", Title: "Asking a running grantd:"},
	{Key: "server", Title: "Running grantd, on its own machine:"},
	{Key: "other", Title: "Other commands:"},
	{Key: "settings", Title: "Settings, by flag or environment:"},
	{Key: "connection", Title: "Which grantd is asked, by flag or environment:"},
}

// usageError is a mistake in the command line or in a setting.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// clientError is how a command ended that asks a running grantd: its exit codes say more.
type clientError struct{ error }

func (e clientError) Unwrap() error { return e.error }

// run is the whole program, with everything it takes from its surroundings
// handed in. It ends when the command is done or ctx is.
func run(ctx context.Context, args []string, c console, environ []string) int {
	err := command(ctx, args, c, environ)
	if err != nil {
		fmt.Fprintf(c.err, "grantd: %s\n", commands.Plain(err.Error(), true))
	}
	var asked clientError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, new(usageError)):
		return exitUsage
	case errors.As(err, &asked):
		return commands.ExitCode(asked.error)
	}
	return exitFailure
}

// command parses the command line and runs what it asks for.
func command(ctx context.Context, args []string, c console, environ []string) error {
	var line cli
	var helped bool
	env := readEnvironment(environ)
	parser, err := newParser(ctx, &line, c, env, func(int) { helped = true })
	if err != nil {
		return err
	}
	parsed, err := parser.Parse(askedForHelp(args))
	switch {
	case helped:
		return nil
	case err != nil:
		return usageError{fmt.Errorf("%w\nRun \"grantd %s\" for help", err, strings.TrimSpace(chosen(err)+" --help"))}
	}
	line.Config.misread = env.misread
	line.Config.unknown = env.unknown(parser.Model.Flags)
	line.Config.complete(origins(parsed, env))
	if !logsUnknown(parsed.Command()) {
		for _, problem := range line.Config.unknown {
			fmt.Fprintf(c.err, "grantd: warning: %s\n", problem)
		}
	}
	err = parsed.Run(&line.Config)
	if err != nil && asksRunning(parsed.Selected()) {
		return clientError{err}
	}
	return err
}

// asksRunning reports whether a command, or the one that it is part of, asks a running grantd.
func asksRunning(n *kong.Node) bool {
	for ; n != nil; n = n.Parent {
		if n.Group != nil {
			return n.Group.Key == "client"
		}
	}
	return false
}

// newParser describes the command line. It calls helped where help or a version was asked for and printed.
func newParser(ctx context.Context, line *cli, c console, env *environment, helped func(int)) (*kong.Kong, error) {
	return kong.New(line,
		kong.Name("grantd"),
		kong.Description("Keeps OAuth connections: register a provider, let people consent, fetch working tokens, "+
			"delete and have everything revoked. Begin with: grantd demo"),
		kong.Writers(c.out, c.err),
		kong.Exit(helped),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true, WrapUpperBound: 100}),
		kong.Help(helpWithoutSettings),
		kong.TypeMapper(reflect.TypeFor[time.Duration](), kong.MapperFunc(mapDuration)),
		kong.Vars{"version": "grantd " + currentVersion()},
		kong.ExplicitGroups(groups),
		kong.ValueFormatter(withVariable),
		kong.Resolvers(env),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(c, &commands.Session{Connection: &line.Connection, Surroundings: commands.Surroundings{
			In: c.in, Out: c.out, Err: c.err, Env: func(name string) string { return env.values[name] }, Lock: waitForLock,
		}}),
	)
}

// chosen names the command whose help explains err.
func chosen(err error) string {
	var parse *kong.ParseError
	if !errors.As(err, &parse) || parse.Context == nil || parse.Context.Selected() == nil {
		return ""
	}
	return parse.Context.Selected().Path()
}

// tuneMemory collects garbage less often than Go's default: the heap of a fetching
// server is a few megabytes, so that collecting it each time it has doubled costs a
// tenth of the processor and saves little. The soft limit takes over where a lot
// is alive. GOGC and GOMEMLIMIT win.
func tuneMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(300)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(128 << 20)
	}
}
