package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// The standard exchange (RFC 8693): whoever shows a token of a person's, and a client that may, gets the access token of
// what that person has connected. It is the same token, under the same permissions, as over the API.

// Exchange is what is asked for with an exchange.
type Exchange struct {
	Client         models.Secret // what the client authenticates with: an API token, or a token of a trusted issuer
	Subject, Actor models.Secret // Actor may be ""
	// Audiences are ids or slugs of a provider, Resources https URLs that its tokens are for. All of them must name the
	// same one.
	Audiences, Resources []string
	Scopes               []string // that the token has to have
	Account              string   // of several that are connected: the id of the authorization, or the account's sub, login or e-mail address
}

// Exchanged is the subject's access token.
type Exchanged struct {
	Token
	ExpiresIn time.Duration // 0 where it is unknown
}

// The codes of errors that OAuth names, for ExchangeError.Code.
const (
	ExchangeInvalidRequest = "invalid_request"
	ExchangeInvalidClient  = "invalid_client"
	ExchangeUnauthorized   = "unauthorized_client"
	ExchangeInvalidTarget  = "invalid_target"
	ExchangeInvalidScope   = "invalid_scope"
	ExchangeInteraction    = "interaction_required"
)

// ExchangeError is a refusal in the words of OAuth.
type ExchangeError struct {
	Code        string // such as ExchangeInvalidTarget
	Description string
	ConnectURL  string // where the person can connect an account, or renew it; "" for nowhere
}

// Error implements error.
func (e *ExchangeError) Error() string { return e.Code + ": " + e.Description }

func refuse(code, format string, args ...any) error {
	return &ExchangeError{Code: code, Description: fmt.Sprintf(format, args...)}
}

// Exchanger is who exchanges for whom, once both have shown their tokens.
type Exchanger struct {
	Caller   models.Caller // who acts for the subject, within the limits of both
	connects bool          // the subject can sign in here, and connect an account
}

// exchangeClient tells who a client is by the token that it authenticates with. An error is ExchangeInvalidClient, or tells
// that it cannot be said now.
func (s *Service) exchangeClient(ctx context.Context, token models.Secret) (presented, error) {
	p, err := s.present(ctx, token)
	if models.CodeOf(err) == models.CodeUnauthenticated {
		err = refuse(ExchangeInvalidClient, "The client must authenticate with an API token or a token of a trusted issuer that is accepted here.")
	}
	return p, err
}

// BeginExchange tells who exchanges for whom. The token of the client may be the subject's; else the client is a service,
// which is limited to providers.
func (s *Service) BeginExchange(ctx context.Context, x Exchange) (Exchanger, error) {
	client, err := s.exchangeClient(ctx, x.Client)
	if err != nil {
		return Exchanger{}, err
	}
	subject, err := s.verified(ctx, "subject_token", client, x.Subject)
	if err != nil {
		return Exchanger{}, err
	}
	if subject.Role != models.RoleUser {
		return Exchanger{}, refuse(ExchangeInvalidRequest, "subject_token must be a person's: an API token of the role user, or a token of a trusted issuer whose bearers are users.")
	}
	own := x.Client == x.Subject
	if !own && !client.IsService() {
		return Exchanger{}, refuse(ExchangeUnauthorized, "Only a service exchanges the token of somebody else: authenticate with an API token of the role service, or with subject_token itself.")
	}
	actor := client
	if x.Actor != "" {
		if actor, err = s.verified(ctx, "actor_token", client, x.Actor); err != nil {
			return Exchanger{}, err
		}
	}
	if may := subject.mayAct; may != nil && (!own || x.Actor != "") && *may != (party{actor.issuer, actor.sub}) {
		return Exchanger{}, refuse(ExchangeInvalidRequest, "The subject_token names somebody else who may act for its subject (may_act).")
	}
	c := subject.Caller
	if !own {
		c = models.Caller{OrgID: client.OrgID, UserID: subject.UserID, Role: models.RoleService, TokenID: client.TokenID, Providers: meet(client.Caller, subject.Caller)}
	}
	if !own || x.Actor != "" {
		c.Actor = actor.UserID
	}
	return Exchanger{c, s.signsIn(subject.Caller)}, nil
}

// verified is whose token a parameter has, of the client's organisation.
func (s *Service) verified(ctx context.Context, parameter string, client presented, token models.Secret) (presented, error) {
	p, err := s.present(ctx, token)
	switch {
	case models.CodeOf(err) == models.CodeUnauthenticated, err == nil && (p.OrgID != client.OrgID || p.IsAdmin()):
		return p, refuse(ExchangeInvalidRequest, "%s must be a token of the client's organisation that is accepted here, and not an admin's.", parameter)
	}
	return p, err
}

// meet are the providers within the limits of a service and of a subject.
func meet(service, subject models.Caller) []string {
	return slices.DeleteFunc(slices.Clone(service.Providers), func(id string) bool { return !subject.MayUse(id) })
}

// signsIn reports whether a user is a person who can sign in to the pages: with an API token, or at the sign-in issuer.
func (s *Service) signsIn(c models.Caller) bool {
	if s.signIn.Name != "" && (s.signIn.Shared || strings.HasPrefix(c.UserID, s.signIn.Name+":")) {
		return true
	}
	return !strings.HasPrefix(c.TokenID, issuerPrefix) && !models.IsMachine(c.UserID)
}

// Exchange hands out the subject's access token. Where its token is fresh, that takes one query.
func (s *Service) Exchange(ctx context.Context, e Exchanger, x Exchange) (Exchanged, error) {
	l, err := s.exchangeable(ctx, e, x)
	if err != nil {
		return Exchanged{}, err
	}
	for _, scope := range x.Scopes {
		if !slices.Contains(l.Authorization.Scopes, scope) {
			return Exchanged{}, s.connect(e, l.Provider.ID, ExchangeInvalidScope, fmt.Sprintf("The token has not been granted the scope %.128q. It has: %s.", scope, strings.Join(l.Authorization.Scopes, " ")))
		}
	}
	var t Token
	if err = usable(e.Caller, &l); err == nil && !l.RefreshDue() && l.Served() {
		s.metrics.TokenFetched(&l, nil) // Token counts those that it fetches
		t, err = s.handOut(e.Caller, &l)
	} else if err == nil {
		t, err = s.Token(ctx, e.Caller, l.Authorization.ID, 0)
	}
	switch models.CodeOf(err) {
	case "":
	case models.CodeForbidden:
		if !l.Provider.Usable() {
			return Exchanged{}, refuse(ExchangeInvalidTarget, "The provider is %s; it gives no tokens.", l.Provider.Status)
		}
		return Exchanged{}, s.connect(e, l.Provider.ID, ExchangeInteraction, messageOf(err))
	case models.CodeGone, models.CodeNotFound:
		return Exchanged{}, s.connect(e, l.Provider.ID, ExchangeInteraction, messageOf(err))
	default:
		return Exchanged{}, err
	}
	answer := Exchanged{Token: t}
	if t.ExpiresAt != nil {
		answer.ExpiresIn = max(time.Second, t.ExpiresAt.Sub(l.Now))
	}
	return answer, nil
}

// messageOf is what a caller is told of an error of ours.
func messageOf(err error) string {
	known, ok := errors.AsType[*models.Error](err)
	if !ok {
		return ""
	}
	return known.Message
}

// exchangeable finds what the subject has connected. The usual request, of one provider by its name, is answered by one
// query; only where that finds nothing the others tell why.
func (s *Service) exchangeable(ctx context.Context, e Exchanger, x Exchange) (models.Linked, error) {
	c := e.Caller
	if len(x.Audiences) == 1 && len(x.Resources) == 0 && x.Account == "" {
		l, err := s.store.FetchableOf(ctx, c.OrgID, c.UserID, models.Storable(x.Audiences[0]))
		if err == nil && c.MayUse(l.Provider.ID) || err != nil && !store.IsNotFound(err) {
			return l, err
		}
	}
	p, err := s.target(ctx, c, x)
	if err != nil {
		return models.Linked{}, err
	}
	id, err := s.accountAt(ctx, c, p, x.Account)
	if err != nil {
		return models.Linked{}, err
	}
	if id != "" {
		l, err := s.store.Fetchable(ctx, id)
		if !store.IsNotFound(err) {
			return l, err
		}
	}
	return models.Linked{}, s.connect(e, p.ID, ExchangeInteraction, "Nothing is connected to the provider, or not the account that was asked for. The person has to connect it.")
}

// connect is a refusal that a consent of the person's may mend.
func (s *Service) connect(e Exchanger, provider, code, description string) error {
	refused := &ExchangeError{Code: code, Description: description}
	if e.connects {
		refused.ConnectURL = s.ConnectURL(provider)
	}
	return refused
}

// target is the one provider that audiences and resources name.
func (s *Service) target(ctx context.Context, c models.Caller, x Exchange) (models.Provider, error) {
	if len(x.Audiences)+len(x.Resources) == 0 {
		return models.Provider{}, refuse(ExchangeInvalidRequest, "audience must be the id or slug of a provider, or resource an https URL that a provider's tokens are for.")
	}
	var target models.Provider
	for n, name := range slices.Concat(x.Audiences, x.Resources) {
		q := AgentQuery{ID: models.Storable(name)}
		if n >= len(x.Audiences) {
			q = AgentQuery{Match: name}
		}
		p, err := s.asked(ctx, c, q)
		switch models.CodeOf(err) {
		case "":
		case models.CodeNotFound, models.CodeConflict, models.CodeBadRequest:
			return p, refuse(ExchangeInvalidTarget, "audience and resource must name exactly one active provider that both client and subject may use.")
		default:
			return p, err
		}
		if target.ID != "" && target.ID != p.ID {
			return p, refuse(ExchangeInvalidTarget, "audience and resource name different providers.")
		}
		target = p
	}
	return target, nil
}

// accountAt is the authorization for an account that the subject has connected, the newest where none is named; "" where
// there is none. Two that are named alike are refused: which one is meant is not for the order of a list to decide.
func (s *Service) accountAt(ctx context.Context, c models.Caller, p models.Provider, account string) (string, error) {
	if account == "" {
		l, err := s.latestLink(ctx, c, p.ID)
		if store.IsNotFound(err) {
			return "", nil
		}
		return l.Authorization.ID, err
	}
	page, err := s.Authorizations(ctx, c, AuthorizationQuery{UserID: c.UserID, ProviderID: p.ID, Account: account, Limit: 2})
	switch {
	case err != nil:
		return "", err
	case len(page.Data) > 1:
		return "", refuse(ExchangeInvalidRequest, "account fits two of the accounts that are connected: give the id of the authorization.")
	case len(page.Data) == 1:
		return page.Data[0].ID, nil
	case !models.ValidID(account):
		return "", nil
	}
	a, err := s.Authorization(ctx, c, account)
	if models.CodeOf(err) == models.CodeNotFound || err == nil && (a.UserID != c.UserID || a.ProviderID != p.ID) {
		return "", nil
	}
	return a.ID, err
}
