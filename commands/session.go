package commands

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/grantd/grantd/client"
	"github.com/grantd/grantd/models"
)

// Commands are the commands of this package, as fields of the command line.
type Commands struct {
	Login       loginCommand       `cmd:"" group:"client" help:"Sign in to a running grantd, and keep that as a context."`
	Whoami      whoamiCommand      `cmd:"" group:"client" help:"Show who the token of the context is: organisation, user, role and limits."`
	Logout      logoutCommand      `cmd:"" group:"client" help:"Forget a context and what it was signed in with."`
	Context     contextCommand     `cmd:"" group:"client" help:"List the contexts, and choose the one that is used."`
	Providers   providersCommand   `cmd:"" group:"client" help:"List, register, change and delete providers."`
	Connections connectionsCommand `cmd:"" group:"client" help:"List, connect, check, reset and disconnect connected accounts."`
	Jobs        jobsCommand        `cmd:"" group:"client" help:"List and follow jobs."`
	Links       linksCommand       `cmd:"" group:"client" help:"Make links for people to connect an account."`
	Tokens      tokensCommand      `cmd:"" group:"client" help:"List, make and revoke API tokens over the API."`
	Audit       auditCommand       `cmd:"" group:"client" help:"Read the audit trail, the newest event first."`
	Stats       statsCommand       `cmd:"" group:"client" help:"Show what was counted of each day."`

	Git           gitCommand           `cmd:"" group:"client" help:"Say which hosts git may have tokens for."`
	GitCredential gitCredentialCommand `cmd:"" group:"client" help:"A credential helper, which git runs by itself."`
}

// Connection says which grantd a command of this package asks, as whom, and how it prints. cmd/grantd lists these
// flags in "grantd help settings"; each has a variable, too, such as GRANTD_URL.
type Connection struct {
	Context string `placeholder:"NAME" help:"The context that a command uses, one of grantd context list; by default the one that was chosen last."`
	URL     string `name:"url" placeholder:"URL" help:"The grantd that a command asks, with the API token in $GRANTD_TOKEN and without a context."`
	As      string `placeholder:"USER" help:"The user that a request is for, where the API token is that of a service."`
	Output  string `short:"o" enum:"table,json,yaml" default:"table" placeholder:"FORMAT" help:"How a command prints: table, json or yaml."`
}

// TokenVariable is the environment variable with the API token, which has no flag: other users of a machine can see
// the arguments of every process.
const TokenVariable = "GRANTD_TOKEN"

// Surroundings are what the commands take from the process.
type Surroundings struct {
	In       io.Reader
	Out, Err io.Writer
	Env      func(name string) string
	// Lock waits for the exclusive lock on an open file, which ends when the file is closed.
	Lock func(*os.File) error
}

// Session is one run of a command.
type Session struct {
	Surroundings
	Connection *Connection
}

// requestTime bounds one request. It is more than a minute, for which grantd answers at the latest when it is to wait.
const requestTime = 90 * time.Second

// asking returns a client of the grantd that the flags, the environment or the context name.
func (s *Session) asking(ctx context.Context) (*client.Client, error) {
	base, token, as, err := s.whom(ctx)
	if err != nil {
		return nil, err
	}
	return newClient(base, token, as), nil
}

// whom returns where to ask, with which token, and for which user ("" for the token's own).
func (s *Session) whom(ctx context.Context) (base string, token models.Secret, as string, err error) {
	as = s.Connection.As
	if given := s.Env(TokenVariable); given != "" {
		if s.Connection.Context != "" {
			return "", "", "", usage("$%s is set, and a context is named: unset one of them", TokenVariable)
		}
		if s.Connection.URL == "" {
			return "", "", "", usage("$%s needs the address of grantd beside it: set $GRANTD_URL or --url", TokenVariable)
		}
		base, err = serverURL(s.Connection.URL)
		return base, models.Secret(given), as, err
	}
	store, err := s.contexts()
	if err != nil {
		return "", "", "", err
	}
	name, c, err := store.chosen(s.Connection.Context)
	if err != nil {
		return "", "", "", err
	}
	if s.Connection.URL != "" && strings.TrimRight(s.Connection.URL, "/") != c.URL {
		return "", "", "", usage("--url names another grantd than the context %q (%s), whose token is for that one only; use --context, or set $%s", name, c.URL, TokenVariable)
	}
	if as == "" {
		as = c.As
	}
	token, err = s.bearer(ctx, store, name)
	return c.URL, token, as, err
}

func newClient(base string, token models.Secret, as string) *client.Client {
	c := client.New(base, token, newHTTP())
	if as != "" {
		c = c.For(as)
	}
	return c
}

// newHTTP follows no redirects: a token goes nowhere but to the address that was given.
func newHTTP() *http.Client {
	return &http.Client{Timeout: requestTime, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// serverURL is the address of a grantd as contexts keep it.
func serverURL(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", usage("the address of grantd must be an https URL such as https://grantd.example.com")
	}
	return strings.TrimRight(raw, "/"), nil
}

// onTerminal reports whether a stream is a terminal, and how many columns it has.
func onTerminal(stream any) (columns int, ok bool) {
	f, isFile := stream.(*os.File)
	if !isFile || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	columns, _, err := term.GetSize(int(f.Fd()))
	if err != nil || columns < 20 {
		columns = 80
	}
	return columns, true
}
