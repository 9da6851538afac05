package providers

import (
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// aClock is moved by the test.
type aClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *aClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *aClock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// keyServer publishes keys, and says how often it was asked.
type keyServer struct {
	*httptest.Server
	mu     sync.Mutex
	asked  int
	status int
	body   string
	bearer string
}

func newKeyServer(t *testing.T, start func(http.Handler) *httptest.Server) *keyServer {
	t.Helper()
	s := &keyServer{status: 200, body: keysDocument()}
	s.Server = start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked++
		s.bearer = r.Header.Get("Authorization")
		w.WriteHeader(s.status)
		w.Write([]byte(s.body))
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *keyServer) answers(status int, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status, s.body = status, body
}

func (s *keyServer) seen() (int, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked, s.bearer
}

// issuerKeys waits until the keys of a source were tried to be read once.
func issuerKeys(t *testing.T, r *Registry, s KeySource) *IssuerKeys {
	t.Helper()
	s.Algorithms = []string{"ES256"}
	k, err := r.IssuerKeys(s, nil)
	if err != nil {
		t.Fatal(err)
	}
	k.settled()
	return k
}

// settled waits for the reading under way.
func (k *IssuerKeys) settled() {
	k.mu.Lock()
	f := k.flight
	k.mu.Unlock()
	if f != nil {
		<-f.done
	}
}

func signed(issuer string) string { return sign(claims(issuer)).Reveal() }

// A key server that is away changes nothing for a day; then nobody's signature can be judged any more.
func TestKeysOfAnIssuerAreUsedForADay(t *testing.T) {
	t.Parallel()
	s, clock := newKeyServer(t, httptest.NewServer), &aClock{now: time.Now()}
	r := newRegistry(t, Options{Allow: []string{strings.TrimPrefix(s.URL, "http://")}, Now: clock.Now})
	k := issuerKeys(t, r, KeySource{Issuer: "https://issuer.test", URL: s.URL + "/keys"})
	token := signed("https://issuer.test")
	claims, mark, err := k.Verify(t.Context(), token)
	if err != nil || claims["iss"] != "https://issuer.test" || !k.Current(mark) {
		t.Fatalf("%v, %v", claims, err)
	}
	for _, broken := range []struct {
		status int
		body   string
	}{{503, ""}, {200, "<html>"}, {200, `{"keys":[]}`}, {200, `{"keys":[{"kty":"oct","k":"AAAA"}]}`}, {302, keysDocument()}} {
		s.answers(broken.status, broken.body)
		clock.pass(time.Hour)
		if _, _, err := k.Verify(t.Context(), token); err != nil || !k.Current(mark) {
			t.Errorf("after %d %q: %v", broken.status, broken.body, err)
		}
		k.settled()
	}
	clock.pass(20 * time.Hour)
	if _, _, err := k.Verify(t.Context(), token); !errors.Is(err, ErrKeysUnread) || k.Current(mark) {
		t.Errorf("after a day: %v", err)
	}
	s.answers(200, keysDocument())
	clock.pass(2 * time.Minute)
	if _, _, err := k.Verify(t.Context(), token); err != nil || !k.Current(mark) {
		t.Errorf("when the server is back: %v", err)
	}
}

// Tokens that name unknown keys have the keys read once a minute, whatever their number; tokens that are merely wrong
// never do.
func TestAnUnknownKeyIsSoughtOnceAMinute(t *testing.T) {
	t.Parallel()
	s, clock := newKeyServer(t, httptest.NewServer), &aClock{now: time.Now()}
	r := newRegistry(t, Options{Allow: []string{strings.TrimPrefix(s.URL, "http://")}, Now: clock.Now})
	k := issuerKeys(t, r, KeySource{Issuer: "https://issuer.test", URL: s.URL + "/keys"})
	token := signed("https://issuer.test")
	s.answers(200, strings.ReplaceAll(keysDocument(), `"kid":"`, `"kid":"other-`))
	asked := func(want int) {
		t.Helper()
		k.settled()
		if n, _ := s.seen(); n != want {
			t.Errorf("the keys were read %d times, want %d", n, want)
		}
	}
	header, rest, _ := strings.Cut(token, ".")
	for range 3 {
		if _, _, err := k.Verify(t.Context(), header+"."+rest[1:]); !errors.Is(err, ErrUnverified) {
			t.Error(err)
		}
	}
	asked(1)
	clock.pass(11 * time.Minute) // no longer fresh: read beside, and the key is gone then
	if _, _, err := k.Verify(t.Context(), token); err != nil {
		t.Error(err)
	}
	asked(2)
	for minute := range 3 {
		for range 5 {
			if _, _, err := k.Verify(t.Context(), token); !errors.Is(err, ErrUnknownKey) {
				t.Error(err)
			}
			k.settled()
		}
		asked(3 + minute)
		clock.pass(time.Minute)
	}
}

// Keys come from an address that the operator wrote, though it is private; where metadata leads is judged. The bearer
// token of the file goes to the issuer's own origin, and nowhere else.
func TestS1_KeysOfAnIssuerAreReadWhereTheOperatorSays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte("s3cr3t-of-the-platform\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newKeyServer(t, httptest.NewTLSServer)
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	r := newRegistry(t, Options{})
	works := func(k *IssuerKeys) error {
		_, _, err := k.Verify(t.Context(), signed("https://issuer.test"))
		return err
	}
	if err := works(issuerKeys(t, r, KeySource{Issuer: "https://issuer.test", URL: s.URL, CA: ca, TokenFile: token})); err != nil {
		t.Errorf("a private address with an authority of its own: %v", err)
	}
	if _, bearer := s.seen(); bearer != "Bearer s3cr3t-of-the-platform" {
		t.Errorf("the server was sent %q", bearer)
	}
	if err := works(issuerKeys(t, r, KeySource{Issuer: "https://issuer.test", URL: s.URL})); !errors.Is(err, ErrKeysUnread) {
		t.Errorf("without the authority: %v", err)
	}

	elsewhere := newKeyServer(t, httptest.NewTLSServer)
	asked, _ := s.seen()
	s.answers(200, `{"issuer":"`+s.URL+`","jwks_uri":"`+elsewhere.URL+`/keys"}`)
	if err := works(issuerKeys(t, r, KeySource{Issuer: s.URL, CA: ca, TokenFile: token})); !errors.Is(err, ErrKeysUnread) {
		t.Errorf("metadata that leads to a private address: %v", err)
	}
	if n, _ := elsewhere.seen(); n != 0 {
		t.Error("it was dialled")
	}
	allowed := newRegistry(t, Options{Allow: []string{strings.TrimPrefix(elsewhere.URL, "https://")}})
	if err := works(issuerKeys(t, allowed, KeySource{Issuer: s.URL, CA: ca, TokenFile: token})); err != nil {
		t.Errorf("one that is listed: %v", err)
	}
	if n, bearer := elsewhere.seen(); n != 1 || bearer != "" {
		t.Errorf("another origin was asked %d times, and sent %q", n, bearer)
	}
	if n, bearer := s.seen(); n != asked+2 || bearer == "" {
		t.Errorf("the issuer was asked %d times, and sent %q", n, bearer)
	}
	s.answers(200, `{"issuer":"https://another.test","jwks_uri":"`+s.URL+`/keys"}`)
	if err := works(issuerKeys(t, allowed, KeySource{Issuer: s.URL, CA: ca})); !errors.Is(err, ErrKeysUnread) {
		t.Errorf("metadata of another issuer: %v", err)
	}

	file := filepath.Join(dir, "keys.json")
	if err := os.WriteFile(file, []byte(keysDocument()), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := works(issuerKeys(t, r, KeySource{Issuer: "https://issuer.test", File: file})); err != nil {
		t.Errorf("a file: %v", err)
	}
	for name, source := range map[string]KeySource{
		"plain http":   {Issuer: "https://issuer.test", URL: "http://issuer.test/keys"},
		"no URL":       {Issuer: "https://issuer.test", URL: "keys"},
		"a user":       {Issuer: "https://issuer.test", URL: "https://a:b@issuer.test/keys"},
		"no authority": {Issuer: "https://issuer.test", URL: "https://issuer.test/keys", CA: "-----"},
		"no algorithm": {Issuer: "https://issuer.test", URL: "https://issuer.test/keys", Algorithms: []string{"none"}},
		"a shared key": {Issuer: "https://issuer.test", URL: "https://issuer.test/keys", Algorithms: []string{"HS256"}},
		"no issuer":    {Issuer: "issuer"},
	} {
		if _, err := r.IssuerKeys(source, nil); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// A key says what it is for: one for certificates or encryption verifies no token, nor does one of another algorithm.
func TestKeysOfAnIssuerVerifyWhatTheyAreFor(t *testing.T) {
	t.Parallel()
	for member, works := range map[string]bool{
		`"use":"sig"`: true, `"use":"jwt-svid"`: true, `"use":"x509-svid"`: false, `"use":"enc"`: false, `"alg":"ES256"`: true, `"alg":"ES384"`: false, `"x5u":"https://evil.test"`: true,
	} {
		s := newKeyServer(t, httptest.NewServer)
		name, _, _ := strings.Cut(member, ":")
		document := keysDocument()
		for _, former := range []string{`"use":"sig",`, `"alg":"ES256",`} {
			if strings.HasPrefix(former, name) {
				document = strings.ReplaceAll(document, former, "")
			}
		}
		s.answers(200, strings.Replace(document, `{"keys":[{`, `{"keys":[{`+member+`,`, 1))
		r := newRegistry(t, Options{Allow: []string{strings.TrimPrefix(s.URL, "http://")}})
		k := issuerKeys(t, r, KeySource{Issuer: "https://issuer.test", URL: s.URL})
		if _, _, err := k.Verify(t.Context(), signed("https://issuer.test")); (err == nil) != works {
			t.Errorf("%s: %v", member, err)
		}
	}
}
