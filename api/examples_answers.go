package api

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/models"
)

// What the examples agree on, so that they tell one story.
const (
	exampleProviderID      = "01936f2e-7c1a-7d4e-9b3f-5a6c8d2e1f04"
	exampleAuthorizationID = "01936f31-0a5b-7e21-8c4d-7f9e2b6a3d10"
	exampleJobID           = "01936f40-91d3-7b08-a5e6-3c1f4d8b9a22"
	exampleEventID         = "01936f38-4d2e-7a91-b6c3-8e0f5a7d1c33"
	exampleTokenID         = "01936f2c-11aa-7c05-8d97-2b4e6f8a9c10"
	exampleMadeTokenID     = "01936f33-5c7e-7b12-9a40-6d1f3e5b8c27"
	exampleLinkID          = "01936f31-7b2c-7d15-a3e8-4c6f9b1d2e70"
	exampleFarEnd          = "2035-03-03T00:00:00Z"
	exampleState           = "YWRhLWFuZC1oZXItc2Vzc2lvbg"
	exampleDeviceCode      = "3q2-7wEjRWeJq83vASNFZ4mrze8"
	exampleRequestID       = "9609f2a80d5b4c6e1f3a7d28"
)

var (
	exampleMade  = time.Date(2025, 3, 3, 9, 30, 0, 0, time.UTC)
	exampleSaved = exampleMade.Add(50 * time.Hour)
	exampleEnd   = exampleSaved.Add(8 * time.Hour)
)

// answerExamples are the bodies of success, by operation.
func (s *Server) answerExamples() map[string]any {
	location := Accepted{s.publicURL + root + "jobs/" + exampleJobID + "/"}
	token := &Token{AccessToken: "ghu_16C7e42F292c6912E7710c838347Ae178B4a", ExpiresAt: &exampleEnd, Authorization: exampleAuthorization()}
	completion := &Completion{Authorization: exampleAuthorization(), User: exampleUser()}
	return map[string]any{
		"listProviders":  List[models.Provider]{Data: []models.Provider{*exampleProvider()}, Count: 1},
		"createProvider": exampleProvider(),
		"getProvider":    exampleProvider(),
		"updateProvider": exampleProvider(),
		"deleteProvider": location,
		"resetProvider":  location,

		"authorize": Redirect{RedirectURL: "https://github.com/login/oauth/authorize?client_id=Iv1.8a61f9b3a7aba766&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256&redirect_uri=https%3A%2F%2Fapp.example.com%2Foauth%2Fcallback&response_type=code&state=" + exampleState,
			State: exampleState},
		"callback": completion,
		"beginDevice": DeviceConsent{DeviceCode: exampleDeviceCode, UserCode: "WDJB-MJHT", VerificationURI: "https://github.com/login/device",
			ExpiresIn: 900, Interval: 5},
		"pollDevice": completion,

		"listAuthorizations": List[models.Authorization]{Data: []models.Authorization{*exampleAuthorizationInFull()}, Count: 1},
		"getAuthorization":   exampleAuthorizationInFull(),
		"revokeUser":         location,
		"getToken":           token,
		"getAccessToken":     token,
		"importToken":        completion,
		"getUserInfo":        exampleUser(),
		"checkToken": Check{Valid: true, CheckedAt: exampleSaved, ExpiresAt: &exampleEnd, Scopes: models.Strings{"read:user"},
			MissingScopes: models.Strings{}, Status: models.AuthorizationActive},
		"resetToken":  &Reset{AccessToken: token.AccessToken, ExpiresAt: &exampleEnd, OldTokenRevoked: true, Authorization: exampleAuthorization()},
		"revokeToken": RevokedToken{Outcome: models.OutcomeRevoked, Status: models.AuthorizationActive},

		"createConnectLink":  MadeConnectLink{exampleLinkID, s.publicURL + broker.ConnectLinkPath + "9hFqkW2sXcV7bN4mJ1dR8tZ6yP3uL0aE5gQwT-iKoSs", exampleMade.Add(10 * time.Minute)},
		"listConnectLinks":   List[models.ConnectLink]{Data: []models.ConnectLink{exampleLink()}, Count: 1},
		"getConnectLink":     exampleLink(),
		"confirmConnectLink": Confirmed{Authorization: exampleAuthorization()},

		"startJob": location,
		"listJobs": List[models.Job]{Data: []models.Job{exampleJob()}, Count: 1},
		"getJob":   exampleJob(),
		"listJobItems": List[models.JobItem]{Count: 1, Data: []models.JobItem{{AuthorizationID: exampleAuthorizationID, UserID: "ada",
			ProviderID: exampleProviderID, Outcome: models.OutcomeRevoked, SettledAt: exampleSaved.Add(2 * time.Second)}}},
		"watchJob":       exampleStream(),
		"listAudit":      List[models.AuditEvent]{Count: 1, Data: []models.AuditEvent{exampleEvent()}},
		"exportAudit":    exampleLines(),
		"listStatistics": Days{Data: []models.Day{{Day: exampleSaved.Truncate(24 * time.Hour), Active: 41, Expired: 2, Made: 3, Refreshed: 984, RefreshFailed: 2, Revoked: 1, Fetched: 20410}}},

		"listApiTokens":  List[models.APIToken]{Count: 1, Data: []models.APIToken{exampleAPIToken()}},
		"getApiToken":    exampleAPIToken(),
		"createApiToken": MadeAPIToken{exampleAPIToken(), "grd_" + exampleMadeTokenID + "_keep-it-where-your-secrets-are"},

		"listWebhooks":   List[models.Webhook]{Count: 1, Data: []models.Webhook{exampleWebhook()}},
		"createWebhook":  MadeWebhook{exampleWebhook(), exampleWebhookSecret},
		"getWebhook":     exampleWebhook(),
		"updateWebhook":  exampleWebhook(),
		"rotateWebhook":  MadeWebhook{exampleWebhook(), exampleWebhookSecret},
		"listDeliveries": List[models.Delivery]{Count: 1, Data: []models.Delivery{exampleDelivery()}},
		"replayDelivery": models.Delivery{ID: exampleDeliveryID, WebhookID: exampleWebhookID, EventID: exampleToldID, EventType: models.EventConnectionBroken, Number: 42,
			Replayed: true, Status: models.DeliveryPending, CreatedAt: exampleSaved},
		"followEvents": exampleEvents(),

		"getMe": models.Me{OrgID: "example", UserID: "app-web", Role: models.RoleService, By: models.ByAPIToken, TokenID: exampleMadeTokenID, Name: "Web app",
			Providers: models.Strings{exampleProviderID}, ReturnOrigins: models.Strings{"https://app.example.com"}, ExpiresAt: &exampleEnd},

		"listSessions": List[models.BrowserSession]{Count: 1, Data: []models.BrowserSession{{ID: "01936f35-0b1c-7a4e-8d20-3c5b7a9e1f26", OrgID: "example",
			UserID: "corp:248289761001", Role: models.RoleUser, Issuer: "corp", Name: "Ada Lovelace", Address: "198.51.100.7",
			CreatedAt: exampleMade, LastUsedAt: exampleSaved, ExpiresAt: exampleMade.Add(7 * 24 * time.Hour)}}},

		"listExternalAuths": ExternalAuths{
			Providers: []ExternalAuthProvider{{ID: exampleProviderID, Type: "github", DisplayName: "GitHub", AllowRefresh: true, AllowValidate: true,
				SupportsRevocation: true, ChallengeMethods: []string{"S256"}}},
			Links: []ExternalAuthLink{{ProviderID: exampleProviderID, CreatedAt: exampleMade, UpdatedAt: exampleSaved, HasRefreshToken: true,
				Expires: &exampleEnd, Authenticated: true}},
		},
		"getExternalAuth": ExternalAuth{Authenticated: true, DisplayName: "GitHub", SupportsRevocation: true,
			User:          &models.Account{ID: 583231, Login: "ada", AvatarURL: "https://avatars.githubusercontent.com/u/583231", ProfileURL: "https://github.com/ada", Name: "Ada Lovelace"},
			Installations: []models.Installation{}},
		"deleteExternalAuth": ExternalAuthDeletion{TokenRevoked: true},
		"beginExternalDevice": ExternalAuthDevice{DeviceCode: exampleDeviceCode, UserCode: "WDJB-MJHT", VerificationURI: "https://github.com/login/device",
			ExpiresIn: 900, Interval: 5},
		"getAgentToken": AgentToken{AccessToken: token.AccessToken, TokenExtra: map[string]any{}, Type: "github", Username: "x-access-token",
			Password: token.AccessToken, ExpiresAt: &exampleEnd},

		"healthz": Health{Status: "ok"},
		"readyz":  Readiness{Status: "ok", Parts: map[string]string{"redis": "ok", "sql": "ok"}},
	}
}

func exampleProvider() *models.Provider {
	return &models.Provider{ID: exampleProviderID, OrgID: "example", Name: "GitHub", Slug: "github", Type: "github", Status: models.ProviderActive,
		ClientID: "Iv1.8a61f9b3a7aba766", SecureConfigID: "01936f2e-7c1a-7d50-8a11-2b3c4d5e6f70",
		Metadata:     models.ProviderMetadata{SettingsURL: "https://github.com/settings/connections/applications/Iv1.8a61f9b3a7aba766"},
		Scopes:       models.Strings{"read:user"},
		RedirectURIs: models.Strings{"https://app.example.com/oauth/callback"}, Config: models.Settings{},
		CreatedAt: exampleMade, UpdatedAt: exampleMade}
}

func exampleAuthorization() *models.Authorization {
	return &models.Authorization{ID: exampleAuthorizationID, OrgID: "example", UserID: "ada", CredentialID: "01936f31-0a5b-7e22-b0c1-9d8e7f6a5b43",
		OAuthClientID: "Iv1.8a61f9b3a7aba766", Scopes: models.Strings{"read:user"}, MissingScopes: models.Strings{},
		CreatedAt: exampleMade.Add(time.Hour), Status: models.AuthorizationActive, Provider: exampleProvider()}
}

// exampleAuthorizationInFull has what lists and a single authorization tell.
func exampleAuthorizationInFull() *models.Authorization {
	a, fetched := exampleAuthorization(), exampleSaved.Add(time.Hour)
	a.Account = &models.AuthorizedAccount{Sub: "583231", Login: "ada", Email: "ada@example.com"}
	a.ExpiresAt, a.RefreshedAt, a.LastFetchedAt = &exampleEnd, &exampleSaved, &fetched
	return a
}

func exampleUser() *User {
	return user(models.User{Sub: "583231", Name: "Ada Lovelace", GivenName: "Ada", FamilyName: "Lovelace", NickName: "ada",
		Email: "ada@example.com", Picture: "https://avatars.githubusercontent.com/u/583231", Raw: map[string]any{"id": 583231, "login": "ada"}})
}

func exampleJob() models.Job {
	started, finished := exampleSaved, exampleSaved.Add(3*time.Second)
	return models.Job{ID: exampleJobID, OrgID: "example", Type: models.JobDeleteProvider, Name: "Delete OAuth provider GitHub",
		Status: models.JobCompleted, StartedAt: &started, FinishedAt: &finished,
		Details: models.Details{{Name: "provider_id", Value: exampleProviderID}, {Name: "total", Value: "1"}, {Name: "revoked", Value: "1"},
			{Name: "already_revoked", Value: "0"}, {Name: "superseded", Value: "0"}, {Name: "no_live_token", Value: "0"}, {Name: "unsupported", Value: "0"},
			{Name: "failed", Value: "0"}, {Name: "abandoned", Value: "0"}, {Name: "pending", Value: "0"},
			{Name: "authorization_ids", Value: []string{exampleAuthorizationID}}}}
}

func exampleAPIToken() models.APIToken {
	return models.APIToken{ID: exampleMadeTokenID, OrgID: "example", UserID: "app-nightly", Role: models.RoleUser, Name: "Nightly import",
		CreatedAt: exampleMade, Providers: models.Strings{exampleProviderID}, MadeBy: exampleTokenID}
}

func exampleEvent() models.AuditEvent {
	return models.AuditEvent{ID: exampleEventID, At: exampleSaved, UserID: "root", TokenID: exampleTokenID, Action: models.ActionProviderChanged, ProviderID: exampleProviderID}
}

// exampleLines are JSON lines, as they are sent.
func exampleLines() string {
	line, err := json.Marshal(exampleEvent())
	if err != nil {
		panic(err) // made of our own structs only
	}
	return string(line) + "\n"
}

// exampleStream is the text of a stream, as it is sent.
func exampleStream() string {
	text := &strings.Builder{}
	running := exampleJob()
	running.Status, running.FinishedAt, running.Details = models.JobRunning, nil, models.Details{{Name: "total", Value: "1"}, {Name: "pending", Value: "1"}}
	for _, j := range []models.Job{running, exampleJob()} {
		e, err := eventOf(j, asJSON)
		if err != nil {
			panic(err) // made of our own structs only
		}
		text.WriteString(e.text)
	}
	return text.String()
}

func exampleLink() models.ConnectLink {
	return models.ConnectLink{ID: exampleLinkID, OrgID: "example", UserID: "ada", ProviderID: exampleProviderID, AppName: "Web app",
		ReturnURL: "https://app.example.com/connected", Confirm: true, Status: models.LinkReturned, CreatedAt: exampleMade, ExpiresAt: exampleMade.Add(12 * time.Minute)}
}

const (
	exampleWebhookID     = "01936f36-1c2d-7b5f-9e31-4d6c8b0f2a37"
	exampleDeliveryID    = "01936f36-5a4b-7c6d-8e7f-901a2b3c4d5e"
	exampleToldID        = "01936f36-4f3e-7d2c-8b1a-09f8e7d6c5b4"
	exampleWebhookSecret = "whsec_keep-it-where-your-secrets-are"
)

func exampleWebhook() models.Webhook {
	return models.Webhook{ID: exampleWebhookID, OrgID: "example", URL: "https://app.example.com/webhooks/grantd", Description: "Reminders",
		Events: models.Strings{string(models.EventConnectionBroken), string(models.EventConnectionExpiring)}, Status: models.WebhookActive, Confirmed: true,
		PublicKey: "whpk_l0Jc4vXbG1oLr4Gxz0VhIVYcTzJ9l0hZl0VbYHzQw3A=", LastDeliveredAt: &exampleSaved, CreatedAt: exampleMade, UpdatedAt: exampleSaved}
}

func exampleDelivery() models.Delivery {
	return models.Delivery{ID: exampleDeliveryID, WebhookID: exampleWebhookID, EventID: exampleToldID, EventType: models.EventConnectionBroken, Number: 42,
		Status: models.DeliveryDelivered, CreatedAt: exampleSaved, Attempts: models.Attempts{{At: exampleSaved, Seconds: 10, Result: models.NotDelivered},
			{At: exampleSaved.Add(15 * time.Second), Seconds: 0.1, Result: "204"}}}
}

// exampleEvents is a stream of one event.
func exampleEvents() string {
	n := int64(42)
	e := models.Event{ID: exampleToldID, Number: &n, Type: models.EventConnectionBroken, ProviderID: exampleProviderID, AuthorizationID: exampleAuthorizationID,
		UserID: "ada", Code: "invalid_grant", At: exampleSaved}
	text, err := eventText(e)
	if err != nil {
		panic(err) // made of our own structs only
	}
	return text
}
