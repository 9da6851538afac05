package providers

import (
	"fmt"
	"slices"
	"strings"

	"github.com/grantd/grantd/models"
)

// setting is a key of config that a type knows. check says what is wrong with a
// value, "" for nothing.
type setting struct {
	name     string
	required bool
	check    func(allow allowlist, v any) string
}

// commonSettings are known to every type.
var commonSettings = []setting{
	{name: "pkce", check: isBool},
	{name: "requireIss", check: isBool},
}

func isBool(_ allowlist, v any) string {
	if _, ok := v.(bool); !ok {
		return "must be true or false"
	}
	return ""
}

// Validate judges what an admin wrote, without network, and names each wrong
// field as the API does: clientId, metadata.host, scopes, config.issuer. The
// secret is not looked at.
func (r *Registry) Validate(c Client) []models.FieldError {
	t, ok := r.types[c.Type]
	if !ok {
		return []models.FieldError{{Name: "type", Message: "must be one of " + strings.Join(r.names, ", ")}}
	}
	var wrong []models.FieldError
	note := func(name, message string) {
		if message != "" {
			wrong = append(wrong, models.FieldError{Name: name, Message: message})
		}
	}
	note("clientId", checkClientID(c.ID))
	note("metadata.host", r.checkHost(t, c.Host))
	note("scopes", checkScopes(t, c.Scopes))
	for _, e := range r.checkConfig(t, c.Config) {
		note(e.Name, e.Message)
	}
	return wrong
}

const maxClientID = 255

// checkClientID allows what RFC 6749 appendix A.1 does, except the two names
// that mean another place in a path.
func checkClientID(id string) string {
	switch {
	case id == "":
		return "is required"
	case len(id) > maxClientID:
		return fmt.Sprintf("must be at most %d characters", maxClientID)
	case id == "." || id == ".." || strings.ContainsFunc(id, func(c rune) bool { return c < ' ' || c > '~' }):
		return "must be printable ASCII"
	}
	return ""
}

func (r *Registry) checkHost(t *Type, host string) string {
	if host == "" {
		return ""
	}
	if !t.SelfManaged {
		return fmt.Sprintf("is not used by type %s", t.Name)
	}
	if err := r.allow.checkHost(host); err != nil {
		return err.Error()
	}
	return ""
}

const maxScopes = 4096 // characters of the parameter

// checkScopes judges the syntax (RFC 6749 §3.3); which scopes exist is the
// upstream's business.
func checkScopes(t *Type, scopes []string) string {
	for _, scope := range scopes {
		if scope == "" || strings.ContainsFunc(scope, func(c rune) bool { return c <= ' ' || c > '~' || c == '"' || c == '\\' }) {
			return "each must be printable ASCII without spaces, quotes and backslashes"
		}
	}
	switch {
	case len(strings.Join(scopes, " ")) > maxScopes:
		return fmt.Sprintf("must be at most %d characters together", maxScopes)
	case t.openID && scopes != nil && !slices.Contains(scopes, "openid"):
		return "must contain openid"
	}
	return ""
}

// checkConfig judges each key in the order of its name.
func (r *Registry) checkConfig(t *Type, config map[string]any) []models.FieldError {
	known := map[string]setting{}
	var names []string
	for _, s := range slices.Concat(commonSettings, t.settings) {
		known[s.name] = s
		names = append(names, s.name)
	}
	slices.Sort(names)
	var wrong []models.FieldError
	for key := range config {
		if _, ok := known[key]; !ok {
			wrong = append(wrong, models.FieldError{Name: "config." + short(key, 64),
				Message: fmt.Sprintf("is unknown: type %s knows %s", t.Name, strings.Join(names, ", "))})
		}
	}
	for _, name := range names {
		s := known[name]
		v, given := config[name]
		message := ""
		switch {
		case given:
			message = s.check(r.allow, v)
		case s.required:
			message = "is required"
		}
		if message != "" {
			wrong = append(wrong, models.FieldError{Name: "config." + name, Message: message})
		}
	}
	slices.SortStableFunc(wrong, func(a, b models.FieldError) int { return strings.Compare(a.Name, b.Name) })
	return wrong
}
