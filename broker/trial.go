package broker

import (
	"context"
	"errors"
	"time"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/providers"
	"github.com/grantd/grantd/store"
)

// An admin tries a provider by consenting at it in our own pages. That makes no authorization: the tokens stay in the flow,
// what can be asked with them is asked, and they are revoked when the admin has seen the result, or when the flow's time is
// over, unless the admin keeps the connection. Nothing is refreshed, because that may spend what the admin wants to keep.

// errTried stops a trial before it becomes an authorization.
var errTried = errors.New("the consent is a trial")

// failedTrialEnded is the reason of a trial's flow whose connection was not kept.
const failedTrialEnded = "trial_ended"

// BeginTrial is BeginConnect for an admin who tries a provider. to is where the result is shown.
func (s *Service) BeginTrial(ctx context.Context, v Visitor, id, to string) (string, error) {
	if err := onlyAdmins(v.Caller); err != nil {
		return "", err
	}
	return s.beginInPages(ctx, v, models.ChannelTrial, id, to)
}

// Trial is what a trial found out.
type Trial struct {
	Provider models.Provider
	// Over is whether there is nothing to decide any more: the connection was kept or removed, or the time is over.
	Over, Kept bool
	Account    string // who consented, "" where that was not told
	Refreshes  bool   // whether the provider gave a refresh token
	ExpiresIn  time.Duration
	Scopes     []string
	Missing    []string // of those that were asked for
	// Checked is what the provider says of the access token; CheckFailed is why it could not be asked.
	Checked     bool
	CheckFailed string
	Ends        time.Time // when the tokens are revoked, unless somebody decided before
	Revokes     bool      // whether the provider can be asked to revoke
}

// TrialOf returns the result of a trial that was begun in the visitor's session. It asks the upstream who consented, and
// about the access token.
func (s *Service) TrialOf(ctx context.Context, v Visitor, id, flow string) (Trial, error) {
	p, f, req, err := s.trialFlow(ctx, v, id, flow)
	if err != nil {
		return Trial{Provider: p}, err
	}
	t := Trial{Provider: p, Ends: f.ExpiresAt}
	if f.Status != models.FlowExchanged {
		t.Over, t.Kept = true, f.Status == models.FlowDone
		return t, nil
	}
	ctx, cancel := context.WithTimeout(providers.WithAnswers(ctx), s.timing.CallerWait)
	defer cancel()
	at, err := s.open(ctx, p)
	if err != nil {
		return t, err
	}
	e, err := s.openExchanged(f)
	if err != nil {
		return t, err
	}
	t.Refreshes, t.ExpiresIn, t.Scopes, t.Missing = e.Refresh != "", e.ExpiresIn, e.Scopes, e.Missing
	user, err := s.identify(ctx, at, f, e, req)
	at.learnAPI(ctx, store.Gate{}, err)
	if err != nil {
		return t, at.failed(err)
	}
	t.Account = nameOf(accountOf(user).Login, user.Sub)
	check, err := at.Check(ctx, e.tokens())
	at.learnAPI(ctx, store.Gate{}, err)
	switch {
	case err != nil:
		t.CheckFailed = at.failed(err).Error()
	default:
		t.Checked = check.Valid
	}
	t.Revokes, err = at.CanRevoke(ctx)
	if err != nil {
		t.Revokes, err = false, nil
	}
	return t, err
}

// trialFlow returns a trial of the visitor's session that has come back from the upstream.
func (s *Service) trialFlow(ctx context.Context, v Visitor, id, flow string) (models.Provider, models.Flow, request, error) {
	if err := onlyAdmins(v.Caller); err != nil {
		return models.Provider{}, models.Flow{}, request{}, err
	}
	p, err := s.visibleProvider(ctx, v.Caller, id)
	if err != nil {
		return p, models.Flow{}, request{}, err
	}
	f, req, err := s.sessionFlow(ctx, v, p, flow, func(f models.Flow) bool {
		return f.Channel == models.ChannelTrial && (f.Status == models.FlowExchanged || f.Status == models.FlowDone || f.Status == models.FlowFailed)
	})
	return p, f, req, err
}

// KeepTrial makes the connection of a trial an authorization of the admin's. To do so a second time changes nothing.
func (s *Service) KeepTrial(ctx context.Context, v Visitor, id, flow string) error {
	const tries = 3 // a rotation of the keys may change the row in between
	for range tries {
		_, f, req, err := s.trialFlow(ctx, v, id, flow)
		switch {
		case err != nil:
			return err
		case f.Status == models.FlowDone:
			return nil
		case f.Status == models.FlowFailed:
			return models.Errorf(models.CodeConflict, "The trial is over, and its tokens are revoked. Try again, and keep the connection then.")
		}
		confirmed, err := s.confirm(ctx, f, req)
		if err != nil {
			return err
		}
		if confirmed {
			_, err = s.collect(ctx, v.Caller, f, func(context.Context) error { return nil })
			return err
		}
	}
	return ErrNotOfSession
}

// EndTrial leaves the tokens of a trial to be revoked. To do so a second time changes nothing.
func (s *Service) EndTrial(ctx context.Context, v Visitor, id, flow string) error {
	p, f, req, err := s.trialFlow(ctx, v, id, flow)
	switch {
	case err != nil:
		return err
	case f.Status == models.FlowFailed:
		return nil
	case f.Status == models.FlowDone:
		return models.Errorf(models.CodeConflict, "The connection was kept. Disconnect it among your connections.")
	}
	return s.discard(ctx, p, f, req, failedTrialEnded)
}

// endTrials ends the trials of a provider that is about to be changed: what they brought is revoked where it came from.
func (s *Service) endTrials(ctx context.Context, p models.Provider) error {
	flows, err := s.store.TrialsOf(ctx, p.ID)
	for _, f := range flows {
		if err != nil {
			break
		}
		if f.Status == models.FlowOpen {
			_, err = s.store.FailFlow(ctx, f.ID, failedTrialEnded, models.FlowOpen)
			continue
		}
		if err = s.dropTrial(ctx, p, f); undecryptable(err) { // the sweep tells of it, and a change does not make it worse
			err = nil
		}
	}
	return err
}

// dropTrial leaves what a trial brought to be revoked, as EndTrial does.
func (s *Service) dropTrial(ctx context.Context, p models.Provider, f models.Flow) error {
	var req request
	if err := s.openJSON(flowOwner(f, "request"), f.Sealed, &req); err != nil {
		return err
	}
	return s.discard(ctx, p, f, req, failedTrialEnded)
}
