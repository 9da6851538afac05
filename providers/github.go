package providers

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/grantd/grantd/models"
)

// githubType is GitHub: github.com, ghe.com and Enterprise Server; OAuth Apps
// and GitHub Apps, which differ only in what they are granted.
func githubType() *Type {
	return &Type{
		Name:          "github",
		DisplayName:   "GitHub",
		DefaultHost:   "github.com",
		SelfManaged:   true,
		DefaultScopes: []string{"read:user", "user:email"},
		ScopeWords:    githubScopeWords,
		settings:      []setting{{name: "appSlug", check: isAppSlug, about: About{Label: "Name of the GitHub App", Help: "As in its address, github.com/apps/<name>. People are then led to install it.", Example: "my-app"}}},
		Behaviour: Behaviour{
			RefreshKillsAccess: true,
			RevokesSingly:      true,
			RevokeNeedsAccess:  true,
			RevokesAccessAlone: true,
			Rotates:            true,
			ResetsInPlace:      true,
			Lag:                time.Second, // its replicas learn of a new token one after the other
			Device:             true,

			// The REST API with the client's id and secret: 5,000 an hour, as documented.
			// Of the token endpoint operators report about 2,000. Enterprise Server has no
			// limits unless its admin sets some.
			CallsPerHour:      5000,
			TokenCallsPerHour: 2000,

			GitUser: "x-access-token",
		},
		hooks: hooks{
			metered: githubCloud,

			at:            githubAt,
			user:          githubUser,
			grants:        heldBy(githubHolders),
			revoke:        githubRevoke,
			check:         githubCheck,
			reset:         githubReset,
			installURL:    githubInstallURL,
			installations: githubInstallations,
		},
	}
}

// githubHolders are scopes that hold others, which GitHub then leaves out of what
// it says was granted.
var githubHolders = map[string][]string{
	"repo:status": {"repo"}, "repo_deployment": {"repo"}, "public_repo": {"repo"}, "repo:invite": {"repo"}, "security_events": {"repo"},
	"write:repo_hook": {"admin:repo_hook"}, "read:repo_hook": {"write:repo_hook"},
	"write:org": {"admin:org"}, "read:org": {"write:org"},
	"write:public_key": {"admin:public_key"}, "read:public_key": {"write:public_key"},
	"write:gpg_key": {"admin:gpg_key"}, "read:gpg_key": {"write:gpg_key"},
	"read:user": {"user"}, "user:email": {"user"}, "user:follow": {"user"},
	"read:project": {"project"}, "read:packages": {"write:packages"},
}

// githubAt derives every URL from the one host, so that nothing meant for an
// Enterprise Server ever goes to github.com. The iss is what github.com was
// seen to send; it is not promised, so it may be absent.
func githubAt(c Client, base string) Endpoints {
	return Endpoints{
		Endpoint: oauth2.Endpoint{
			AuthURL:   base + "/login/oauth/authorize",
			TokenURL:  base + "/login/oauth/access_token",
			AuthStyle: oauth2.AuthStyleInParams,

			DeviceAuthURL: base + "/login/device/code",
		},
		API:      githubAPI(base),
		Issuer:   base + "/login/oauth",
		Settings: base + "/settings/connections/applications/" + url.PathEscape(c.ID),
		Register: base + "/settings/developers",
	}
}

func githubAPI(base string) string {
	host, secure := strings.CutPrefix(base, "https://")
	if secure && githubCloud(host) {
		return "https://api." + host
	}
	return base + "/api/v3"
}

// githubCloud reports whether GitHub itself runs the host.
func githubCloud(host string) bool {
	return host == "github.com" || strings.HasSuffix(host, ".ghe.com")
}

const githubJSON = "application/vnd.github+json"

// githubUser maps GET /user. The sub is the id; a login can be renamed and given
// to somebody else.
func githubUser(ctx context.Context, u *upstream, access models.Secret) (models.User, error) {
	a, err := u.get(ctx, u.e.API+"/user", access, githubJSON)
	if err != nil {
		return models.User{}, err
	}
	user := models.User{
		Sub:         identifier(a.object["id"]),
		Name:        a.text("name"),
		NickName:    a.text("login"),
		Email:       a.text("email"),
		Picture:     a.text("avatar_url"),
		Description: a.text("bio"),
		Raw:         a.object,
		ProfileURL:  a.text("html_url"),
	}
	if user.Email == "" {
		user.Email, err = githubEmail(ctx, u, access)
	}
	return user, err
}

// githubEmail finds the primary verified address, which /user tells only if it
// is public. Without the permission to ask there is none.
func githubEmail(ctx context.Context, u *upstream, access models.Secret) (string, error) {
	a, err := u.get(ctx, u.e.API+"/user/emails", access, githubJSON)
	if withheld(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	var emails []struct {
		Email             string
		Primary, Verified bool
	}
	if json.Unmarshal(a.body, &emails) != nil {
		return "", nil
	}
	for _, e := range emails {
		if e.Primary && e.Verified {
			return e.Email, nil
		}
	}
	return "", nil
}

// githubRevoke deletes the person's whole grant, or one token.
func githubRevoke(ctx context.Context, u *upstream, t Tokens, scope models.RevokeScope) (models.Outcome, error) {
	if t.Access == "" {
		return models.OutcomeNoLiveToken, nil
	}
	what := "/grant"
	if scope == models.RevokeToken {
		what = "/token"
	}
	a, err := githubApplication(ctx, u, u.calls, http.MethodDelete, what, t.Access)
	if err != nil {
		return "", err
	}
	return githubOutcome(a, failure(a, u.now(), t.Access, u.c.Secret))
}

// githubApplication asks one of the REST API's four application endpoints: plain
// Basic (RFC 7617), never form-encoded, and the token in a JSON body.
func githubApplication(ctx context.Context, u *upstream, by *http.Client, method, what string, access models.Secret) (*answer, error) {
	body, err := json.Marshal(map[string]string{"access_token": access.Reveal()})
	if err != nil {
		return nil, protocol("token is not text")
	}
	endpoint := u.e.API + "/applications/" + url.PathEscape(u.c.ID) + what
	req, err := http.NewRequestWithContext(ctx, method, endpoint, bytes.NewReader(body))
	if err != nil {
		return nil, protocol("application endpoint is not a URL")
	}
	req.Header.Set("Accept", githubJSON)
	req.Header.Set("Content-Type", "application/json")
	req.SetBasicAuth(u.c.ID, u.c.Secret.Reveal())
	return send(by, req)
}

// githubCheck is POST …/token, which does not count as a failed login of the
// person whose token it is, and knows the tokens of this client only.
func githubCheck(ctx context.Context, u *upstream, t Tokens) (Check, error) {
	a, err := githubApplication(ctx, u, u.reads, http.MethodPost, "/token", t.Access)
	if err != nil {
		return Check{}, err
	}
	if !a.ok() {
		outcome, err := githubOutcome(a, failure(a, u.now(), t.Access, u.c.Secret))
		if outcome == models.OutcomeAlreadyRevoked {
			return Check{}, nil
		}
		return Check{}, err
	}
	if a.object == nil { // a gateway's page, which knows nothing of tokens
		return Check{}, failure(a, u.now(), t.Access, u.c.Secret)
	}
	return Check{Valid: true, ForClient: true, Scopes: githubScopes(a), ExpiresAt: githubTime(a), Account: githubOwner(a)}, nil
}

// githubReset is PATCH …/token. It gets a connection of its own, like every call
// whose answer is the only copy of a token.
func githubReset(ctx context.Context, u *upstream, t Tokens) (Tokens, error) {
	a, err := githubApplication(ctx, u, u.tokens, http.MethodPatch, "/token", t.Access)
	if err != nil {
		return Tokens{}, err
	}
	fresh := Tokens{Access: models.Secret(a.text("token")), Scopes: githubScopes(a), Account: githubOwner(a)}
	if !a.ok() || fresh.Access == "" {
		e := failure(a, u.now(), t.Access, u.c.Secret)
		outcome, err := githubOutcome(a, e)
		if outcome == models.OutcomeAlreadyRevoked {
			e.Kind, err = KindDenied, e
		}
		return Tokens{}, cmp.Or(err, error(unreadable(a, "the answer to the reset has no token")))
	}
	if at := githubTime(a); at != nil {
		fresh.ExpiresIn = max(time.Second, at.Sub(u.now()))
	}
	fresh.Missing = u.missing(fresh.Scopes)
	return fresh, nil
}

func githubScopes(a *answer) []string {
	return grantedScopes(map[string]any{"scope": a.object["scopes"]})
}

// githubOwner is the id that GET /user gives too.
func githubOwner(a *answer) Account {
	owner, _ := a.object["user"].(map[string]any)
	return account(SourceUser, owner["id"])
}

func githubTime(a *answer) *time.Time {
	at, err := time.Parse(time.RFC3339, a.text("expires_at"))
	if err != nil {
		return nil
	}
	return &at
}

// githubOutcome reads the status, which is all that GitHub tells. A 404 is a
// token that was invalid, provided GitHub itself says so; a 422 is abuse
// protection and proves nothing.
func githubOutcome(a *answer, e *Error) (models.Outcome, error) {
	switch {
	case a.ok():
		return models.OutcomeRevoked, nil
	case a.status == http.StatusNotFound && a.object != nil:
		return models.OutcomeAlreadyRevoked, nil
	case a.status == http.StatusUnauthorized:
		e.Kind = KindClient
	case a.status == http.StatusUnprocessableEntity:
		e.Kind = KindTransient
	}
	return "", e
}

// githubScopeWords are from https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/scopes-for-oauth-apps.
var githubScopeWords = map[string]string{
	"repo":             "Read and change all your repositories, private ones too",
	"repo:status":      "Read and set the status of commits",
	"repo_deployment":  "Read and set the status of deployments",
	"public_repo":      "Read and change your public repositories",
	"repo:invite":      "Accept and decline invitations to repositories",
	"security_events":  "Read and change security alerts of your repositories",
	"admin:repo_hook":  "Manage the webhooks of your repositories",
	"write:repo_hook":  "Create and change webhooks of your repositories",
	"read:repo_hook":   "See the webhooks of your repositories",
	"admin:org":        "Manage your organisations, their teams and members",
	"write:org":        "Change your membership in organisations, and their projects",
	"read:org":         "See your organisations, teams and memberships",
	"admin:public_key": "Manage your public SSH keys",
	"write:public_key": "Add public SSH keys, and see yours",
	"read:public_key":  "See your public SSH keys",
	"admin:org_hook":   "Manage the webhooks of your organisations",
	"gist":             "Create and change gists",
	"notifications":    "Read your notifications, and mark them as read",
	"user":             "Read and change your profile",
	"read:user":        "Read your profile",
	"user:email":       "See your e-mail addresses",
	"user:follow":      "Follow and unfollow other people",
	"project":          "Read and change your projects",
	"read:project":     "See your projects",
	"delete_repo":      "Delete your repositories",
	"write:packages":   "Publish packages",
	"read:packages":    "Download packages",
	"delete:packages":  "Delete packages",
	"codespace":        "Create and manage your codespaces",
	"workflow":         "Change the workflows of GitHub Actions",
	"read:audit_log":   "Read audit logs",
}
