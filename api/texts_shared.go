package api

// fieldTexts describe fields that the maps of fieldDocs do not: by schema, and under ""
// those that mean the same in every schema.
var fieldTexts = map[string]map[string]string{
	"": {
		"id":        "The id; it does not change.",
		"orgId":     "The organisation it belongs to.",
		"createdAt": "When it was made.",
		"updatedAt": "When it was changed last.",
		"data":      "The things of this page.",
		"name":      "The name, for people to read.",
	},
	"Account":    {"login": "The name that people know the account by.", "avatar_url": "The address of its picture; may be empty.", "profile_url": "The address of its page; may be empty.", "id": "The account's number; 0 where its name is no number."},
	"AgentToken": {"type": "The type of the provider; empty when nothing is connected."},
	"Detail":     {"name": "What is told.", "value": "A text, or a list of at most 100 texts."},
	"ExternalAuth": {
		"app_install_url": "Where the app can be installed; empty where there is none.", "authenticated": "Whether the link works; false without one.",
		"display_name": "The provider's name.", "installations": "Where the app is installed.", "supports_revocation": "Whether the upstream takes tokens back.",
	},
	"ExternalAuthDevice":   {"user_code": "What the person enters there."},
	"ExternalAuthLink":     {"created_at": "When the account was connected.", "has_refresh_token": "Whether the token can be refreshed.", "provider_id": "The provider's id."},
	"ExternalAuthProvider": {"allow_refresh": "Whether tokens are refreshed; always true.", "code_challenge_methods_supported": "S256 where PKCE is used; else empty.", "display_name": "The provider's name.", "type": "The kind of provider, such as github."},
	"ExternalAuths":        {"links": "What the user has connected.", "providers": "What can be connected."},
	"FieldError":           {"name": "The field or parameter.", "message": "What would be right."},
	"Health":               {"status": "Always ok."},
	"Installation":         {"configure_url": "Where the installation is configured.", "id": "The installation's number."},
	"Job":                  {"status": "PENDING, RUNNING, COMPLETED or ERROR; the last two are final."},
	"User": {
		"description": "What the person says of themselves; may be empty.", "familyName": "The family name; may be empty.", "givenName": "The given name; may be empty.",
		"locale": "The person's language, such as en-GB; may be empty.", "nickName": "The name that people know the account by; may be empty.", "picture": "The address of a picture; may be empty.",
	},
	"Validation": {"field": "The field or parameter.", "detail": "What would be right."},
}

// textOf returns the description of a field that has none yet.
func textOf(schema, field string) string {
	if text := fieldTexts[schema][field]; text != "" {
		return text
	}
	return fieldTexts[""][field]
}
