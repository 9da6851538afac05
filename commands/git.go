package commands

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/grantd/grantd/client"
	"github.com/grantd/grantd/models"
)

type gitCommand struct {
	Allow  gitAllowCommand  `cmd:"" help:"Let git have a provider's tokens for a host that is not among the provider's own."`
	Forbid gitForbidCommand `cmd:"" help:"Take that back."`
	List   gitListCommand   `cmd:"" help:"List the hosts that were allowed."`
}

type gitAllowCommand struct {
	Host     string `arg:"" help:"The host as in the address of the repository, with its port if it has one."`
	Provider string `required:"" placeholder:"SLUG" help:"The provider, by id or slug, whose tokens git may send there."`
}

// Run allows a host, in the context in use.
func (g gitAllowCommand) Run(ctx context.Context, s *Session) error {
	host, err := gitHost(g.Host)
	if err != nil {
		return usage("%w", err)
	}
	c, err := s.asking(ctx)
	if err != nil {
		return err
	}
	p, err := provider(ctx, c, g.Provider)
	if err != nil {
		return err
	}
	return s.changeContext(func(a *account) {
		if a.Git == nil {
			a.Git = map[string]string{}
		}
		a.Git[host] = p.ID
	})
}

type gitForbidCommand struct {
	Host string `arg:"" help:"The host."`
}

// Run forbids a host.
func (g gitForbidCommand) Run(s *Session) error {
	return s.changeContext(func(a *account) { delete(a.Git, strings.ToLower(g.Host)) })
}

// changeContext changes the context in use.
func (s *Session) changeContext(f func(*account)) error {
	store, err := s.contexts()
	if err != nil {
		return err
	}
	return store.change(func() error {
		_, a, err := store.chosen(s.Connection.Context)
		if err == nil {
			f(a)
		}
		return err
	})
}

type gitListCommand struct{}

// Run lists the hosts.
func (gitListCommand) Run(s *Session) error {
	store, err := s.contexts()
	if err != nil {
		return err
	}
	_, a, err := store.chosen(s.Connection.Context)
	if err != nil {
		return err
	}
	t := table{head: []string{"HOST", "PROVIDER"}}
	for _, host := range slices.Sorted(maps.Keys(a.Git)) {
		t.add(host, a.Git[host])
	}
	return s.show(a.Git, t)
}

type gitCredentialCommand struct {
	Get   credentialGetCommand   `cmd:"" help:"Print a user name and a token for the repository that git names on standard input."`
	Store credentialStoreCommand `cmd:"" help:"Do nothing: grantd keeps the tokens."`
	Erase credentialEraseCommand `cmd:"" help:"Have the provider asked whether a token is good that a git server refused."`
}

// Help is the longer text of `grantd git-credential --help`.
func (gitCredentialCommand) Help() string {
	return "Tell git once; docs/git.md says more:\n\n\tgit config --global credential.https://github.com.helper '!grantd git-credential'"
}

// gitAttributes are what git says of a credential (git-credential(1)).
type gitAttributes struct {
	protocol, host, path, username string
	password                       models.Secret
}

const maxAttributes = 64 << 10

// readAttributes reads them up to an empty line or the end. Those that are not known are skipped.
func readAttributes(from io.Reader) (gitAttributes, error) {
	var a gitAttributes
	lines := bufio.NewScanner(io.LimitReader(from, maxAttributes))
	lines.Buffer(nil, maxAttributes)
	for lines.Scan() && lines.Text() != "" {
		name, value, ok := strings.Cut(lines.Text(), "=")
		if !ok || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return a, usage("git's description of a credential has a line that is not a name, = and a value without control characters")
		}
		switch name {
		case "protocol":
			a.protocol = value
		case "host":
			a.host = value
		case "path":
			a.path = value
		case "username":
			a.username = value
		case "password":
			a.password = models.Secret(value)
		}
	}
	return a, lines.Err()
}

// gitHost is a host as it is compared: in lower case, without the port that https has anyway.
func gitHost(raw string) (string, error) {
	u, err := url.Parse("https://" + raw)
	if err != nil || u.Host != raw || u.Hostname() == "" || u.User != nil {
		return "", errors.New("the host must be a name such as git.example.com, with :port if it has one")
	}
	return plainHost(u), nil
}

// plainHost is the host of an https URL in the same form.
func plainHost(u *url.URL) string {
	host := strings.ToLower(u.Hostname())
	if port := u.Port(); port != "" && port != "443" {
		return net.JoinHostPort(host, port)
	}
	return host
}

type credentialStoreCommand struct{}

// Run reads what git says, and keeps nothing.
func (credentialStoreCommand) Run(s *Session) error {
	_, err := readAttributes(s.In)
	return err
}

type credentialGetCommand struct{}

// Run prints a credential. For what grantd has no token for it prints nothing, and git asks elsewhere.
func (credentialGetCommand) Run(ctx context.Context, s *Session) error {
	a, err := readAttributes(s.In)
	if err != nil || a.protocol != "https" {
		return err
	}
	c, err := s.asking(ctx)
	if err != nil {
		return err
	}
	p, err := s.forRepository(ctx, c, a)
	if err != nil || p == "" {
		return err
	}
	t, err := c.GitToken(ctx, client.GitTokenQuery{Provider: p})
	if err != nil {
		return err
	}
	return printCredential(s.Out, t)
}

func printCredential(w io.Writer, t client.GitToken) error {
	for _, secret := range []models.Secret{t.Username, t.Password} {
		if strings.ContainsFunc(secret.Reveal(), func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return failed(ExitFailure, "the token has characters that no token may have")
		}
	}
	answer := "username=" + t.Username.Reveal() + "\npassword=" + t.Password.Reveal() + "\n"
	if t.ExpiresAt != nil {
		answer += fmt.Sprintf("password_expiry_utc=%d\n", t.ExpiresAt.Unix())
	}
	// ephemeral: helpers that keep passwords do not keep this one.
	_, err := io.WriteString(w, answer+"ephemeral=1\n")
	return err
}

// forRepository returns the id of the provider whose tokens may go to a repository, "" for none. The user decides which
// hosts get whose tokens, and else only hosts of a provider's own endpoints get any: what an admin writes into
// config.match narrows that down and does not widen it.
func (s *Session) forRepository(ctx context.Context, c *client.Client, a gitAttributes) (string, error) {
	host, err := gitHost(a.host)
	if err != nil {
		return "", usage("git names no host that could be asked for: %w", err)
	}
	if id := s.allowed(host); id != "" {
		return id, nil
	}
	var fitting []models.Provider
	for p, err := range c.Providers(ctx, client.ProviderQuery{}) {
		if err != nil {
			return "", err
		}
		if p.Usable() && slices.Contains(ownHosts(p), host) && within(p, host, a.path) {
			fitting = append(fitting, p)
		}
	}
	switch len(fitting) {
	case 0:
		s.say("grantd has no provider with the host %s. To send a provider's tokens there: grantd git allow %s --provider SLUG", host, host)
		return "", nil
	case 1:
		return fitting[0].ID, nil
	}
	return "", failed(ExitUsage, "several providers have the host %s, %s and %s among them. Choose one: grantd git allow %s --provider SLUG", host, fitting[0].Slug, fitting[1].Slug, host)
}

// allowed is the provider that the user allowed for a host, "" for none.
func (s *Session) allowed(host string) string {
	if s.Env(TokenVariable) != "" {
		return ""
	}
	store, err := s.contexts()
	if err != nil {
		return ""
	}
	_, a, err := store.chosen(s.Connection.Context)
	if err != nil {
		return ""
	}
	return a.Git[host]
}

// ownHosts are the hosts of a provider's endpoints, as far as a provider tells them.
func ownHosts(p models.Provider) []string {
	var hosts []string
	add := func(address string) {
		if u, err := url.Parse(address); err == nil && u.Scheme == "https" && u.Hostname() != "" {
			hosts = append(hosts, plainHost(u))
		}
	}
	add(p.Metadata.SettingsURL)
	if p.Metadata.Host != "" {
		add("https://" + p.Metadata.Host)
	}
	for key, value := range p.Config {
		if address, ok := value.(string); ok && (key == "issuer" || strings.HasSuffix(key, "Url")) {
			add(address)
		}
	}
	return hosts
}

// within reports whether a repository is in one of the places of config.match, or there are none.
func within(p models.Provider, host, path string) bool {
	places, given := p.Config["match"].([]any)
	if !given {
		return true
	}
	return slices.ContainsFunc(places, func(place any) bool {
		entry, _ := place.(string)
		u, err := url.Parse("https://" + entry)
		if err != nil || plainHost(u) != host {
			return false
		}
		limit, parts := segments(u.Path), segments(path)
		return len(limit) <= len(parts) && slices.Equal(limit, parts[:len(limit)]) && !slices.Contains(parts, "..") && !slices.Contains(parts, ".")
	})
}

func segments(path string) []string {
	return slices.DeleteFunc(strings.Split(path, "/"), func(part string) bool { return part == "" })
}

type credentialEraseCommand struct{}

// maxErased is how many connections are looked through for the one whose token was refused.
const maxErased = 20

// Run has the provider asked about the token that a git server refused, if it is still the one that grantd gives out.
// If it is not good, the next get has it replaced.
func (credentialEraseCommand) Run(ctx context.Context, s *Session) error {
	a, err := readAttributes(s.In)
	if err != nil || a.protocol != "https" || a.password == "" && a.username == "" {
		return err
	}
	c, err := s.asking(ctx)
	if err != nil {
		return err
	}
	p, err := s.forRepository(ctx, c, a)
	if err != nil || p == "" {
		return err
	}
	t, err := c.GitToken(ctx, client.GitTokenQuery{Provider: p})
	if err != nil {
		return err
	}
	if t.Password != a.password || t.Username.Reveal() != a.username {
		return nil // another one is given out already
	}
	q, err := own(ctx, c, client.AuthorizationQuery{ProviderID: p, Status: models.AuthorizationActive})
	if err != nil {
		return err
	}
	looked := 0
	for connection, err := range c.Authorizations(ctx, q) {
		if err != nil {
			return err
		}
		if looked++; looked > maxErased {
			break
		}
		if own, err := c.Token(ctx, connection.ID); err == nil && own.AccessToken == t.AccessToken {
			_, err = c.CheckToken(ctx, connection.ID)
			return err
		}
	}
	return nil
}
