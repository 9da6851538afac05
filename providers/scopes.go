package providers

import "strings"

// What is kept of an answer's scopes.
const (
	maxGranted     = 256 // scopes
	maxGrantedSize = 256 // bytes of each
)

// FitScopes keeps of granted scopes what a row can hold: each once, tokens of RFC 6749
// section 3.3 of at most 256 bytes, the first 256 of them (T3). cut says that something
// was left out. nil stays nil: the upstream did not say.
func FitScopes(granted []string) (fit []string, cut bool) {
	if granted == nil {
		return nil, false
	}
	fit = []string{}
	seen := map[string]bool{}
	for _, scope := range granted {
		switch {
		case seen[scope]:
		case !isScope(scope) || len(scope) > maxGrantedSize || len(fit) == maxGranted:
			cut = true
		default:
			seen[scope] = true
			fit = append(fit, scope)
		}
	}
	return fit, cut
}

// openIDScopes say what the scopes of OpenID Connect Core allow (sections 3.1.2.1, 5.4 and 11), wherever a type has no
// words of its own for them.
var openIDScopes = map[string]string{
	"openid":         "Know which account is yours",
	"profile":        "See your name and profile",
	"email":          "See your e-mail address",
	"address":        "See your postal address",
	"phone":          "See your phone number",
	"offline_access": "Keep access while you are not using the application",
}

// ScopeInWords says what a scope allows, to people; "" where that is not known. What an admin has configured for any
// server is only known as far as OpenID Connect defines it.
func (at Upstream) ScopeInWords(scope string) string {
	t, ok := at.registry.types[at.client.Type]
	if !ok {
		return ""
	}
	if words := t.ScopeWords[scope]; words != "" {
		return words
	}
	if t.user != nil && t.idToken == "" || t.configurable && !t.openID { // who somebody is does not come from OpenID claims
		return ""
	}
	return openIDScopes[scope]
}

// isScope reports whether s is a scope-token of RFC 6749 section 3.3.
func isScope(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' || c == '"' || c == '\\' })
}
