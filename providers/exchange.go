package providers

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/oauth2"

	"github.com/grantd/grantd/models"
)

// ExchangeRequest is an authorization code and what it was asked for with.
type ExchangeRequest struct {
	Code        models.Secret
	RedirectURI string // the same as at AuthorizeURL, byte for byte
	Verifier    models.Secret
}

// Exchange spends an authorization code (RFC 6749 §4.1.3). Once a 2xx with an
// access token was read there is no error, whatever else is odd about it.
func (at Upstream) Exchange(ctx context.Context, req ExchangeRequest) (Tokens, error) {
	u, err := at.upstream(ctx)
	if err != nil {
		return Tokens{}, err
	}
	var options []oauth2.AuthCodeOption
	if u.pkce() {
		options = append(options, oauth2.VerifierOption(req.Verifier.Reveal()))
	}
	return eitherSecret(ctx, u, func(u *upstream) (Tokens, error) {
		a, err := u.ask(ctx, nil, func(ctx context.Context) error {
			_, err := u.config(req.RedirectURI).Exchange(ctx, req.Code.Reveal(), options...)
			return err
		})
		if err != nil {
			return Tokens{}, err
		}
		return u.readTokens(a, req.Code, req.Verifier)
	})
}

// Refresh spends a refresh token (RFC 6749 §6), without a scope where the type
// can do without, and otherwise with those of t, so that it can never ask for more
// than was granted. The answer's Refresh is "" when none came: the old one stays valid.
func (at Upstream) Refresh(ctx context.Context, t Tokens) (Tokens, error) {
	if t.Refresh == "" {
		return Tokens{}, &Error{Kind: KindDenied, Err: errors.New("there is no refresh token")}
	}
	u, err := at.upstream(ctx)
	if err != nil {
		return Tokens{}, err
	}
	u.expectIDToken()
	return eitherSecret(ctx, u, func(u *upstream) (Tokens, error) { return u.refresh(ctx, t) })
}

func (u *upstream) refresh(ctx context.Context, t Tokens) (Tokens, error) {
	var extra map[string]string
	if u.t.refresh != nil {
		extra = u.t.refresh(u, t)
	}
	a, err := u.ask(ctx, extra, func(ctx context.Context) error {
		_, err := u.config("").TokenSource(ctx, &oauth2.Token{RefreshToken: t.Refresh.Reveal()}).Token()
		return err
	})
	if err != nil {
		return Tokens{}, err
	}
	fresh, err := u.readTokens(a, t.Refresh, t.Access)
	if e, refused := errors.AsType[*Error](err); refused && e.Code == "unauthorized_client" && !badClientText.MatchString(a.errorText()) && e.Kind == KindClient {
		e.Kind = KindDenied // Atlassian and Gitea say so of a refresh token that is no longer valid
	}
	if err == nil {
		u.nameAccount(ctx, &fresh)
	}
	if err == nil && fresh.RefreshExpiresIn == 0 {
		fresh.RefreshExpiresIn = u.t.RefreshLife // the old one, which was used just now
	}
	return fresh, err
}

// ask makes one call to the token endpoint through x/oauth2, which writes the
// request, and returns the answer for us to read. x/oauth2's own reading is left
// aside: it refuses a whole answer, freshly rotated tokens and all, for an
// expires_in like 3600.0, and its errors print the body. extra are parameters
// that x/oauth2 cannot be told to send.
func (u *upstream) ask(ctx context.Context, extra map[string]string, call func(context.Context) error) (*answer, error) {
	tap := &tap{base: u.tokens.Transport, extra: extra}
	client := &http.Client{Transport: tap, CheckRedirect: noRedirect}
	err := call(context.WithValue(ctx, oauth2.HTTPClient, client))
	if tap.answer == nil {
		return nil, asError(err)
	}
	return tap.answer, nil
}

// tap adds parameters to the form that passes through it, and keeps the answer.
type tap struct {
	base   http.RoundTripper
	extra  map[string]string
	answer *answer
}

// RoundTrip asks for JSON, which x/oauth2 does not, and reads the answer.
func (t *tap) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("Accept", "application/json")
	if err := t.addTo(req); err != nil {
		return nil, err
	}
	resp, err := t.base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if t.answer, err = readAnswer(resp); err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(t.answer.body))
	return resp, nil
}

func (t *tap) addTo(req *http.Request) error {
	if len(t.extra) == 0 {
		return nil
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return unreachable(err, false)
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return unreachable(err, false)
	}
	for name, value := range t.extra {
		form.Set(name, value)
	}
	encoded := form.Encode()
	req.Body = io.NopCloser(strings.NewReader(encoded))
	req.ContentLength = int64(len(encoded))
	return nil
}
