package providers

import (
	"cmp"
	"maps"
	"slices"
)

// Setting is a key of config as a form for people shows it.
type Setting struct {
	Name     string
	Required bool
	About
}

// About is what people are told of a setting.
type About struct {
	Label, Help, Example string
	Entry                Entry
	Choices              []string // of a Choice
}

// Entry is how a setting is entered.
type Entry string

// The ways to enter a setting.
const (
	EntryText   Entry = "text"
	EntryYesNo  Entry = "yes or no"
	EntryNumber Entry = "number"
	EntryChoice Entry = "choice"
	EntryList   Entry = "list"  // of texts
	EntryPairs  Entry = "pairs" // of a name and a text
)

// Settings are the keys of config that a type knows: its own first, and those that every type has last.
func (r *Registry) Settings(typ string) []Setting {
	t, ok := r.types[typ]
	if !ok {
		return nil
	}
	var all []Setting
	for _, s := range slices.Concat(t.settings, traitSettingsOf(t), commonSettings) {
		s.about.Entry = cmp.Or(s.about.Entry, EntryText)
		all = append(all, Setting{s.name, s.required, s.about})
	}
	return all
}

func traitSettingsOf(t *Type) []setting {
	if t.configurable {
		return traitSettings
	}
	return nil
}

// TakesPublicClients reports whether a client of the type may do without a client secret.
func (t Type) TakesPublicClients() bool { return t.public }

// RegisterPage is where clients of the type are registered at its public host, "" where that is not known.
func (r *Registry) RegisterPage(typ string) string {
	return r.At(Client{Type: typ, ID: "new"}).RegisterURL()
}

// What settings that several types have are about.
var (
	aboutAuthStyle     = About{Label: "Client authentication", Help: "How the client authenticates at the token endpoint: in the header (basic), in the form (post), or not at all (none, a public client).", Entry: EntryChoice, Choices: slices.Sorted(maps.Keys(authStyles))}
	aboutRevokeURL     = About{Label: "Revocation endpoint", Help: "Where tokens are revoked (RFC 7009). Without it nothing is revoked at the provider, unless its metadata names one.", Example: "https://id.example.com/oauth/revoke"}
	aboutIntrospectURL = About{Label: "Introspection endpoint", Help: "Where is asked whether a token is good (RFC 7662).", Example: "https://id.example.com/oauth/introspect"}
	aboutIssuer        = About{Label: "Issuer", Help: "Exactly as the provider writes it: it is compared byte for byte.", Example: "https://id.example.com"}
)
