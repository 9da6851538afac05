package main

import (
	"context"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kong"
)

type configCommand struct{}

// Help is the longer text of `grantd config --help`.
func (configCommand) Help() string {
	return "Prints each setting, its value and where it comes from, also when some of them are wrong; " +
		"then it says what is, and the exit code is 2."
}

// Run prints first and judges afterwards: whoever has a wrong setting wants to
// see it.
func (configCommand) Run(_ context.Context, c console, cfg *Config, parsed *kong.Context) error {
	if err := cfg.print(c.out, parsed.Model.Flags); err != nil {
		return err
	}
	return cfg.validate(cfg.needKeyset())
}

// print writes one line for each setting, in the order of the struct.
func (c *Config) print(w io.Writer, flags []*kong.Flag) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range flags {
		if !isSetting(f) {
			continue
		}
		value, from := redact(text(f.Target)), c.origin[f.Name]
		switch {
		case value == "":
			value, from = "-", "not set"
		case from == "":
			from = "default"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", variable(f.Name), value, from)
	}
	return table.Flush()
}

func text(v reflect.Value) string {
	switch value := v.Interface().(type) {
	case []string:
		return strings.Join(value, ",")
	case time.Duration:
		return value.String()
	default:
		return fmt.Sprint(value)
	}
}

const redacted = "[redacted]"

var secretParameter = regexp.MustCompile(`(?i)([?&][a-z_-]*(?:password|secret|token)=)[^&]*`)

// redact takes the passwords out of a URL. It does not parse: a password with a
// stray slash or percent sign makes a URL that cannot be parsed, and that must
// not be printed either. So everything up to the last @ counts as user and
// password.
func redact(value string) string {
	value = secretParameter.ReplaceAllString(value, "${1}"+redacted)
	scheme, rest, ok := strings.Cut(value, "://")
	at := strings.LastIndexByte(rest, '@')
	if !ok || at < 0 {
		return value
	}
	user, _, hasPassword := strings.Cut(rest[:at], ":")
	if hasPassword {
		user += ":" + redacted
	}
	return scheme + "://" + user + rest[at:]
}
