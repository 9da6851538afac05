package testidp

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// dialect is where the two ways of speaking OAuth differ.
type dialect struct {
	accessPrefix, refreshPrefix string

	devicePage string // where people enter user codes, RFC 8628

	sendsIssuer bool // RFC 9207
	lax         bool // response_type, grant_type and the second redirect_uri may be left out

	splitScope   func(string) []string
	authenticate func(*Server, *http.Request) (Client, *failure)
	fail         failWriter
	answer       func(http.ResponseWriter, *http.Request, map[string]any)
}

var standard = dialect{
	accessPrefix: "tia_", refreshPrefix: "tir_",
	devicePage:   "/activate",
	sendsIssuer:  true,
	splitScope:   strings.Fields,
	authenticate: (*Server).authenticate,
	fail:         failStandard,
	answer: func(w http.ResponseWriter, _ *http.Request, fields map[string]any) {
		writeJSON(w, http.StatusOK, fields)
	},
}

// failure is an error in the words of both dialects.
type failure struct{ code, gitHub, description string }

var (
	errClient         = &failure{"invalid_client", "incorrect_client_credentials", "The client_id and/or client_secret passed are incorrect."}
	errTwoCredentials = &failure{"invalid_request", "invalid_request", "Client credentials were sent twice."}
	errRequest        = &failure{"invalid_request", "invalid_request", "A parameter is missing or was sent twice."}
	errCode           = &failure{"invalid_grant", "bad_verification_code", "The code passed is incorrect or expired."}
	errVerifier       = &failure{"invalid_grant", "bad_verification_code", "The code_verifier does not fit the code_challenge."}
	errRedirect       = &failure{"invalid_grant", "redirect_uri_mismatch", "The redirect_uri differs from the one the code was sent to."}
	errRefresh        = &failure{"invalid_grant", "bad_refresh_token", "The refresh token passed is incorrect or expired."}
	errScope          = &failure{"invalid_scope", "invalid_scope", "The scope is wider than what was granted."}
	errGrantType      = &failure{"unsupported_grant_type", "unsupported_grant_type", "Use authorization_code, refresh_token or device_code."}
	errForeign        = &failure{"unauthorized_client", "unauthorized_client", "The token was issued to another client."}
	errInvalidToken   = &failure{"invalid_token", "Bad credentials", "The access token is unknown, expired or revoked."}
)

// token is the token endpoint (RFC 6749 §4.1.3 and §6).
func (s *Server) token(d dialect) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		g, fail := s.grantTokens(r, d)
		if fail != nil {
			d.fail(w, r, fail, 0)
			return
		}
		d.answer(w, r, s.tokenAnswer(g, d, faultOf(r)))
	}
}

func (s *Server) grantTokens(r *http.Request, d dialect) (grant, *failure) {
	if repeated(r.PostForm) || (!d.lax && !r.PostForm.Has("grant_type")) {
		return grant{}, errRequest
	}
	form, authenticate := r.PostForm, d.authenticate
	if form.Get("grant_type") == deviceGrantType {
		authenticate = d.authenticateDevice
	}
	client, fail := authenticate(s, r)
	if fail != nil {
		return grant{}, fail
	}
	t := s.terms(d)
	if faultOf(r).OmitRefresh {
		t.refresh = ""
	}
	switch {
	case form.Get("grant_type") == deviceGrantType:
		return s.ledger.pollDevice(form.Get("device_code"), client.ID, t)
	case form.Get("grant_type") == "refresh_token":
		scope := strings.Join(d.splitScope(form.Get("scope")), " ")
		return s.ledger.refreshTokens(form.Get("refresh_token"), client.ID, scope, t)
	case form.Get("grant_type") == "authorization_code", d.lax && !form.Has("grant_type"):
		return s.ledger.redeem(proof{
			client:      client.ID,
			code:        form.Get("code"),
			redirect:    form.Get("redirect_uri"),
			verifier:    form.Get("code_verifier"),
			redirectLax: d.lax,
		}, t)
	}
	return grant{}, errGrantType
}

// terms draws a new pair of tokens in the dialect's look.
func (s *Server) terms(d dialect) terms {
	now := s.now()
	return terms{
		now:            now,
		access:         s.secret(d.accessPrefix),
		refresh:        s.secret(d.refreshPrefix),
		accessExpires:  now.Add(time.Duration(s.accessTTL.Load())),
		refreshExpires: now.Add(s.refreshTTL),
	}
}

// tokenAnswer is RFC 6749 §5.1, as a fault would have it.
func (s *Server) tokenAnswer(g grant, d dialect, f Fault) map[string]any {
	now := s.now()
	fields := map[string]any{
		"access_token":  g.access,
		"refresh_token": g.refresh,
		"token_type":    "Bearer",
		"expires_in":    seconds(g.accessExpires.Sub(now)),
		"scope":         g.accessScope,
	}
	if d.lax {
		fields["token_type"] = "bearer"
		fields["scope"] = strings.Join(strings.Fields(g.accessScope), ",")
		fields["refresh_token_expires_in"] = seconds(g.refreshExpires.Sub(now))
	}
	if f.OmitRefresh {
		delete(fields, "refresh_token")
		delete(fields, "refresh_token_expires_in")
	}
	switch string(f.ExpiresIn) {
	case "":
	case "null":
		delete(fields, "expires_in")
	default:
		fields["expires_in"] = f.ExpiresIn
	}
	return fields
}

// seconds rounds, because a moment passes between issuing and answering.
func seconds(d time.Duration) int64 { return int64(d.Round(time.Second) / time.Second) }

// proof is what a client presents to have a code exchanged.
type proof struct {
	client, code, redirect, verifier string
	redirectLax                      bool
}

// check compares the proof with the authorization request. A verifier for a
// request that had no challenge is refused too: someone stripped the challenge
// (RFC 9700 §4.8.2).
func (p proof) check(c *code, now time.Time) *failure {
	redirectMayBeMissing := p.redirectLax || !c.RedirectGiven
	switch {
	case !now.Before(c.expires):
		return errCode
	case p.redirect != c.Redirect && !(p.redirect == "" && redirectMayBeMissing):
		return errRedirect
	case c.Challenge == "" && p.verifier != "":
		return errVerifier
	case c.Challenge != "" && !same(c.Challenge, challengeOf(p.verifier)):
		return errVerifier
	}
	return nil
}

// challengeOf is S256 of RFC 7636 §4.2.
func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// byGrantType tells refreshes, exchanges and polls apart, for faults and counters.
func byGrantType(r *http.Request) Endpoint {
	switch r.PostForm.Get("grant_type") {
	case "refresh_token":
		return Refresh
	case "authorization_code", "":
		return Exchange
	case deviceGrantType:
		return DevicePoll
	}
	return Token
}

// failWriter writes an error in one dialect. Status 0 means the usual one.
type failWriter func(w http.ResponseWriter, r *http.Request, f *failure, status int)

// failStandard is RFC 6749 §5.2.
func failStandard(w http.ResponseWriter, _ *http.Request, f *failure, status int) {
	if status == 0 {
		status = statusOf(f.code)
	}
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="testidp"`)
	}
	writeJSON(w, status, map[string]string{"error": f.code, "error_description": f.description})
}

// failBearer is RFC 6750 §3: the header says why, unless no token came.
func failBearer(w http.ResponseWriter, r *http.Request, f *failure, status int) {
	if status == 0 {
		status = statusOf(f.code)
	}
	challenge := "Bearer"
	if r.Header.Get("Authorization") != "" {
		challenge += ` error="` + url.QueryEscape(f.code) + `"`
	}
	w.Header().Set("WWW-Authenticate", challenge)
	writeJSON(w, status, map[string]string{"error": f.code, "error_description": f.description})
}

func statusOf(code string) int {
	switch code {
	case "invalid_client", "invalid_token":
		return http.StatusUnauthorized
	case "insufficient_scope":
		return http.StatusForbidden
	case "server_error":
		return http.StatusInternalServerError
	case "temporarily_unavailable":
		return http.StatusServiceUnavailable
	}
	return http.StatusBadRequest
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	must(err)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(b)
}
