package main

import (
	"cmp"
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/models"
)

type sessionsCommand struct {
	List sessionsListCommand `cmd:"" help:"List who is signed in to the pages, those who used them last first."`
	End  sessionsEndCommand  `cmd:"" help:"Sign a user out of every browser."`
}

type sessionsListCommand struct {
	User string `placeholder:"NAME" help:"Only sessions of this user."`
	Org  string `placeholder:"NAME" help:"Only sessions of this organisation."`
	JSON bool   `name:"json" help:"Print a JSON array."`
}

// Run prints a table.
func (l sessionsListCommand) Run(ctx context.Context, c console, cfg *Config) error {
	return cfg.withTokens(ctx, c, func(s *broker.Service) error {
		all, err := s.SessionsOf(ctx, l.Org, l.User)
		if err != nil {
			return err
		}
		if l.JSON {
			return printJSON(c.out, append([]models.BrowserSession{}, all...))
		}
		table := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "ORG\tUSER\tROLE\tWITH\tFROM\tSIGNED IN\tLAST USED")
		for _, b := range all {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", b.OrgID, b.UserID, b.Role, cmp.Or(b.Issuer, "API token "+b.APITokenID), cmp.Or(b.Address, "-"),
				b.CreatedAt.UTC().Format(time.RFC3339), b.LastUsedAt.UTC().Format(time.RFC3339))
		}
		return table.Flush()
	})
}

type sessionsEndCommand struct {
	User string `required:"" placeholder:"NAME" help:"Whose sessions end."`
	Org  string `placeholder:"NAME" help:"Only those in this organisation."`
}

// Help is the longer text of `grantd sessions end --help`.
func (sessionsEndCommand) Help() string {
	return "The user is signed out at the next request, and consents begun in the pages are void. API tokens stay: see grantd token revoke."
}

// Run ends the sessions.
func (e sessionsEndCommand) Run(ctx context.Context, c console, cfg *Config) error {
	return cfg.withTokens(ctx, c, func(s *broker.Service) error {
		n, err := s.EndSessionsOf(ctx, e.Org, e.User)
		if err != nil {
			return flagsAtFault(err)
		}
		fmt.Fprintf(c.err, "Ended %d sessions of %s.\n", n, e.User)
		return nil
	})
}
