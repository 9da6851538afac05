package broker

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/providers"
	"github.com/grantd/grantd/store"
)

// Completed is a finished consent.
type Completed struct {
	Authorization models.Authorization
	User          models.User
}

var errBadState = models.Errorf(models.CodeBadRequest,
	"The state is unknown, expired, already used, or not yours. Start again with authorize.")

// Complete turns a code into an authorization. The state is spent before the code
// is; once the code is spent, what it brought is saved before anything else, and
// the same caller with the same state and code may fetch a result that was never
// delivered (R10). It answers within the caller's patience, or says to ask again.
func (s *Service) Complete(ctx context.Context, c models.Caller, cb models.Callback) (Completed, error) {
	p, err := s.visibleProvider(ctx, c, cb.ProviderID)
	if err != nil {
		return Completed{}, err
	}
	if (cb.Code == "") == (cb.Error == "") {
		return Completed{}, models.Invalid(models.FieldError{Name: "code", Message: "send either code or error, and not both"})
	}
	f, over, err := s.store.FlowByState(ctx, c, p.ID, hashOf(cb.State.Reveal()))
	switch {
	case store.IsNotFound(err):
		return Completed{}, errBadState
	case err != nil:
		return Completed{}, err
	case over || f.Channel != models.ChannelAPI:
		return Completed{}, errBadState
	case cb.Error != "":
		return Completed{}, s.declined(ctx, c, f, cb)
	}
	return s.spend(ctx, c, p, f, cb)
}

// declined ends a flow that came back with an error instead of a code. Nothing is
// asked of the token endpoint, and an authorization that exists stays as it is.
func (s *Service) declined(ctx context.Context, c models.Caller, f models.Flow, cb models.Callback) error {
	code, ended := providers.ConsentError(cb.Error), false
	err := s.store.Tx(ctx, func(tx *store.Store) error {
		var err error
		if ended, err = tx.FailFlow(ctx, f.ID, code, models.FlowOpen); err != nil || !ended {
			return err
		}
		return tx.Audit(ctx, event(c, models.ActionFlowFailed).provider(f.ProviderID).code(code).done())
	})
	if err != nil {
		return err
	}
	if !ended {
		return errBadState
	}
	s.log.Info("a provider answered a consent with an error", "provider", f.ProviderID, "flow", f.ID, "code", code)
	return errDeclined(code)
}

// errDeclined says what a code of providers.ConsentError means for the person.
func errDeclined(code string) error {
	return &models.Error{Code: models.CodeBadRequest, Message: declinedMessage(code), Detail: code}
}

func declinedMessage(code string) string {
	switch code {
	case providers.ConsentDenied:
		return "The user declined the consent."
	case "invalid_scope", "unauthorized_client", "unsupported_response_type", "redirect_uri_mismatch", "invalid_request", "application_suspended":
		return "The provider did not grant the consent: it answered with the error " + code + ". An admin should compare the provider's settings with its registration there."
	case providers.ConsentOther:
		return "The provider did not grant the consent: it answered with an error that is not known here. Start again with authorize."
	}
	return "The provider did not grant the consent: it answered with the error " + code + ". Start again with authorize."
}

// spend exchanges the code, or joins a call that is doing so already.
func (s *Service) spend(ctx context.Context, c models.Caller, p models.Provider, f models.Flow, cb models.Callback) (Completed, error) {
	code := hashOf(cb.Code.Reveal())
	if f.Status == models.FlowOpen {
		if !p.Usable() {
			return Completed{}, s.providerOff(ctx, f)
		}
		at, err := s.open(ctx, asking(p, f))
		if err != nil {
			return Completed{}, err
		}
		if err := at.CheckIssuer(ctx, cb.Iss, f.Channel.InBrowser()); err != nil {
			return Completed{}, s.foreignIssuer(ctx, p, f, err)
		}
		claimed, err := s.store.ClaimFlow(ctx, f.ID, code)
		if err != nil {
			return Completed{}, err
		}
		if claimed {
			f.Status, f.CodeHash = models.FlowClaimed, code
			return s.collect(ctx, c, f, func(ctx context.Context) error { return s.exchange(ctx, at, f, cb.Code) })
		}
		if f, err = s.store.Flow(ctx, f.ID); err != nil {
			return Completed{}, err
		}
	}
	if !bytes.Equal(f.CodeHash, code) || f.Status == models.FlowFailed {
		return Completed{}, errBadState
	}
	return s.collect(ctx, c, f, func(context.Context) error { return nil })
}

// collect runs the rest of a flow detached from the caller: the exchange, then
// the owner, then the answer.
func (s *Service) collect(ctx context.Context, c models.Caller, f models.Flow, exchange func(context.Context) error) (Completed, error) {
	done, err := detach(s, ctx, s.timing.CallerWait, s.timing.TokenCall+s.timing.LeaseMargin, slowUpstream,
		func(ctx context.Context) (Completed, error) {
			if err := exchange(ctx); err != nil {
				return Completed{}, err
			}
			return s.settleFlow(ctx, c, f.ID)
		})
	if err != nil {
		return Completed{}, err
	}
	delivered, err := s.store.DeliverFlow(ctx, f.ID)
	if err != nil {
		return Completed{}, err
	}
	if !delivered && !f.Channel.InBrowser() { // a page shows no secret, and may be loaded again (T5)
		return Completed{}, errBadState
	}
	return done, nil
}

// exchange spends the code and saves what it brought, before judging it.
func (s *Service) exchange(ctx context.Context, at upstream, f models.Flow, code models.Secret) error {
	var req request
	if err := s.openJSON(flowOwner(f, "request"), f.Sealed, &req); err != nil {
		return err
	}
	sent, err := s.store.Now(ctx)
	if err != nil {
		return err
	}
	call, cancel := awake(ctx, s.timing.TokenCall)
	defer cancel()
	t, err := at.Exchange(call, providers.ExchangeRequest{
		Code: code, RedirectURI: f.RedirectURI, Verifier: models.Secret(req.Verifier)})
	if err != nil {
		return s.exchangeFailed(ctx, at.provider, f, err)
	}
	defer s.accepted(ctx, at.provider)
	return s.keepExchange(ctx, f, newExchanged(t, sent))
}

// keepExchange saves in the flow what a code, a device or an imported token was
// spent on (R10).
func (s *Service) keepExchange(ctx context.Context, f models.Flow, e exchanged) error {
	sealed, err := s.sealJSON(flowOwner(f, "tokens"), e)
	if err != nil {
		return err
	}
	return s.untilSaved(ctx, func(ctx context.Context) error {
		saved, err := s.store.SaveExchange(ctx, f.ID, sealed, linkConfirmLife)
		if err == nil && !saved {
			err = s.flowTaken(ctx, f)
		}
		return err
	})
}

// flowTaken settles a save of unknown outcome: it is there already, or the flow
// is gone with its provider.
func (s *Service) flowTaken(ctx context.Context, f models.Flow) error {
	now, err := s.store.Flow(ctx, f.ID)
	if store.IsNotFound(err) {
		return models.Errorf(models.CodeNotFound, "OAuth provider not found.")
	}
	if err == nil && now.Status != models.FlowExchanged && now.Status != models.FlowDone {
		return errBadState
	}
	return err
}

// untilSaved repeats a write that must not be lost, until it succeeds, the rules
// refuse it, or the process ends (R1).
func (s *Service) untilSaved(ctx context.Context, write func(context.Context) error) error {
	var saved func()
	for pause := saveAgain; ; pause = min(2*pause, longestSaveAgain) {
		own, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveCall)
		err := write(own)
		cancel()
		if err == nil || ruled(err) {
			return err
		}
		if saved == nil {
			saved = s.metrics.SaveWaits()
			defer saved()
		}
		s.log.Error("saving tokens failed; trying again", "error", err)
		time.Sleep(pause)
	}
}

// ruled reports whether err is a decision of the rules, which trying again does not
// change. What the store could not do, or did not find, is none.
func ruled(err error) bool {
	_, known := errors.AsType[*models.Error](err)
	return known && !store.IsFailure(err)
}

func (s *Service) exchangeFailed(ctx context.Context, p models.Provider, f models.Flow, err error) error {
	up := failure(err)
	s.consentRefused(ctx, p, models.Caller{OrgID: f.OrgID, UserID: f.UserID}, err)
	if _, saveErr := s.store.FailFlow(ctx, f.ID, "exchange_"+string(up.Kind), models.FlowClaimed); saveErr != nil {
		s.log.Error("ending a flow failed", "flow", f.ID, "error", saveErr)
	}
	if up.Kind == providers.KindDenied {
		return &models.Error{Code: models.CodeBadRequest, Detail: "invalid_grant", Err: err,
			Message: "The provider does not accept the code: it is wrong, expired or was used before. Start again with authorize."}
	}
	err = s.at(p).failed(err)
	if e, ok := errors.AsType[*models.Error](err); ok && up.Kind == providers.KindTransient && up.Advice == "" {
		again := *e // the code may be spent, so that asking again with it cannot help
		again.Message = "The provider could not be reached to redeem the code. Start again with authorize."
		return &again
	}
	return err
}

func (s *Service) providerOff(ctx context.Context, f models.Flow) error {
	if _, err := s.store.FailFlow(ctx, f.ID, "provider_off", models.FlowOpen); err != nil {
		return err
	}
	return models.Errorf(models.CodeNotFound, "The OAuth provider is not active; the consent was not used.")
}

func (s *Service) foreignIssuer(ctx context.Context, p models.Provider, f models.Flow, err error) error {
	if up := failure(err); up.Kind == providers.KindTransient || up.Advice != "" {
		return s.at(p).failed(err)
	}
	if _, err := s.store.FailFlow(ctx, f.ID, "issuer", models.FlowOpen); err != nil {
		return err
	}
	return &models.Error{Code: models.CodeBadRequest, Detail: "invalid_issuer", Err: err,
		Message: "The answer comes from a different issuer from the one where the consent began. Start again with authorize."}
}

// settleFlow brings a flow whose code is being or was exchanged to its end: it
// waits for another process's exchange, and gives the tokens their owner.
func (s *Service) settleFlow(ctx context.Context, c models.Caller, id string) (Completed, error) {
	for pause := exchangePoll; ; pause = min(2*pause, longestExchangePoll) {
		f, err := s.store.Flow(ctx, id)
		if err != nil {
			return Completed{}, err
		}
		switch f.Status {
		case models.FlowExchanged:
			return s.own(ctx, c, f)
		case models.FlowDone:
			return s.finished(ctx, c, f)
		case models.FlowFailed:
			return Completed{}, errBadState
		case models.FlowOpen, models.FlowClaimed: // somebody is at it
		}
		select {
		case <-ctx.Done():
			return Completed{}, slowUpstream
		case <-time.After(pause):
		}
	}
}

// own asks who consented and makes the authorization live.
func (s *Service) own(ctx context.Context, c models.Caller, f models.Flow) (Completed, error) {
	ctx = providers.WithAnswers(ctx)
	p, err := s.store.Provider(ctx, f.ProviderID)
	if err != nil {
		return Completed{}, err
	}
	e, err := s.openExchanged(f)
	if err != nil {
		return Completed{}, err
	}
	var req request
	if err := s.openJSON(flowOwner(f, "request"), f.Sealed, &req); err != nil {
		return Completed{}, err
	}
	at, err := s.open(ctx, asking(p, f))
	if err != nil {
		return Completed{}, err
	}
	user, err := s.whoConsented(ctx, at, f, e, req)
	if err == nil {
		err = s.askFirst(ctx, f, req, user)
	}
	if err == nil {
		err = s.link(ctx, c, at, f, e, user)
	}
	if _, upstream := errors.AsType[*providers.Error](err); upstream {
		err = s.notIdentified(ctx, p, f, e, err)
	}
	if err != nil {
		return Completed{}, err
	}
	f, err = s.store.Flow(ctx, f.ID)
	if err != nil {
		return Completed{}, err
	}
	done, err := s.finished(ctx, c, f)
	done.User = user
	return done, err
}

// whoConsented asks whose the tokens are, unless that is kept in the flow already.
func (s *Service) whoConsented(ctx context.Context, at upstream, f models.Flow, e exchanged, req request) (models.User, error) {
	if req.User != nil {
		return req.User.user(), nil
	}
	user, err := askedTwice(ctx, at.lagOf(ctx, e.SentAt), func() (models.User, bool, error) {
		user, err := s.identify(ctx, at, f, e, req)
		return user, unsettled(failure(err)), err
	})
	at.learnAPI(ctx, store.Gate{}, err)
	return user, err
}

// identify asks whose the tokens are. What was imported has no id_token that could be
// bound to a request of ours, and a device's carries no nonce.
func (s *Service) identify(ctx context.Context, at upstream, f models.Flow, e exchanged, req request) (models.User, error) {
	switch f.Channel {
	case models.ChannelDevice:
		return at.IdentifyDevice(ctx, e.tokens())
	case models.ChannelImport:
		return at.UserInfo(ctx, models.Secret(e.Access))
	default:
		return at.Identify(ctx, e.tokens(), req.Nonce)
	}
}

// unsettled reports an answer that says nothing about who consented: a refusal, a
// redirect or a page. Right after an exchange that may pass.
func unsettled(up *providers.Error) bool {
	return up.Status != 0 && up.Status < http.StatusInternalServerError && up.Status != http.StatusTooManyRequests && up.RetryAfter == 0
}

// notIdentified keeps the tokens for another try when the upstream is in trouble or
// does not say whose they are, and sees to their revocation when what it says is wrong.
func (s *Service) notIdentified(ctx context.Context, p models.Provider, f models.Flow, e exchanged, err error) error {
	if up := failure(err); up.Kind == providers.KindTransient || up.Advice != "" {
		return s.at(p).failed(err)
	} else if unsettled(up) {
		return &models.Error{Code: models.CodeUpstream, Detail: "identity", RetryAfter: retrySoon, Err: err,
			Message: "The provider did not say who consented. Send the same state and code again shortly; if that does not help, start again with authorize."}
	}
	if err := s.leaveOrphaned(ctx, p, f, e, "not_identified"); err != nil {
		return err
	}
	return &models.Error{Code: models.CodeUpstream, Detail: "identity", Err: err,
		Message: "The provider did not say reliably who consented. Start again with authorize."}
}

// finished shows a flow that is done, with what is kept of the profile.
func (s *Service) finished(ctx context.Context, c models.Caller, f models.Flow) (Completed, error) {
	if f.Status != models.FlowDone || f.AuthorizationID == nil {
		return Completed{}, errBadState
	}
	l, err := s.store.Linked(ctx, *f.AuthorizationID)
	if err != nil {
		return Completed{}, err
	}
	a := l.Authorization
	return Completed{Authorization: l.Shown(), User: models.User{Sub: a.Sub, NickName: a.Login, Email: a.Email, Picture: a.Picture}}, nil
}
