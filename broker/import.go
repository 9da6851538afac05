package broker

import (
	"context"
	"errors"
	"time"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/providers"
	"github.com/grantd/grantd/store"
)

// Import takes a token into an authorization of the caller's own (A6), once the
// upstream has shown that it belongs to the provider's client: a refresh token by
// being refreshed, an access token where the upstream says whom it was issued to. It
// is a flow like a consent's, with the token in the code's place, so that what a
// refresh token was spent on is saved before anything else (R10). The same import
// again, within the flow's life, finds its result.
func (s *Service) Import(ctx context.Context, c models.Caller, in models.Import) (Completed, error) {
	p, err := s.visibleProvider(ctx, c, in.ProviderID)
	if err == nil {
		err = checkImport(in)
	}
	if err == nil && !p.Usable() {
		err = models.Errorf(models.CodeConflict, "The provider is %s; tokens can be imported only while it is active.", p.Status)
	}
	if err != nil {
		return Completed{}, err
	}
	if err := s.countImport(c); err != nil {
		return Completed{}, err
	}
	at, err := s.open(ctx, p)
	if err != nil {
		return Completed{}, err
	}
	f, err := s.importFlow(ctx, c, p, in)
	if err != nil {
		return Completed{}, err
	}
	return detach(s, ctx, s.timing.CallerWait, s.timing.TokenCall+s.timing.LeaseMargin, slowUpstream, func(ctx context.Context) (Completed, error) {
		mine, err := s.store.ClaimFlow(ctx, f.ID, f.StateHash)
		if err != nil {
			return Completed{}, err
		}
		if mine {
			err = s.takeIn(ctx, at, f, in)
		}
		if err != nil {
			return Completed{}, err
		}
		done, err := s.settleFlow(ctx, c, f.ID)
		if errors.Is(err, errBadState) { // another one's try
			err = importAgain
		}
		return done, err
	})
}

var importAgain = &models.Error{Code: models.CodeUpstream, RetryAfter: retrySoon,
	Message: "The same import has just failed. Send it again."}

func checkImport(in models.Import) error {
	wrong := func(field, message string) error {
		return models.Invalid(models.FieldError{Name: field, Message: message})
	}
	switch {
	case (in.RefreshToken == "") == (in.AccessToken == ""):
		return wrong("refreshToken", "send either refreshToken or accessToken, and not both")
	case len(in.RefreshToken) > providers.MaxToken:
		return wrong("refreshToken", "must be at most 16 KiB")
	case len(in.AccessToken) > providers.MaxToken:
		return wrong("accessToken", "must be at most 16 KiB")
	case in.ExpiresIn != 0 && in.AccessToken == "":
		return wrong("expiresIn", "goes with accessToken only")
	case in.ExpiresIn < 0 || in.ExpiresIn > int64(maxLifetime/time.Second):
		return wrong("expiresIn", "must be the seconds that the access token still lives")
	}
	return nil
}

// stateOf stands in a consent's state's place, so that its hash finds the flow of the
// same import.
func stateOf(in models.Import) string {
	return "import " + in.RefreshToken.Reveal() + " " + in.AccessToken.Reveal()
}

// importFlow opens a flow, or finds the one of the same import. One that failed, or
// whose time is over, makes room.
func (s *Service) importFlow(ctx context.Context, c models.Caller, p models.Provider, in models.Import) (models.Flow, error) {
	for {
		f := newFlow(c, p, models.ChannelImport, stateOf(in), "")
		var err error
		if f.Sealed, err = s.sealJSON(flowOwner(f, "request"), request{}); err != nil {
			return f, err
		}
		err = s.store.InsertFlow(ctx, &f, s.timing.FlowLife)
		if !errors.Is(err, store.ErrDuplicate) {
			return f, err
		}
		last, over, err := s.store.FlowByState(ctx, c, p.ID, f.StateHash)
		switch {
		case store.IsNotFound(err):
			continue
		case err != nil:
			return last, err
		case last.Status != models.FlowFailed && !(over && last.Status == models.FlowDone):
			return last, nil
		}
		if err := s.store.ForgetFlow(ctx, last.ID, last.Status); err != nil {
			return last, err
		}
	}
}

// takeIn has the upstream prove whose client the token is for, and saves what there
// is of it then, before judging anything else by the answer.
func (s *Service) takeIn(ctx context.Context, at upstream, f models.Flow, in models.Import) error {
	ctx = providers.WithAnswers(ctx)
	sent, err := s.store.Now(ctx)
	if err != nil {
		return err
	}
	prove, admit, learn := s.proveAccess, at.admitAPI, at.learnAPI
	if in.RefreshToken != "" {
		prove, admit, learn = s.proveRefresh, at.admitToken, at.learnToken
		defer s.charge(ctx, at.refreshes(), 1)
	}
	gate, err := admit(ctx)
	if err != nil {
		return s.notProven(ctx, at, f, err)
	}
	e, err := prove(ctx, at, in, sent)
	defer learn(ctx, gate, err)
	if err != nil {
		return s.notProven(ctx, at, f, err)
	}
	return s.keepExchange(ctx, f, e)
}

// proveRefresh spends the refresh token. Where the upstream does not replace it, it is
// still in use wherever it came from.
func (s *Service) proveRefresh(ctx context.Context, at upstream, in models.Import, sent time.Time) (exchanged, error) {
	call, cancel := awake(ctx, s.timing.TokenCall)
	defer cancel()
	t, err := at.Refresh(call, providers.Tokens{Refresh: in.RefreshToken})
	e := newExchanged(t, sent)
	if e.Refresh == "" || e.Refresh == in.RefreshToken.Reveal() {
		e.Refresh, e.Theirs = in.RefreshToken.Reveal(), true
	}
	return e, err
}

var errNoProof = models.Errorf(models.CodeInvalid, "This provider cannot prove whose client an access token is for; import a refresh token.")

func (s *Service) proveAccess(ctx context.Context, at upstream, in models.Import, sent time.Time) (exchanged, error) {
	said, err := at.Check(ctx, providers.Tokens{Access: in.AccessToken})
	switch {
	case err != nil:
		return exchanged{}, err
	case !said.Valid:
		return exchanged{}, &providers.Error{Kind: providers.KindDenied, Code: "invalid_token"}
	case !said.ForClient:
		return exchanged{}, errNoProof
	}
	e := newExchanged(providers.Tokens{Access: in.AccessToken, Scopes: said.Scopes, Missing: said.Missing, ExpiresIn: time.Duration(in.ExpiresIn) * time.Second}, sent)
	e.Theirs, e.ScopesCut = true, said.ScopesCut
	if said.ExpiresAt != nil {
		e.ExpiresIn = max(time.Second, said.ExpiresAt.Sub(sent))
	}
	return e, nil
}

// notProven ends the flow; of the token nothing is kept.
func (s *Service) notProven(ctx context.Context, at upstream, f models.Flow, err error) error {
	up := failure(err)
	if _, saveErr := s.store.FailFlow(context.WithoutCancel(ctx), f.ID, "import_"+string(up.Kind), models.FlowClaimed); saveErr != nil {
		s.log.Error("ending a flow failed", "flow", f.ID, "error", saveErr)
	}
	if up.Kind == providers.KindDenied {
		return &models.Error{Code: models.CodeBadRequest, Detail: "invalid_grant", Err: err,
			Message: "The provider does not accept the token for this client: it is wrong, expired, revoked, was used before or belongs to another client. Nothing was stored."}
	}
	return at.failed(err)
}

// resumeImport goes on with an import that was left halfway, on behalf of who asked
// for it: unlike a consent, nobody but its owner can have brought the token. It
// reports whether the flow has ended or is to be tried again.
func (s *Service) resumeImport(ctx context.Context, f models.Flow) (bool, error) {
	if _, err := s.own(ctx, models.Caller{OrgID: f.OrgID, UserID: f.UserID}, f); err == nil {
		return true, nil
	}
	now, err := s.store.Now(ctx)
	if err != nil || now.Sub(f.CreatedAt) >= s.keep.Flows {
		return false, err
	}
	return true, nil // the claim has put it off
}
