package contract_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/testidp"
)

// spy stands between grantd and its authorization server, learns every secret
// that passes, and can make the server repeat them in its errors.
type spy struct {
	next *testidp.Server

	mu   sync.Mutex
	met  map[string]string // a secret, and what it is
	echo func(w http.ResponseWriter, request string)
}

// spied makes an instance whose upstream is spied on.
func spied(t *testing.T, o brokertest.Options) (*brokertest.Instance, *spy) {
	o.IdP = testidp.New(testidp.Options{AutoConsent: true,
		Clients: []testidp.Client{{ID: brokertest.ClientID, Secret: brokertest.ClientSecret}}})
	s := &spy{next: o.IdP, met: map[string]string{}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	t.Cleanup(o.IdP.Close)
	o.IdPURL = server.URL
	return brokertest.New(t, &o), s
}

func (s *spy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	s.readRequest(r, body)
	s.mu.Lock()
	echo := s.echo
	s.mu.Unlock()
	if echo != nil && !strings.HasSuffix(r.URL.Path, "/authorize") {
		echo(w, string(body)+" "+r.Header.Get("Authorization")+" "+strings.Join(s.all(), " "))
		return
	}
	recorded := httptest.NewRecorder()
	s.next.ServeHTTP(recorded, r)
	s.readAnswer(recorded)
	maps.Copy(w.Header(), recorded.Header())
	w.WriteHeader(recorded.Code)
	w.Write(recorded.Body.Bytes())
}

func (s *spy) readRequest(r *http.Request, body []byte) {
	if _, credentials, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok {
		s.learn("credentials", credentials)
	}
	s.learn("state", r.URL.Query().Get("state"))
	form, _ := url.ParseQuery(string(body))
	for _, name := range []string{"code", "code_verifier", "device_code", "refresh_token", "token", "client_secret"} {
		s.learn(name, form.Get(name))
	}
}

func (s *spy) readAnswer(a *httptest.ResponseRecorder) {
	if to, err := url.Parse(a.Header().Get("Location")); err == nil {
		s.learn("code", to.Query().Get("code"))
	}
	var tokens map[string]any
	if json.Unmarshal(a.Body.Bytes(), &tokens) == nil {
		for _, name := range []string{"access_token", "refresh_token", "id_token", "device_code"} {
			value, _ := tokens[name].(string)
			s.learn(name, value)
		}
	}
}

func (s *spy) learn(what, value string) {
	if value == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.met[value]; !known {
		s.met[value] = what
	}
}

// all returns the secrets met, without the states.
func (s *spy) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var values []string
	for value, what := range s.met {
		if what != "state" {
			values = append(values, value)
		}
	}
	return values
}

func (s *spy) kinds() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	kinds := slices.Sorted(maps.Values(s.met))
	return slices.Compact(kinds)
}

// misbehave makes the upstream repeat what it is told, and all it knows.
func (s *spy) misbehave(echo func(w http.ResponseWriter, request string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.echo = echo
}

// leaks names the secrets that a text contains, as they are or encoded.
func (s *spy) leaks(text string, but ...string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []string
	for value, what := range s.met {
		if slices.Contains(but, what) {
			continue
		}
		for form, how := range encodings(value) {
			if strings.Contains(text, form) {
				found = append(found, fmt.Sprintf("%s (%s)", what, how))
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// encodings are the forms in which a secret would still be one, each once.
func encodings(secret string) map[string]string {
	quoted, _ := json.Marshal(secret)
	forms := map[string]string{
		secret:                             "as it is",
		hex.EncodeToString([]byte(secret)): "in hex",
		base64.RawStdEncoding.EncodeToString([]byte(secret)): "in base64",
	}
	for form, how := range map[string]string{
		url.QueryEscape(secret): "in a query", url.PathEscape(secret): "in a path", string(quoted[1 : len(quoted)-1]): "in JSON",
		strings.Trim(strconv.Quote(secret), `"`): "quoted", base64.RawURLEncoding.EncodeToString([]byte(secret)): "in base64url",
	} {
		if _, known := forms[form]; !known {
			forms[form] = how
		}
	}
	return forms
}
