package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humaecho"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/models"
)

// agentPath is below /api/v2.
const agentPath = "/workspaceagents/me/external-auth"

// ByName is the input of what is about one provider of the external-auth API.
type ByName struct {
	Name string `path:"externalauth" example:"github" doc:"The provider's id or its slug."`
}

// ExternalAuths is what a user can connect, and what is connected.
type ExternalAuths struct {
	Providers []ExternalAuthProvider `json:"providers"`
	Links     []ExternalAuthLink     `json:"links"`
}

// ExternalAuthProvider is an active provider of the organisation.
type ExternalAuthProvider struct {
	ID                 string   `json:"id"`
	Type               string   `json:"type"`
	Device             bool     `json:"device" doc:"Whether the device flow is offered."`
	DisplayName        string   `json:"display_name"`
	DisplayIcon        string   `json:"display_icon" doc:"An https address or a path; empty for none."`
	AllowRefresh       bool     `json:"allow_refresh"`
	AllowValidate      bool     `json:"allow_validate" doc:"Whether the upstream tells whose a token is."`
	SupportsRevocation bool     `json:"supports_revocation" doc:"Whether the upstream takes tokens back. Where endpoints are discovered: whether they are known to have been."`
	ChallengeMethods   []string `json:"code_challenge_methods_supported"`
}

// ExternalAuthLink is what the user has connected at a provider: of several
// authorizations the one that was consented to last.
type ExternalAuthLink struct {
	ProviderID      string     `json:"provider_id"`
	CreatedAt       time.Time  `json:"created_at"`
	UpdatedAt       time.Time  `json:"updated_at" doc:"When the tokens were saved last."`
	HasRefreshToken bool       `json:"has_refresh_token"`
	Expires         *time.Time `json:"expires" doc:"When the access token ends; null when unknown or never."`
	Authenticated   bool       `json:"authenticated" doc:"Whether it works, as far as is known without asking the upstream. What can be refreshed works."`
	ValidateError   string     `json:"validate_error" doc:"Why it does not work; empty when it does."`
}

// ExternalAuth is a provider, and who the user is there.
type ExternalAuth struct {
	Authenticated      bool                  `json:"authenticated"`
	Device             bool                  `json:"device" doc:"Whether the device flow is offered."`
	DisplayName        string                `json:"display_name"`
	SupportsRevocation bool                  `json:"supports_revocation"`
	User               *models.Account       `json:"user" doc:"Null when nothing is connected or the link is no longer valid. The id is 0 where the upstream's name for accounts is no number."`
	AppInstallable     bool                  `json:"app_installable" doc:"Whether installations tells where the app is installed."`
	Installations      []models.Installation `json:"installations"`
	AppInstallURL      string                `json:"app_install_url"`
}

// ExternalAuthDeletion says the outcome of the tokens. The link is gone anyway.
type ExternalAuthDeletion struct {
	TokenRevoked bool   `json:"token_revoked" doc:"Whether the upstream took every token back before this answer."`
	Problem      string `json:"token_revocation_error,omitempty" doc:"Why it did not. What can be tried again is, in the background."`
}

func (s *Server) listExternalAuths(ctx context.Context, c models.Caller, _ *struct{}) (*private[ExternalAuths], error) {
	providers, links, err := s.service.ExternalAuths(ctx, c)
	if err != nil {
		return nil, err
	}
	all := &ExternalAuths{Providers: []ExternalAuthProvider{}, Links: []ExternalAuthLink{}}
	for _, p := range providers {
		all.Providers = append(all.Providers, externalProvider(p))
	}
	for _, l := range links {
		all.Links = append(all.Links, externalLink(l))
	}
	return privately(all), nil
}

func externalProvider(p broker.ExternalProvider) ExternalAuthProvider {
	shown := ExternalAuthProvider{
		ID: p.ID, Type: p.Type, Device: p.Device, DisplayName: p.Name, DisplayIcon: p.Icon, AllowRefresh: true,
		AllowValidate: p.Validates, SupportsRevocation: p.Revokes, ChallengeMethods: []string{},
	}
	if p.PKCE {
		shown.ChallengeMethods = []string{"S256"}
	}
	return shown
}

func externalLink(l broker.ExternalLink) ExternalAuthLink {
	return ExternalAuthLink{
		ProviderID: l.ProviderID, CreatedAt: l.CreatedAt.UTC(), UpdatedAt: l.UpdatedAt.UTC(), HasRefreshToken: l.HasRefreshToken,
		Expires: inUTC(l.Expires), Authenticated: l.Authenticated, ValidateError: l.Problem,
	}
}

func (s *Server) getExternalAuth(ctx context.Context, c models.Caller, in *ByName) (*private[ExternalAuth], error) {
	a, err := s.service.ExternalAuth(ctx, c, storable(in.Name))
	if err != nil {
		return nil, err
	}
	return privately(&ExternalAuth{
		Authenticated: a.Authenticated, Device: a.Provider.Device, DisplayName: a.Provider.Name, SupportsRevocation: a.Provider.Revokes,
		User: a.User, AppInstallable: a.Installable, Installations: a.Installations, AppInstallURL: a.Provider.InstallURL,
	}), nil
}

func (s *Server) deleteExternalAuth(ctx context.Context, c models.Caller, in *ByName) (*answer[ExternalAuthDeletion], error) {
	problem, err := s.service.DisconnectExternal(ctx, c, storable(in.Name))
	return &answer[ExternalAuthDeletion]{&ExternalAuthDeletion{TokenRevoked: problem == "", Problem: problem}}, err
}

// AgentToken is a token as git takes it; with a url there is none, and the person
// is to be sent there.
type AgentToken struct {
	AccessToken string         `json:"access_token" doc:"Empty when nothing is connected."`
	TokenExtra  map[string]any `json:"token_extra" doc:"Nothing is kept of what else came with the token."`
	URL         string         `json:"url" doc:"Where to connect, when nothing is connected; else empty."`
	Type        string         `json:"type"`
	Username    string         `json:"username" doc:"For git. Without a password the token is the user name."`
	Password    string         `json:"password" doc:"For git; empty where the token is the user name."`
	ExpiresAt   *time.Time     `json:"expires_at" doc:"Null when unknown."`
}

type agentInput struct {
	ID      string `query:"id" doc:"The provider's id or slug. Exactly one of id and match is given."`
	Match   string `query:"match" example:"https://github.com/octocat/hello-world" doc:"The https URL of a git repository or its host; the provider whose place it is in is meant."`
	Listen  string `query:"listen" doc:"With any value but false, the answer waits up to a minute until something is connected; then it is 404 with detail authorization_pending."`
	request *http.Request
}

// Resolve implements huma.Resolver: an answer that is waited for may come later
// than the server lets others take.
func (in *agentInput) Resolve(ctx huma.Context) []error {
	in.request = humaecho.UnwrapV4(ctx).Request()
	if in.Listen != "" {
		allowWrite(ctx, broker.MaxWait+writeTime)
	}
	return nil
}

func (s *Server) agentToken(ctx context.Context, c models.Caller, in *agentInput) (*private[AgentToken], error) {
	t, err := s.agentTokenNowOrLater(ctx, c, in)
	if err != nil {
		return nil, err
	}
	if t.URL != "" {
		return privately(&AgentToken{URL: t.URL, TokenExtra: map[string]any{}}), nil
	}
	return privately(&AgentToken{
		AccessToken: t.Access.Reveal(), TokenExtra: map[string]any{}, Type: t.Type,
		Username: t.Username.Reveal(), Password: t.Password.Reveal(), ExpiresAt: inUTC(t.ExpiresAt),
	}), nil
}

func (s *Server) agentTokenNowOrLater(ctx context.Context, c models.Caller, in *agentInput) (broker.AgentToken, error) {
	q := broker.AgentQuery{ID: storable(in.ID), Match: in.Match}
	if in.Listen == "" || in.Listen == "false" {
		return s.service.AgentToken(ctx, c, q)
	}
	waiting, cancel := s.whileServing(ctx)
	defer cancel()
	t, err := s.service.AwaitAgentToken(waiting, c, q)
	if err != nil {
		return t, err
	}
	_, err = s.identify(in.request) // nothing is handed to a token that ended meanwhile
	return t, err
}
