package api

import (
	"encoding/json"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// requestExamples are bodies to copy, by operation: each is accepted as it is once the
// ids and secrets in it are one's own.
var requestExamples = map[string][]example{
	"createProvider": {
		{"github", "GitHub", `{"name": "GitHub", "type": "github", "clientId": "Iv1.8a61f9b3a7aba766", "clientSecret": "paste-the-client-secret", "redirectUris": ["https://app.example.com/oauth/callback"]}`},
		{"oidc", "An OpenID Connect provider", `{"name": "Company login", "type": "oidc", "clientId": "grantd", "clientSecret": "paste-the-client-secret", "scopes": ["openid", "email", "offline_access"], "config": {"issuer": "https://login.example.com"}}`},
		{"oauth2", "Any other OAuth 2.0 server", `{"name": "Tracker", "type": "oauth2", "clientId": "grantd", "clientSecret": "paste-the-client-secret", "scopes": ["read"], "config": {"authorizeUrl": "https://tracker.example.com/oauth/authorize", "tokenUrl": "https://tracker.example.com/oauth/token", "userInfoUrl": "https://tracker.example.com/api/me", "authStyle": "basic", "claims": {"sub": "data.id"}}}`},
	},
	"updateProvider": {
		{"secret", "A new client secret", `{"clientSecret": "paste-the-new-client-secret"}`},
		{"switchOff", "Switch it off", `{"status": "inactive"}`},
	},
	"callback": {
		{"agreed", "The person agreed", `{"providerId": "` + exampleProviderID + `", "state": "` + exampleState + `", "code": "paste-the-code"}`},
		{"declined", "The person declined", `{"providerId": "` + exampleProviderID + `", "state": "` + exampleState + `", "error": "access_denied"}`},
	},
	"pollDevice": {{"poll", "Poll", `{"deviceCode": "` + exampleDeviceCode + `"}`}},
	"importToken": {
		{"refreshToken", "A refresh token", `{"providerId": "` + exampleProviderID + `", "refreshToken": "paste-the-refresh-token"}`},
		{"accessToken", "An access token that has no refresh token", `{"providerId": "` + exampleProviderID + `", "accessToken": "paste-the-access-token", "expiresIn": 3600}`},
	},
	"createConnectLink": {
		{"confirm", "Confirmed by the app", `{"userId": "ada", "providerId": "` + exampleProviderID + `", "returnUrl": "https://app.example.com/connected"}`},
		{"signIn", "For a person who signs in", `{"userId": "ada", "providerId": "` + exampleProviderID + `", "signIn": true}`},
	},
	"confirmConnectLink": {{"confirm", "Confirm", `{"result": "paste-the-result", "userId": "ada"}`}},
	"createApiToken": {
		{"machine", "For a machine", `{"role": "user", "userId": "app-nightly", "name": "Nightly import", "expiresAt": "` + exampleFarEnd + `"}`},
	},
	"createWebhook":      {{"connections", "Of connections that need their person", `{"url": "https://app.example.com/webhooks/grantd", "events": ["connection.broken", "connection.expiring"]}`}},
	"updateWebhook":      {{"on", "Switch it on again", `{"status": "active"}`}},
	"startJob":           {{"stats", "Count providers and authorizations", `{"type": "STATS"}`}},
	"pollExternalDevice": {{"poll", "Poll", `{"device_code": "` + exampleDeviceCode + `"}`}},
}

// example is a body to copy, with a name and a title.
type example struct{ name, title, body string }

// addExamples puts the examples into the document. Those of requests are text, because
// the types that carry secrets print nothing of them; those of answers are values of
// the structs that the handlers answer with.
func (s *Server) addExamples() {
	answers := s.answerExamples()
	s.addErrorExamples()
	for _, path := range s.huma.OpenAPI().Paths {
		for _, op := range []*huma.Operation{path.Get, path.Post, path.Patch, path.Delete} {
			if op == nil {
				continue
			}
			if op.RequestBody != nil {
				op.RequestBody.Content["application/json"].Examples = documented(requestExamples[op.OperationID])
			}
			for status, response := range op.Responses {
				for _, media := range response.Content {
					if strings.HasPrefix(status, "2") {
						media.Example = answers[op.OperationID]
					}
				}
			}
		}
	}
}

func documented(examples []example) map[string]*huma.Example {
	all := map[string]*huma.Example{}
	for _, e := range examples {
		all[e.name] = &huma.Example{Summary: e.title, Value: json.RawMessage(e.body)}
	}
	return all
}
