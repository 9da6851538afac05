package providers

import (
	"context"
	"time"

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
	// ScopeWords say what scopes allow, to people, such as "Read your profile". Those of OpenID Connect need none. A scope
	// that is not among them is shown as it is.
	ScopeWords map[string]string

	Behaviour
	// tokenHosts are hosts that tokens are good for beside those of the endpoints, and
	// that config.match may therefore name.
	tokenHosts []string
	// openID: the token answer carries an id_token, which is required and bound
	// to the request by a nonce.
	openID bool
	// idToken says what the sub of an id_token names: SourceUser where it is the
	// account that user info names, SourceIDToken where it is a name of its own, and ""
	// where id_tokens are not read.
	idToken Source
	// discovers: at knows the issuer and what config says; metadata names the rest.
	discovers bool
	// configurable: config decides about traits (see Traits), since the type is
	// many servers.
	configurable bool
	// public: clients without a secret are possible (see MayBePublic).
	public bool
	// settings are the keys of config beside the common ones.
	settings []setting

	hooks
}

// Behaviour is what is known about how an upstream treats tokens and callers. See Traits for
// what config may say better.
type Behaviour struct {
	// RefreshKillsAccess says that a refresh ends the old access token at once.
	RefreshKillsAccess bool
	// RevokesSingly says that one pair of tokens can be revoked without taking
	// the others of the same grant along.
	RevokesSingly bool
	// RevokesAll says that the revocation of any pair is known to take every other
	// pair of the same grant along, so that none of them need be revoked by itself.
	RevokesAll bool
	// RevokeNeedsAccess says that only a live access token is accepted as proof.
	RevokeNeedsAccess bool
	// RevokesAccessAlone says that an access token can be revoked without its
	// refresh token.
	RevokesAccessAlone bool
	// Rotates says that a refresh token works once, and each refresh brings the
	// next one.
	Rotates bool
	// DefaultLifetime is how long an access token lives where no answer ever said so; 0 =
	// not known.
	DefaultLifetime time.Duration
	// RefreshLife is how long a refresh token lives unused where the answers do not
	// say; 0 = unknown or for ever.
	RefreshLife time.Duration
	// ResetsInPlace says that Reset replaces an access token without a refresh
	// token.
	ResetsInPlace bool
	// Lag is how long an upstream may refuse a token that it has just given out.
	Lag time.Duration
	// Device says that the upstream may support the device flow (RFC 8628).
	Device bool
	// CallsPerHour is how many calls with the client's own credentials, revocations
	// among them, the upstream takes per host and OAuth client; 0 = not known.
	CallsPerHour int
	// TokenCallsPerHour is the same for the token endpoint.
	TokenCallsPerHour int
	// GitUser is the user name that git sends with an access token as password;
	// "" where the token itself is the user name.
	GitUser string
}

// hooks are where a type does otherwise than the standards say.
type hooks struct {
	// metered reports whether the two figures hold at a host other than
	// DefaultHost; nil = they do not: its operator sets limits, or none.
	metered func(host string) bool
	// at gives the endpoints below base ("https://" and the host), without
	// network and always the same for the same client.
	at func(c Client, base string) Endpoints
	// origins names where tokens may be sent, where hosts alone do not tell one
	// upstream from another; nil is scheme and host of every endpoint.
	origins func(u *upstream) []string
	// fixedBefore names what, beside the origins, the first version of fingerprints
	// held (see FixedBefore); nil is nothing.
	fixedBefore func(u *upstream) []string
	// subPath is where config says that the sub is found in the user info; nil where
	// the type alone decides.
	subPath func(c Client) string
	// authorize gives extra parameters of the authorization request.
	authorize func(u *upstream, req AuthorizeRequest) map[string]string
	// refresh gives extra parameters of a refresh request; t.Scopes are the granted
	// ones, nil when that was not said.
	refresh func(u *upstream, t Tokens) map[string]string
	// grants reports whether the granted scopes hold one that was requested; nil
	// compares them as they are written.
	grants func(granted []string, scope string) bool
	// isIssuer judges an iss; nil compares it with Endpoints.Issuer.
	isIssuer func(u *upstream, iss string) bool
	// domain names what a grant-wide revocation also ends, at one upstream; nil is
	// the client id.
	domain func(c Client) string
	// user asks who an access token belongs to; nil reads OpenID claims from
	// the user info endpoint.
	user func(ctx context.Context, u *upstream, access models.Secret) (models.User, error)
	// revoke gives tokens back; nil is RFC 7009.
	revoke func(ctx context.Context, u *upstream, t Tokens, scope models.RevokeScope) (models.Outcome, error)
	// check asks whether an access token is good; nil is introspection where there is
	// an endpoint for it, and else user info.
	check func(ctx context.Context, u *upstream, t Tokens) (Check, error)
	// reset replaces an access token; needed by ResetsInPlace.
	reset func(ctx context.Context, u *upstream, t Tokens) (Tokens, error)
	// installURL is where an app is installed, "" where the client is none.
	installURL func(u *upstream) string
	// installations lists where the app is installed, as far as an access token
	// lets see.
	installations func(ctx context.Context, u *upstream, access models.Secret) ([]models.Installation, error)
}

// Endpoints is where an upstream is spoken to; "" = it has none. AuthStyle is
// always one of the two explicit styles: auto-detection spends a one-time code
// twice.
type Endpoints struct {
	oauth2.Endpoint
	Revoke     string
	Introspect string // RFC 7662
	UserInfo   string
	API        string // base of a REST API, without a slash at the end
	Settings   string // page where people see and withdraw what they granted
	Register   string // page where clients are registered
	// AdminConsent is the page where an admin of people's organisation consents for
	// all of them, by the parameters that Entra documents.
	AdminConsent string

	// Public: config says that the client is a public one. It sends its id alone, and
	// whatever secret is kept for it is never sent.
	Public bool
	// Issuer is the iss of authorization responses (RFC 9207) and id_tokens.
	Issuer string
	// SaysIssuer: the metadata promises an iss in every authorization response.
	SaysIssuer bool
	// Keys is where the keys are published that id_tokens and signed user info are
	// verified with.
	Keys string
}

// urls are all that people or tokens are sent to, "" for what the upstream has
// not.
func (e Endpoints) urls() []string {
	return []string{e.AuthURL, e.TokenURL, e.DeviceAuthURL, e.Revoke, e.Introspect, e.UserInfo, e.API}
}
