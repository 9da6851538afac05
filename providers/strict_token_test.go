package providers

import (
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// token is the token endpoint.
func (s *strict) token(w http.ResponseWriter, r *http.Request, body []byte) {
	if r.Header.Get("Accept") != "application/json" {
		s.t.Error("trap 2: the token endpoint was not asked for JSON")
	}
	grant, _ := url.ParseQuery(string(body))
	names := map[string][]string{
		"authorization_code": {"grant_type", "code", "redirect_uri", "code_verifier"},
		"refresh_token":      {"grant_type", "refresh_token"},
		deviceGrant:          {"grant_type", "device_code", "client_id"},
	}[grant.Get("grant_type")]
	if grant.Get("grant_type") == "refresh_token" {
		for name, value := range s.d.refreshAsks {
			names = append(names, name)
			if grant.Get(name) != value {
				s.t.Errorf("refresh with %s=%q, want %q", name, grant.Get(name), value)
			}
		}
	}
	form, ok := s.form(r, body, names...)
	if !ok {
		s.say(w, s.d.badClient.or(says{401, `{"error":"invalid_client"}`}))
		return
	}
	switch form.Get("grant_type") {
	case "authorization_code":
		s.exchange(w, form)
	case "refresh_token":
		s.refresh(w, form.Get("refresh_token"))
	case deviceGrant:
		s.pollDevice(w, form.Get("device_code"))
	default:
		s.t.Errorf("grant_type %q", form.Get("grant_type"))
	}
}

// exchange spends a code, once, for the same redirect_uri and the challenge's
// verifier.
func (s *strict) exchange(w http.ResponseWriter, form url.Values) {
	code := s.codes[form.Get("code")]
	verifier := form.Get("code_verifier")
	if code != nil && code.challenge == "" && verifier != "" {
		s.t.Error("a verifier without a challenge")
	}
	if code == nil || code.used || form.Get("redirect_uri") != code.redirectURI ||
		code.challenge != "" && oauth2.S256ChallengeFromVerifier(verifier) != code.challenge {
		s.say(w, s.d.invalidCode.or(says{400, `{"error":"invalid_grant"}`}))
		return
	}
	code.used = true
	scopes := code.scopes
	if s.granted != nil {
		scopes = s.granted
	}
	tell(w, 200, s.answer(s.issue("", scopes), true, code.nonce))
}

// refresh spends a refresh token in the way of the dialect.
func (s *strict) refresh(w http.ResponseWriter, refresh string) {
	old := s.holder(refresh)
	if old != nil && old.spent && !s.replaying {
		s.t.Error("a refresh token is sent twice")
	}
	if old == nil || old.refreshRevoked || old.spent && (!s.d.grace || s.graceOver) {
		s.say(w, s.d.invalidRefresh.or(says{400, `{"error":"invalid_grant"}`}))
		return
	}
	old.spent = s.d.rotation == rotates
	old.accessRevoked = old.accessRevoked || s.d.refreshKillsAccess
	kept := ""
	if s.d.rotation == keeps {
		kept = refresh
	}
	tell(w, 200, s.answer(s.issue(kept, old.scopes), kept == "", ""))
}

// holder is the latest pair with that refresh token.
func (s *strict) holder(refresh string) (found *pair) {
	for _, p := range s.pairs {
		if p.refresh == refresh {
			found = p
		}
	}
	return found
}

// issue makes a pair, with a refresh token of its own unless one is kept.
func (s *strict) issue(refresh string, scopes []string) *pair {
	if refresh == "" {
		refresh = s.secret("refresh")
	}
	p := &pair{access: s.secret("access"), refresh: refresh, scopes: scopes}
	s.pairs = append(s.pairs, p)
	return p
}

// answer is a token answer.
func (s *strict) answer(p *pair, withRefresh bool, nonce string) map[string]any {
	fields := map[string]any{"access_token": p.access, "token_type": "Bearer", "expires_in": int(s.life().Seconds())}
	if withRefresh {
		fields["refresh_token"] = p.refresh
	}
	if s.d.openID && nonce != "" {
		c := claims(s.d.iss)
		c["aud"], c["nonce"], c["sub"] = s.c.ID, nonce, s.d.user.Sub
		fields["id_token"] = sign(c).Reveal()
	}
	maps.Copy(fields, s.echo(p.scopes))
	if s.d.answer != nil {
		s.d.answer(fields)
	}
	return fields
}

func (s *strict) life() time.Duration {
	if s.d.life != 0 {
		return s.d.life
	}
	return time.Hour
}

// spelled is how the upstream writes granted scopes.
func (s *strict) spelled(scopes []string) []string {
	if s.d.spell == nil {
		return scopes
	}
	var all []string
	for _, scope := range scopes {
		all = append(all, s.d.spell(scope))
	}
	return all
}

// echo tells what was granted; nobody tells of offline_access.
func (s *strict) echo(scopes []string) map[string]any {
	scopes = s.echoed(scopes)
	if s.d.echo != nil {
		return s.d.echo(s.spelled(scopes))
	}
	return map[string]any{"scope": strings.Join(s.spelled(scopes), " ")}
}
