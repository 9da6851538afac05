package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/commands"
	"github.com/grantd/grantd/models"
)

type tokenCommand struct {
	Get    commands.TokenCommand `cmd:"" default:"withargs" group:"client" help:"Print an access token of a provider, from a running grantd: grantd token --for SLUG."`
	Create tokenCreateCommand    `cmd:"" help:"Make an API token and print it, once."`
	List   tokenListCommand      `cmd:"" help:"List the API tokens, without the tokens themselves."`
	Revoke tokenRevokeCommand    `cmd:"" help:"End an API token."`
}

type tokenCreateCommand struct {
	Org          string        `required:"" placeholder:"NAME" help:"The organisation: providers belong to it."`
	User         string        `required:"" placeholder:"NAME" help:"The user: authorizations belong to it."`
	Role         string        `required:"" placeholder:"ROLE" help:"admin manages the organisation's providers; user authorizes and fetches tokens; service does so for the users that it names."`
	Name         string        `placeholder:"TEXT" help:"What the token is for, shown in lists."`
	Expires      time.Duration `placeholder:"TIME" help:"How long the token works, such as 30d; without it, until it is revoked."`
	Provider     []string      `placeholder:"ID" help:"A provider, by id or slug, that the token is limited to; may be repeated. A service needs one at least."`
	ReturnOrigin []string      `placeholder:"ORIGIN" help:"An origin, such as https://app.example.com, that connect links made with the token may return to, or http://localhost:* for every port; may be repeated."`
	JSON         bool          `name:"json" help:"Print a JSON object with the token and what is known about it."`
}

// Help is the longer text of `grantd token create --help`.
func (tokenCreateCommand) Help() string {
	return "Prints the token alone on standard output; only its hash is kept, so it cannot be shown again. " +
		"Works on database and keyset directly, which `grantd serve` or `grantd migrate` and `grantd keys init` have made, " +
		"and needs no running server.\n\n" +
		"TOKEN=$(grantd token create --org acme --user ada --role admin)"
}

// Run makes the token.
func (t tokenCreateCommand) Run(ctx context.Context, c console, cfg *Config) error {
	asked := broker.NewAPIToken{OrgID: t.Org, UserID: t.User, Role: models.Role(t.Role), Name: t.Name, Life: t.Expires, Providers: t.Provider, ReturnOrigins: t.ReturnOrigin}
	if err := asked.Validate(); err != nil {
		return flagsAtFault(err)
	}
	return cfg.withTokens(ctx, c, func(s *broker.Service) error {
		made, token, err := s.CreateAPIToken(ctx, asked)
		if err != nil {
			return flagsAtFault(err)
		}
		if t.JSON {
			shown := describe(made, time.Now())
			shown.Token = token.Reveal()
			return printJSON(c.out, shown)
		}
		fmt.Fprintf(c.err, "Made API token %s: %s of organisation %s, role %s, %s.\n", made.ID, made.UserID, made.OrgID, made.Role, until(made))
		_, err = fmt.Fprintln(c.out, token.Reveal())
		return err
	})
}

// otherFlags are the flags for fields that have other names.
var otherFlags = map[string]string{"orgId": "org", "userId": "user", "providers": "provider", "expiresAt": "expires", "returnOrigins": "return-origin"}

// flagsAtFault tells which flags are wrong.
func flagsAtFault(err error) error {
	var invalid *models.Error
	if !errors.As(err, &invalid) || invalid.Code != models.CodeInvalid {
		return err
	}
	var wrong []error
	for _, f := range invalid.Fields {
		wrong = append(wrong, fmt.Errorf("--%s: %s", cmp.Or(otherFlags[f.Name], f.Name), f.Message))
	}
	return usageError{errors.Join(wrong...)}
}

type tokenListCommand struct {
	JSON bool `name:"json" help:"Print a JSON array."`
}

// Run prints a table.
func (t tokenListCommand) Run(ctx context.Context, c console, cfg *Config) error {
	return cfg.withTokens(ctx, c, func(s *broker.Service) error {
		tokens, err := s.APITokens(ctx)
		if err != nil {
			return err
		}
		if t.JSON {
			shown := make([]tokenJSON, len(tokens))
			for i, token := range tokens {
				shown[i] = describe(token, time.Now())
			}
			return printJSON(c.out, shown)
		}
		return printTokens(c.out, tokens, time.Now())
	})
}

// tokenJSON is an API token as --json shows it.
type tokenJSON struct {
	ID            string     `json:"id"`
	Org           string     `json:"org"`
	User          string     `json:"user"`
	Role          string     `json:"role"`
	Name          string     `json:"name"`
	Providers     []string   `json:"providers"`     // none where it is not limited
	ReturnOrigins []string   `json:"returnOrigins"` // that connect links may return to
	CreatedAt     time.Time  `json:"createdAt"`
	ExpiresAt     *time.Time `json:"expiresAt"`
	RevokedAt     *time.Time `json:"revokedAt"`
	MadeBy        string     `json:"madeBy"` // the API token that an admin made it with
	LastUsedAt    *time.Time `json:"lastUsedAt"`
	Usable        bool       `json:"usable"`
	Token         string     `json:"token,omitempty"` // when it is made, and never again
}

func describe(t models.APIToken, now time.Time) tokenJSON {
	return tokenJSON{ID: t.ID, Org: t.OrgID, User: t.UserID, Role: string(t.Role), Name: t.Name, Providers: append([]string{}, t.Providers...), ReturnOrigins: append([]string{}, t.ReturnOrigins...),
		CreatedAt: t.CreatedAt, ExpiresAt: t.ExpiresAt, RevokedAt: t.RevokedAt, MadeBy: t.MadeBy, LastUsedAt: t.LastUsedAt, Usable: t.Usable(now)}
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func printTokens(w io.Writer, tokens []models.APIToken, now time.Time) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tORG\tUSER\tROLE\tCREATED\tSTATE\tNAME")
	for _, t := range tokens {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%q\n", t.ID, t.OrgID, t.UserID, t.Role, t.CreatedAt.UTC().Format(time.DateOnly), state(t, now), t.Name)
	}
	return table.Flush()
}

func state(t models.APIToken, now time.Time) string {
	switch {
	case t.RevokedAt != nil:
		return "revoked"
	case !t.Usable(now):
		return "expired"
	}
	return until(t)
}

func until(t models.APIToken) string {
	if t.ExpiresAt == nil {
		return "does not expire"
	}
	return "until " + t.ExpiresAt.UTC().Format(time.RFC3339)
}

type tokenRevokeCommand struct {
	ID       string `arg:"" help:"The token's id, as token list shows it."`
	WithMade bool   `help:"Also end the tokens that were made with it over the API, and with those."`
}

// Run ends the token.
func (t tokenRevokeCommand) Run(ctx context.Context, c console, cfg *Config) error {
	return cfg.withTokens(ctx, c, func(s *broker.Service) error {
		n, err := s.RevokeAPIToken(ctx, t.ID, t.WithMade)
		if err != nil {
			return err
		}
		if t.WithMade {
			fmt.Fprintf(c.err, "Revoked %d API tokens. Servers that are running refuse them within ten seconds.\n", n)
			return nil
		}
		fmt.Fprintf(c.err, "Revoked API token %s. Servers that are running refuse it within ten seconds.\n", t.ID)
		return nil
	})
}

// withTokens opens what holds the tokens, lets f use it, and closes it.
func (c *Config) withTokens(ctx context.Context, out console, f func(*broker.Service) error) (err error) {
	if err := errors.Join(c.validate(c.needKeyset()), c.mustExist()); err != nil {
		return err
	}
	s, close, err := c.tokenService(ctx, c.logger(out.err))
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := close(); err == nil {
			err = closeErr
		}
	}()
	return f(s)
}
