package providers

import (
	"cmp"
	"context"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/grantd/grantd/models"
)

// bitbucketType is Bitbucket Cloud. (Bitbucket Data Center is another server with
// another protocol.)
func bitbucketType() *Type {
	return &Type{
		Name:        "bitbucket",
		DisplayName: "Bitbucket",
		DefaultHost: "bitbucket.org",
		// What a token may do is ticked on the OAuth consumer; the parameter is
		// tolerated, and what was granted is read from the answer.
		DefaultScopes: []string{"account", "email"},
		ScopeWords:    bitbucketScopeWords,
		Behaviour: Behaviour{
			// Since May 2026 each refresh brings the next refresh token; the spent one works
			// on for about ten minutes, and an access token until it expires. One that is not
			// used for three months expires, which no answer mentions.
			// https://community.developer.atlassian.com/t/99003
			Rotates:            true,
			GitUser:            "x-token-auth",
			RefreshKillsAccess: false,
			RefreshLife:        90 * 24 * time.Hour,
			// There is no revocation, so none ends anything else: it is always reported
			// as unsupported.
			RevokesSingly: true,
		},
		hooks: hooks{
			at:     bitbucketAt,
			user:   bitbucketUser,
			check:  bitbucketCheck,
			grants: heldBy(bitbucketHolders),
		},
	}
}

// bitbucketAt has Basic, which is the documented way. PKCE is sent although nothing
// documents it: it is tolerated, and config.pkce switches it off.
func bitbucketAt(_ Client, base string) Endpoints {
	return Endpoints{
		Endpoint: oauth2.Endpoint{
			AuthURL:   base + "/site/oauth2/authorize",
			TokenURL:  base + "/site/oauth2/access_token",
			AuthStyle: oauth2.AuthStyleInHeader,
		},
		API:      strings.Replace(base, "https://", "https://api.", 1) + "/2.0",
		Settings: base + "/account/settings/app-authorizations/",
		Register: base + "/account/workspaces/", // the consumers are in the settings of each
	}
}

// bitbucketHolders are scopes that hold another one, so that it need not be
// granted by name.
// https://developer.atlassian.com/cloud/bitbucket/bitbucket-cloud-rest-api-scopes/
var bitbucketHolders = map[string][]string{
	"email":            {"account"},
	"pullrequest":      {"pullrequest:write"},
	"repository":       {"repository:write", "pullrequest"},
	"repository:write": {"pullrequest:write"},
	"snippet":          {"snippet:write"},
}

// bitbucketUser is the account with its e-mail address, which has a place, a scope
// and pages of its own.
func bitbucketUser(ctx context.Context, u *upstream, access models.Secret) (models.User, error) {
	user, err := bitbucketAccount(ctx, u, access)
	if err == nil {
		user.Email, err = bitbucketEmail(ctx, u, access)
	}
	return user, err
}

// bitbucketAccount maps GET /user. The sub is the uuid, in the braces it comes in;
// a username can be changed.
func bitbucketAccount(ctx context.Context, u *upstream, access models.Secret) (models.User, error) {
	a, err := u.get(ctx, u.e.API+"/user", access, "application/json")
	if err != nil {
		return models.User{}, err
	}
	var links struct {
		Links struct{ Avatar struct{ Href string } }
	}
	_ = decode(a.body, &links) // without links there is no picture
	return models.User{
		Sub:      identifier(a.object["uuid"]),
		Name:     a.text("display_name"),
		NickName: cmp.Or(a.text("username"), a.text("nickname")),
		Picture:  links.Links.Avatar.Href,
		Raw:      a.object,
	}, nil
}

// maxPages of addresses are read; ten fit on one.
const maxPages = 5

// bitbucketEmail finds the primary confirmed address. Each page names the next,
// which is followed only to the same resource: an access token goes nowhere that
// an answer names.
func bitbucketEmail(ctx context.Context, u *upstream, access models.Secret) (string, error) {
	first := u.e.API + "/user/emails"
	next := first
	for range maxPages {
		a, err := u.get(ctx, next, access, "application/json")
		if withheld(err) {
			return "", nil
		}
		if err != nil {
			return "", err
		}
		if email := primaryEmail(a); email != "" {
			return email, nil
		}
		if next = a.text("next"); !strings.HasPrefix(next, first+"?") {
			break
		}
	}
	return "", nil
}

func primaryEmail(a *answer) string {
	var page struct {
		Values []struct {
			Email     string
			Primary   bool `json:"is_primary"`
			Confirmed bool `json:"is_confirmed"`
		}
	}
	_ = decode(a.body, &page)
	for _, e := range page.Values {
		if e.Primary && e.Confirmed {
			return e.Email
		}
	}
	return ""
}

// bitbucketCheck asks for the account alone: addresses say nothing more about the
// token.
func bitbucketCheck(ctx context.Context, u *upstream, t Tokens) (Check, error) {
	user, err := bitbucketAccount(ctx, u, t.Access)
	switch {
	case err != nil:
		return refused(err)
	case user.Sub == "":
		return Check{}, protocol("the account has no uuid")
	}
	return Check{Valid: true, Account: account(SourceUser, user.Sub)}, nil
}

// bitbucketScopeWords are from https://developer.atlassian.com/cloud/bitbucket/bitbucket-cloud-rest-api-scopes/.
var bitbucketScopeWords = map[string]string{
	"account":           "Read your account and workspaces",
	"account:write":     "Read and change your account",
	"email":             "See your e-mail address",
	"repository":        "Read your repositories",
	"repository:write":  "Read and change your repositories",
	"repository:admin":  "Manage your repositories",
	"repository:delete": "Delete your repositories",
	"pullrequest":       "Read pull requests and your repositories",
	"pullrequest:write": "Create, comment on and merge pull requests",
	"issue":             "Read issues",
	"issue:write":       "Create and change issues",
	"wiki":              "Read and change wikis",
	"snippet":           "Read your snippets",
	"snippet:write":     "Create and change snippets",
	"webhook":           "See and manage webhooks",
	"pipeline":          "See pipelines",
	"pipeline:write":    "Run and stop pipelines",
	"project":           "Read your projects and their repositories",
	"project:admin":     "Manage your projects",
	"team":              "See which teams you belong to",
}
