package providers

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/grantd/grantd/models"
)

// skew is how far the upstream's clock may be from ours.
const skew = time.Minute

// signatures are the algorithms an id_token may be signed with: never none, and
// no HS*, whose key an upstream could be talked into taking from its public one.
var signatures = []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.ES256, oidc.ES384, oidc.ES512,
	oidc.PS256, oidc.PS384, oidc.PS512, oidc.EdDSA}

// verifyIDToken checks an id_token (OIDC Core §3.1.3.7) and returns its claims:
// signature, issuer, audience and expiry by go-oidc; authorized party, nonce and
// the times it lets pass here.
func (u *upstream) verifyIDToken(ctx context.Context, raw models.Secret, nonce func(string) bool) (map[string]any, error) {
	if raw == "" {
		return nil, protocol("the answer has no id_token")
	}
	now := u.now()
	token, err := u.verify(ctx, raw.Reveal(), u.keysAt(u.e.Keys), &oidc.Config{
		ClientID: u.c.ID,
		Now:      func() time.Time { return now.Add(-skew) },
	})
	if err != nil {
		return nil, err
	}
	var bound struct {
		Party     string  `json:"azp"`
		NotBefore float64 `json:"nbf"`
	}
	claims := map[string]any{}
	if token.Claims(&bound) != nil || token.Claims(&claims) != nil {
		return nil, protocol("the id_token has malformed claims")
	}
	latest := now.Add(skew)
	switch {
	case !nonce(token.Nonce):
		return nil, protocol("the id_token has another nonce")
	case bound.Party != "" && bound.Party != u.c.ID, bound.Party == "" && len(token.Audience) > 1:
		return nil, protocol("the id_token was issued to another party")
	case token.IssuedAt.After(latest), bound.NotBefore > float64(latest.Unix()):
		return nil, protocol("the id_token is from the future")
	}
	return claims, nil
}

// verifyUserInfo checks a signed user info answer (OIDC Core §5.3.2), which need not
// expire, and should but need not name issuer and audience. Wrong ones are refused.
func (u *upstream) verifyUserInfo(ctx context.Context, body []byte) (map[string]any, error) {
	token, err := u.verify(ctx, string(body), u.keysAt(u.e.Keys), &oidc.Config{SkipClientIDCheck: true, SkipExpiryCheck: true, SkipIssuerCheck: true})
	switch {
	case err != nil:
		return nil, err
	case token.Issuer != "" && token.Issuer != u.e.Issuer:
		return nil, protocol("the user info comes from another issuer")
	case len(token.Audience) > 0 && !slices.Contains(token.Audience, u.c.ID):
		return nil, protocol("the user info was made for another client")
	}
	claims := map[string]any{}
	if token.Claims(&claims) != nil {
		return nil, protocol("the user info has malformed claims")
	}
	return claims, nil
}

// verify runs go-oidc. Its errors quote tokens and whole key documents, so none
// of their text is passed on.
func (u *upstream) verify(ctx context.Context, raw string, keys oidc.KeySet, config *oidc.Config) (*oidc.IDToken, error) {
	if u.e.Keys == "" {
		return nil, protocol("the upstream publishes no keys")
	}
	config.SupportedSigningAlgs = signatures
	watched := &watchedKeys{KeySet: keys}
	token, err := oidc.NewVerifier(u.e.Issuer, watched, config).Verify(ctx, raw)
	var expired *oidc.TokenExpiredError
	switch {
	case err == nil:
		return token, nil
	case watched.unread:
		return nil, unreachable(errUnreadKeys, false)
	case errors.As(err, &expired):
		return nil, protocol("the id_token has expired")
	}
	return nil, protocol("the id_token does not verify")
}

// watchedKeys notices whether a signature failed or the keys could not be had,
// which the verifier's error no longer tells.
type watchedKeys struct {
	oidc.KeySet
	unread bool
}

// VerifySignature implements oidc.KeySet.
func (k *watchedKeys) VerifySignature(ctx context.Context, jwt string) ([]byte, error) {
	payload, err := k.KeySet.VerifySignature(ctx, jwt)
	k.unread = errors.Is(err, errUnreadKeys)
	return payload, err
}
