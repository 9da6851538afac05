package commands

import (
	"context"
	"time"

	"github.com/grantd/grantd/client"
	"github.com/grantd/grantd/models"
)

type linksCommand struct {
	Create   linksCreateCommand   `cmd:"" help:"Make a link for a person to connect an account, and print its address."`
	Get      linksGetCommand      `cmd:"" help:"Show how far a link has come."`
	Withdraw linksWithdrawCommand `cmd:"" help:"Take a link back."`
}

type linksCreateCommand struct {
	User      string        `required:"" placeholder:"USER" help:"Whose connection it is to become."`
	Provider  string        `required:"" placeholder:"SLUG" help:"The provider, by id or slug."`
	ReturnURL string        `name:"return-url" placeholder:"URL" help:"Where the browser returns to, of an origin that the API token may return to. It can be left out with --sign-in."`
	SignIn    bool          `help:"The person has to be signed in to the pages as the user. Without it the app confirms who came back."`
	Scope     []string      `placeholder:"SCOPE" help:"A scope to ask for, among those of the provider; may be repeated."`
	Expires   time.Duration `placeholder:"TIME" help:"How long the link can be opened, such as 10m; 1h at most."`
	Popup     bool          `help:"The link is opened in a window of its own."`
}

// Run makes a link.
func (l linksCreateCommand) Run(ctx context.Context, s *Session) error {
	c, err := s.asking(ctx)
	if err != nil {
		return err
	}
	p, err := provider(ctx, c, l.Provider)
	if err != nil {
		return err
	}
	made, err := c.CreateConnectLink(ctx, client.NewConnectLink{UserID: l.User, ProviderID: p.ID, ReturnURL: l.ReturnURL, SignIn: l.SignIn,
		Scopes: l.Scope, ExpiresIn: int(l.Expires.Seconds()), Popup: l.Popup})
	if err != nil {
		return err
	}
	return s.show(made, table{rows: [][]string{{"id", made.ID}, {"url", made.URL}, {"expires", at(&made.ExpiresAt)}}})
}

type linksGetCommand struct {
	ID string `arg:"" help:"The link's id."`
}

// Run shows a link.
func (g linksGetCommand) Run(ctx context.Context, s *Session) error {
	c, err := s.asking(ctx)
	if err != nil {
		return err
	}
	l, err := c.ConnectLink(ctx, g.ID)
	if err != nil {
		return err
	}
	return s.show(l, linkTable(l))
}

func linkTable(l models.ConnectLink) table {
	t := table{rows: [][]string{{"id", l.ID}, {"user", l.UserID}, {"provider", l.ProviderID}, {"status", string(l.Status)}, {"expires", at(&l.ExpiresAt)}}}
	if l.Error != "" {
		t.add("error", string(l.Error))
	}
	if l.AuthorizationID != nil {
		t.add("connection", *l.AuthorizationID)
	}
	return t
}

type linksWithdrawCommand struct {
	ID string `arg:"" help:"The link's id."`
}

// Run takes a link back.
func (w linksWithdrawCommand) Run(ctx context.Context, s *Session) error {
	c, err := s.asking(ctx)
	if err != nil {
		return err
	}
	if err := c.WithdrawConnectLink(ctx, w.ID); err != nil {
		return err
	}
	s.say("Withdrew the link %s. What was consented to with it is revoked.", w.ID)
	return nil
}
