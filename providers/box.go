package providers

import (
	"context"
	"time"

	"golang.org/x/oauth2"

	"github.com/grantd/grantd/models"
)

// boxType is Box. The scopes are those of the application in Box's console: none are
// asked for unless the provider names some, and answers never name any.
//
// An authorization code lives for thirty seconds there, where others give ten
// minutes. Exchange has no step before the one that spends it; what remains for an
// app is to pass the code on at once, and not by hand from the landing page.
func boxType() *Type {
	return &Type{
		Name:        "box",
		DisplayName: "Box",
		DefaultHost: "box.com",
		ScopeWords:  boxScopeWords,
		Behaviour: Behaviour{
			// Said to end the old pair once the new one is used; not documented.
			RefreshKillsAccess: true,
			// Whether a revocation also ends what else the person granted to the client
			// is not documented. So it is expected to.
			RevokesSingly: false,
			Rotates:       true,
			// A refresh token is good for one use within 60 days, and no answer says so:
			// https://developer.box.com/guides/authentication/tokens/refresh/
			RefreshLife: 60 * 24 * time.Hour,
		},
		hooks: hooks{
			at:   boxAt,
			user: boxUser,
		},
	}
}

// boxAt: there is one Box. Its RFC 7009 endpoint says with an error that a token was
// invalid before, and reports a bad client with 400, as its token endpoint does.
func boxAt(Client, string) Endpoints {
	const api = "https://api.box.com"
	return Endpoints{
		Endpoint: oauth2.Endpoint{
			AuthURL:   "https://account.box.com/api/oauth2/authorize",
			TokenURL:  api + "/oauth2/token",
			AuthStyle: oauth2.AuthStyleInParams,
		},
		Revoke:   api + "/oauth2/revoke",
		API:      api + "/2.0",
		Settings: "https://app.box.com/account",
		Register: "https://app.box.com/developers/console",
	}
}

// boxUser maps GET /users/me. The login is the e-mail address, which can change. The
// avatar is left out: its address answers only to a token.
func boxUser(ctx context.Context, u *upstream, access models.Secret) (models.User, error) {
	a, err := u.get(ctx, u.e.API+"/users/me", access, "application/json")
	if err != nil {
		return models.User{}, err
	}
	return models.User{
		Sub:         identifier(a.object["id"]),
		Name:        a.text("name"),
		Email:       a.text("login"),
		Locale:      a.text("language"),
		Description: a.text("job_title"),
		Raw:         a.object,
	}, nil
}

// boxScopeWords are from https://developer.box.com/guides/api-calls/permissions-and-errors/scopes/.
var boxScopeWords = map[string]string{
	"root_readonly":                "Read all your files and folders",
	"root_readwrite":               "Read, change and delete all your files and folders",
	"manage_managed_users":         "Manage the users of your organisation",
	"manage_groups":                "Manage the groups of your organisation",
	"manage_webhook":               "Create and manage webhooks",
	"manage_enterprise_properties": "Manage settings and see reports of your organisation",
	"sign_requests.readwrite":      "Send and manage requests to sign documents",
}
