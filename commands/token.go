package commands

import (
	"context"

	"github.com/grantd/grantd/client"
)

// TokenCommand prints an access token of an upstream, for tools that run a command to get one. It stands among the
// commands for API tokens, which work on the server's machine.
type TokenCommand struct {
	For string `required:"" placeholder:"SLUG" help:"The provider, by id or slug, at which the caller's account is connected."`
}

// Help is the longer text of `grantd token get --help`.
func (TokenCommand) Help() string {
	return "Asks a running grantd for an access token that works now. get may be left out. If nothing is connected, the exit code is 5, and the message says where to connect.\n\n" +
		"\tcurl -H \"Authorization: Bearer $(grantd token --for github)\" https://api.github.com/user"
}

// Run prints the token.
func (k TokenCommand) Run(ctx context.Context, s *Session) error {
	c, err := s.asking(ctx)
	if err != nil {
		return err
	}
	t, err := c.GitToken(ctx, client.GitTokenQuery{Provider: k.For})
	if err != nil {
		return err
	}
	return s.showToken(t.AccessToken, t.ExpiresAt)
}
