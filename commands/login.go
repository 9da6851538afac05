package commands

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"

	"golang.org/x/term"

	"github.com/grantd/grantd/models"
)

type loginCommand struct {
	Server      string   `arg:"" optional:"" placeholder:"URL" help:"The address of grantd, such as https://grantd.example.com; by default that of the context, where there is one."`
	Token       bool     `help:"Sign in with an API token. It is read from standard input or, on a terminal, asked for."`
	Issuer      string   `placeholder:"URL" help:"Sign in at this OpenID Connect issuer, whose tokens grantd accepts (GRANTD_ISSUERS)."`
	ClientID    string   `name:"client-id" placeholder:"ID" help:"The public client of the command line at the issuer."`
	Browser     bool     `help:"Sign in with the browser of this machine; by default the issuer shows a code for another device, where it can."`
	Scope       []string `placeholder:"SCOPE" help:"A scope to ask the issuer for; by default openid, and offline_access where the issuer knows it."`
	AccessToken bool     `help:"Send the issuer's access token to grantd and not its id_token."`
	Name        string   `placeholder:"NAME" help:"The name of the context; by default the host of grantd."`
}

// Help is the longer text of `grantd login --help`.
func (loginCommand) Help() string {
	return "What signs in is kept in contexts.json, in the folder grantd of the user's settings ($XDG_CONFIG_HOME), which only the user can read. " +
		"The context is used from then on: see grantd context.\n\n" +
		"\tgrantd login https://grantd.example.com --token < token.txt\n" +
		"\tgrantd login https://grantd.example.com --issuer https://login.example.com --client-id grantd-cli"
}

// Run signs in.
func (l loginCommand) Run(ctx context.Context, s *Session) error {
	if l.Token == (l.Issuer != "") {
		return usage("say how to sign in: --token, or --issuer with --client-id")
	}
	store, err := s.contexts()
	if err != nil {
		return err
	}
	base, name, err := l.server(s, store)
	if err != nil {
		return err
	}
	a := account{URL: base, As: s.Connection.As}
	var bearer models.Secret
	if l.Token {
		if bearer, err = s.readToken(); err != nil {
			return err
		}
		a.Token = bearer.Reveal()
	} else {
		if a.SignIn, err = s.signInAt(ctx, l); err != nil {
			return err
		}
		bearer = models.Secret(a.SignIn.Bearer)
	}
	me, err := newClient(base, bearer, "").Me(ctx)
	if err != nil {
		return fmt.Errorf("signing in to %s: %w", base, err)
	}
	err = store.change(func() error {
		if former := store.Accounts[name]; former != nil && former.URL == base {
			a.Git = former.Git
		}
		store.Accounts[name], store.Current = &a, name
		return nil
	})
	if err != nil {
		return err
	}
	s.say("Signed in to %s as %s, %s of %s. This is the context %q, which is used from now on.", base, me.UserID, me.Role, me.OrgID, name)
	return nil
}

// server is where to sign in, and the name of the context.
func (l loginCommand) server(s *Session, store *contextStore) (base, name string, err error) {
	raw := l.Server
	if raw == "" {
		raw = s.Connection.URL
	}
	name = l.Name
	if name == "" {
		name = s.Connection.Context
	}
	if raw == "" {
		n, former, err := store.chosen(name)
		if err != nil {
			return "", "", usage("name the address of grantd: grantd login https://grantd.example.com")
		}
		return former.URL, n, nil
	}
	if base, err = serverURL(raw); err != nil {
		return "", "", err
	}
	u, err := url.Parse(base)
	if err != nil {
		return "", "", err
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		return "", "", usage("the address of grantd must begin with https, unless it is on this machine: the token would travel unencrypted")
	}
	if name == "" {
		name = u.Host
	}
	if !contextName.MatchString(name) {
		return "", "", usage("--name must be letters, digits and . _ : @ -, 100 at most")
	}
	return base, name, nil
}

const maxToken = 8 << 10

// readToken reads an API token, without showing it on a terminal.
func (s *Session) readToken() (models.Secret, error) {
	var line string
	if f, ok := s.In.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprint(s.Err, "API token (it is not shown): ")
		raw, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(s.Err)
		if err != nil {
			return "", fmt.Errorf("reading the API token: %w", err)
		}
		line = string(raw)
	} else {
		read, err := bufio.NewReader(io.LimitReader(s.In, maxToken)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("reading the API token: %w", err)
		}
		line = read
	}
	line = strings.TrimSpace(line)
	if line == "" || strings.ContainsFunc(line, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", usage("an API token is expected on standard input, alone on its line; it begins with grd_")
	}
	return models.Secret(line), nil
}

type logoutCommand struct {
	Name string `arg:"" optional:"" placeholder:"CONTEXT" help:"The context; by default the one in use."`
}

// Help is the longer text of `grantd logout --help`.
func (logoutCommand) Help() string {
	return "What signed in is deleted on this machine. An API token works until it expires or somebody revokes it: see grantd tokens revoke."
}

// Run forgets a context.
func (l logoutCommand) Run(s *Session) error {
	store, err := s.contexts()
	if err != nil {
		return err
	}
	if l.Name == "" {
		l.Name = s.Connection.Context
	}
	name, _, err := store.chosen(l.Name)
	if err != nil {
		return err
	}
	err = store.change(func() error {
		delete(store.Accounts, name)
		if store.Current == name {
			store.Current = ""
		}
		return nil
	})
	if err == nil {
		s.say("Forgot the context %q. Its token still works until it expires or is revoked.", name)
	}
	return err
}

type contextCommand struct {
	List contextListCommand `cmd:"" help:"List the contexts."`
	Use  contextUseCommand  `cmd:"" help:"Choose the context that commands use."`
}

type contextListCommand struct{}

// shownContext is what is printed of a context: nothing secret.
type shownContext struct {
	Name    string `json:"name"`
	URL     string `json:"url"`
	Current bool   `json:"current"`
	With    string `json:"with"` // "token", or the issuer
	As      string `json:"as,omitempty"`
}

// Run lists the contexts.
func (contextListCommand) Run(s *Session) error {
	store, err := s.contexts()
	if err != nil {
		return err
	}
	shown := []shownContext{}
	t := table{head: []string{"", "NAME", "URL", "WITH", "AS"}}
	for _, name := range slices.Sorted(maps.Keys(store.Accounts)) {
		a := store.Accounts[name]
		c := shownContext{Name: name, URL: a.URL, Current: name == store.Current, With: "token", As: a.As}
		if a.SignIn != nil {
			c.With = a.SignIn.Issuer
		}
		mark := " "
		if c.Current {
			mark = "*"
		}
		shown = append(shown, c)
		t.add(mark, c.Name, c.URL, c.With, c.As)
	}
	return s.show(shown, t)
}

type contextUseCommand struct {
	Name string `arg:"" help:"The context."`
}

// Run chooses a context.
func (u contextUseCommand) Run(s *Session) error {
	store, err := s.contexts()
	if err != nil {
		return err
	}
	return store.change(func() error {
		_, _, err := store.chosen(u.Name)
		store.Current = u.Name
		return err
	})
}
