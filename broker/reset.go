package broker

import (
	"context"
	"errors"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/providers"
	"github.com/grantd/grantd/store"
)

// Replaced is a token that was reset.
type Replaced struct {
	// Token is the new one; to an admin whose it is not Access is "" (A6).
	Token
	// OldRevoked says that the old access token was found to be invalid, or was revoked. Else it
	// may live until it expires.
	OldRevoked bool
}

// Reset replaces an access token, for its owner or an admin: with a refresh, whether
// or not that is due, or in place where the upstream can do that for a token that has
// no refresh token. It goes the way of a refresh, so that others who are replacing
// the token has done it for this caller too.
func (s *Service) Reset(ctx context.Context, c models.Caller, id string) (Replaced, error) {
	l, err := s.manageable(ctx, c, id)
	if err == nil {
		err = s.resettable(l)
	}
	if err != nil {
		return Replaced{}, err
	}
	err = s.store.Audit(ctx, event(c, models.ActionResetAsked).provider(l.Provider.ID).authorization(id).done())
	if err != nil {
		return Replaced{}, err
	}
	revoked, err := s.replaceToken(ctx, l)
	if err != nil {
		return Replaced{}, err
	}
	t, err := s.newToken(ctx, c, id)
	return Replaced{t, revoked}, err
}

// newToken returns what the caller may see of a token that was just made (R9).
func (s *Service) newToken(ctx context.Context, c models.Caller, id string) (Token, error) {
	l, err := s.manageable(ctx, c, id)
	if err != nil {
		return Token{}, err
	}
	if l.Authorization.UserID != c.UserID {
		return Token{ExpiresAt: l.Credential.ExpiresAt, Authorization: l.Shown()}, nil
	}
	return s.handOut(c, &l)
}

// resettable says why a token cannot be reset, nil when it can.
func (s *Service) resettable(l models.Linked) error {
	t, ok := s.at(l.Provider).Traits()
	switch {
	case l.Mismatched():
		return mismatched()
	case l.HasVerdict(models.VerdictExpired):
		return expired(nil)
	case l.Credential.HasRefreshToken:
		return nil
	case !ok || !t.ResetsInPlace:
		return models.Errorf(models.CodeInvalid, "The provider granted no refresh token and cannot reset an access token. Revoke the token, or disconnect; the user then authorizes again.%s", settingsHint(l.Provider))
	case !l.Alive():
		return tokenUnavailable(&l)
	}
	return nil
}

// settingsHint tells where a person can withdraw what they granted.
func settingsHint(p models.Provider) string {
	if p.Metadata.SettingsURL == "" {
		return ""
	}
	return " What was granted can be withdrawn at " + p.Metadata.SettingsURL + "."
}

// replaceToken replaces the token of l's generation, and reports whether that one is
// invalid now.
func (s *Service) replaceToken(ctx context.Context, l models.Linked) (bool, error) {
	if _, err := s.newer(ctx, l); err != nil {
		return false, s.notReset(l, err)
	}
	return s.endReplaced(ctx, l), nil
}

// newer has the token of l's generation replaced, by the first process that can, and returns
// what there is then. It fails where a verdict or a back-off is in the way.
func (s *Service) newer(ctx context.Context, l models.Linked) (models.Linked, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timing.CallerWait)
	defer cancel()
	owner, now := models.Caller{OrgID: l.Authorization.OrgID, UserID: l.Authorization.UserID}, l
	generation := l.Credential.Generation
	old := func(now models.Linked) bool { return now.Credential.Generation == generation }
	for {
		var err error
		now, err = s.refresh(ctx, owner, now, func(now models.Linked) bool { return old(now) && now.MayAsk() })
		switch {
		case err != nil || !old(now):
			return now, err
		case !now.MayAsk():
			return now, notNow(now)
		}
		// The flight was somebody's who found nothing due. Ours is next.
	}
}

// notNow says why a token is not replaceable.
func notNow(l models.Linked) error {
	if l.HasVerdict(models.VerdictExpired) {
		return expired(nil)
	}
	return &models.Error{Code: models.CodeUpstream, RetryAfter: l.BackOff(),
		Message: "The provider did not replace the token when it was asked last. Try again later."}
}

// notReset says the truth about a reset in place whose answer was lost: it was the
// only copy of the new token.
func (s *Service) notReset(l models.Linked, err error) error {
	known, ok := errors.AsType[*models.Error](err)
	if !ok || !failure(err).Ambiguous || l.Credential.HasRefreshToken {
		return err
	}
	e := *known
	e.Detail = lostResponse
	e.Message = "The provider's answer was lost, so that nobody knows whether the token was replaced. Ask with check whether the old one still works, then reset it again."
	return &e
}

// endReplaced sees to the access token that was replaced, and reports whether it was
// found to be invalid. What its type is known to do is no proof: where that token can be revoked
// alone it is, else the upstream is asked about it. False is also that nobody knows.
func (s *Service) endReplaced(ctx context.Context, l models.Linked) bool {
	at, old, err := s.opened(ctx, l)
	t, ok := at.Traits()
	if !ok || err != nil {
		return false
	}
	call, cancel := context.WithTimeout(providers.WithAnswers(context.WithoutCancel(ctx)), s.timing.RevokeCall)
	defer cancel()
	var ended bool
	if t.RevokesAccessAlone {
		ended, err = revokeReplaced(call, at, models.Secret(old.Access))
	} else {
		ended, err = isRejected(call, at, models.Secret(old.Access))
	}
	if err != nil {
		s.log.Warn("whether the old access token of a reset is still valid could not be found out; it may work until it expires", "authorization", l.Authorization.ID, "error", err)
	}
	return ended && err == nil
}

func revokeReplaced(ctx context.Context, at upstream, old models.Secret) (bool, error) {
	gate, err := at.admit(ctx, callProbe, store.ClassRevoke)
	if err != nil {
		return false, err
	}
	outcome, err := at.RevokeAccess(ctx, old)
	at.learn(ctx, gate, err, store.ClassRevoke)
	return outcome == models.OutcomeRevoked || outcome == models.OutcomeAlreadyRevoked, err
}

// isRejected asks about the access token alone.
func isRejected(ctx context.Context, at upstream, old models.Secret) (bool, error) {
	gate, err := at.admitAPI(ctx)
	if err != nil {
		return false, err
	}
	said, err := at.Check(ctx, providers.Tokens{Access: old})
	at.learnAPI(ctx, gate, err)
	return err == nil && !said.Valid, err
}

// settleReset finds out the outcome of a reset in place whose answer was lost (R3):
// the upstream says whether the old token is still good. What it says is on the row.
func (s *Service) settleReset(ctx context.Context, id string) (models.Linked, error) {
	l, err := s.store.Linked(ctx, id)
	if err != nil || !l.ResetLost() || inForce(&l) != nil {
		return l, err
	}
	return s.checkNewest(ctx, id)
}
