package commands

import (
	"context"
	"strings"

	"github.com/grantd/grantd/client"
	"github.com/grantd/grantd/models"
)

type whoamiCommand struct{}

// Help is the longer text of `grantd whoami --help`.
func (whoamiCommand) Help() string {
	return "Asks grantd, so it also tells whether the token is still accepted."
}

// Run asks grantd who sends the token.
func (whoamiCommand) Run(ctx context.Context, s *Session) error {
	base, token, as, err := s.whom(ctx)
	if err != nil {
		return err
	}
	me, err := newClient(base, token, "").Me(ctx)
	if err != nil {
		return err
	}
	t := table{rows: [][]string{{"server", base}, {"organisation", me.OrgID}, {"user", me.UserID}, {"role", string(me.Role)}}}
	if as != "" {
		t.add("acts for", as)
	}
	t.add("signed in by", signedInBy(me))
	limits := "all"
	if len(me.Providers) > 0 {
		limits = strings.Join(me.Providers, " ")
	}
	t.add("providers", limits)
	if len(me.ReturnOrigins) > 0 {
		t.add("links return to", strings.Join(me.ReturnOrigins, " "))
	}
	ends := "never"
	if me.ExpiresAt != nil {
		ends = at(me.ExpiresAt)
	}
	t.add("token ends", ends)
	return s.show(me, t)
}

// signedInBy says with what somebody came.
func signedInBy(me models.Me) string {
	if me.By == models.ByIssuer {
		return "a token of the trusted issuer " + me.Name
	}
	if me.Name == "" {
		return "the API token " + me.TokenID
	}
	return "the API token " + me.TokenID + " (" + me.Name + ")"
}

// own limits a query to the caller's own connections, which an admin's list is not.
func own(ctx context.Context, c *client.Client, q client.AuthorizationQuery) (client.AuthorizationQuery, error) {
	me, err := c.Me(ctx)
	if err == nil && me.Role == models.RoleAdmin {
		q.UserID = me.UserID
	}
	return q, err
}
