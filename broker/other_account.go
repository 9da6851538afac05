package broker

import (
	"context"
	"errors"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/store"
)

// otherAccount stops a consent before it becomes an authorization: the person is
// connected with another account, and who it acts as must not change without a
// word. The tokens stay in the flow meanwhile, and are revoked with it unless the
// person confirms.
type otherAccount struct{ was, now string }

func (*otherAccount) Error() string {
	return "the consent is of another account than the one connected"
}

// askFirst returns an otherAccount where the person has to be asked. Only people
// in our own pages can be. Of a connect link it is the app that is asked.
func (s *Service) askFirst(ctx context.Context, f models.Flow, req request, user models.User) error {
	switch {
	case f.Channel == models.ChannelLink:
		return s.awaitConfirmation(ctx, f, req, user)
	case !f.Channel.InPages() || req.Confirmed:
		return nil
	case f.Channel == models.ChannelTrial:
		return errTried
	}
	l, err := s.latestLink(ctx, models.Caller{OrgID: f.OrgID, UserID: f.UserID}, f.ProviderID)
	switch {
	case store.IsNotFound(err):
		return nil
	case err != nil:
		return err
	case l.Authorization.Sub == user.Sub:
		return nil
	}
	return &otherAccount{was: nameOf(l.Authorization.Login, l.Authorization.Sub), now: nameOf(accountOf(user).Login, user.Sub)}
}

func nameOf(login, sub string) string {
	if login != "" {
		return login
	}
	return sub
}

// Question is what a person has to decide: the account that is connected, and the
// one that just consented. Both are names for people.
type Question struct {
	Provider models.Provider
	Was, Now string
	To       string // where the person goes when there is nothing to ask any more
}

// AskedAbout returns the open question of a consent of the visitor's session. It
// asks the upstream again who consented, because until then nothing of that
// account is kept but its sealed tokens. An empty question needs no answer: the
// other account is gone meanwhile, or the question was answered before.
func (s *Service) AskedAbout(ctx context.Context, v Visitor, name, flow string) (Question, error) {
	p, f, req, err := s.askedFlow(ctx, v, name, flow)
	if err != nil {
		return Question{}, err
	}
	q := Question{Provider: p, To: req.Return}
	switch f.Status {
	case models.FlowDone:
		return q, nil
	case models.FlowFailed:
		return q, ErrKept
	case models.FlowOpen, models.FlowClaimed, models.FlowExchanged: // not answered yet
	}
	_, err = s.collect(ctx, v.Caller, f, func(context.Context) error { return nil })
	if other, ask := errors.AsType[*otherAccount](err); ask {
		q.Was, q.Now = other.was, other.now
		return q, nil
	}
	return q, err
}

// askedFlow returns a consent of the visitor's session whose person is asked about
// another account, or has answered: connect (done) or keep (failed).
func (s *Service) askedFlow(ctx context.Context, v Visitor, name, id string) (models.Provider, models.Flow, request, error) {
	p, err := s.namedProvider(ctx, v.Caller, name)
	if err != nil {
		return p, models.Flow{}, request{}, err
	}
	f, req, err := s.sessionFlow(ctx, v, p, id, func(f models.Flow) bool {
		return f.Status == models.FlowExchanged || f.Status == models.FlowDone || f.Status == models.FlowFailed && f.Failure == failedAccountDeclined
	})
	return p, f, req, err
}

// sessionFlow returns a flow of a provider that was begun in the visitor's session, if it is one that is wanted.
func (s *Service) sessionFlow(ctx context.Context, v Visitor, p models.Provider, id string, wanted func(models.Flow) bool) (models.Flow, request, error) {
	f, err := s.store.Flow(ctx, id)
	if err != nil && !store.IsNotFound(err) {
		return f, request{}, err
	}
	if err != nil || f.OrgID != v.Caller.OrgID || f.UserID != v.Caller.UserID || f.ProviderID != p.ID || !wanted(f) {
		return f, request{}, ErrNotOfSession
	}
	req, err := s.ofSession(v, f)
	return f, req, err
}

// failedAccountDeclined is the reason of a flow whose person did not want the other
// account.
const failedAccountDeclined = "account_declined"

// Confirm connects the account that a person was asked about, and returns where
// the person goes now. The same answer again has the same result (T5).
func (s *Service) Confirm(ctx context.Context, v Visitor, name, flow string) (string, error) {
	const tries = 3 // a rotation of the keys may change the row in between
	for range tries {
		_, f, req, err := s.askedFlow(ctx, v, name, flow)
		switch {
		case err != nil:
			return "", err
		case f.Status == models.FlowDone:
			return req.Return, nil
		case f.Status == models.FlowFailed:
			return "", ErrNotOfSession
		}
		confirmed, err := s.confirm(ctx, f, req)
		if err != nil {
			return "", err
		}
		if confirmed {
			_, err = s.collect(ctx, v.Caller, f, func(context.Context) error { return nil })
			return req.Return, err
		}
	}
	return "", ErrNotOfSession
}

// confirm writes down that the person was asked, unless the row has changed since
// it was read.
func (s *Service) confirm(ctx context.Context, f models.Flow, req request) (bool, error) {
	req.Confirmed = true
	sealed, err := s.sealJSON(flowOwner(f, "request"), req)
	if err != nil {
		return false, err
	}
	return s.store.AmendRequest(ctx, f, sealed)
}

// Decline leaves the tokens of the account that a person was asked about to be
// revoked, and returns where the person goes now. The same answer again has the same
// result (T5).
func (s *Service) Decline(ctx context.Context, v Visitor, name, flow string) (string, error) {
	p, f, req, err := s.askedFlow(ctx, v, name, flow)
	switch {
	case err != nil:
		return "", err
	case f.Status == models.FlowFailed:
		return req.Return, nil
	case f.Status == models.FlowDone:
		return "", ErrNotOfSession
	}
	return req.Return, s.discard(ctx, p, f, req, failedAccountDeclined)
}

// discard leaves the tokens of a consent, which nobody wants, to be revoked.
func (s *Service) discard(ctx context.Context, p models.Provider, f models.Flow, req request, why string) error {
	e, err := s.openExchanged(f)
	if err != nil {
		return err
	}
	at, err := s.open(ctx, p)
	if err != nil {
		return err
	}
	user, err := s.identify(ctx, at, f, e, req)
	if err != nil { // without knowing whose they are, no more than the tokens may be revoked
		return s.leaveOrphaned(ctx, p, f, e, why)
	}
	a := s.newAuthorization(at, f, e, user)
	return s.leaveToRevoke(ctx, f, e, a, models.RevokeGrant, why)
}
