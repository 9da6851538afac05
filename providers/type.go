package providers

import (
	"context"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/grantd/grantd/models"
)

// Type is a kind of upstream: data, and hooks where the standard flow does not
// fit. The exported fields are for the broker and for people; a hook that is
// nil means "as the standard says".
type Type struct {
	Name        string
	DisplayName string
	// DefaultHost is the public host, a whole URL for the test type, and "" for a
	// type that is always configured.
	DefaultHost string
	// SelfManaged says that metadata.host may name another one.
	SelfManaged   bool
	DefaultScopes []string

	// RefreshKillsAccess says that a refresh ends the old access token at once.
	RefreshKillsAccess bool
	// RevokesSingly says that one pair of tokens can be revoked without taking
	// the others of the same grant along.
	RevokesSingly bool
	// RevokeNeedsAccess says that only a live access token is accepted as proof.
	RevokeNeedsAccess bool

	// openID: the token answer carries an id_token, which is required and bound
	// to the request by a nonce.
	openID bool
	// discovers: at knows the issuer only, whose metadata names the rest.
	discovers bool
	// settings are the keys of config beside the common ones.
	settings []setting

	// at gives the endpoints below base ("https://" and the host), without
	// network and always the same for the same client.
	at func(c Client, base string) Endpoints
	// authorize gives extra parameters of the authorization request.
	authorize func(u *upstream, req AuthorizeRequest) map[string]string
	// user asks who an access token belongs to; nil reads OpenID claims from
	// the user info endpoint.
	user func(ctx context.Context, u *upstream, access models.Secret) (models.User, error)
	// revoke gives tokens back; nil is RFC 7009.
	revoke func(ctx context.Context, u *upstream, t Tokens, scope models.RevokeScope) (models.Outcome, error)
}

// Endpoints is where an upstream is spoken to; "" = it has none. AuthStyle is
// always one of the two explicit styles: auto-detection spends a one-time code
// twice.
type Endpoints struct {
	oauth2.Endpoint
	Revoke   string
	UserInfo string
	API      string // base of a REST API, without a slash at the end
	Settings string // page where people see and withdraw what they granted

	// Issuer is the iss of authorization responses (RFC 9207) and id_tokens.
	Issuer string
	// SaysIssuer: the metadata promises an iss in every authorization response.
	SaysIssuer bool
	// keys verify id_tokens and signed user info.
	keys oidc.KeySet
}
