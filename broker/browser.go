package broker

import (
	"bytes"
	"context"
	"crypto/subtle"
	"errors"
	"slices"
	"time"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/providers"
	"github.com/grantd/grantd/store"
)

// A consent on the browser channel is begun and completed by a person in our own
// pages. Its state is our own, and it completes only in the session that it was
// begun in (A2).

// Visitor is somebody in a browser.
type Visitor struct {
	Caller models.Caller
	// Session is made when the person signs in; consents are bound to it.
	Session models.Secret
	Name    string // what the sign-in issuer calls the person, "" where it does not say
	// SignedInAt is when the person proved who they are.
	SignedInAt time.Time
}

// Returned is a consent that a person came back from.
type Returned struct {
	ProviderID string
	Provider   string // its name
	// Flow names the consent to Confirm and Decline, when Ask is set: the person
	// consented with another account than the one that is connected.
	Flow string
	Ask  bool
	// Trial is set for an admin's trial of a provider, whose result TrialOf tells while Flow is set.
	Trial bool
	To    string // where the person goes now; "" for nowhere in particular
}

// BeginConnect opens a consent in the visitor's session and returns the address of
// the upstream's consent page. to is where the person goes afterwards: see
// CheckReturn; "" for nowhere in particular.
func (s *Service) BeginConnect(ctx context.Context, v Visitor, name, to string) (string, error) {
	return s.beginInPages(ctx, v, models.ChannelBrowser, name, to)
}

func (s *Service) beginInPages(ctx context.Context, v Visitor, on models.Channel, name, to string) (string, error) {
	if err := s.CheckReturn(to); err != nil {
		return "", err
	}
	p, err := s.activeProvider(ctx, v.Caller, name)
	if err != nil {
		return "", err
	}
	if err := s.returnsHere(p); err != nil {
		return "", err
	}
	state := randomText()
	f := newFlow(v.Caller, p, on, state, s.ConnectURL(p.ID))
	req := request{Verifier: providers.NewVerifier().Reveal(), Nonce: randomText(), Session: hashOf(v.Session.Reveal()), Return: to}
	target, err := s.consentAddress(ctx, p, f, state, req)
	if err != nil {
		return "", err
	}
	if f.Sealed, err = s.sealJSON(flowOwner(f, "request"), req); err != nil {
		return "", err
	}
	return target, s.beginConsent(ctx, &f, s.timing.FlowLife)
}

// consentAddress is where the upstream asks for the consent of a flow.
func (s *Service) consentAddress(ctx context.Context, p models.Provider, f models.Flow, state string, req request) (string, error) {
	at, err := s.open(ctx, asking(p, f))
	if err != nil {
		return "", err
	}
	target, err := at.AuthorizeURL(ctx, providers.AuthorizeRequest{
		State: state, RedirectURI: f.RedirectURI, Nonce: req.Nonce, Verifier: models.Secret(req.Verifier)})
	if err != nil {
		return "", at.failed(err)
	}
	return target, nil
}

// returnsHere refuses a provider whose consents may not return to our own pages.
func (s *Service) returnsHere(p models.Provider) error {
	if own := s.ConnectURL(p.ID); len(p.RedirectURIs) > 0 && !slices.Contains(p.RedirectURIs, own) {
		return models.Errorf(models.CodeConflict, "This provider's consents may not return here: an admin must add %s to its redirectUris, and register it at the provider.", own)
	}
	return nil
}

// CompleteConnect takes what the upstream sent the visitor back with. A state that
// is not of this session finds nothing and spends nothing. The same answer of the
// upstream again has the same result (T5). Where the consent is known, the result
// tells where it leads, also beside an error.
func (s *Service) CompleteConnect(ctx context.Context, v Visitor, cb models.Callback) (Returned, error) {
	p, err := s.namedProvider(ctx, v.Caller, cb.ProviderID)
	if err != nil {
		return Returned{}, err
	}
	f, over, err := s.store.FlowByState(ctx, v.Caller, p.ID, hashOf(cb.State.Reveal()))
	if err != nil && !store.IsNotFound(err) {
		return Returned{}, err
	}
	if err != nil {
		return Returned{}, ErrNotOfSession
	}
	req, err := s.ofSession(v, f)
	if err != nil {
		return Returned{}, err
	}
	back := Returned{ProviderID: p.ID, Provider: p.Name, Trial: f.Channel == models.ChannelTrial, To: req.Return}
	if back.Trial && f.Status == models.FlowExchanged { // the page of its result may be loaded again (T5)
		back.Flow = f.ID
		return back, nil
	}
	ended, err := endedBefore(f, cb)
	switch {
	case ended:
		return back, err
	case over:
		return back, ErrNotOfSession
	case cb.Error != "":
		err = s.declined(ctx, v.Caller, f, cb)
		if errors.Is(err, errBadState) { // by the same request, sent twice
			err = s.endedMeanwhile(ctx, f.ID, cb)
		}
		return back, err
	case cb.Code == "":
		return back, ErrNotOfSession
	}
	_, err = s.spend(ctx, v.Caller, p, f, cb)
	if errors.Is(err, errTried) {
		back.Flow = f.ID
		return back, nil
	}
	if _, ask := errors.AsType[*otherAccount](err); ask {
		back.Flow, back.Ask = f.ID, true
		return back, nil
	}
	return back, err
}

// endedBefore reports whether a consent has ended with this very answer of the
// upstream, and how. Any other answer to a consent that has ended is refused
// elsewhere.
func endedBefore(f models.Flow, cb models.Callback) (bool, error) {
	sameCode := cb.Code != "" && bytes.Equal(f.CodeHash, hashOf(cb.Code.Reveal()))
	switch {
	case f.Status == models.FlowDone && sameCode:
		return true, nil
	case f.Status == models.FlowFailed && sameCode && f.Failure == failedAccountDeclined:
		return true, ErrKept
	case f.Status == models.FlowFailed && cb.Error != "" && f.Failure == providers.ConsentError(cb.Error):
		return true, errDeclined(providers.ConsentError(cb.Error))
	}
	return false, nil
}

func (s *Service) endedMeanwhile(ctx context.Context, flow string, cb models.Callback) error {
	f, err := s.store.Flow(ctx, flow)
	if err != nil {
		return err
	}
	if ended, err := endedBefore(f, cb); ended {
		return err
	}
	return ErrNotOfSession
}

// ErrKept is the answer to a consent whose person chose, when asked about another
// account, not to connect it.
var ErrKept = models.Errorf(models.CodeBadRequest, "You chose not to connect the other account.")

// IsDeclined reports whether err says that the person chose not to consent.
func IsDeclined(err error) bool {
	e, ok := errors.AsType[*models.Error](err)
	return ok && e.Detail == providers.ConsentDenied
}

// ErrNotOfSession is the answer to a state that belongs to no consent of the
// visitor's session.
var ErrNotOfSession = models.Errorf(models.CodeBadRequest,
	"This answer of the provider belongs to no connection that was begun here, or it was used before, or its ten minutes are over.")

// ofSession opens what a flow keeps to itself if it was begun in the visitor's
// session.
func (s *Service) ofSession(v Visitor, f models.Flow) (request, error) {
	var req request
	if !f.Channel.InPages() {
		return req, ErrNotOfSession
	}
	if err := s.openJSON(flowOwner(f, "request"), f.Sealed, &req); err != nil {
		return req, err
	}
	if len(req.Session) == 0 || subtle.ConstantTimeCompare(req.Session, hashOf(v.Session.Reveal())) != 1 {
		return request{}, ErrNotOfSession
	}
	return req, nil
}

// CompletedElsewhere reports whether a state belongs to a living consent that was
// begun by a client of the API, which must complete it.
func (s *Service) CompletedElsewhere(ctx context.Context, provider, state string) (bool, error) {
	return s.store.AnyFlowOfState(ctx, provider, models.ChannelAPI, hashOf(state))
}

// CheckReturn judges where a person may be sent after connecting: a path on this
// site, or the origins of the public URL and GRANTD_REDIRECT_ALLOW.
func (s *Service) CheckReturn(to string) error {
	if to == "" || s.redirects.returns(to) {
		return nil
	}
	return models.Errorf(models.CodeBadRequest, "redirect must be a path on this site, or an address whose origin the operator allows.")
}
