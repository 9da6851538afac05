package commands

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/grantd/grantd/client"
)

// The exit codes of all commands of grantd. docs/cli.md has the same table; a test compares them.
const (
	ExitOK        = 0
	ExitFailure   = 1
	ExitUsage     = 2 // the command line, a setting or a field is wrong: trying again will not help
	ExitSignedOut = 3 // nobody is signed in, or not anybody who may do this
	ExitNotFound  = 4 // what was named is not there, or not visible to the caller
	ExitConsent   = 5 // a person has to connect an account first
	ExitTryAgain  = 6 // grantd or the provider is away or asks to wait: the same command may work later
)

// ExitCodes says what each exit code means.
var ExitCodes = []struct {
	Code    int
	Meaning string
}{
	{ExitOK, "The command did what it was asked for."},
	{ExitFailure, "Something failed, or a job that was followed ended with an error."},
	{ExitUsage, "The command line, a setting or a field is wrong. Trying again does not help."},
	{ExitSignedOut, "Nobody is signed in, the token is not accepted, or its role may not do this."},
	{ExitNotFound, "What was named does not exist, or the caller may not see it."},
	{ExitConsent, "A person has to connect an account first, or once more."},
	{ExitTryAgain, "grantd or the provider cannot be reached, or asks to wait. Try again later."},
}

// failure is an error with an exit code.
type failure struct {
	code int
	error
}

func (f failure) Unwrap() error { return f.error }

func failed(code int, format string, args ...any) error {
	return failure{code, fmt.Errorf(format, args...)}
}

// usage is a mistake in the command line.
func usage(format string, args ...any) error { return failed(ExitUsage, format, args...) }

// about are the exit codes of what an error of the client is about.
var about = []struct {
	err  error
	code int
}{
	{client.ErrConsentNeeded, ExitConsent},
	{client.ErrUnauthenticated, ExitSignedOut},
	{client.ErrForbidden, ExitSignedOut},
	{client.ErrNotFound, ExitNotFound},
	{client.ErrInvalid, ExitUsage},
	{client.ErrRateLimited, ExitTryAgain},
	{client.ErrUpstreamDown, ExitTryAgain},
	{client.ErrUnavailable, ExitTryAgain},
}

// ExitCode returns the exit code for the error that a command ended with, ExitOK for nil.
func ExitCode(err error) int {
	var known failure
	var answer *client.Error
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &known):
		return known.code
	}
	for _, row := range about {
		if errors.Is(err, row.err) {
			return row.code
		}
	}
	if errors.As(err, &answer) && answer.Status == http.StatusBadRequest {
		return ExitUsage
	}
	return ExitFailure
}
