package providers

import (
	"context"
	"errors"

	"golang.org/x/oauth2"

	"github.com/grantd/grantd/models"
)

// AuthorizeRequest is what one consent adds to its client.
type AuthorizeRequest struct {
	State       string
	RedirectURI string
	Nonce       string        // for the id_token; types without one ignore it
	Verifier    models.Secret // of PKCE; only its hash is sent
	// SkipConsent asks the upstream not to prompt, as Client.SkipConsent does.
	SkipConsent bool
}

// NewVerifier returns a fresh PKCE code verifier (RFC 7636 §4.1).
func NewVerifier() models.Secret { return models.Secret(oauth2.GenerateVerifier()) }

// AuthorizeURL returns where to send the browser: an authorization request with
// PKCE (S256, unless config.pkce is false), and a nonce for types with an
// id_token. It asks the network only where endpoints are discovered.
func (at Upstream) AuthorizeURL(ctx context.Context, req AuthorizeRequest) (string, error) {
	u, err := at.upstream(ctx)
	if err != nil {
		return "", err
	}
	options, err := u.authorizeOptions(req)
	if err != nil {
		return "", err
	}
	return u.config(req.RedirectURI).AuthCodeURL(req.State, options...), nil
}

// authorizeOptions refuses a request without the values that protect it, rather
// than sending it unprotected.
func (u *upstream) authorizeOptions(req AuthorizeRequest) ([]oauth2.AuthCodeOption, error) {
	var options []oauth2.AuthCodeOption
	if u.pkce() {
		if req.Verifier == "" {
			return nil, errors.New("authorize: no PKCE verifier")
		}
		options = append(options, oauth2.S256ChallengeOption(req.Verifier.Reveal()))
	}
	if u.t.openID {
		if req.Nonce == "" {
			return nil, errors.New("authorize: no nonce")
		}
		options = append(options, oauth2.SetAuthURLParam("nonce", req.Nonce))
	}
	if u.t.authorize != nil {
		req.SkipConsent = req.SkipConsent || u.c.SkipConsent
		for name, value := range u.t.authorize(u, req) {
			options = append(options, oauth2.SetAuthURLParam(name, value))
		}
	}
	extra, _ := u.c.Config["authorizeParams"].(map[string]any)
	for name, value := range extra { // the admin's come last, and so win
		text, _ := value.(string)
		options = append(options, oauth2.SetAuthURLParam(name, text))
	}
	return options, nil
}

// CheckIssuer judges the iss of an authorization response (RFC 9207), the defence
// against mix-up: given, it must equal the expected one byte for byte, whether
// it was promised or not. Missing ("") is refused where config.requireIss is
// set, and on the browser channel where the upstream's metadata promises it;
// clients of the API have no way to pass it on. A refusal is KindRefused.
func (at Upstream) CheckIssuer(ctx context.Context, iss string, browser bool) error {
	u, err := at.known()
	if err != nil {
		return err
	}
	if iss != "" {
		return issuerError(u.isIssuer(iss), "the authorization response came from another issuer")
	}
	if required, _ := at.client.Config["requireIss"].(bool); required {
		return issuerError(false, "the authorization response names no issuer")
	}
	if !browser {
		return nil
	}
	if u, err = at.upstream(ctx); err != nil {
		return err
	}
	return issuerError(!u.e.SaysIssuer, "the authorization response names no issuer")
}

func (u *upstream) isIssuer(iss string) bool {
	if u.t.isIssuer != nil {
		return u.t.isIssuer(u, iss)
	}
	return iss == u.e.Issuer
}

func issuerError(ok bool, text string) error {
	if ok {
		return nil
	}
	return &Error{Kind: KindRefused, Code: "invalid_iss", Err: errors.New(text)}
}
