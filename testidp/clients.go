package testidp

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"sync"
)

// Client is a registered OAuth client. One without a secret is public: it
// authenticates with its id alone and must use PKCE.
type Client struct {
	ID           string
	Secret       string   `json:"-"`
	RedirectURIs []string // none: any http(s) URL will do
}

// Format prints the client without its secret, whatever the verb.
func (c Client) Format(f fmt.State, _ rune) { io.WriteString(f, "client "+c.ID+" [redacted]") }

// LogValue keeps the secret out of structured logs.
func (c Client) LogValue() slog.Value { return slog.StringValue("client " + c.ID + " [redacted]") }

// redirect returns the URI to answer to, given the one asked for: RFC 6749
// §3.1.2.3 lets a client with a single registered URI leave it out.
func (c Client) redirect(asked string) (string, bool) {
	if asked == "" && len(c.RedirectURIs) == 1 {
		return c.RedirectURIs[0], true
	}
	if len(c.RedirectURIs) > 0 {
		return asked, slices.Contains(c.RedirectURIs, asked)
	}
	u, err := url.Parse(asked)
	return asked, err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.Fragment == ""
}

// AddClient registers a client, in place of one with the same id.
func (s *Server) AddClient(c Client) { s.clients.put(c) }

// SetSecret changes a client's secret, as an administrator at the upstream
// would. It panics when there is no such client.
func (s *Server) SetSecret(clientID, secret string) { must(s.setSecret(clientID, secret)) }

func (s *Server) setSecret(clientID, secret string) error {
	c, ok := s.clients.get(clientID)
	if !ok {
		return fmt.Errorf("no client %q", clientID)
	}
	c.Secret = secret
	s.clients.put(c)
	return nil
}

type registry struct {
	mu   sync.RWMutex
	byID map[string]Client
}

func (r *registry) get(id string) (Client, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	c, ok := r.byID[id]
	return c, ok
}

func (r *registry) put(c Client) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byID == nil {
		r.byID = make(map[string]Client)
	}
	r.byID[c.ID] = c
}

// authenticate is client authentication as RFC 6749 §2.3.1 has it: HTTP Basic
// with both halves form-urlencoded, or the form; never both at once.
func (s *Server) authenticate(r *http.Request) (Client, *failure) {
	id, secret, basic := r.BasicAuth()
	if !basic {
		return s.verify(r, r.PostForm.Get("client_id"), r.PostForm.Get("client_secret"))
	}
	id, errID := url.QueryUnescape(id)
	secret, errSecret := url.QueryUnescape(secret)
	if errID != nil || errSecret != nil {
		return Client{}, errClient
	}
	other := r.PostForm.Get("client_id")
	if r.PostForm.Has("client_secret") || (other != "" && other != id) {
		return Client{}, errTwoCredentials
	}
	return s.verify(r, id, secret)
}

// authenticateForm is all that GitHub's token endpoint documents.
func (s *Server) authenticateForm(r *http.Request) (Client, *failure) {
	return s.verify(r, r.PostForm.Get("client_id"), r.PostForm.Get("client_secret"))
}

// authenticatePlain is RFC 7617 Basic, which GitHub's REST API reads: what
// stands between the colon and the end is the secret, percent signs and all.
func (s *Server) authenticatePlain(r *http.Request) (Client, *failure) {
	id, secret, _ := r.BasicAuth()
	return s.verify(r, id, secret)
}

func (s *Server) verify(r *http.Request, id, secret string) (Client, *failure) {
	c, ok := s.clients.get(id)
	if !ok || !same(c.Secret, secret) || faultOf(r).WrongSecret {
		return Client{}, errClient
	}
	return c, nil
}

// same compares in constant time, lengths included.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// must turns a mistake in a test's set-up into a panic: a fault or client that
// is misspelt would otherwise let the test pass for the wrong reason.
func must(err error) {
	if err != nil {
		panic("testidp: " + err.Error())
	}
}
