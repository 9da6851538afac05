package providers

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/grantd/grantd/models"
)

// strict is an upstream with a memory that speaks a dialect, and fails the test
// for whatever a careless client does: a secret in a URL, the wrong style of
// authentication or two at once, a parameter too many, a redirect that is
// followed, a refresh token that is spent twice.
type strict struct {
	*world
	t   *testing.T
	d   dialect
	r   *Registry
	c   Client
	typ *Type

	mu        sync.Mutex
	count     int
	codes     map[string]*consented
	pairs     []*pair
	devices   map[string]*deviceFlow
	secrets   []models.Secret
	granted   []string                    // what people consent to; nil = all
	replaying bool                        // a spent refresh token is expected
	graceOver bool                        // and its grace has passed
	instead   map[string]http.HandlerFunc // by URL without query: answers in place of ours
}

// pair is an access token and its refresh token.
type pair struct {
	access, refresh                                     string
	scopes                                              []string
	accessRevoked, accessExpired, refreshRevoked, spent bool
}

// newStrict stands a dialect up for a client of the type at host.
func newStrict(t *testing.T, name, host string, d dialect) *strict {
	t.Helper()
	w, r := newWorld(t)
	typ, ok := r.Type(name)
	if !ok {
		t.Fatalf("there is no type %s", name)
	}
	s := &strict{world: w, t: t, d: d, r: r, typ: typ, codes: map[string]*consented{}, devices: map[string]*deviceFlow{},
		secrets: []models.Secret{theSecret}, instead: map[string]http.HandlerFunc{}}
	s.c = Client{Type: name, ID: d.clientID, Secret: theSecret, Config: d.config}
	if s.c.ID == "" {
		s.c.ID = "my+client/1"
	}
	if typ.SelfManaged && host != hostOf(typ) {
		s.c.Host = host
	}
	w.mux.Handle("/", s)
	return s
}

// hostOf is a type's public host.
func hostOf(typ *Type) string { return strings.TrimPrefix(typ.DefaultHost, "https://") }

// ServeHTTP finds the place that was meant.
func (s *strict) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.judge(r)
	place := "https://" + r.Host + r.URL.EscapedPath()
	if instead := s.instead[place]; instead != nil {
		instead(w, r)
		return
	}
	switch key := r.Method + " " + place; key {
	case "POST " + s.d.tokenURL:
		s.token(w, r, body)
	case "POST " + s.d.revokeURL:
		s.revoke(w, r, body)
	case "POST " + s.d.introspectURL:
		s.introspect(w, r, body)
	case "POST " + s.d.deviceURL:
		s.beginDevice(w, r, body)
	default:
		s.other(w, r, key, body)
	}
}

// other is what the dialect has beside the standard.
func (s *strict) other(w http.ResponseWriter, r *http.Request, key string, body []byte) {
	if document, ok := s.d.documents[key]; ok {
		tell(w, 200, document)
		return
	}
	if special, ok := s.d.special[key]; ok {
		special(s, w, r, body)
		return
	}
	resource, ok := s.d.resources[key]
	if !ok {
		s.t.Errorf("%s is no place of this upstream", key)
		http.NotFound(w, r)
		return
	}
	if r.Header.Get("Accept") == "" {
		s.t.Errorf("%s: asked without Accept", key)
	}
	p := s.bearer(r)
	if p == nil {
		s.say(w, s.d.noBearer.or(says{401, `{"error":"invalid_token"}`}))
		return
	}
	status, answer := resource(s, p, r)
	tell(w, status, answer)
}

func (s *strict) live(access string) *pair {
	for _, p := range s.pairs {
		if p.access == access && !p.accessRevoked && !p.accessExpired {
			return p
		}
	}
	return nil
}

// secret makes one that may never be seen in a URL.
func (s *strict) secret(kind string) string {
	s.count++
	made := fmt.Sprintf("%s-%d/+secret", kind, s.count)
	s.secrets = append(s.secrets, models.Secret(made))
	return made
}

func (s *strict) say(w http.ResponseWriter, a says) {
	reply(a.status, "application/json", a.body)(w, nil)
}

// placeOf is a key without its method.
func placeOf(key string) string {
	_, place, _ := strings.Cut(key, " ")
	return place
}

func tell(w http.ResponseWriter, status int, v any) {
	if text, ok := v.(string); ok {
		reply(status, "application/json", text)(w, nil)
		return
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	reply(status, "application/json", string(b))(w, nil)
}
