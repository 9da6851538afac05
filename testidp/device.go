package testidp

import (
	"net/http"
	"net/url"
	"strings"
	"time"
)

const deviceGrantType = "urn:ietf:params:oauth:grant-type:device_code"

// The answers to a poll (RFC 8628 §3.5) and GitHub's words for them.
var (
	errPending    = &failure{"authorization_pending", "authorization_pending", "The person has not decided yet."}
	errTooFast    = &failure{"slow_down", "slow_down", "Too many requests: from now on wait five seconds longer."}
	errDeclined   = &failure{"access_denied", "access_denied", "The person declined."}
	errExpired    = &failure{"expired_token", "expired_token", "The device_code has expired."}
	errDeviceCode = &failure{"invalid_grant", "incorrect_device_code", "The device_code is incorrect or was used."}
)

// beginDevice is the device authorization endpoint (RFC 8628 §3.1).
func (s *Server) beginDevice(d dialect) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		client, fail := d.authenticateDevice(s, r)
		if fail == nil && repeated(r.PostForm) {
			fail = errRequest
		}
		if fail != nil {
			d.fail(w, r, fail, 0)
			return
		}
		now := s.now()
		v := &device{code: s.secret(""), userCode: s.userCode(), expires: now.Add(s.codeTTL), interval: s.deviceInterval, polled: now,
			ask: ask{Client: client.ID, Scope: strings.Join(d.splitScope(r.PostForm.Get("scope")), " ")}}
		s.ledger.addDevice(v, now)
		d.answer(w, r, s.deviceAnswer(r, d, v))
	}
}

func (s *Server) deviceAnswer(r *http.Request, d dialect, v *device) map[string]any {
	page := s.base(r) + d.devicePage
	fields := map[string]any{"device_code": v.code, "user_code": v.userCode, "verification_uri": page,
		"expires_in": seconds(s.codeTTL), "interval": seconds(v.interval)}
	if !d.lax { // GitHub has none
		fields["verification_uri_complete"] = page + "?" + url.Values{"user_code": {v.userCode}}.Encode()
	}
	return fields
}

// authenticateDevice lets GitHub's clients leave out their secret, as GitHub does
// throughout the device flow.
func (d dialect) authenticateDevice(s *Server, r *http.Request) (Client, *failure) {
	if d.lax && !r.PostForm.Has("client_secret") {
		if c, ok := s.clients.get(r.PostForm.Get("client_id")); ok {
			return c, nil
		}
	}
	return d.authenticate(s, r)
}

// userCode is eight consonants, which make no words (RFC 8628 §6.1).
func (s *Server) userCode() string {
	const letters = "BCDFGHJKLMNPQRSTVWXZ"
	b := s.random(8)
	for i := range b {
		b[i] = letters[int(b[i])%len(letters)]
	}
	return string(b[:4]) + "-" + string(b[4:])
}

// activate is the page for people with a user code (RFC 8628 §3.3). A link with
// the code in it still shows the code, to be compared with the device's.
func (s *Server) activate(w http.ResponseWriter, r *http.Request) {
	code := r.URL.Query().Get("user_code")
	if code == "" {
		show(w, http.StatusOK, pageData{AskCode: true})
		return
	}
	a, ok := s.ledger.deviceAsk(code, s.now())
	if !ok {
		showError(w, "This code is unknown, used or too old. Start again on your device.")
		return
	}
	a.Hint, a.Expires = r.URL.Query().Get("login_hint"), s.now().Add(time.Hour).Unix()
	switch {
	case !validLogin(a.Hint):
		showError(w, "There is nobody of that name.")
	case s.autoConsent:
		s.decideDevice(w, a, a.Hint, true)
	default:
		s.showConsent(w, r, a)
	}
}

// decideDevice takes the person's answer and shows that it was taken.
func (s *Server) decideDevice(w http.ResponseWriter, a ask, login string, allow bool) {
	if s.ledger.decideDevice(a.UserCode, findPerson(login).Login, allow, s.now()) != nil {
		showError(w, "This code is unknown, used or too old. Start again on your device.")
		return
	}
	show(w, http.StatusOK, pageData{Decided: true})
}

// ApproveDevice consents to the device flow with this user code, as login. It
// panics when there is none that waits for it.
func (s *Server) ApproveDevice(userCode, login string) {
	must(s.ledger.decideDevice(userCode, findPerson(login).Login, true, s.now()))
}

// DeclineDevice refuses; it panics as ApproveDevice does.
func (s *Server) DeclineDevice(userCode string) {
	must(s.ledger.decideDevice(userCode, "", false, s.now()))
}

type deviceInput struct {
	UserCode string `json:"user_code"`
	Person   string `json:"person"`
	Decline  bool   `json:"decline"`
}

func (s *Server) controlDevice(in deviceInput) (any, error) {
	return done, s.ledger.decideDevice(in.UserCode, findPerson(in.Person).Login, !in.Decline, s.now())
}
