package providers

import (
	"context"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// Account is whom an answer names. Two answers are compared only where their Source
// is the same: an upstream may have several names for one person.
type Account struct {
	Source Source
	ID     string // "" = not said
}

// Source is a field that names accounts.
type Source string

// The sources. SourceUser is what Identify and UserInfo return as Sub.
const (
	SourceUser          Source = "user"
	SourceIDToken       Source = "id_token"
	SourceIntrospection Source = "introspection"
)

// account is what an answer says, or nothing where that cannot be the name of one.
func account(source Source, v any) Account {
	if id := identifier(v); validSub(id) {
		return Account{source, id}
	}
	return Account{}
}

// readsIDToken reports whether the id_token of an answer is to be looked at.
func (u *upstream) readsIDToken() bool { return u.t.idToken != "" && u.e.Keys != "" }

// expectIDToken sees to it that the keys are being read while the tokens are asked
// for, so that they are there when the answer is.
func (u *upstream) expectIDToken() {
	if u.readsIDToken() && !u.keysAt(u.e.Keys).known() {
		u.keysAt(u.e.Keys).begin()
	}
}

// nameAccount notes whom the id_token of a refresh names (OIDC Core §12.2). It waits
// for no keys; what cannot be verified is flagged, and names nobody.
func (u *upstream) nameAccount(ctx context.Context, t *Tokens) {
	if !u.readsIDToken() || t.ID == "" {
		return
	}
	named, err := u.accountOf(ctx, *t, readAlready{u.keysAt(u.e.Keys)})
	if err != nil {
		t.Flags = append(t.Flags, FlagUnverifiedID)
		return
	}
	t.Account = named
}

// accountOf verifies an id_token that is bound to no request, for its sub alone.
func (u *upstream) accountOf(ctx context.Context, t Tokens, keys oidc.KeySet) (Account, error) {
	token, err := u.verify(ctx, t.ID.Reveal(), keys, &oidc.Config{
		ClientID: u.c.ID, SkipExpiryCheck: true, SkipIssuerCheck: true, Now: func() time.Time { return u.now() },
	})
	if err != nil {
		return Account{}, err
	}
	if !u.isIDTokenIssuer(token.Issuer) {
		return Account{}, protocol("the id_token comes from another issuer")
	}
	return account(u.t.idToken, token.Subject), nil
}

// isIDTokenIssuer: Google's id_tokens may name it without the scheme.
func (u *upstream) isIDTokenIssuer(iss string) bool {
	return u.isIssuer(iss) || u.t.isIssuer == nil && "https://"+iss == u.e.Issuer
}

// IDTokenAccount returns whom the id_token of a consent names, for types where that
// is another name than the one Identify returns. It is for comparison with later
// answers: where it cannot be had there is nothing to compare with yet.
func (at Upstream) IDTokenAccount(ctx context.Context, t Tokens) Account {
	u, err := at.upstream(ctx)
	if err != nil || t.ID == "" || u.t.idToken != SourceIDToken || !u.readsIDToken() {
		return Account{}
	}
	named, err := u.accountOf(ctx, t, u.keysAt(u.e.Keys))
	if err != nil {
		return Account{}
	}
	return named
}
