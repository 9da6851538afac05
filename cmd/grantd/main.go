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
)

// The exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2 // the command line or a setting is wrong: trying again will not help
)

func main() {
	tuneMemory()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal asks for an orderly end; the second one is not caught.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr, os.Environ()))
}

// cli is the command line.
type cli struct {
	Config `group:"settings"`

	Demo       demoCommand       `cmd:"" help:"Play the whole story on embedded parts, and end."`
	Dev        devCommand        `cmd:"" help:"Run everything on embedded parts, with a test provider to play with."`
	Serve      serveCommand      `cmd:"" help:"Run API and worker in one process."`
	API        apiCommand        `cmd:"" name:"api" help:"Run the API alone; needs PostgreSQL and Redis."`
	Worker     workerCommand     `cmd:"" help:"Run a worker alone; needs PostgreSQL and Redis."`
	Migrate    migrateCommand    `cmd:"" help:"Bring the database's schema up to date."`
	Keys       keysCommand       `cmd:"" help:"Look after the keyset that seals all secrets."`
	Token      tokenCommand      `cmd:"" help:"Make, list and revoke API tokens."`
	Sessions   sessionsCommand   `cmd:"" help:"List and end sessions of the pages."`
	Show       configCommand     `cmd:"" name:"config" help:"Print the settings in force, passwords redacted."`
	Doctor     doctorCommand     `cmd:"" help:"Examine settings, database, keyset, Redis, clock and public URL, and say what is wrong."`
	Health     healthCommand     `cmd:"" help:"Ask the process beside it whether it is ready."`
	Version    versionCommand    `cmd:"" help:"Print the version."`
	Completion completionCommand `cmd:"" help:"Print a script that completes commands in a shell."`
	Help       helpCommand       `cmd:"" help:"Explain a command, or all settings: grantd help settings."`

	ShowVersion kong.VersionFlag `name:"version" help:"Print the version."`
}

// console is where a command writes: what was asked for to out, everything else
// to err, so that "TOKEN=$(grantd token create …)" works.
type console struct{ out, err io.Writer }

// usageError is a mistake in the command line or in a setting.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// run is the whole program, with everything it takes from its surroundings
// handed in. It ends when the command is done or ctx is.
func run(ctx context.Context, args []string, stdout, stderr io.Writer, environ []string) int {
	err := command(ctx, args, console{stdout, stderr}, environ)
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, new(usageError)):
		fmt.Fprintf(stderr, "grantd: %v\n", err)
		return exitUsage
	}
	fmt.Fprintf(stderr, "grantd: %v\n", err)
	return exitFailure
}

// command parses the command line and runs what it asks for.
func command(ctx context.Context, args []string, c console, environ []string) error {
	var line cli
	var helped bool
	env := readEnvironment(environ)
	parser, err := kong.New(&line,
		kong.Name("grantd"),
		kong.Description("Keeps OAuth connections: register a provider, let people consent, fetch working tokens, "+
			"delete and have everything revoked. Begin with: grantd demo"),
		kong.Writers(c.out, c.err),
		kong.Exit(func(int) { helped = true }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true, WrapUpperBound: 100}),
		kong.Help(helpWithoutSettings),
		kong.TypeMapper(reflect.TypeFor[time.Duration](), kong.MapperFunc(mapDuration)),
		kong.Vars{"version": "grantd " + currentVersion()},
		kong.ExplicitGroups([]kong.Group{{Key: "settings", Title: "Settings, by flag or environment:"}}),
		kong.ValueFormatter(withVariable),
		kong.Resolvers(env),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(c),
	)
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
	return parsed.Run(&line.Config)
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
// tenth of the processor and saves nothing. The soft limit takes over where a lot
// is alive. GOGC and GOMEMLIMIT win.
func tuneMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(128 << 20)
	}
}
