package providers

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/grantd/grantd/models"
)

// googleType is Google accounts. Who somebody is comes from the user info endpoint;
// id_tokens name the same sub.
func googleType() *Type {
	return &Type{
		Name:          "google",
		DisplayName:   "Google",
		DefaultHost:   "accounts.google.com",
		tokenHosts:    []string{"googleapis.com", "googlesource.com", "source.developers.google.com"},
		DefaultScopes: []string{"openid", "email", "profile"},
		ScopeWords:    googleScopeWords,

		settings: []setting{{name: "prompt", check: isGooglePrompt, about: About{Label: "Prompt", Help: "What Google asks people each time. An account chooser alone brings no new refresh token.", Entry: EntryChoice, Choices: googlePrompts}}},
		idToken:  SourceUser,
		Behaviour: Behaviour{
			// A refresh brings an access token and nothing else. The refresh token stays,
			// and dies of six months without use, unless an answer says sooner (people may
			// consent for a time). Seven days for a project in "testing" are not told.
			// https://developers.google.com/identity/protocols/oauth2#expiration
			Rotates:            false,
			RefreshKillsAccess: false,
			RefreshLife:        180 * 24 * time.Hour,

			// Whichever token is revoked, everything goes that the person granted to the
			// project: the other scopes, and the tokens of its other clients.
			// https://developers.google.com/identity/protocols/oauth2/web-server#tokenrevoke
			RevokesSingly:      false,
			RevokesAll:         true,
			RevokesAccessAlone: false,

			// For clients of the type "TVs and limited input", with few scopes.
			Device: true,
		},
		hooks: hooks{
			domain:    googleProject,
			at:        googleAt,
			authorize: googleAuthorize,
			grants:    heldBy(googleScopes),
			revoke:    googleRevoke,
		},
	}
}

// googleAt has the issuer as it comes with authorization responses, with its
// scheme. The bare host, which the documentation allows too, is for id_tokens only.
func googleAt(_ Client, base string) Endpoints {
	const token = "https://oauth2.googleapis.com"
	return Endpoints{
		Endpoint: oauth2.Endpoint{
			AuthURL:   base + "/o/oauth2/v2/auth",
			TokenURL:  token + "/token",
			AuthStyle: oauth2.AuthStyleInParams,

			DeviceAuthURL: token + "/device/code",
		},
		Revoke:   token + "/revoke",
		UserInfo: "https://openidconnect.googleapis.com/v1/userinfo",
		Issuer:   base,
		Keys:     "https://www.googleapis.com/oauth2/v3/certs",
		Settings: "https://myaccount.google.com/permissions",
		Register: "https://console.cloud.google.com/apis/credentials",
	}
}

// googlePrompts are the values of config.prompt. An account chooser alone makes a
// person who has consented before come back without a refresh token.
var googlePrompts = []string{"consent", "select_account", "consent select_account"}

func isGooglePrompt(_ allowlist, v any) string {
	if prompt, ok := v.(string); !ok || !slices.Contains(googlePrompts, prompt) {
		return "must be one of " + strings.Join(googlePrompts, ", ")
	}
	return ""
}

// googleAuthorize asks for a refresh token, which Google gives only for offline
// access, and a second time only to a person who is asked for consent again. Where
// consent may be skipped, the refresh token of the first time stays valid.
func googleAuthorize(u *upstream, req AuthorizeRequest) map[string]string {
	extra := map[string]string{"access_type": "offline"}
	prompt := googlePrompts[0]
	if chosen, ok := u.c.Config["prompt"].(string); ok {
		prompt = chosen
	}
	if req.SkipConsent {
		prompt = strings.TrimSpace(strings.Replace(prompt, "consent", "", 1))
	}
	if prompt != "" {
		extra["prompt"] = prompt
	}
	return extra
}

// googleScopes are spelled out in answers.
var googleScopes = map[string][]string{
	"email":   {"https://www.googleapis.com/auth/userinfo.email"},
	"profile": {"https://www.googleapis.com/auth/userinfo.profile"},
}

// googleProject is the number of the project, with which its client ids begin.
func googleProject(c Client) string {
	number, _, found := strings.Cut(c.ID, "-")
	if !found || number == "" || strings.Trim(number, "0123456789") != "" {
		return c.ID
	}
	return number
}

// googleRevoke sends the refresh token, which revokes everything; the access
// token only if the refresh token was invalid before, as the oldest of more than a
// hundred is, while the grant may live. An invalid token is a 400 with invalid_token.
func googleRevoke(ctx context.Context, u *upstream, t Tokens, _ models.RevokeScope) (models.Outcome, error) {
	outcome := models.OutcomeNoLiveToken
	for _, token := range []models.Secret{t.Refresh, t.Access} {
		if token == "" || outcome == models.OutcomeRevoked {
			continue
		}
		var err error
		if outcome, err = googleRevokeOne(ctx, u, token); err != nil {
			return "", err
		}
	}
	return outcome, nil
}

// googleRevokeOne names no client and shows no secret: nobody asks for them.
func googleRevokeOne(ctx context.Context, u *upstream, token models.Secret) (models.Outcome, error) {
	req, err := formRequest(ctx, u.e.Revoke, url.Values{"token": {token.Reveal()}})
	if err != nil {
		return "", err
	}
	a, err := send(u.calls, req)
	if err != nil {
		return "", err
	}
	return u.revocation(a, token)
}

// googleScopeWords are from https://developers.google.com/identity/protocols/oauth2/scopes.
var googleScopeWords = map[string]string{
	"https://www.googleapis.com/auth/userinfo.email":           "See your e-mail address",
	"https://www.googleapis.com/auth/userinfo.profile":         "See your name and profile",
	"https://www.googleapis.com/auth/drive":                    "Read, change and delete all your files in Google Drive",
	"https://www.googleapis.com/auth/drive.readonly":           "Read all your files in Google Drive",
	"https://www.googleapis.com/auth/drive.file":               "Read and change the files in Google Drive that you use with the application",
	"https://www.googleapis.com/auth/drive.metadata.readonly":  "See the names and details of your files in Google Drive",
	"https://www.googleapis.com/auth/calendar":                 "Read and change your calendars",
	"https://www.googleapis.com/auth/calendar.readonly":        "See your calendars",
	"https://www.googleapis.com/auth/calendar.events":          "Read and change the events in your calendars",
	"https://www.googleapis.com/auth/calendar.events.readonly": "See the events in your calendars",
	"https://mail.google.com/":                                 "Read, write, send and permanently delete your mail",
	"https://www.googleapis.com/auth/gmail.readonly":           "Read your mail and its settings",
	"https://www.googleapis.com/auth/gmail.modify":             "Read, write and send mail, and move it to the bin",
	"https://www.googleapis.com/auth/gmail.compose":            "Write drafts, and send mail",
	"https://www.googleapis.com/auth/gmail.send":               "Send mail as you",
	"https://www.googleapis.com/auth/contacts":                 "Read and change your contacts",
	"https://www.googleapis.com/auth/contacts.readonly":        "See your contacts",
	"https://www.googleapis.com/auth/documents":                "Read and change your documents",
	"https://www.googleapis.com/auth/spreadsheets":             "Read and change your spreadsheets",
	"https://www.googleapis.com/auth/spreadsheets.readonly":    "Read your spreadsheets",
	"https://www.googleapis.com/auth/cloud-platform":           "Read, change and delete your data in Google Cloud",
}
