package providers

import (
	"net/http"
	"net/url"
	"strings"
)

// judge is what no request may do, wherever it goes.
func (s *strict) judge(r *http.Request) {
	if r.Header.Get("Origin") != "" {
		s.t.Errorf("trap 18: %s %s: came from a browser, as it says", r.Method, r.URL.Path)
	}
	if repeats(r.RequestURI, s.secrets) {
		s.t.Errorf("%s %s: a secret is in the URL", r.Method, r.URL.Path)
	}
	for name, values := range r.Header {
		if name != "Authorization" && repeats(strings.Join(values, " "), s.secrets) {
			s.t.Errorf("%s %s: a secret is in the header %s", r.Method, r.URL.Path, name)
		}
	}
}

// form reads a form with the client's authentication, and reports whether it is
// the client's. names are the parameters there may be beside.
func (s *strict) form(r *http.Request, body []byte, names ...string) (form url.Values, ok bool) {
	if media := r.Header.Get("Content-Type"); media != "application/x-www-form-urlencoded" {
		s.t.Errorf("%s: sent as %s", r.URL.Path, media)
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		s.t.Errorf("%s: %v", r.URL.Path, err)
	}
	ok = s.authenticated(r, form)
	allowed := map[string]bool{"client_id": !s.d.basic, "client_secret": !s.d.basic}
	for _, name := range names {
		allowed[name] = true
	}
	for name, values := range form {
		if !allowed[name] || len(values) != 1 {
			s.t.Errorf("%s: sent %s %d times", r.URL.Path, name, len(values))
		}
	}
	return form, ok
}

// authenticated judges style and encoding, and compares (RFC 6749 §2.3).
func (s *strict) authenticated(r *http.Request, form url.Values) bool {
	id, secret, inHeader := r.BasicAuth()
	if inHeader != s.d.basic || form.Has("client_secret") == s.d.basic || !inHeader && r.Header.Get("Authorization") != "" {
		s.t.Errorf("%s: the client authenticates in the header: %v, in the form: %v", r.URL.Path, inHeader, form.Has("client_secret"))
		return false
	}
	if !s.d.basic {
		return form.Get("client_id") == s.c.ID && form.Get("client_secret") == theSecret
	}
	if id != url.QueryEscape(s.c.ID) {
		s.t.Errorf("%s: Basic with an id that is not form-encoded, %s", r.URL.Path, id)
	}
	return secret == url.QueryEscape(theSecret)
}

// bearer finds whose living access token came in the header, nil = nobody's.
func (s *strict) bearer(r *http.Request) *pair {
	if r.URL.Query().Has("access_token") {
		s.t.Errorf("%s: the access token is in the query", r.URL.Path)
	}
	access, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		s.t.Errorf("%s: no bearer token", r.URL.Path)
	}
	return s.live(access)
}
