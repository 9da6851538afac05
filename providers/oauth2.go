package providers

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/oauth2"

	"github.com/grantd/grantd/models"
)

// oauth2Type is any OAuth 2.0 server that is no OpenID Provider: config says where its
// endpoints are, how the client authenticates, and which fields of the user info
// name whom. Nothing is guessed. The user info is required, since without it there
// is no telling whose tokens they are, and so is authStyle, since a wrong guess may
// spend a code.
func oauth2Type() *Type {
	return &Type{
		Name:        "oauth2",
		DisplayName: "OAuth 2.0",

		configurable: true,
		public:       true,
		settings: []setting{
			{name: "authStyle", required: true, check: isAuthStyle, about: aboutAuthStyle},
			{name: "authorizeUrl", required: true, check: isEndpoint, about: About{Label: "Authorization endpoint", Help: "Where people are sent to consent.", Example: "https://id.example.com/oauth/authorize"}},
			{name: "claims", check: areClaims, about: About{Label: "Fields of the user info", Help: "Where a field of the account is found in the user info, if it is not called as in OpenID Connect: our name, and the path. Fields: sub, email, name, givenName, familyName, nickName, picture, locale, description.", Example: "sub=data.user.id", Entry: EntryPairs}},
			{name: "deviceUrl", check: isEndpoint, about: About{Label: "Device authorization endpoint", Help: "Where consents on another device begin (RFC 8628).", Example: "https://id.example.com/oauth/device"}},
			{name: "introspectUrl", check: isEndpoint, about: aboutIntrospectURL},
			{name: "issuer", check: isIssuer, about: aboutIssuer},
			{name: "revokeUrl", check: isEndpoint, about: aboutRevokeURL},
			{name: "settingsUrl", check: isEndpoint, about: About{Label: "Settings page", Help: "Where people see and withdraw what they granted.", Example: "https://id.example.com/account/apps"}},
			{name: "tokenUrl", required: true, check: isEndpoint, about: About{Label: "Token endpoint", Help: "Where codes and refresh tokens are exchanged.", Example: "https://id.example.com/oauth/token"}},
			{name: "userInfoUrl", required: true, check: isEndpoint, about: About{Label: "User info endpoint", Help: "Where is asked whose tokens they are.", Example: "https://id.example.com/userinfo"}},
		},
		Behaviour: Behaviour{
			// What an unknown server does, on the safe side, as for oidc.
			RefreshKillsAccess: true,
			RevokesSingly:      false,
			Rotates:            true,
			Device:             true,
		},
		hooks: hooks{
			at:   oauth2At,
			user: oauth2User,

			fixedBefore: oauth2FixedBefore,
			subPath:     oauth2SubPath,
		},
	}
}

// authStyles are what config.authStyle may say, by the names that RFC 7591 §2 gives
// them, without client_secret_.
var authStyles = map[string]oauth2.AuthStyle{
	"basic": oauth2.AuthStyleInHeader,
	"post":  oauth2.AuthStyleInParams,
	"none":  oauth2.AuthStyleInParams, // a public client: its id and no secret
}

func isAuthStyle(_ allowlist, v any) string {
	name, _ := v.(string)
	if _, ok := authStyles[name]; !ok {
		return "must be basic, post or none, as the upstream documents it"
	}
	return ""
}

func isEndpoint(allow allowlist, v any) string {
	endpoint, _ := v.(string)
	if err := allow.checkURL(endpoint, true); err != nil {
		return err.Error()
	}
	return ""
}

func oauth2At(c Client, _ string) Endpoints {
	says := c.setting
	return Endpoints{
		Endpoint: oauth2.Endpoint{
			AuthURL:   says("authorizeUrl"),
			TokenURL:  says("tokenUrl"),
			AuthStyle: cmp.Or(authStyles[says("authStyle")], oauth2.AuthStyleInHeader), // never auto-detection

			DeviceAuthURL: says("deviceUrl"),
		},
		Public:     says("authStyle") == "none",
		Revoke:     says("revokeUrl"),
		Introspect: says("introspectUrl"),
		UserInfo:   says("userInfoUrl"),
		Settings:   says("settingsUrl"),
		Issuer:     says("issuer"),
	}
}

// oauth2SubPath is fixed like the endpoints. Accounts under another name would be
// taken for other ones, and a revocation of what was granted under the old name would
// not spare what was granted since (D1).
func oauth2SubPath(c Client) string { return cmp.Or(claimPaths(c)["sub"], "sub") }

func oauth2FixedBefore(u *upstream) []string {
	return append(u.e.urls(), u.e.Issuer, oauth2SubPath(u.c))
}

// claimsOf are the fields that config.claims can name, by our names for them.
func claimsOf(user *models.User) map[string]*string {
	return map[string]*string{
		"sub": &user.Sub, "email": &user.Email, "name": &user.Name, "givenName": &user.GivenName, "familyName": &user.FamilyName,
		"nickName": &user.NickName, "picture": &user.Picture, "locale": &user.Locale, "description": &user.Description,
	}
}

func claimPaths(c Client) map[string]string {
	paths := map[string]string{}
	given, _ := c.Config["claims"].(map[string]any)
	for name, path := range given {
		paths[name], _ = path.(string)
	}
	return paths
}

const maxClaimPath = 255

// areClaims judges config.claims: for each field of a user a path of names joined by
// dots. A name that is a number counts from 0 in a list.
func areClaims(_ allowlist, v any) string {
	claims, ok := v.(map[string]any)
	if !ok {
		return "must be an object"
	}
	known := claimsOf(&models.User{})
	for name, v := range claims {
		path, ok := v.(string)
		switch {
		case known[name] == nil:
			return "must contain only " + strings.Join(slices.Sorted(maps.Keys(known)), ", ")
		case !ok || len(path) > maxClaimPath || slices.Contains(strings.Split(path, "."), "") || strings.ContainsFunc(path, unicode.IsControl):
			return fmt.Sprintf("must have as %s a path into the user info, such as data.user.id", name)
		}
	}
	return ""
}

// oauth2User reads the user info: the claims of OpenID Connect, or those that
// config.claims names instead. A sub that is not where it should be is refused.
func oauth2User(ctx context.Context, u *upstream, access models.Secret) (models.User, error) {
	a, err := u.get(ctx, u.e.UserInfo, access, "application/json")
	if err != nil {
		return models.User{}, err
	}
	user := standardUser(a.object)
	fields := claimsOf(&user)
	for name, path := range claimPaths(u.c) {
		*fields[name] = identifier(within(a.object, path))
	}
	return user, nil
}

// within follows a path into JSON, nil where it leads nowhere.
func within(v any, path string) any {
	for name := range strings.SplitSeq(path, ".") {
		switch at := v.(type) {
		case map[string]any:
			v = at[name]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i < 0 || i >= len(at) {
				return nil
			}
			v = at[i]
		default:
			return nil
		}
	}
	return v
}
