package providers

import (
	"maps"
	"net/url"
	"strings"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"
)

const strictCallback = "https://broker.example/cb?x=a%2Fb"

// consented is a code that waits for its exchange.
type consented struct {
	challenge, redirectURI, nonce string
	scopes                        []string
	used                          bool
}

// authorize is a browser at the authorization endpoint whose person says yes. It
// returns the query that the browser comes back with.
func (s *strict) authorize(link string, skipping bool) url.Values {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	at, err := url.Parse(link)
	if err != nil {
		s.t.Fatal(err)
	}
	if repeats(link, s.secrets) {
		s.t.Error("a secret is in the authorization request")
	}
	q := at.Query()
	at.RawQuery = ""
	if at.String() != s.d.authorizeURL {
		s.t.Errorf("sent to %s, want %s", at, s.d.authorizeURL)
	}
	s.judgeAuthorization(q, skipping)
	code := s.secret("code")
	s.codes[code] = &consented{challenge: q.Get("code_challenge"), redirectURI: q.Get("redirect_uri"), nonce: q.Get("nonce"),
		scopes: strings.Fields(q.Get("scope"))}
	back := url.Values{"code": {code}, "state": {q.Get("state")}}
	if s.d.iss != "" {
		back.Set("iss", s.d.iss)
	}
	return back
}

// judgeAuthorization compares the whole request: nothing is missing, and nothing
// too much.
func (s *strict) judgeAuthorization(q url.Values, skipping bool) {
	s.t.Helper()
	want := map[string]string{"response_type": "code", "client_id": s.c.ID, "redirect_uri": strictCallback, "state": "the-state"}
	if scopes := s.asked(); len(scopes) > 0 {
		want["scope"] = strings.Join(scopes, " ")
	}
	if s.c.Config["pkce"] != false {
		want["code_challenge_method"] = "S256"
		want["code_challenge"] = oauth2.S256ChallengeFromVerifier(theVerifier)
	}
	if s.d.openID {
		want["nonce"] = "the-nonce"
	}
	extra := s.d.asks
	if skipping {
		extra = s.d.asksSkipping
	}
	maps.Copy(want, extra)
	got := map[string]string{}
	for name, values := range q {
		got[name] = strings.Join(values, "|")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Error("authorization request", diff)
	}
}

// asked is what the client asks for.
func (s *strict) asked() []string {
	if s.c.Scopes != nil {
		return s.c.Scopes
	}
	return s.d.scopes
}
