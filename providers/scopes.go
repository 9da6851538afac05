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

// isScope reports whether s is a scope-token of RFC 6749 section 3.3.
func isScope(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' || c == '"' || c == '\\' })
}
