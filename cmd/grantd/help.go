package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/grantd/grantd/commands"
)

type helpCommand struct {
	Topic []string `arg:"" optional:"" help:"A command such as token create, or settings."`
}

// Run lists the settings. Help on anything else is what --help prints: see askedForHelp.
func (helpCommand) Run(c console, parsed *kong.Context) error {
	return printSettings(c, parsed.Model.Flags)
}

// askedForHelp turns "help token create" into "token create --help", and no arguments
// at all into "--help".
func askedForHelp(args []string) []string {
	switch {
	case len(args) == 0:
		return []string{"--help"}
	case args[0] != "help" || slices.Equal(args, []string{"help", "settings"}):
		return args
	}
	return append(slices.Clone(args[1:]), "--help")
}

// helpWithoutSettings prints the help of a command and leaves out the settings, which
// are the same for all of them and have a page of their own.
func helpWithoutSettings(o kong.HelpOptions, ctx *kong.Context) error {
	for _, f := range ctx.Model.Flags {
		f.Hidden = f.Hidden || isSetting(f) || ofConnection(f)
	}
	o.NoExpandSubcommands = ctx.Selected() == nil
	if err := kong.DefaultHelpPrinter(o, ctx); err != nil {
		return err
	}
	_, err := fmt.Fprint(ctx.Stdout, "\nEvery command takes settings as flags or environment variables, such as --output or $GRANTD_DATA. "+
		"\"grantd help settings\" lists them.\n")
	return err
}

// printSettings lists every setting with its flag, variable, default and meaning.
func printSettings(c console, flags []*kong.Flag) error {
	var b strings.Builder
	b.WriteString("By flag or environment; the flag wins, and an empty variable counts as absent.\n\nOf commands that ask a running grantd:\n")
	listFlags(&b, flags, ofConnection)
	fmt.Fprintf(&b, "\n  $%s\n      The API token, with --url and in place of a context. It has no flag, because other users see a command line.\n", commands.TokenVariable)
	b.WriteString("\nOf grantd itself:\n")
	listFlags(&b, flags, isSetting)
	_, err := fmt.Fprint(c.out, b.String())
	return err
}

func listFlags(b *strings.Builder, flags []*kong.Flag, among func(*kong.Flag) bool) {
	for _, f := range flags {
		if !among(f) {
			continue
		}
		fmt.Fprintf(b, "\n  --%s, $%s", f.Name, variable(f.Name))
		if f.HasDefault {
			fmt.Fprintf(b, " (default %s)", f.Default)
		}
		fmt.Fprintf(b, "\n      %s\n", f.Help)
	}
}
