package providers

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/grantd/grantd/models"
)

// Check is what an upstream says about an access token.
type Check struct {
	Valid bool
	// ForClient says that the token is known to have been issued to this client.
	ForClient bool
	// Scopes are those the token has; nil = not said.
	Scopes []string
	// ScopesCut says that the token has more of them than are kept, see FitScopes.
	ScopesCut bool
	// Account is whose the token is, as far as the answer says.
	Account Account
	// Missing are the requested scopes that it has not.
	Missing []string
	// ExpiresAt is nil when not said.
	ExpiresAt *time.Time
}

// Check asks whether an access token is good, in the cheapest way the upstream
// has: an endpoint of its own, introspection (RFC 7662), or user info. That a
// token is no longer valid is an answer, and no error.
func (at Upstream) Check(ctx context.Context, t Tokens) (Check, error) {
	u, err := at.upstream(ctx)
	if err != nil {
		return Check{}, err
	}
	checked, err := u.check(ctx, t)
	checked.Missing = u.missing(checked.Scopes)
	checked.Scopes, checked.ScopesCut = FitScopes(checked.Scopes)
	return checked, err
}

func (u *upstream) check(ctx context.Context, t Tokens) (Check, error) {
	switch {
	case u.t.check != nil:
		return u.t.check(ctx, u, t)
	case u.e.Introspect != "":
		said, err := u.introspect(ctx, t.Access)
		if u.e.UserInfo == "" && u.t.user == nil || !mayNotIntrospect(err) {
			return said, err
		}
	}
	return u.checkByUser(ctx, t.Access)
}

// mayNotIntrospect reports an answer by which the upstream refuses introspection to
// this client, or has none after all. It says nothing about the token.
func mayNotIntrospect(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed:
		return true
	}
	return e.Kind == KindClient
}

// introspect believes active alone, and an error says nothing about the token
// (RFC 7662 §2.2, §2.3).
func (u *upstream) introspect(ctx context.Context, access models.Secret) (Check, error) {
	return eitherSecret(ctx, u, func(u *upstream) (Check, error) { return u.introspectBy(ctx, access) })
}

func (u *upstream) introspectBy(ctx context.Context, access models.Secret) (Check, error) {
	form := url.Values{"token": {access.Reveal()}, "token_type_hint": {"access_token"}}
	a, err := u.postBy(ctx, u.reads, u.e.Introspect, form)
	if err != nil {
		return Check{}, err
	}
	active, said := a.object["active"].(bool)
	switch {
	case !a.ok():
		return Check{}, failure(a, u.now(), access, u.c.Secret)
	case !said:
		return Check{}, protocol("the introspection does not say whether the token is active")
	case !active:
		return Check{}, nil
	}
	return Check{Valid: true, ForClient: a.text("client_id") == u.c.ID, Account: account(SourceIntrospection, a.object["sub"]),
		Scopes: grantedScopes(a.object), ExpiresAt: unixTime(a.object["exp"])}, nil
}

// lastSecond is the end of the year 9999: a time beyond it has no RFC 3339 form.
const lastSecond = 253402300799

// unixTime reads a NumericDate (RFC 7519 §2), nil when there is none.
func unixTime(v any) *time.Time {
	n, _ := v.(json.Number)
	seconds, err := n.Float64()
	if err != nil || seconds <= 0 || seconds > lastSecond {
		return nil
	}
	at := time.Unix(int64(seconds), 0).UTC()
	return &at
}

// checkByUser takes an answer that names the account for a sign of life.
func (u *upstream) checkByUser(ctx context.Context, access models.Secret) (Check, error) {
	user, err := u.user(ctx, access)
	if err != nil {
		return refused(err)
	}
	return Check{Valid: true, Account: account(SourceUser, user.Sub)}, nil
}

// refused is the check that got no answer but err: a token that was denied is no longer valid.
func refused(err error) (Check, error) {
	if KindOf(err) == KindDenied {
		return Check{}, nil
	}
	return Check{}, err
}

// Reset replaces an access token that has no refresh token, where the upstream
// can (ResetsInPlace); the old one is no longer valid at once, and the answer is the only
// copy of the new one. KindDenied means that the token was already invalid.
func (at Upstream) Reset(ctx context.Context, t Tokens) (Tokens, error) {
	u, err := at.upstream(ctx)
	if err != nil {
		return Tokens{}, err
	}
	if u.t.reset == nil {
		return Tokens{}, &Error{Kind: KindRefused, Err: errors.New("the upstream cannot reset a token")}
	}
	return eitherSecret(ctx, u, func(u *upstream) (Tokens, error) { return u.t.reset(ctx, u, t) })
}
