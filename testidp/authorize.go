package testidp

import (
	"net/http"
	"net/url"
	"strings"
	"time"
)

// ask is an authorization request that has been understood. It travels through
// the consent page in a signed handle, so the server stores nothing for people
// who never answer.
type ask struct {
	Client        string
	Redirect      string
	RedirectGiven bool
	Scope         string
	State         string
	Challenge     string // PKCE, S256
	Hint          string // who the person probably is
	Issuer        string // RFC 9207; empty: not sent
	Expires       int64
	UserCode      string // of a device, which gets no answer through the browser
}

// authorize is the authorization endpoint (RFC 6749 §4.1.1, RFC 7636 §4.3).
// Until client and redirect URI are known to belong together, errors are shown
// to the person; from then on they are sent to the client.
func (s *Server) authorize(d dialect) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		client, known := s.clients.get(q.Get("client_id"))
		redirect, fits := client.redirect(q.Get("redirect_uri"))
		if !known || !fits || repeated(q) {
			showError(w, "The application that sent you here made a mistake: its client_id or redirect_uri is not registered, or a parameter was sent twice.")
			return
		}
		a := s.read(r, d, q)
		a.Redirect = redirect
		if refusal := a.refusal(d, client, q, faultOf(r)); refusal != "" {
			a.answer(w, r, url.Values{"error": {refusal}})
			return
		}
		s.consent(w, r, a, q.Get("prompt"))
	}
}

func (s *Server) read(r *http.Request, d dialect, q url.Values) ask {
	hint := q.Get("login_hint")
	if hint == "" {
		hint = q.Get("login")
	}
	return ask{
		Client:        q.Get("client_id"),
		RedirectGiven: q.Get("redirect_uri") != "",
		Scope:         strings.Join(d.splitScope(q.Get("scope")), " "),
		State:         q.Get("state"),
		Challenge:     q.Get("code_challenge"),
		Hint:          hint,
		Issuer:        s.issuerFor(r, d),
		Expires:       s.now().Add(time.Hour).Unix(),
	}
}

// issuerFor is what goes into iss: RFC 9207 in the standard dialect, nothing
// in GitHub's, unless a fault wants otherwise.
func (s *Server) issuerFor(r *http.Request, d dialect) string {
	if iss := faultOf(r).Iss; iss != nil {
		return *iss
	}
	if !d.sendsIssuer {
		return ""
	}
	return s.base(r)
}

// refusal is the error code this request deserves, if any. Only S256 will do:
// a challenge without a method means plain (RFC 7636 §4.3).
func (a ask) refusal(d dialect, c Client, q url.Values, f Fault) string {
	switch {
	case f.Error != "":
		return f.Error
	case !q.Has("response_type") && !d.lax:
		return "invalid_request"
	case q.Has("response_type") && q.Get("response_type") != "code":
		return "unsupported_response_type"
	case a.Challenge != "" && (q.Get("code_challenge_method") != "S256" || len(a.Challenge) != 43):
		return "invalid_request"
	case a.Challenge == "" && (c.Secret == "" || q.Has("code_challenge_method")):
		return "invalid_request"
	case !validLogin(a.Hint):
		return "invalid_request"
	}
	return ""
}

// consent asks the person, or does not, as the server was told. This server
// keeps no sessions, so prompt=none can only succeed when nobody is asked.
func (s *Server) consent(w http.ResponseWriter, r *http.Request, a ask, prompt string) {
	switch {
	case s.autoConsent:
		s.allow(w, r, a, a.Hint)
	case prompt == "none":
		a.answer(w, r, url.Values{"error": {"login_required"}})
	default:
		s.showConsent(w, r, a)
	}
}

// allow sends the person back with a code.
func (s *Server) allow(w http.ResponseWriter, r *http.Request, a ask, login string) {
	now := s.now()
	c := &code{
		value:   s.secret(""),
		ask:     a,
		user:    findPerson(login).Login,
		expires: now.Add(s.codeTTL),
	}
	s.ledger.addCode(c, now)
	a.answer(w, r, url.Values{"code": {c.value}})
}

// answer redirects to the client. A query the redirect URI had is kept as it
// was (RFC 6749 §3.1.2), and the method becomes GET (RFC 9700 §4.12).
func (a ask) answer(w http.ResponseWriter, r *http.Request, v url.Values) {
	if a.State != "" {
		v.Set("state", a.State)
	}
	if a.Issuer != "" {
		v.Set("iss", a.Issuer)
	}
	separator := "?"
	if strings.Contains(a.Redirect, "?") {
		separator = "&"
	}
	status := http.StatusFound
	if r.Method == http.MethodPost {
		status = http.StatusSeeOther
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("Location", a.Redirect+separator+v.Encode())
	w.WriteHeader(status)
}

// repeated tells a parameter that was sent twice (RFC 6749 §3.1).
func repeated(v url.Values) bool {
	for _, values := range v {
		if len(values) > 1 {
			return true
		}
	}
	return false
}
