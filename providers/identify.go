package providers

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/grantd/grantd/models"
)

// Identify returns whose tokens a code was exchanged for: it verifies the
// id_token, where the type has one, against the nonce of the request, and asks
// for user info. Both must name the same sub (OIDC Core §5.3.2).
func (at Upstream) Identify(ctx context.Context, t Tokens, nonce string) (models.User, error) {
	return at.identify(ctx, t, func(given string) bool { return nonce != "" && given == nonce })
}

// IdentifyDevice is Identify for what a device flow brought. Its request has no
// nonce, so an id_token that carries one was made for another.
func (at Upstream) IdentifyDevice(ctx context.Context, t Tokens) (models.User, error) {
	return at.identify(ctx, t, func(given string) bool { return given == "" })
}

func (at Upstream) identify(ctx context.Context, t Tokens, nonce func(string) bool) (models.User, error) {
	u, err := at.upstream(ctx)
	if err != nil {
		return models.User{}, err
	}
	if !u.t.openID {
		return u.user(ctx, t.Access)
	}
	claims, err := u.verifyIDToken(ctx, t.ID, nonce)
	if err != nil {
		return models.User{}, err
	}
	named, err := checked(standardUser(claims))
	if err != nil || u.e.UserInfo == "" {
		return named, err
	}
	user, err := u.user(ctx, t.Access)
	if err != nil {
		return models.User{}, err
	}
	if user.Sub != named.Sub {
		return models.User{}, protocol("user info and id_token name different people")
	}
	return filled(user, named), nil
}

// UserInfo asks the upstream who an access token belongs to. KindDenied means
// that the token is no longer valid, which a refresh may cure.
func (at Upstream) UserInfo(ctx context.Context, access models.Secret) (models.User, error) {
	u, err := at.upstream(ctx)
	if err != nil {
		return models.User{}, err
	}
	user, err := u.user(ctx, access)
	if e := (*Error)(nil); errors.As(err, &e) && mayBeInvalid(e) && u.isInactive(ctx, access) {
		e.Kind = KindDenied
	}
	return user, err
}

// mayBeInvalid reports a 403 that leaves open why: a policy, a page of a gateway, or, at some
// servers, an invalid token. Django OAuth Toolkit's has no body.
func mayBeInvalid(e *Error) bool {
	limited := e.Kind == KindTransient && e.RetryAfter > 0
	return e.Status == http.StatusForbidden && e.Code != "insufficient_scope" && !limited
}

// isInactive asks about a token that user info answered with a 403.
func (u *upstream) isInactive(ctx context.Context, access models.Secret) bool {
	if u.t.check != nil || u.e.Introspect == "" {
		return false
	}
	said, err := u.introspect(ctx, access)
	return err == nil && !said.Valid
}

func (u *upstream) user(ctx context.Context, access models.Secret) (models.User, error) {
	ask := u.t.user
	if ask == nil {
		ask = standardUserInfo
	}
	user, err := ask(ctx, u, access)
	if err != nil {
		return models.User{}, err
	}
	return checked(user)
}

// standardUserInfo reads the user info endpoint (OIDC Core §5.3), JSON or signed.
func standardUserInfo(ctx context.Context, u *upstream, access models.Secret) (models.User, error) {
	if u.e.UserInfo == "" {
		return models.User{}, &Error{Kind: KindRefused, Err: errors.New("the upstream has no user info endpoint")}
	}
	a, err := u.get(ctx, u.e.UserInfo, access, "application/json")
	if err != nil {
		return models.User{}, err
	}
	claims := a.object
	media, _, _ := mime.ParseMediaType(a.header.Get("Content-Type"))
	if media != "application/jwt" && !json.Valid(a.body) {
		return models.User{}, notUserInfo(a)
	}
	if media == "application/jwt" {
		if claims, err = u.verifyUserInfo(ctx, a.body); err != nil {
			return models.User{}, err
		}
	}
	return standardUser(claims), nil
}

// notUserInfo is a success that is a page, which says nothing about the account.
func notUserInfo(a *answer) *Error {
	return &Error{Kind: KindTransient, Status: a.status, Err: errors.New("the user info is not JSON")}
}

// withheld reports whether a resource is not for this token to see, such as e-mail
// addresses without their scope. The rest of what is known is good without it.
func withheld(err error) bool {
	e := (*Error)(nil)
	return errors.As(err, &e) && (e.Status == http.StatusForbidden || e.Status == http.StatusNotFound)
}

// standardUser maps the standard claims (OIDC Core §5.1).
func standardUser(claims map[string]any) models.User {
	text := func(name string) string { s, _ := claims[name].(string); return s }
	return models.User{
		Sub:        identifier(claims["sub"]),
		Name:       text("name"),
		GivenName:  text("given_name"),
		FamilyName: text("family_name"),
		NickName:   cmp.Or(text("nickname"), text("preferred_username")),
		Email:      text("email"),
		Picture:    text("picture"),
		Locale:     text("locale"),
		Raw:        claims,
		ProfileURL: text("profile"),
	}
}

// identifier reads a name of an account, a string or a whole number.
func identifier(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		if _, err := v.Int64(); err == nil {
			return v.String()
		}
	}
	return ""
}

const (
	maxSub  = 255 // OIDC Core §2
	maxText = 1024
)

// checked refuses a user without a usable sub, and makes the rest fit to be
// stored and shown. Raw stays as it came.
func checked(user models.User) (models.User, error) {
	if !validSub(user.Sub) {
		return models.User{}, protocol("the upstream names no usable sub")
	}
	for _, field := range []*string{&user.Name, &user.GivenName, &user.FamilyName, &user.NickName,
		&user.Email, &user.Locale, &user.Description} {
		*field = plain(*field)
	}
	user.Picture, user.ProfileURL = link(user.Picture), link(user.ProfileURL)
	return user, nil
}

func validSub(sub string) bool {
	return sub != "" && len(sub) <= maxSub && utf8.ValidString(sub) && !strings.ContainsFunc(sub, unicode.IsControl)
}

// plain drops control characters and cuts.
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	return short(s, maxText)
}

// link returns an absolute https URL, or "" for anything else.
func link(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || len(s) > maxURL || !models.IsStorable(s) {
		return ""
	}
	return s
}

// filled takes from the id_token what user info left out.
func filled(user, named models.User) models.User {
	for _, f := range []struct{ to, from *string }{
		{&user.Name, &named.Name},
		{&user.GivenName, &named.GivenName},
		{&user.FamilyName, &named.FamilyName},
		{&user.NickName, &named.NickName},
		{&user.Email, &named.Email},
		{&user.Picture, &named.Picture},
		{&user.Locale, &named.Locale},
		{&user.ProfileURL, &named.ProfileURL},
	} {
		*f.to = cmp.Or(*f.to, *f.from)
	}
	return user
}
