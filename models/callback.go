package models

// Callback is what the upstream sent a person back with: a code or an error, never both
// (RFC 6749 section 4.1.2).
type Callback struct {
	ProviderID       string `json:"providerId" doc:"The provider that the consent was begun with."`
	State            Secret `json:"state" doc:"The state, as it came back."`
	Code             Secret `json:"code,omitempty" doc:"The code, when the person agreed."`
	Error            string `json:"error,omitempty" doc:"The error, when not. Exactly one of code and error is given."`
	ErrorDescription string `json:"error_description,omitempty" doc:"What the provider said about the error."`
	Iss              string `json:"iss,omitempty" doc:"The issuer, where the provider sent one (RFC 9207)."`
}

// Import is a token that somebody has already, of a consent that was given elsewhere.
type Import struct {
	ProviderID   string `json:"providerId" doc:"The provider whose client the token is for."`
	RefreshToken Secret `json:"refreshToken,omitempty" doc:"A refresh token. Exactly one of refreshToken and accessToken is given."`
	AccessToken  Secret `json:"accessToken,omitempty" doc:"An access token that has no refresh token."`
	ExpiresIn    int64  `json:"expiresIn,omitempty" minimum:"1" doc:"How many seconds the access token still lives, where the provider does not say; left out when it has no end."`
}
