package providers

import (
	"strings"
	"testing"

	"github.com/grantd/grantd/models"
)

// TestConformance walks every type through everything an upstream does with a
// client, against a strict one that speaks the type's dialect: at its public host
// and, where people may host it themselves, at another.
func TestConformance(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, Options{TestHost: worldTestHost})
	for _, name := range r.Names() {
		typ, _ := r.Type(name)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			speaks, ok := dialects[name]
			if !ok {
				t.Fatal("has no dialect: its own test must say how its upstream behaves")
			}
			for _, host := range hostsOf(typ) {
				t.Run(host, func(t *testing.T) {
					t.Parallel()
					conform(t, name, host, speaks(host))
				})
			}
		})
	}
}

const ownHost = "own.example.com"

// hostsOf returns where a type is tried.
func hostsOf(typ *Type) []string {
	switch {
	case typ.DefaultHost == "":
		return []string{ownHost}
	case typ.SelfManaged:
		return []string{hostOf(typ), ownHost}
	}
	return []string{hostOf(typ)}
}

// cells are what there is to try. Each gets an upstream of its own.
var cells = []struct {
	name string
	test func(t *testing.T, s *strict)
}{
	{"valid", cellValid},
	{"authorize", cellAuthorize},
	{"pkce", cellPKCE},
	{"token", cellToken},
	{"scopes", cellScopes},
	{"user info", cellUserInfo},
	{"refresh", cellRefresh},
	{"R7 old access token", cellOldAccess},
	{"revoke a grant", cellRevokeGrant},
	{"revoke one pair", cellRevokePair},
	{"revoke an access token", cellRevokeAccess},
	{"revoke expired", cellRevokeExpired},
	{"check", cellCheck},
	{"reset", cellReset},
	{"origins", cellOrigins},
	{"device", cellDevice},
	{"settings", cellSettings},
	{"refused client", cellRefusedClient},
	{"failures", cellFailures},
	{"fixtures", cellFixtures},
}

// conform runs every cell.
func conform(t *testing.T, name, host string, d dialect) {
	for _, cell := range cells {
		t.Run(cell.name, func(t *testing.T) {
			t.Parallel()
			cell.test(t, newStrict(t, name, host, d))
		})
	}
}

// login is a whole consent: authorize, come back, exchange.
func (s *strict) login() Tokens {
	s.t.Helper()
	t, err := s.r.At(s.c).Exchange(s.t.Context(), s.consent())
	if err != nil {
		s.t.Fatalf("exchange: %v (%s)", err, texts(err))
	}
	return t
}

// consent is a consent up to the code.
func (s *strict) consent() ExchangeRequest {
	s.t.Helper()
	req := AuthorizeRequest{State: "the-state", RedirectURI: strictCallback, Nonce: "the-nonce", Verifier: theVerifier}
	link, err := s.r.At(s.c).AuthorizeURL(s.t.Context(), req)
	if err != nil {
		s.t.Fatal(err)
	}
	back := s.authorize(link, false)
	return ExchangeRequest{Code: models.Secret(back.Get("code")), RedirectURI: strictCallback, Verifier: theVerifier}
}

// do changes what the upstream holds.
func (s *strict) do(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// held returns what the upstream knows of a pair.
func (s *strict) held(t Tokens) *pair {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.pairs {
		if p.access == t.Access.Reveal() {
			return p
		}
	}
	s.t.Fatal("the upstream never issued that access token")
	return nil
}

// is reports which tokens of a pair live.
func (s *strict) is(t Tokens) (access, refresh bool) {
	s.t.Helper()
	p := s.held(t)
	s.mu.Lock()
	defer s.mu.Unlock()
	return !p.accessRevoked && !p.accessExpired, !p.refreshRevoked
}

func (s *strict) expire(t Tokens) {
	s.t.Helper()
	p := s.held(t)
	s.do(func() { p.accessExpired = true })
}

// asks counts what reached the upstream while f ran, but for its documents: keys that an
// id_token of before needs are read beside, and may arrive late.
func (s *strict) asks(f func()) int {
	before := len(s.requests())
	f()
	n := 0
	for _, r := range s.requests()[before:] {
		if !s.isDocument(r) {
			n++
		}
	}
	return n
}

func (s *strict) isDocument(r request) bool {
	for key := range s.d.documents {
		if method, at, _ := strings.Cut(key, " "); method == r.method && strings.HasSuffix(at, r.path) {
			return true
		}
	}
	return false
}

func cellValid(t *testing.T, s *strict) {
	if wrong := s.r.At(s.c).Validate(); wrong != nil {
		t.Error(wrong)
	}
}

func cellSettings(t *testing.T, s *strict) {
	if got := s.r.At(s.c).SettingsURL(); got != s.d.settingsURL {
		t.Errorf("settings at %q, want %q", got, s.d.settingsURL)
	} else if got != "" && !strings.HasPrefix(got, "https://") {
		t.Errorf("%s is no page for people", got)
	}
}
