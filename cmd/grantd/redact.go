package main

import (
	"context"
	"errors"
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
		"then it says everything that is wrong, and the exit code is 2."
}

// Run prints first and judges afterwards: somebody with a wrong setting wants to
// see it.
func (configCommand) Run(_ context.Context, c console, cfg *Config, parsed *kong.Context) error {
	if err := cfg.print(c.out, parsed.Model.Flags); err != nil {
		return err
	}
	var unknown []error
	for _, problem := range cfg.unknown {
		unknown = append(unknown, errors.New(problem))
	}
	return cfg.validate(append(unknown, cfg.needKeyset())...)
}

// print writes one line for each setting, in the order of the struct.
func (c *Config) print(w io.Writer, flags []*kong.Flag) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range flags {
		if !isSetting(f) {
			continue
		}
		value, from := redact(text(f.Target)), c.origin[f.Name]
		if c.misread[f.Name] != "" {
			from = "default; the environment's value cannot be read"
		}
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

// mayHoldPassword is what a value looks like that is no URL and yet may hold a password:
// an address with something before an @, or libpq's "host=… password=…".
var mayHoldPassword = regexp.MustCompile(`(?i)@|pass|secret|token|\s\w+\s*=`)

// redact takes the passwords out of a URL. It does not parse: a password with a
// stray slash or percent sign makes a URL that cannot be parsed, and that must
// not be printed either. So everything up to the last @ counts as user and
// password. A value that is neither a URL nor plainly harmless is not printed at all.
func redact(value string) string {
	if !strings.Contains(value, "://") && !strings.HasPrefix(value, "sqlite:") && mayHoldPassword.MatchString(value) {
		return redacted
	}
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
