package commands

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/grantd/grantd/client"
	"github.com/grantd/grantd/models"
)

type connectionsCommand struct {
	List       connectionsListCommand       `cmd:"" help:"List connected accounts: one's own, or as an admin the organisation's."`
	Get        connectionsGetCommand        `cmd:"" help:"Show a connection."`
	Connect    connectionsConnectCommand    `cmd:"" help:"Connect an account of one's own at a provider."`
	Token      connectionsTokenCommand      `cmd:"" help:"Print an access token of one's own that works now."`
	Check      connectionsCheckCommand      `cmd:"" help:"Ask the provider whether the access token is good."`
	Reset      connectionsResetCommand      `cmd:"" help:"Replace the access token before it is due."`
	Disconnect connectionsDisconnectCommand `cmd:"" help:"Delete a connection and have it revoked at the provider."`
}

type connectionsListCommand struct {
	Provider string `placeholder:"SLUG" help:"Only connections at this provider, by id or slug."`
	Status   string `placeholder:"STATUS" help:"Only connections that are active, expired, invalidOAuthClient or invalidProviderState."`
	User     string `placeholder:"USER" help:"Only connections of this user, for admins."`
	Account  string `placeholder:"TEXT" help:"Only connections of this account: its sub, login or e-mail address."`
	limited
}

// Run lists connections.
func (l connectionsListCommand) Run(ctx context.Context, s *Session) error {
	c, err := s.asking(ctx)
	if err != nil {
		return err
	}
	q := client.AuthorizationQuery{Status: models.AuthorizationStatus(l.Status), UserID: l.User, Account: l.Account}
	if q.ProviderID, err = providerID(ctx, c, l.Provider); err != nil {
		return err
	}
	all := []models.Authorization{}
	t := table{head: []string{"ID", "PROVIDER", "USER", "ACCOUNT", "STATUS", "EXPIRES", "LAST FETCHED"}}
	for a, err := range c.Authorizations(ctx, q) {
		if err != nil {
			return err
		}
		all = append(all, a)
		t.add(a.ID, slugOf(a), a.UserID, accountOf(a), statusOf(a), at(a.ExpiresAt), at(a.LastFetchedAt))
		if l.full(len(all)) {
			break
		}
	}
	return s.show(all, t)
}

func slugOf(a models.Authorization) string {
	if a.Provider == nil {
		return ""
	}
	return a.Provider.Slug
}

// accountOf is what people know the account by.
func accountOf(a models.Authorization) string {
	switch {
	case a.Account == nil:
		return ""
	case a.Account.Login != "":
		return a.Account.Login
	case a.Account.Email != "":
		return a.Account.Email
	}
	return a.Account.Sub
}

func statusOf(a models.Authorization) string {
	if a.Reason != "" {
		return fmt.Sprintf("%s (%s)", a.Status, a.Reason)
	}
	return string(a.Status)
}

type connectionsGetCommand struct {
	ID string `arg:"" help:"The connection's id."`
}

// Run shows a connection.
func (g connectionsGetCommand) Run(ctx context.Context, s *Session) error {
	c, err := s.asking(ctx)
	if err != nil {
		return err
	}
	a, err := c.Authorization(ctx, g.ID)
	if err != nil {
		return err
	}
	return s.showConnection(a)
}

func (s *Session) showConnection(a models.Authorization) error {
	t := table{rows: [][]string{{"id", a.ID}, {"provider", slugOf(a)}, {"user", a.UserID}, {"account", accountOf(a)}, {"status", statusOf(a)}}}
	if a.ReasonMessage != "" {
		t.add("what to do", a.ReasonMessage)
	}
	t.add("scopes", strings.Join(a.Scopes, " "))
	t.add("expires", at(a.ExpiresAt))
	t.add("refreshed", at(a.RefreshedAt))
	t.add("last fetched", at(a.LastFetchedAt))
	t.add("created", at(&a.CreatedAt))
	return s.show(a, t)
}

type connectionsConnectCommand struct {
	Provider string `arg:"" help:"The provider, by id or slug."`
	Wait     bool   `help:"Wait until something is connected at the provider."`
	Device   bool   `help:"Show a code to be entered on any device, and wait. An admin switches that on with the provider's config.device."`
}

// Help is the longer text of `grantd connections connect --help`.
func (connectionsConnectCommand) Help() string {
	return "Without --device, prints the address of the page where the account is connected in a browser; --wait opens it, and waits. Somebody else's account is connected " +
		"with a link: see grantd links create."
}

// Run connects an account.
func (k connectionsConnectCommand) Run(ctx context.Context, s *Session) error {
	base, token, as, err := s.whom(ctx)
	if err != nil {
		return err
	}
	c := newClient(base, token, as)
	p, err := provider(ctx, c, k.Provider)
	if err != nil {
		return err
	}
	if !k.Device && k.Wait {
		return s.untilConnected(ctx, c, p, base)
	}
	if !k.Device {
		page := struct {
			URL string `json:"url"`
		}{connectPage(base, p)}
		return s.show(page, table{rows: [][]string{{"open", page.URL}}})
	}
	d, err := c.BeginDevice(ctx, p.ID)
	if err != nil {
		return err
	}
	s.showDevice(d.VerificationURI, d.VerificationURIComplete, d.UserCode)
	done, err := pollDevice(ctx, c, p.ID, d)
	if err != nil {
		return err
	}
	return s.showConnection(done.Authorization)
}

// connectPage is where a person connects an account in a browser.
func connectPage(base string, p models.Provider) string {
	return base + "/external-auth/" + p.ID + "/callback"
}

// untilConnected sends the person to the page, and waits for as long as that takes.
func (s *Session) untilConnected(ctx context.Context, c *client.Client, p models.Provider, base string) error {
	s.openBrowser(connectPage(base, p))
	for {
		_, err := c.GitToken(ctx, client.GitTokenQuery{Provider: p.ID, Listen: true})
		var answer *client.Error
		switch {
		case err == nil:
			s.say("Connected at %s.", p.Name)
			return nil
		case !errors.As(err, &answer) || answer.Detail != "authorization_pending":
			return err
		}
	}
}

// pollDevice waits until the person has consented.
func pollDevice(ctx context.Context, c *client.Client, provider string, d client.Device) (client.Completed, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(d.ExpiresIn)*time.Second)
	defer cancel()
	wait := time.Duration(d.Interval) * time.Second
	for {
		if err := pause(ctx, wait); err != nil {
			return client.Completed{}, fmt.Errorf("nobody entered the code: %w", err)
		}
		done, err := c.PollDevice(ctx, provider, d.DeviceCode)
		var answer *client.Error
		if err == nil || !errors.As(err, &answer) || answer.Detail != "authorization_pending" && answer.Detail != "slow_down" {
			return done, err
		}
		wait = max(answer.RetryAfter, time.Second)
	}
}

type connectionsTokenCommand struct {
	ID string `arg:"" help:"The connection's id."`
}

// shownToken is a token as it is printed.
type shownToken struct {
	AccessToken string     `json:"accessToken"`
	ExpiresAt   *time.Time `json:"expiresAt"` // null when unknown
}

// Run prints a token.
func (k connectionsTokenCommand) Run(ctx context.Context, s *Session) error {
	c, err := s.asking(ctx)
	if err != nil {
		return err
	}
	t, err := c.Token(ctx, k.ID)
	if err != nil {
		return err
	}
	return s.showToken(t.AccessToken, t.ExpiresAt)
}

// showToken prints a token alone for scripts, or with its end as JSON or YAML. A token that a terminal would not show as
// it is is no token.
func (s *Session) showToken(token models.Secret, end *time.Time) error {
	if strings.ContainsFunc(token.Reveal(), func(r rune) bool { return r <= ' ' || r > '~' }) {
		return failed(ExitFailure, "the access token has characters that no token may have")
	}
	if s.Connection.Output != "table" {
		return s.show(shownToken{token.Reveal(), end}, table{})
	}
	_, err := fmt.Fprintln(s.Out, token.Reveal())
	return err
}

type connectionsCheckCommand struct {
	ID string `arg:"" help:"The connection's id."`
}

// Run checks a token. One that is not good is exit code 5 where only a person can help.
func (k connectionsCheckCommand) Run(ctx context.Context, s *Session) error {
	c, err := s.asking(ctx)
	if err != nil {
		return err
	}
	found, err := c.CheckToken(ctx, k.ID)
	if err != nil {
		return err
	}
	t := table{rows: [][]string{{"valid", yesNo(found.Valid)}, {"status", string(found.Status)}, {"checked", at(&found.CheckedAt)}, {"expires", at(found.ExpiresAt)},
		{"scopes", strings.Join(found.Scopes, " ")}, {"missing scopes", strings.Join(found.MissingScopes, " ")}}}
	if err := s.show(found, t); err != nil {
		return err
	}
	if found.Status == models.AuthorizationExpired {
		return failed(ExitConsent, "the connection has expired: the person has to connect the account again")
	}
	return nil
}

type connectionsResetCommand struct {
	ID string `arg:"" help:"The connection's id."`
}

// shownReset is what is printed of a reset: not the new token, which connections token prints.
type shownReset struct {
	ID              string     `json:"id"`
	ExpiresAt       *time.Time `json:"expiresAt"`
	OldTokenRevoked bool       `json:"oldTokenRevoked"`
}

// Run replaces a token.
func (k connectionsResetCommand) Run(ctx context.Context, s *Session) error {
	c, err := s.asking(ctx)
	if err != nil {
		return err
	}
	r, err := c.ResetToken(ctx, k.ID)
	if err != nil {
		return err
	}
	return s.show(shownReset{k.ID, r.ExpiresAt, r.OldTokenRevoked}, table{rows: [][]string{{"id", k.ID}, {"expires", at(r.ExpiresAt)}, {"old token revoked", yesNo(r.OldTokenRevoked)}}})
}

type connectionsDisconnectCommand struct {
	ID string `arg:"" help:"The connection's id."`
}

// Run disconnects an account.
func (k connectionsDisconnectCommand) Run(ctx context.Context, s *Session) error {
	c, err := s.asking(ctx)
	if err != nil {
		return err
	}
	if err := c.Disconnect(ctx, k.ID); err != nil {
		return err
	}
	s.say("Disconnected %s. It cannot be used any more, and is revoked at the provider.", k.ID)
	return nil
}
