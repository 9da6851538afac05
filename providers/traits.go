package providers

import (
	"encoding/json"
	"fmt"
	"time"
)

// traitSettings are what an admin may know of a server that its type cannot.
var traitSettings = []setting{
	{name: "defaultLifetime", check: isLifetime, about: About{Label: "Lifetime of access tokens", Help: "In seconds, where no answer of the provider says it.", Example: "3600", Entry: EntryNumber}},
	{name: "finalErrors", check: areFinalErrors, about: About{Label: "Errors that end a grant", Help: "Codes by which this provider says that a refresh token is over, beside those of the standards.", Example: "token_revoked", Entry: EntryList}},
	{name: "refreshKillsAccess", check: isBool, about: About{Label: "A refresh ends the old access token", Help: "Yes unless it is known that the old one stays valid.", Entry: EntryYesNo}},
	{name: "revokesSingly", check: isBool, about: About{Label: "Tokens are revoked singly", Help: "Whether one pair of tokens can be revoked without the rest of what the person granted.", Entry: EntryYesNo}},
}

// Traits returns the type as it is for this client: where config has a say in how
// the upstream behaves, that is respected. False means that there is no such type.
func (at Upstream) Traits() (Type, bool) {
	t, ok := at.registry.types[at.client.Type]
	if !ok {
		return Type{}, false
	}
	traits := *t
	if t.configurable {
		decide(&traits.RefreshKillsAccess, at.client.Config["refreshKillsAccess"])
		decide(&traits.RevokesSingly, at.client.Config["revokesSingly"])
		if d, ok := wholeSeconds(at.client.Config["defaultLifetime"]); ok {
			traits.DefaultLifetime = d
		}
	}
	return traits, true
}

func decide(trait *bool, said any) {
	if v, ok := said.(bool); ok {
		*trait = v
	}
}

// maxDefaultLifetime is the longest life that config.defaultLifetime may claim.
const maxDefaultLifetime = 365 * 24 * time.Hour

func isLifetime(_ allowlist, v any) string {
	if _, ok := wholeSeconds(v); !ok {
		return fmt.Sprintf("must be the seconds that an access token lives where no answer says so, a whole number from 1 to %d", int(maxDefaultLifetime.Seconds()))
	}
	return ""
}

// wholeSeconds reads a number of config, which JSON may have made of several types.
func wholeSeconds(v any) (time.Duration, bool) {
	var n float64
	switch v := v.(type) {
	case float64:
		n = v
	case int:
		n = float64(v)
	case json.Number:
		n, _ = v.Float64()
	}
	d := time.Duration(n) * time.Second
	return d, n >= 1 && n <= maxDefaultLifetime.Seconds() && n == float64(int64(n))
}
