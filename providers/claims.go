package providers

import (
	"context"
	"slices"
)

// Claims returns what an OpenID Connect issuer says of the person whose tokens a code was exchanged for: the claims of
// the id_token, verified as Identify does. Where one that is needed or wanted is not among them the issuer's user info
// adds what it has, if it names the same sub. What the id_token says stands. Without an answer of the user info, it is an
// error that something needed is missing.
func (at Upstream) Claims(ctx context.Context, t Tokens, nonce string, needed, wanted []string) (map[string]any, error) {
	u, err := at.upstream(ctx)
	if err != nil {
		return nil, err
	}
	claims, err := u.verifyIDToken(ctx, t.ID, func(given string) bool { return nonce != "" && given == nonce })
	if err != nil {
		return nil, err
	}
	named, err := checked(standardUser(claims))
	missing := func(name string) bool { _, said := claims[name]; return !said }
	incomplete := slices.ContainsFunc(needed, missing)
	if err != nil || u.e.UserInfo == "" || !incomplete && !slices.ContainsFunc(wanted, missing) {
		return claims, err
	}
	user, err := u.user(ctx, t.Access)
	switch {
	case err != nil && incomplete:
		return nil, err
	case err != nil:
		return claims, nil
	case user.Sub != named.Sub:
		return nil, protocol("user info and id_token name different people")
	}
	for name, value := range user.Raw {
		if missing(name) {
			claims[name] = value
		}
	}
	return claims, nil
}
