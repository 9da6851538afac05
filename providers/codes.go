package providers

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// What upstreams say when they refuse: one table of codes for all of them, and where
// in an answer a code may be. Codes are judged, not statuses, because a bad client is
// a 400 at Box, a 401 at GitLab and a 200 at GitHub.

// codeTable has a line for the codes of each dialect that mean the same. A type that is
// configured may name more that end a grant (config.finalErrors).
var codeTable = []struct {
	dialect string
	kind    Kind
	codes   []string
}{
	{"RFC 6749, RFC 6750", KindDenied, []string{"invalid_grant", "invalid_token"}},
	{"OpenID Connect, Entra", KindDenied, []string{"interaction_required", "consent_required", "login_required"}},
	{"GitHub", KindDenied, []string{"bad_refresh_token", "bad_verification_code"}},
	{"HubSpot", KindDenied, []string{"bad_refresh_token", "bad_auth_code"}},
	{"Slack", KindDenied, []string{"invalid_refresh_token", "invalid_code", "code_already_used", "token_expired", "token_revoked"}},
	{"Zoho", KindDenied, []string{"invalid_code"}},
	{"Fitbit", KindDenied, []string{"invalid_grant", "expired_token"}},
	{"Facebook", KindDenied, []string{"190"}},
	{"several", KindDenied, []string{"expired_refresh_token", "revoked_refresh_token", "refresh_token_expired",
		"refresh_token_revoked", "refresh_token_invalid", "refresh_token_not_found", "invalid_refreshtoken"}},

	{"RFC 6749", KindClient, []string{"invalid_client", "unauthorized_client"}},
	{"GitHub", KindClient, []string{"incorrect_client_credentials"}},
	{"Google", KindClient, []string{"deleted_client"}},
	{"Slack", KindClient, []string{"bad_client_secret", "invalid_client_id"}},
	{"Zoho", KindClient, []string{"invalid_client_secret"}},

	{"RFC 6749", KindTransient, []string{"temporarily_unavailable", "server_error"}},
	{"RFC 8628", KindTransient, []string{"slow_down"}},
}

var kinds = func() map[string]Kind {
	all := map[string]Kind{}
	for _, row := range codeTable {
		for _, code := range row.codes {
			all[code] = row.kind
		}
	}
	return all
}()

// invalidTokenCodes are what a revocation is told of a token that is unknown, beside the
// codes that end a grant.
var invalidTokenCodes = []string{"token_not_found", "unknown_token", "token_not_valid", "no_such_token", "already_revoked"}

// Codes that mean something else, known by the text beside them.
var (
	// LinkedIn: "The provided authorization grant or refresh token is invalid, expired
	// or revoked."; Bitbucket: "Invalid refresh_token".
	invalidRefreshText = regexp.MustCompile(`(?i)\b(invalid|expired|revoked|unknown)[ _-]refresh[ _-]?token\b` +
		`|\brefresh[ _-]?token\W+((is|has|was)\W+)?((been|no longer|either|already|not)\W+)*(invalid|expired|revoked|unknown|valid|found|does not exist)\b`)
	// Box reports a bad client under several codes; Bitbucket and Entra under
	// unauthorized_client, which others say of a refresh token that is no longer valid.
	badClientText    = regexp.MustCompile(`(?i)client credentials are not valid|invalid oauth client credentials|AADSTS(700016|7000112)\b`)
	invalidTokenText = regexp.MustCompile(`(?i)\b(invalid|expired|revoked|unknown)[ _-]((access|refresh)[ _-])?token\b` +
		`|\btoken\W+((is|has|was)\W+)?((been|no longer|either|already|not)\W+)*(invalid|expired|revoked|unknown|valid|found|does not exist)\b`)
	// aboutTheRequest are texts about another parameter than the token.
	aboutTheRequest = regexp.MustCompile(`(?i)grant[ _-]?type|token[ _-]?type|scope|client|parameter|redirect`)
)

// saysInvalid reports whether a text matches the pattern, and so says that a token is no longer valid.
func saysInvalid(pattern *regexp.Regexp, text string) bool {
	return pattern.MatchString(text) && !aboutTheRequest.MatchString(text)
}

// codes returns the error codes of an answer, in the order in which they are believed,
// in lower case: {"error":"…"}, {"error":{"code":…}}, {"errors":[{"errorType":"…"}]}, or
// beside everything else.
func (a *answer) codes() []string {
	found := a.errorCodes()
	for _, name := range []string{"code", "error_code", "errorCode", "errorType", "status", "type"} {
		if s, ok := a.object[name].(string); ok { // a number here is a status
			found = append(found, codeText(s))
		}
	}
	return found
}

// errorCodes are the codes in error and errors.
func (a *answer) errorCodes() []string {
	var found []string
	add := func(v any) {
		if s := codeText(v); s != "" {
			found = append(found, s)
		}
	}
	for _, nested := range a.errorsInside() {
		switch e := nested.(type) {
		case map[string]any:
			for _, name := range []string{"error", "code", "errorType", "error_code", "type", "status", "reason"} {
				add(e[name])
			}
		default:
			add(e)
		}
	}
	return found
}

// errorsInside are what error and errors hold.
func (a *answer) errorsInside() []any {
	var all []any
	for _, name := range []string{"error", "errors"} {
		switch e := a.object[name].(type) {
		case nil:
		case []any:
			all = append(all, e...)
		default:
			all = append(all, e)
		}
	}
	return all
}

// codeText is a code as it is compared.
func codeText(v any) string {
	switch v := v.(type) {
	case string:
		return strings.ReplaceAll(strings.ToLower(strings.TrimSpace(v)), " ", "_")
	case json.Number:
		return v.String()
	}
	return ""
}

// errorText is what an answer says to people about its error.
func (a *answer) errorText() string {
	if s := a.text("error_description"); s != "" {
		return s
	}
	for _, nested := range a.errorsInside() {
		if e, ok := nested.(map[string]any); ok {
			for _, name := range []string{"message", "error_description", "description", "detail"} {
				if s, _ := e[name].(string); s != "" {
					return s
				}
			}
		}
	}
	for _, name := range []string{"message", "msg", "detail", "description"} {
		if s := a.text(name); s != "" {
			return s
		}
	}
	return ""
}

// saysError reports whether an answer is a refusal by its own words, whatever its status.
func (a *answer) saysError() bool {
	for _, e := range a.errorsInside() {
		if s, isText := e.(string); !isText || s != "" {
			return true
		}
	}
	for _, name := range []string{"ok", "success"} {
		if done, said := a.object[name].(bool); said && !done {
			return true
		}
	}
	return slices.ContainsFunc(a.codes(), func(code string) bool { return kinds[code] != "" })
}

// mainCode is the code that an answer is judged by: the first that is in the table, else
// the first of its error.
func (a *answer) mainCode() string {
	for _, code := range a.codes() {
		if kinds[code] != "" {
			return code
		}
	}
	for _, code := range a.errorCodes() {
		if codeShape.MatchString(code) { // not a status that is repeated in the body
			return code
		}
	}
	return ""
}

// finalCode is a code of the answer that config.finalErrors names, "" for none.
func (u *upstream) finalCode(a *answer) string {
	if !u.t.configurable || a.down() || a.throttled() {
		return ""
	}
	named, _ := u.c.Config["finalErrors"].([]any)
	for _, code := range a.codes() {
		if slices.Contains(named, any(code)) {
			return code
		}
	}
	return ""
}

// isInvalidToken reports whether the answer to a revocation says that the token is unknown
// or invalid. A 401 or 403 is about the client.
func (a *answer) isInvalidToken() bool {
	if a.object == nil || !a.ok() && a.status != http.StatusBadRequest && a.status != http.StatusNotFound && a.status != http.StatusGone {
		return false
	}
	code := a.mainCode()
	return slices.Contains(invalidTokenCodes, code) || kinds[code] == "" && saysInvalid(invalidTokenText, a.errorText())
}

const (
	maxFinalErrors = 32
	maxFinalError  = 64
)

var finalErrorShape = regexp.MustCompile(fmt.Sprintf(`^[a-z0-9_.:-]{1,%d}$`, maxFinalError))

func areFinalErrors(_ allowlist, v any) string {
	named, ok := v.([]any)
	if !ok || len(named) == 0 || len(named) > maxFinalErrors {
		return fmt.Sprintf("must be a list of 1 to %d error codes", maxFinalErrors)
	}
	for _, v := range named {
		code, _ := v.(string)
		switch {
		case !finalErrorShape.MatchString(code):
			return fmt.Sprintf("must contain only error codes: at most %d of a-z, 0-9, and _ . : -, as texts, in lower case", maxFinalError)
		case kinds[code] == KindClient || kinds[code] == KindTransient:
			return fmt.Sprintf("must not contain %s, which is not about a grant", code)
		}
	}
	return ""
}
