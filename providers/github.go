package providers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"

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

		RefreshKillsAccess: true,
		RevokesSingly:      true,
		RevokeNeedsAccess:  true,

		at:     githubAt,
		user:   githubUser,
		revoke: githubRevoke,
	}
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
		},
		API:      githubAPI(base),
		Issuer:   base + "/login/oauth",
		Settings: base + "/settings/connections/applications/" + url.PathEscape(c.ID),
	}
}

func githubAPI(base string) string {
	host, secure := strings.CutPrefix(base, "https://")
	if secure && (host == "github.com" || strings.HasSuffix(host, ".ghe.com")) {
		return "https://api." + host
	}
	return base + "/api/v3"
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
	if e := (*Error)(nil); errors.As(err, &e) && (e.Status == http.StatusForbidden || e.Status == http.StatusNotFound) {
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

// githubRevoke deletes the person's whole grant, or one token, by the REST API:
// plain Basic (RFC 7617), never form-encoded, and the token in a JSON body.
func githubRevoke(ctx context.Context, u *upstream, t Tokens, scope models.RevokeScope) (models.Outcome, error) {
	if t.Access == "" {
		return models.OutcomeNoLiveToken, nil
	}
	body, err := json.Marshal(map[string]string{"access_token": t.Access.Reveal()})
	if err != nil {
		return "", protocol("token is not text")
	}
	what := "/grant"
	if scope == models.RevokeToken {
		what = "/token"
	}
	endpoint := u.e.API + "/applications/" + url.PathEscape(u.c.ID) + what
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, endpoint, bytes.NewReader(body))
	if err != nil {
		return "", protocol("revocation endpoint is not a URL")
	}
	req.Header.Set("Accept", githubJSON)
	req.Header.Set("Content-Type", "application/json")
	req.SetBasicAuth(u.c.ID, u.c.Secret.Reveal())
	a, err := send(u.calls, req)
	if err != nil {
		return "", err
	}
	return githubOutcome(a, failure(a, u.now(), t.Access, u.c.Secret))
}

// githubOutcome reads the status, which is all that GitHub tells. A 404 is a
// token that was dead, provided GitHub itself says so; a 422 is abuse
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
