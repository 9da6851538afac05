package providers

import (
	"context"
	"errors"
	"net/url"
	"slices"

	"github.com/grantd/grantd/models"
)

// Revoke gives tokens back to the upstream. RevokeGrant may take everything the
// person granted to the client, RevokeToken takes these tokens alone where the
// type can (RevokesSingly). It may be repeated: the outcome of tokens that are
// already invalid is revoked or already_revoked, depending on what the upstream
// tells. With nothing to send it is no_live_token.
func (at Upstream) Revoke(ctx context.Context, t Tokens, scope models.RevokeScope) (models.Outcome, error) {
	u, err := at.upstream(ctx)
	if err != nil {
		return "", err
	}
	return eitherSecret(ctx, u, func(u *upstream) (models.Outcome, error) {
		if u.t.revoke != nil {
			return u.t.revoke(ctx, u, t, scope)
		}
		return u.revokeByForm(ctx, t)
	})
}

// CanRevoke reports whether the upstream has a way to give tokens back.
func (at Upstream) CanRevoke(ctx context.Context) (bool, error) {
	u, err := at.upstream(ctx)
	if err != nil {
		return false, err
	}
	return u.t.revoke != nil || u.e.Revoke != "", nil
}

// RevokeAccess revokes the access token alone; the refresh token stays valid where
// the type can have it so (RevokesAccessAlone). Outcomes are Revoke's.
func (at Upstream) RevokeAccess(ctx context.Context, access models.Secret) (models.Outcome, error) {
	return at.Revoke(ctx, Tokens{Access: access}, models.RevokeToken)
}

// revokeByForm is RFC 7009: first the refresh token, which is what lives longest
// which also ends the access token at most upstreams, then the access token.
func (u *upstream) revokeByForm(ctx context.Context, t Tokens) (models.Outcome, error) {
	if u.e.Revoke == "" {
		return models.OutcomeUnsupported, nil
	}
	best := models.OutcomeNoLiveToken
	for _, held := range []struct {
		hint  string
		token models.Secret
	}{{"refresh_token", t.Refresh}, {"access_token", t.Access}} {
		if held.token == "" {
			continue
		}
		outcome, err := u.revokeOne(ctx, held.token, held.hint)
		if e, answered := errors.AsType[*Error](err); answered && e.Status != 0 && best == models.OutcomeRevoked {
			continue // the pair is revoked, whatever is said of its second token
		}
		if err != nil {
			return "", err
		}
		if slices.Index(bestOutcomes, outcome) < slices.Index(bestOutcomes, best) {
			best = outcome
		}
	}
	return best, nil
}

// bestOutcomes are the outcomes of one token, that of its pair first.
var bestOutcomes = []models.Outcome{models.OutcomeRevoked, models.OutcomeAlreadyRevoked, models.OutcomeUnsupported, models.OutcomeNoLiveToken}

// revokeOne revokes one token.
func (u *upstream) revokeOne(ctx context.Context, token models.Secret, hint string) (models.Outcome, error) {
	form := url.Values{"token": {token.Reveal()}, "token_type_hint": {hint}}
	a, err := u.post(ctx, u.e.Revoke, form)
	if err != nil {
		return "", err
	}
	return u.revocation(a, token)
}

// revocation reads the answer. A 200 says nothing about whether the token was valid
// (RFC 7009 §2.2); Google and Box say so with an error, others in words of their own.
func (u *upstream) revocation(a *answer, token models.Secret) (models.Outcome, error) {
	if a.ok() && !a.saysError() && u.finalCode(a) == "" {
		return models.OutcomeRevoked, nil
	}
	e := u.failure(a, token)
	switch {
	case e.Kind == KindDenied, e.Kind == KindRefused && a.isInvalidToken():
		return models.OutcomeAlreadyRevoked, nil
	case e.Kind == KindRefused && e.Code == "unsupported_token_type":
		return models.OutcomeUnsupported, nil
	}
	return "", e
}
