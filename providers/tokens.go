package providers

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/grantd/grantd/models"
)

// The flags of Tokens.
const (
	FlagBadExpiry        = "bad_expires_in"
	FlagBadRefreshExpiry = "bad_refresh_expires_in"
	FlagOddTokenType     = "odd_token_type"
	FlagErrorWithToken   = "error_with_token"
	FlagScopesCut        = "scopes_cut" // see FitScopes
	FlagUnverifiedID     = "unverified_id_token"
)

// MaxToken is the longest token that is kept. Entra's and Bitbucket's reach a
// few kilobytes.
const MaxToken = 16 << 10

// readTokens reads a token answer (RFC 6749 §5). The tokens in it may be the
// only ones that live, so a 2xx with an access token is an answer, and the rest
// of it is read for what it is worth. sent are the secrets of the request.
func (u *upstream) readTokens(a *answer, sent ...models.Secret) (Tokens, error) {
	t := Tokens{
		Access:  models.Secret(a.text("access_token")),
		Refresh: models.Secret(a.text("refresh_token")),
		ID:      models.Secret(a.text("id_token")),
	}
	switch {
	case !a.ok(), t.Access == "" && (a.saysError() || u.finalCode(a) != ""):
		return Tokens{}, u.failure(a, sent...)
	case t.Access == "":
		return Tokens{}, unreadable(a, "the token answer has no readable access token")
	case len(t.Access) > MaxToken || len(t.Refresh) > MaxToken:
		return Tokens{}, unreadable(a, "a token is longer than 16 KiB")
	}
	flag := func(odd bool, name string) {
		if odd {
			t.Flags = append(t.Flags, name)
		}
	}
	var ok bool
	t.ExpiresIn, ok = lifetime(a.object["expires_in"])
	flag(!ok, FlagBadExpiry)
	t.RefreshExpiresIn, ok = lifetime(refreshLifetime(a.object))
	if t.Refresh != "" && t.RefreshExpiresIn == 0 {
		t.RefreshExpiresIn = u.t.RefreshLife
	}
	flag(!ok, FlagBadRefreshExpiry)
	kind := a.text("token_type")
	flag(kind != "" && !strings.EqualFold(kind, "bearer"), FlagOddTokenType)
	flag(a.text("error") != "", FlagErrorWithToken)
	granted := grantedScopes(a.object)
	t.Missing = u.missing(granted) // of all of them, those that are cut too
	var cut bool
	t.Scopes, cut = FitScopes(granted)
	flag(cut, FlagScopesCut)
	return t, nil
}

// refreshLifetime finds the lifetime of the refresh token under the names that
// GitHub, Keycloak and Intuit give it.
func refreshLifetime(fields map[string]any) any {
	for _, name := range []string{"refresh_token_expires_in", "refresh_expires_in", "x_refresh_token_expires_in"} {
		if v := fields[name]; v != nil {
			return v
		}
	}
	return nil
}

// maxLifetime is the longest lifetime that is believed. What is added to a time must
// not leave what databases can store.
const maxLifetime = 100 * 365 * 24 * time.Hour

// lifetime reads seconds from a number or a numeric string. Absent and zero are
// unknown; ok is false for what makes no sense, which is unknown too.
func lifetime(v any) (d time.Duration, ok bool) {
	var text string
	switch v := v.(type) {
	case nil:
		return 0, true
	case json.Number:
		text = v.String()
	case string:
		text = strings.TrimSpace(v)
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || !(seconds >= 0 && seconds <= maxLifetime.Seconds()) {
		return 0, false
	}
	return time.Duration(seconds) * time.Second, true
}

// grantedScopes reads scope (scopes, at Bitbucket), a list or a string in which
// space or, at GitHub, comma separates. nil = not said.
func grantedScopes(fields map[string]any) []string {
	for _, name := range []string{"scope", "scopes"} {
		switch v := fields[name].(type) {
		case string:
			return splitScopes(v)
		case []any:
			scopes := []string{}
			for _, scope := range v {
				s, _ := scope.(string)
				scopes = append(scopes, splitScopes(s)...)
			}
			return scopes
		}
	}
	return nil
}

func splitScopes(s string) []string {
	scopes := strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == ',' })
	return append([]string{}, scopes...)
}

// missing returns the requested scopes that were not granted; nil when the answer
// does not say. offline_access is never echoed, and a GitHub App, which has
// permissions instead, grants "".
func (u *upstream) missing(granted []string) []string {
	if len(granted) == 0 {
		return nil
	}
	has := u.t.grants
	if has == nil {
		has = slices.Contains[[]string]
	}
	var lacking []string
	for _, scope := range u.scopes() {
		if scope != "offline_access" && !has(granted, scope) {
			lacking = append(lacking, scope)
		}
	}
	return lacking
}

// heldBy is Type.grants where some scopes hold others: holders are those, by the scope
// that comes with them and need not be granted by name.
func heldBy(holders map[string][]string) func(granted []string, scope string) bool {
	var holds func(granted []string, scope string) bool
	holds = func(granted []string, scope string) bool {
		return slices.Contains(granted, scope) ||
			slices.ContainsFunc(holders[scope], func(holder string) bool { return holds(granted, holder) })
	}
	return holds
}
