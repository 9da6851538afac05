package commands

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/grantd/grantd/client"
	"github.com/grantd/grantd/models"
)

type providersCommand struct {
	List   providersListCommand   `cmd:"" help:"List the organisation's providers."`
	Get    providersGetCommand    `cmd:"" help:"Show a provider."`
	Create providersCreateCommand `cmd:"" help:"Register a provider."`
	Update providersUpdateCommand `cmd:"" help:"Change a provider."`
	Apply  providersApplyCommand  `cmd:"" help:"Make the providers what a file says."`
	Delete providersDeleteCommand `cmd:"" help:"Delete a provider and have everything that people connected there revoked."`
	Reset  providersResetCommand  `cmd:"" help:"Replace the access tokens of all connections of a provider."`
}

type providersListCommand struct {
	Type []string `placeholder:"TYPE" help:"Only providers of this type, such as github; may be repeated."`
	Host string   `placeholder:"HOST" help:"Only providers at this host."`
	limited
}

// Run lists providers.
func (l providersListCommand) Run(ctx context.Context, s *Session) error {
	c, err := s.asking(ctx)
	if err != nil {
		return err
	}
	all := []models.Provider{}
	t := table{head: []string{"ID", "SLUG", "TYPE", "HOST", "STATUS", "NAME"}}
	for p, err := range c.Providers(ctx, client.ProviderQuery{Types: l.Type, Host: l.Host}) {
		if err != nil {
			return err
		}
		all = append(all, p)
		t.add(p.ID, p.Slug, p.Type, p.Metadata.Host, string(p.Status), p.Name)
		if l.full(len(all)) {
			break
		}
	}
	return s.show(all, t)
}

// provider finds a provider by its id or slug; an id wins. One that is being deleted comes last.
func provider(ctx context.Context, c *client.Client, name string) (models.Provider, error) {
	var found, deleted *models.Provider
	for p, err := range c.Providers(ctx, client.ProviderQuery{}) {
		switch {
		case err != nil:
			return models.Provider{}, err
		case p.ID == name:
			return p, nil
		case p.Slug == name && p.Status == models.ProviderDeleted:
			deleted = &p
		case p.Slug == name:
			found = &p
		}
	}
	if found == nil {
		found = deleted
	}
	if found == nil {
		return models.Provider{}, failed(ExitNotFound, "there is no provider %q, by id or slug, that you may see", name)
	}
	return *found, nil
}

// providerID is the id of the provider with a name, "" for none.
func providerID(ctx context.Context, c *client.Client, name string) (string, error) {
	if name == "" {
		return "", nil
	}
	p, err := provider(ctx, c, name)
	return p.ID, err
}

type providersGetCommand struct {
	Provider string `arg:"" help:"The provider, by id or slug."`
}

// Run shows a provider.
func (g providersGetCommand) Run(ctx context.Context, s *Session) error {
	c, err := s.asking(ctx)
	if err != nil {
		return err
	}
	id, err := providerID(ctx, c, g.Provider)
	if err != nil {
		return err
	}
	p, err := c.Provider(ctx, id)
	if err != nil {
		return err
	}
	return s.showProvider(p)
}

func (s *Session) showProvider(p models.Provider) error {
	t := table{rows: [][]string{
		{"id", p.ID}, {"slug", p.Slug}, {"name", p.Name}, {"type", p.Type}, {"status", string(p.Status)}, {"client id", p.ClientID},
		{"host", p.Metadata.Host}, {"scopes", strings.Join(p.Scopes, " ")}, {"redirect URIs", strings.Join(p.RedirectURIs, " ")}, {"skip consent", yesNo(p.SkipConsent)},
	}}
	for _, key := range slices.Sorted(maps.Keys(p.Config)) {
		raw, err := json.Marshal(p.Config[key])
		if err != nil {
			return err
		}
		t.add("config "+key, string(raw))
	}
	if p.Description != "" {
		t.add("description", p.Description)
	}
	if p.Metadata.AdminConsentURL != "" {
		t.add("admin consent", p.Metadata.AdminConsentURL)
	}
	if f := p.FormerSecret; f != nil {
		t.add("former secret", "kept until "+at(&f.ExpiresAt))
	}
	t.add("created", at(&p.CreatedAt))
	t.add("updated", at(&p.UpdatedAt))
	return s.show(p, t)
}

// secretSource is where a client secret is read from: never from the command line itself, which other users of the
// machine can see.
type secretSource struct {
	SecretFile string `placeholder:"FILE" help:"A file with the client secret on its first line; - for standard input."`
	SecretEnv  string `placeholder:"NAME" help:"The environment variable with the client secret."`
}

// read returns the secret, "" where no source is given.
func (f secretSource) read(s *Session) (models.Secret, error) {
	switch {
	case f.SecretFile != "" && f.SecretEnv != "":
		return "", usage("give --secret-file or --secret-env, not both")
	case f.SecretEnv != "":
		return secretOf("--secret-env", s.Env(f.SecretEnv))
	case f.SecretFile == "-":
		return firstLine("--secret-file", s.In)
	case f.SecretFile != "":
		return secretIn("--secret-file", f.SecretFile)
	}
	return "", nil
}

// secretIn reads a secret from a file. what says for whom, in errors.
func secretIn(what, path string) (models.Secret, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", usage("%s: %w", what, err)
	}
	defer file.Close()
	return firstLine(what, file)
}

func firstLine(what string, from io.Reader) (models.Secret, error) {
	line, err := bufio.NewReader(io.LimitReader(from, maxToken)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("%s: reading the secret: %w", what, err)
	}
	return secretOf(what, strings.TrimRight(line, "\r\n"))
}

func secretOf(what, text string) (models.Secret, error) {
	if text == "" {
		return "", usage("%s: the secret is empty", what)
	}
	return models.Secret(text), nil
}

type providersCreateCommand struct {
	Type        string            `required:"" placeholder:"TYPE" help:"The kind of provider, such as github, gitlab, google, microsoft, oidc or oauth2."`
	ClientID    string            `name:"client-id" required:"" placeholder:"ID" help:"The client id that the provider gave out."`
	Name        string            `required:"" placeholder:"TEXT" help:"What people see."`
	Slug        string            `placeholder:"SLUG" help:"A short name; by default made of the name."`
	Host        string            `placeholder:"HOST" help:"The self-managed host, host[:port]."`
	Scope       []string          `placeholder:"SCOPE" help:"A scope to ask for; may be repeated. By default the type's own."`
	RedirectURI []string          `name:"redirect-uri" placeholder:"URL" help:"An address that a consent may return to; may be repeated."`
	SkipConsent bool              `help:"The provider may leave out its consent page where it has consent already."`
	Description string            `placeholder:"TEXT" help:"What people are told before they consent."`
	Config      map[string]string `mapsep:"none" placeholder:"KEY=VALUE" help:"A setting of the type, such as issuer=https://login.example.com; a value may be JSON. May be repeated."`
	secretSource
}

// Run registers a provider.
func (n providersCreateCommand) Run(ctx context.Context, s *Session) error {
	secret, err := n.read(s)
	if err != nil {
		return err
	}
	c, err := s.asking(ctx)
	if err != nil {
		return err
	}
	in := models.ProviderInput{Name: n.Name, Type: n.Type, ClientID: n.ClientID, ClientSecret: secret, SkipConsent: n.SkipConsent, Slug: n.Slug,
		Metadata: models.ProviderMetadataInput{Host: n.Host}, Scopes: n.Scope, RedirectURIs: n.RedirectURI, Config: settings(nil, n.Config), Description: n.Description}
	p, err := c.CreateProvider(ctx, in)
	if err != nil {
		return err
	}
	return s.showProvider(p)
}

// settings are the settings of a provider with changes; an empty value takes a setting out. Nil where there are none.
func settings(before map[string]any, changes map[string]string) map[string]any {
	after := maps.Clone(before)
	if after == nil && len(changes) > 0 {
		after = map[string]any{}
	}
	for key, text := range changes {
		var value any
		switch {
		case text == "":
			delete(after, key)
			continue
		case json.Unmarshal([]byte(text), &value) != nil:
			value = text
		}
		after[key] = value
	}
	return after
}

type providersUpdateCommand struct {
	Provider    string            `arg:"" help:"The provider, by id or slug."`
	Name        *string           `placeholder:"TEXT" help:"What people see."`
	Slug        *string           `placeholder:"SLUG" help:"A short name."`
	Status      *string           `placeholder:"STATUS" help:"active, inactive or disabled."`
	Host        *string           `placeholder:"HOST" help:"The self-managed host; needs the client secret, too."`
	Scope       []string          `placeholder:"SCOPE" help:"A scope to ask for, in place of all former ones; may be repeated. --scope= for the type's own."`
	RedirectURI []string          `name:"redirect-uri" placeholder:"URL" help:"An address that a consent may return to, in place of all former ones; may be repeated. --redirect-uri= for none."`
	SkipConsent *bool             `negatable:"" help:"Whether the provider may leave out its consent page."`
	Description *string           `placeholder:"TEXT" help:"What people are told before they consent."`
	Config      map[string]string `mapsep:"none" placeholder:"KEY=VALUE" help:"A setting of the type to change; the others stay. KEY= takes it out. May be repeated."`
	KeepFormer  int64             ` placeholder:"SECONDS" help:"For how long the former client secret is tried where the new one is refused; 604800 at most."`
	secretSource
}

// Run changes a provider.
func (u providersUpdateCommand) Run(ctx context.Context, s *Session) error {
	secret, err := u.read(s)
	if err != nil {
		return err
	}
	c, err := s.asking(ctx)
	if err != nil {
		return err
	}
	p, err := provider(ctx, c, u.Provider)
	if err != nil {
		return err
	}
	patch := models.ProviderPatch{Name: u.Name, Slug: u.Slug, SkipConsent: u.SkipConsent, Description: u.Description, Scopes: replaced(u.Scope), RedirectURIs: replaced(u.RedirectURI)}
	if u.Status != nil {
		status := models.ProviderStatus(*u.Status)
		patch.Status = &status
	}
	if u.Host != nil {
		patch.Metadata = &models.ProviderMetadataInput{Host: *u.Host}
	}
	if len(u.Config) > 0 {
		config := settings(p.Config, u.Config)
		patch.Config = &config
	}
	if secret != "" {
		patch.ClientSecret = &secret
	}
	if u.KeepFormer > 0 {
		patch.FormerSecretExpiresIn = &u.KeepFormer
	}
	if patch == (models.ProviderPatch{}) {
		return usage("say what to change: see grantd providers update --help")
	}
	if p, err = c.ChangeProvider(ctx, p.ID, patch); err != nil {
		return err
	}
	return s.showProvider(p)
}

// replaced is a list of a patch: nil where the flag was not given, empty where its only value is.
func replaced(values []string) *[]string {
	if values == nil {
		return nil
	}
	all := slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == "" })
	if all == nil {
		all = []string{}
	}
	return &all
}

type providersDeleteCommand struct {
	Provider string `arg:"" help:"The provider, by id or slug."`
	Force    bool   `help:"Give up on the upstream: what cannot be revoked there is reported as abandoned."`
	Watch    bool   `help:"Follow the job to its end."`
	Yes      bool   `help:"Do not ask."`
}

// Run deletes a provider.
func (d providersDeleteCommand) Run(ctx context.Context, s *Session) error {
	c, err := s.asking(ctx)
	if err != nil {
		return err
	}
	p, err := provider(ctx, c, d.Provider)
	if err != nil {
		return err
	}
	if !d.Yes {
		if err := s.confirm("Delete %s (%s), and revoke everything that people connected there?", p.Slug, p.Name); err != nil {
			return err
		}
	}
	begin := c.DeleteProvider
	if d.Force {
		begin = c.ForceDeleteProvider
	}
	location, err := begin(ctx, p.ID)
	if err != nil {
		return err
	}
	return s.follow(ctx, c, location, d.Watch)
}

// confirm asks a person; where nobody can be asked, --yes is needed.
func (s *Session) confirm(format string, args ...any) error {
	if _, ok := onTerminal(s.In); !ok {
		return usage("nobody can be asked here, as standard input is no terminal: give --yes")
	}
	fmt.Fprint(s.Err, Plain(fmt.Sprintf(format, args...), false)+" [y/N] ")
	answer, err := bufio.NewReader(s.In).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if a := strings.ToLower(strings.TrimSpace(answer)); a != "y" && a != "yes" {
		return failed(ExitFailure, "nothing was done")
	}
	return nil
}

type providersResetCommand struct {
	Provider string `arg:"" help:"The provider, by id or slug."`
	Watch    bool   `help:"Follow the job to its end."`
}

// Run replaces the access tokens.
func (r providersResetCommand) Run(ctx context.Context, s *Session) error {
	c, err := s.asking(ctx)
	if err != nil {
		return err
	}
	p, err := provider(ctx, c, r.Provider)
	if err != nil {
		return err
	}
	location, err := c.ResetProvider(ctx, p.ID)
	if err != nil {
		return err
	}
	return s.follow(ctx, c, location, r.Watch)
}
