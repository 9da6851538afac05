package providers

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/grantd/grantd/models"
)

// setting is a key of config that a type knows. check says what is wrong with a
// value, "" for nothing.
type setting struct {
	name     string
	required bool
	check    func(allow allowlist, v any) string
	about    About
}

// commonSettings are known to every type.
var commonSettings = []setting{
	{name: "authorizeParams", check: areParams, about: About{Label: "Further parameters", Help: "Sent with the authorization request.", Example: "audience=https://api.example.com", Entry: EntryPairs}},
	{name: "device", check: isBool, about: About{Label: "Consent on another device", Help: "Whether people may consent with a code on another device (RFC 8628). The provider must allow it for the client.", Entry: EntryYesNo}},
	{name: "pkce", check: isBool, about: About{Label: "PKCE", Help: "On unless it is switched off, for a provider that chokes on it.", Entry: EntryYesNo}},
	{name: "requireIss", check: isBool, about: About{Label: "Require iss", Help: "Refuse answers that do not say which issuer they come from (RFC 9207).", Entry: EntryYesNo}},
	{name: callsPerHour, check: isPerHour, about: About{Label: "Calls an hour", Help: "How many calls with the client the provider takes in an hour. Work in the background leaves half of them to people.", Example: "5000", Entry: EntryNumber}},
	{name: tokenCallsPerHour, check: isPerHour, about: About{Label: "Token calls an hour", Help: "The same for the token endpoint.", Example: "2000", Entry: EntryNumber}},
	{name: "icon", check: isIcon, about: About{Label: "Icon", Help: "An https address, or a path on this host, which alone the pages show.", Example: "/icons/example.svg"}},
	{name: "match", check: isMatch, about: About{Label: "Places that tokens are for", Help: "Hosts, with a path if need be, by which git and agents find the provider. Without any its own host.", Example: "git.example.com/team", Entry: EntryList}},
}

// ours are the parameters of an authorization request that protect it or decide
// where it ends, and so are not for admins to set.
var ours = []string{"client_id", "client_secret", "code_challenge", "code_challenge_method", "nonce", "redirect_uri",
	"request", "request_uri", "response_mode", "response_type", "scope", "state"}

const maxParams = 16

func areParams(_ allowlist, v any) string {
	params, ok := v.(map[string]any)
	if !ok || len(params) > maxParams {
		return fmt.Sprintf("must be an object with at most %d parameters of the authorization request", maxParams)
	}
	for name, value := range params {
		text, ok := value.(string)
		switch {
		case slices.Contains(ours, strings.ToLower(name)):
			return "must not contain " + name + ", which is set by other means"
		case checkScopes(&Type{}, []string{name}) != "" || len(name) > 64:
			return "must have names of printable ASCII, at most 64 characters"
		case !ok || len(text) > 512 || strings.ContainsFunc(text, unicode.IsControl):
			return "must have texts of at most 512 characters as values"
		}
	}
	return ""
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
func (at Upstream) Validate() []models.FieldError {
	t, ok := at.registry.types[at.client.Type]
	if !ok {
		return []models.FieldError{{Name: "type", Message: "must be one of " + strings.Join(at.registry.names, ", ")}}
	}
	var wrong []models.FieldError
	note := func(name, message string) {
		if message != "" {
			wrong = append(wrong, models.FieldError{Name: name, Message: message})
		}
	}
	note("clientId", checkClientID(at.client.ID))
	note("metadata.host", at.registry.checkHost(t, at.client.Host))
	note("scopes", checkScopes(t, at.client.Scopes))
	for _, e := range at.registry.checkConfig(t, at.client.Config) {
		note(e.Name, e.Message)
	}
	if len(wrong) > 0 {
		return wrong
	}
	return at.registry.impossible(t, at.client)
}

// impossible finds settings that ask for what the client's endpoints lack, or for what
// is not theirs.
func (r *Registry) impossible(t *Type, c Client) []models.FieldError {
	u, err := r.At(c).derived()
	if err != nil {
		return nil
	}
	var wrong []models.FieldError
	if on, _ := c.Config["device"].(bool); on && (!t.Device || !t.discovers && u.e.DeviceAuthURL == "") {
		wrong = append(wrong, models.FieldError{Name: "config.device", Message: "is not possible: this upstream has no known device flow"})
	}
	if on, _ := c.Config["requireIss"].(bool); on && u.e.Issuer == "" && t.isIssuer == nil {
		wrong = append(wrong, models.FieldError{Name: "config.requireIss", Message: "is not possible: this upstream has no known issuer"})
	}
	if stranger := u.strangePlace(); stranger != "" {
		wrong = append(wrong, models.FieldError{Name: "config.match", Message: stranger})
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
	case id == "." || id == "..":
		return "must not be a name that means another place in a path"
	}
	return unprintable(id)
}

// CheckSecret says what is wrong with a client secret (RFC 6749 appendix A.2), without
// quoting any of it.
func CheckSecret(secret models.Secret) string {
	const longest = 4096
	v := secret.Reveal()
	if v == "" || len(v) > longest {
		return fmt.Sprintf("must be 1 to %d printable characters", longest)
	}
	return unprintable(v)
}

// unprintable says where a text that was pasted has a character that nobody sees.
func unprintable(s string) string {
	at := models.Unprintable(s)
	switch {
	case at == 0:
		return ""
	case at == 1 && s[0] == ' ':
		return "must not begin with a space"
	case at == utf8.RuneCountInString(s) && strings.HasSuffix(s, " "):
		return fmt.Sprintf("must not end with a space: character %d is one", at)
	}
	return fmt.Sprintf("must be printable ASCII: character %d is not, such as a line break or a no-break space that was pasted along", at)
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
		if !isScope(scope) {
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

// knows returns every key of config that the type takes.
func (t *Type) knows() []setting {
	all := slices.Concat(commonSettings, t.settings)
	if t.configurable {
		all = append(all, traitSettings...)
	}
	return all
}

// checkConfig judges each key in the order of its name.
func (r *Registry) checkConfig(t *Type, config map[string]any) []models.FieldError {
	known := map[string]setting{}
	var names []string
	for _, s := range t.knows() {
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
