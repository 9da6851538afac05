package providers

import (
	"maps"
	"net/http"
	"net/url"
	"strings"
)

// revoke is RFC 7009 in the way of the dialect.
func (s *strict) revoke(w http.ResponseWriter, r *http.Request, body []byte) {
	if s.d.revokesUnasked {
		form, _ := url.ParseQuery(string(body))
		if r.Header.Get("Authorization") != "" || len(form) != 1 {
			s.t.Errorf("%d parameters and %q are sent where a token is asked for alone", len(form), r.Header.Get("Authorization"))
		}
		s.revokeToken(w, form.Get("token"))
		return
	}
	form, ok := s.form(r, body, "token", "token_type_hint")
	if !ok {
		s.say(w, s.d.revokeBadClient.or(s.d.badClient).or(says{401, `{"error":"invalid_client"}`}))
		return
	}
	s.revokeToken(w, form.Get("token"))
}

// revokeToken answers 200 to a token that is no longer valid as well (RFC 7009 §2.2), unless
// the dialect says more.
func (s *strict) revokeToken(w http.ResponseWriter, token string) {
	found := false
	for _, p := range s.pairs {
		if token != p.access && token != p.refresh {
			continue
		}
		if token == p.access && p.accessExpired && s.d.expiredIsSilent {
			s.t.Error("trap 13: revoked with an expired access token, which does nothing")
			continue
		}
		found = found || token == p.access && !p.accessRevoked || token == p.refresh && !p.refreshRevoked
		s.kill(p, token == p.refresh)
	}
	if !found && s.d.revokeInvalid.status != 0 {
		s.say(w, s.d.revokeInvalid)
		return
	}
	reply(200, "application/json", "{}")(w, nil)
}

// kill also ends what the dialect says.
func (s *strict) kill(p *pair, byRefresh bool) {
	switch s.d.kills {
	case killsGrant:
		s.killAll()
	case killsToken:
		p.accessRevoked, p.refreshRevoked = true, p.refreshRevoked || byRefresh
	case killsPair:
		p.accessRevoked, p.refreshRevoked = true, true
	}
}

func (s *strict) killAll() {
	for _, p := range s.pairs {
		p.accessRevoked, p.refreshRevoked = true, true
	}
}

// introspect is RFC 7662.
func (s *strict) introspect(w http.ResponseWriter, r *http.Request, body []byte) {
	form, ok := s.form(r, body, "token", "token_type_hint")
	if !ok {
		s.say(w, s.d.badClient.or(says{401, `{"error":"invalid_client"}`}))
		return
	}
	p := s.live(form.Get("token"))
	if p == nil {
		tell(w, 200, map[string]any{"active": false})
		return
	}
	fields := map[string]any{"active": true}
	maps.Copy(fields, s.echo(p.scopes))
	tell(w, 200, fields)
}

// deviceFlow is a device code that waits for a person.
type deviceFlow struct {
	state  DeviceState
	scopes []string
}

const strictDevicePage = "https://idp.example/device"

func (s *strict) beginDevice(w http.ResponseWriter, r *http.Request, body []byte) {
	form, ok := s.form(r, body, "client_id", "scope")
	if !ok {
		s.say(w, s.d.badClient.or(says{401, `{"error":"invalid_client"}`}))
		return
	}
	if got, want := form.Get("scope"), strings.Join(s.asked(), " "); form.Get("client_id") != s.c.ID || got != want {
		s.t.Errorf("device code for %q with scope %q, want %q", form.Get("client_id"), got, want)
	}
	code := s.secret("device")
	s.devices[code] = &deviceFlow{state: DevicePending, scopes: strings.Fields(form.Get("scope"))}
	fields := map[string]any{"device_code": code, "user_code": "AB-CD", "verification_uri": strictDevicePage, "expires_in": 900, "interval": 5}
	if s.d.device.fields != nil {
		s.d.device.fields(fields)
	}
	tell(w, 200, fields)
}

// pollDevice answers in the way of the dialect until there are tokens, once.
func (s *strict) pollDevice(w http.ResponseWriter, code string) {
	flow := s.devices[code]
	if flow == nil {
		s.say(w, says{400, `{"error":"invalid_grant"}`})
		return
	}
	if flow.state == DeviceDone {
		delete(s.devices, code)
		tell(w, 200, s.answer(s.issue("", flow.scopes), true, ""))
		return
	}
	states := map[DeviceState]says{}
	for _, state := range []DeviceState{DevicePending, DeviceSlowDown, DeviceExpired, DeviceDeclined} {
		states[state] = says{400, `{"error":"` + string(state) + `"}`}
	}
	maps.Copy(states, s.d.device.states)
	s.say(w, states[flow.state])
}
