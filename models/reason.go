package models

import "fmt"

// Reason is why an authorization has expired: one of those below, or the error code
// that the upstream refused a refresh with.
type Reason string

// The reasons that are not the upstream's own words.
const (
	ReasonRevokedUpstream  Reason = "revoked_upstream"  // a check, or a reset, found that the token is not accepted
	ReasonLostResponse     Reason = "lost_response"     // the new tokens were in an answer that never came
	ReasonTokenRevoked     Reason = "token_revoked"     // somebody asked for that here
	ReasonIdentityMismatch Reason = "identity_mismatch" // a refresh or a reset brought another account's tokens
	ReasonNoRefreshToken   Reason = "no_refresh_token"  // the access token has ended, and nothing can replace it

	ReasonRefusedRepeatedly Reason = "refused_repeatedly" // with the same words, while others were accepted or for a day
	ReasonRefusedForDays    Reason = "refused_for_days"   // with whatever words
)

// Reasons has, for each, the sentence that tells a person what happened and what to do.
var Reasons = map[Reason]string{
	ReasonRevokedUpstream:   "The provider does not accept the access token any more: it was revoked there, or has ended. Consent again.",
	ReasonLostResponse:      "The provider's answer with the new tokens was lost, and it does not accept the old ones any more. Consent again.",
	ReasonTokenRevoked:      "The token was revoked at the provider, or somebody asked for that through this API, and nothing is left to get another one with. Consent again.",
	ReasonIdentityMismatch:  "The provider answered with the tokens of another account, which are not used. Consent again with the account that was connected; if it happens again, an admin should ask the provider why.",
	ReasonRefusedRepeatedly: "The provider refused to refresh the tokens again and again, with the same error. Consent again, or ask it once more with a check.",
	ReasonRefusedForDays:    "The provider has refused to refresh the tokens for a week. Consent again, or ask it once more with a check.",
	ReasonNoRefreshToken:    "The access token has ended, and the provider gave no refresh token to get another one with. Consent again.",
}

// Message returns the sentence for a reason; for an error code of the upstream one that
// names it.
func (r Reason) Message() string {
	if text := Reasons[r]; text != "" {
		return text
	}
	if r == "" {
		return "The provider refused to refresh the tokens. Consent again."
	}
	return fmt.Sprintf("The provider refused to refresh the tokens, with the error %s. Consent again.", string(r))
}
