package models

import "time"

// Me is who a request comes from, as grantd sees them.
type Me struct {
	OrgID  string `json:"orgId" doc:"The organisation."`
	UserID string `json:"userId" doc:"The caller's own name. A service acts for the users that its requests name."`
	Role   Role   `json:"role" doc:"admin, user or service."`
	// By is how the caller authenticated.
	By Authentication `json:"authenticatedBy" enum:"apiToken,issuer" doc:"apiToken, or issuer for a bearer token of a trusted issuer. Sessions of the pages are not accepted by the API."`
	// TokenID names what the caller authenticated with, as the audit trail does.
	TokenID string `json:"tokenId" doc:"The id of the API token, or issuer:<entry> with the entry of the operator's list that the bearer token fits. The audit trail has the same."`
	Name    string `json:"name" doc:"The name of the API token, or of the entry; may be empty."`
	// Providers are the ids of those that the caller is limited to, none where it is not.
	Providers     Strings    `json:"providers" doc:"The ids of the providers that the caller is limited to; empty where it is not. A slug that no provider has stands as it is."`
	ReturnOrigins Strings    `json:"returnOrigins" doc:"The origins that connect links of the caller may return to, in addition to those that the operator allows."`
	ExpiresAt     *time.Time `json:"expiresAt" doc:"When the token ends that was sent; null where it does not."`
}

// Authentication is a way in which callers of the API authenticate.
type Authentication string

// The ways.
const (
	ByAPIToken Authentication = "apiToken"
	ByIssuer   Authentication = "issuer"
)
