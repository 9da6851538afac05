package providers

import (
	"context"
	"regexp"

	"golang.org/x/oauth2"

	"github.com/grantd/grantd/models"
)

// gitlabType is GitLab: gitlab.com, and the same software on people's own hosts,
// where config.path names the path it lives below.
func gitlabType() *Type {
	return &Type{
		Name:          "gitlab",
		DisplayName:   "GitLab",
		DefaultHost:   "gitlab.com",
		SelfManaged:   true,
		DefaultScopes: []string{"openid", "profile", "email"},
		ScopeWords:    gitlabScopeWords,

		settings: []setting{{name: "path", check: isPath, about: About{Label: "Path", Help: "Where GitLab lives below a path of the host.", Example: "/gitlab"}}},
		Behaviour: Behaviour{
			// One row of its database holds an access token and its refresh token. A
			// refresh replaces the row, without a grace, and a revocation by either token
			// ends both, and no other pair of the person.
			RefreshKillsAccess: true,
			RevokesSingly:      true,
			RevokesAccessAlone: false,
			Rotates:            true,
			GitUser:            "oauth2",
			Device:             true, // 17.2 and later; older ones answer 404
		},
		hooks: hooks{
			at:      gitlabAt,
			origins: func(u *upstream) []string { return []string{u.e.Issuer} },
			revoke:  gitlabRevoke,
			check:   gitlabCheck,
		},
	}
}

// gitlabAt derives every URL from host and path. The issuer is what newer ones
// may send as iss; the metadata does not promise it. A refresh is sent without the
// redirect_uri that GitLab's documentation shows: Doorkeeper, which answers it,
// reads the refresh token, the client and a scope there and nothing else
// (doorkeeper, lib/doorkeeper/oauth/refresh_token_request.rb).
func gitlabAt(c Client, base string) Endpoints {
	path, _ := c.Config["path"].(string)
	base += path
	return Endpoints{
		Endpoint: oauth2.Endpoint{
			AuthURL:   base + "/oauth/authorize",
			TokenURL:  base + "/oauth/token",
			AuthStyle: oauth2.AuthStyleInParams,

			DeviceAuthURL: base + "/oauth/authorize_device",
		},
		Revoke:   base + "/oauth/revoke",
		UserInfo: base + "/oauth/userinfo",
		Issuer:   base,
		Settings: base + "/-/user_settings/applications",
		Register: base + "/-/user_settings/applications", // the same page: first one's own, then what one authorized
	}
}

// gitlabRevoke sends the refresh token and nothing else. An access token that has
// expired would get a 200 as well, do nothing, and leave the refresh token valid
// (doorkeeper, app/controllers/doorkeeper/tokens_controller.rb: only accessible
// tokens are revoked). Without a refresh token, as the device flow may give, a
// token that expired is as good as revoked.
func gitlabRevoke(ctx context.Context, u *upstream, t Tokens, _ models.RevokeScope) (models.Outcome, error) {
	if t.Refresh != "" {
		t.Access = ""
	}
	return u.revokeByForm(ctx, t)
}

// gitlabCheck asks for the token's own row, which needs no scope, as user info
// does.
func gitlabCheck(ctx context.Context, u *upstream, t Tokens) (Check, error) {
	a, err := u.get(ctx, u.e.Issuer+"/oauth/token/info", t.Access, "application/json")
	switch {
	case err != nil:
		return refused(err)
	case a.object == nil:
		return Check{}, protocol("the token info is not JSON")
	}
	application, _ := a.object["application"].(map[string]any)
	uid, _ := application["uid"].(string)
	checked := Check{Valid: true, ForClient: uid != "" && uid == u.c.ID, Scopes: grantedScopes(a.object),
		Account: account(SourceUser, a.object["resource_owner_id"])}
	if left, _ := lifetime(a.object["expires_in"]); left > 0 {
		at := u.now().Add(left)
		checked.ExpiresAt = &at
	}
	return checked, nil
}

// pathShape is one or more segments; none is "." or "..", which are other places.
var pathShape = regexp.MustCompile(`^(/[A-Za-z0-9_-]([A-Za-z0-9._-]*[A-Za-z0-9_-])?)+$`)

const maxPath = 255

// isPath judges config.path, which S2 keeps out of metadata.host.
func isPath(_ allowlist, v any) string {
	if path, ok := v.(string); !ok || len(path) > maxPath || !pathShape.MatchString(path) {
		return "must be the path GitLab lives below, such as /gitlab, without a slash at the end"
	}
	return ""
}

// gitlabScopeWords are from https://docs.gitlab.com/integration/oauth_provider/.
var gitlabScopeWords = map[string]string{
	"api":              "Read and change everything that you can, by the API",
	"read_api":         "Read everything that you can, by the API",
	"read_user":        "Read your profile",
	"read_repository":  "Read your repositories",
	"write_repository": "Read and change your repositories",
	"read_registry":    "Download container images",
	"write_registry":   "Publish container images",
	"create_runner":    "Create runners",
	"manage_runner":    "Manage runners",
	"k8s_proxy":        "Use Kubernetes clusters through GitLab's agent",
	"sudo":             "Act as any user, if you are an administrator",
	"admin_mode":       "Act as an administrator, if you are one",
}
