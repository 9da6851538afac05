package broker

import (
	"context"
	"crypto/sha256"
	"errors"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/providers"
	"github.com/grantd/grantd/store"
)

// AuthorizeRequest begins a consent.
type AuthorizeRequest struct {
	ProviderID  string
	State       string // 8 to 512 characters, echoed unchanged; "" has one made
	RedirectURI string // "" means the first of the provider's redirectUris, or else the public URL's own callback
	SkipConsent *bool  // decides about the upstream's prompt; nil follows the provider
}

// AuthorizeAnswer is where to send the person, and the state that will come back.
type AuthorizeAnswer struct{ RedirectURL, State string }

// maxRedirectURL keeps the answer within a cookie (contract: both it and the
// state end up in 4 kB ones).
const maxRedirectURL = 1500

// Authorize opens a flow and tells where the person gives consent. The same open
// state again gives the same answer (A2); a second flow leaves the first alone.
func (s *Service) Authorize(ctx context.Context, c models.Caller, r AuthorizeRequest) (AuthorizeAnswer, error) {
	p, err := s.visibleProvider(ctx, c, r.ProviderID)
	if err != nil {
		return AuthorizeAnswer{}, err
	}
	if err := mayConsent(p); err != nil {
		return AuthorizeAnswer{}, err
	}
	if err := s.completeRequest(p, &r); err != nil {
		return AuthorizeAnswer{}, err
	}
	at, err := s.open(ctx, p)
	if err != nil {
		return AuthorizeAnswer{}, err
	}
	f, req, err := s.openFlow(ctx, c, p, r)
	if err != nil {
		return AuthorizeAnswer{}, err
	}
	target, err := at.AuthorizeURL(ctx, providers.AuthorizeRequest{
		State: r.State, SkipConsent: f.SkipConsent, RedirectURI: f.RedirectURI, Nonce: req.Nonce,
		Verifier: models.Secret(req.Verifier),
	})
	if err != nil {
		return AuthorizeAnswer{}, at.failed(err)
	}
	if len(target) >= maxRedirectURL {
		if _, err := s.store.FailFlow(ctx, f.ID, "too_long", models.FlowOpen); err != nil {
			return AuthorizeAnswer{}, err
		}
		return AuthorizeAnswer{}, models.Invalid(models.FieldError{Name: "state", Message: "is too long together with the redirect_uri and scopes: the address to send the person to must stay below 1500 characters"})
	}
	return AuthorizeAnswer{RedirectURL: target, State: r.State}, nil
}

func mayConsent(p models.Provider) error {
	if p.Usable() {
		return nil
	}
	return models.Errorf(models.CodeConflict, "The provider is %s; consent can be given only while it is active.", p.Status)
}

// completeRequest fills in what the caller left out and judges the rest.
func (s *Service) completeRequest(p models.Provider, r *AuthorizeRequest) error {
	if r.State == "" {
		r.State = randomText()
	}
	if len(r.State) < 8 || len(r.State) > 512 || !printable(r.State) {
		return models.Invalid(models.FieldError{Name: "state", Message: "must be 8 to 512 printable characters, and hard to guess"})
	}
	switch {
	case r.RedirectURI == "" && len(p.RedirectURIs) > 0:
		r.RedirectURI = p.RedirectURIs[0]
		return nil
	case r.RedirectURI == "":
		r.RedirectURI = s.ConnectURL(p.ID)
		return nil
	}
	return s.redirects.check(r.RedirectURI, p.RedirectURIs)
}

// openFlow keeps a new flow, or finds the open one that this is a repetition of.
func (s *Service) openFlow(ctx context.Context, c models.Caller, p models.Provider, r AuthorizeRequest) (models.Flow, request, error) {
	f := newFlow(c, p, models.ChannelAPI, r.State, r.RedirectURI)
	set(&f.SkipConsent, r.SkipConsent)
	req := request{Verifier: providers.NewVerifier().Reveal(), Nonce: randomText()}
	var err error
	if f.Sealed, err = s.sealJSON(flowOwner(f, "request"), req); err != nil {
		return f, req, err
	}
	err = s.beginConsent(ctx, &f, s.timing.FlowLife)
	if errors.Is(err, store.ErrDuplicate) {
		return s.sameFlow(ctx, c, r)
	}
	if models.CodeOf(err) == models.CodeRateLimited { // asking again for one that is open opens none
		if same, its, err := s.sameFlow(ctx, c, r); err == nil {
			return same, its, nil
		}
	}
	return f, req, err
}

// newFlow is a consent, or an import, that has not begun upstream.
func newFlow(c models.Caller, p models.Provider, on models.Channel, state, redirectURI string) models.Flow {
	return models.Flow{
		ID: newID(), OrgID: c.OrgID, UserID: c.UserID, Actor: c.Actor, ProviderID: p.ID, Channel: on,
		StateHash: hashOf(state), Status: models.FlowOpen, RedirectURI: redirectURI,
		SkipConsent: p.SkipConsent, Scopes: p.Scopes, Fingerprint: p.Fingerprint,
	}
}

func (s *Service) sameFlow(ctx context.Context, c models.Caller, r AuthorizeRequest) (models.Flow, request, error) {
	f, over, err := s.store.FlowByState(ctx, c, r.ProviderID, hashOf(r.State))
	if err != nil {
		return f, request{}, err
	}
	if over || f.Status != models.FlowOpen || f.RedirectURI != r.RedirectURI || f.Channel != models.ChannelAPI {
		return f, request{}, models.Invalid(models.FieldError{Name: "state", Message: "was used before; give a new one, or none"})
	}
	var req request
	return f, req, s.openJSON(flowOwner(f, "request"), f.Sealed, &req)
}

func hashOf(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}
