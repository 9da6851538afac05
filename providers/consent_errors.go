package providers

import "slices"

// Two of the codes that ConsentError returns.
const (
	ConsentDenied = "access_denied"
	ConsentOther  = "other"
)

// consentErrors are the errors that an upstream may send a person back with, instead
// of a code.
var consentErrors = []string{
	// RFC 6749, section 4.1.2.1
	"invalid_request", "unauthorized_client", ConsentDenied, "unsupported_response_type", "invalid_scope", "server_error", "temporarily_unavailable",
	// OpenID Connect Core, section 3.1.2.6
	"interaction_required", "login_required", "account_selection_required", "consent_required",
	"invalid_request_uri", "invalid_request_object", "request_not_supported", "request_uri_not_supported", "registration_not_supported",
	// RFC 8707
	"invalid_target",
	// GitHub
	"application_suspended", "redirect_uri_mismatch",
	// Google
	"admin_policy_enforced", "org_internal", "invalid_client",
}

// ConsentError returns the error that a person came back with if it is in the closed
// list, and ConsentOther for every other: the text is in an address that anybody can
// write, and must reach neither a log nor a row.
func ConsentError(code string) string {
	if slices.Contains(consentErrors, code) {
		return code
	}
	return ConsentOther
}
