package commands

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/grantd/grantd/client"
	"github.com/grantd/grantd/models"
)

type tokensCommand struct {
	List   tokensListCommand   `cmd:"" help:"List the organisation's API tokens, the newest first, without the tokens themselves."`
	Create tokensCreateCommand `cmd:"" help:"Make an API token and print it, once."`
	Revoke tokensRevokeCommand `cmd:"" help:"End an API token."`
}

type tokensListCommand struct {
	User   string `placeholder:"USER" help:"Only tokens of this user."`
	MadeBy string `placeholder:"ID" help:"Only tokens that were made with this one."`
	limited
}

// Run lists API tokens.
func (l tokensListCommand) Run(ctx context.Context, s *Session) error {
	c, err := s.asking(ctx)
	if err != nil {
		return err
	}
	all := []models.APIToken{}
	t := table{head: []string{"ID", "USER", "ROLE", "CREATED", "STATE", "LAST USED", "NAME"}}
	for k, err := range c.APITokens(ctx, client.APITokenQuery{UserID: l.User, MadeBy: l.MadeBy}) {
		if err != nil {
			return err
		}
		all = append(all, k)
		t.add(k.ID, k.UserID, string(k.Role), at(&k.CreatedAt), tokenState(k, time.Now()), at(k.LastUsedAt), k.Name)
		if l.full(len(all)) {
			break
		}
	}
	return s.show(all, t)
}

func tokenState(t models.APIToken, now time.Time) string {
	switch {
	case t.RevokedAt != nil:
		return "revoked"
	case !t.Usable(now):
		return "expired"
	case t.ExpiresAt == nil:
		return "does not expire"
	}
	return "until " + at(t.ExpiresAt)
}

type tokensCreateCommand struct {
	Role         string        `required:"" placeholder:"ROLE" help:"user, or where the operator allows it admin or service."`
	User         string        `placeholder:"USER" help:"A machine, whose name begins with app-; by default the token is for the caller."`
	Name         string        `placeholder:"TEXT" help:"What the token is for."`
	Expires      time.Duration `placeholder:"TIME" help:"How long the token works, such as 30d; by default as long as the caller's."`
	Provider     []string      `placeholder:"SLUG" help:"A provider, by id or slug, that the token is limited to; may be repeated."`
	ReturnOrigin []string      `placeholder:"ORIGIN" help:"An origin that connect links made with the token may return to; may be repeated."`
}

// Help is the longer text of `grantd tokens create --help`.
func (tokensCreateCommand) Help() string {
	return "Asks a running grantd, as an admin. On the machine of the server, grantd token create makes tokens for everybody, and the first one."
}

// madeToken is a token as it is printed, once.
type madeToken struct {
	models.APIToken
	Token string `json:"token"`
}

// Run makes an API token.
func (n tokensCreateCommand) Run(ctx context.Context, s *Session) error {
	c, err := s.asking(ctx)
	if err != nil {
		return err
	}
	asked := client.NewAPIToken{Name: n.Name, Role: models.Role(n.Role), UserID: n.User, Providers: n.Provider, ReturnOrigins: n.ReturnOrigin}
	if n.Expires != 0 {
		end := time.Now().Add(n.Expires)
		asked.ExpiresAt = &end
	}
	made, err := c.CreateAPIToken(ctx, asked)
	if err != nil {
		return err
	}
	if s.Connection.Output != "table" {
		return s.show(madeToken{made.APIToken, made.Token.Reveal()}, table{})
	}
	s.say("Made API token %s for %s, role %s, %s.", made.ID, made.UserID, made.Role, strings.TrimSpace(tokenState(made.APIToken, time.Now())))
	_, err = fmt.Fprintln(s.Out, made.Token.Reveal())
	return err
}

type tokensRevokeCommand struct {
	ID       string `arg:"" help:"The token's id."`
	WithMade bool   `help:"Also end the tokens that were made with it, and with those."`
}

// Run ends an API token.
func (r tokensRevokeCommand) Run(ctx context.Context, s *Session) error {
	c, err := s.asking(ctx)
	if err != nil {
		return err
	}
	if err := c.RevokeAPIToken(ctx, r.ID, r.WithMade); err != nil {
		return err
	}
	s.say("Revoked API token %s. Servers refuse it within ten seconds.", r.ID)
	return nil
}
