// Package transit is a fake of the transit secrets engine of HashiCorp Vault and OpenBao, made from its documentation
// (https://developer.hashicorp.com/vault/api-docs/secret/transit, https://openbao.org/api-docs/secret/transit/). It refuses
// what they do not describe.
package transit

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Server holds one key of the type aes256-gcm96, "grantd", at the mount "transit".
type Server struct {
	*httptest.Server
	Token     string
	Namespace string

	mu       sync.Mutex
	versions []cipher.AEAD
	oldest   int // the oldest version that still decrypts, from 1
	refusals []refusal
	calls    int
}

type refusal struct {
	status int
	errors []string
}

// Start returns a server that speaks http on loopback, with TLS if tls is set.
func Start(t testing.TB, tls bool) *Server {
	t.Helper()
	s := &Server{Token: "hvs." + rand.Text(), Namespace: "teams/grantd", oldest: 1}
	s.Rotate()
	s.Server = httptest.NewUnstartedServer(s)
	if tls {
		s.StartTLS()
	} else {
		s.Server.Start()
	}
	t.Cleanup(s.Close)
	return s
}

// Rotate adds a version of the key, which encrypts from now on.
func (s *Server) Rotate() {
	key := make([]byte, 32)
	rand.Read(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.versions = append(s.versions, aead)
}

// Retire has only the newest version decrypt, as min_decryption_version does.
func (s *Server) Retire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.oldest = len(s.versions)
}

// Refuse has the next n requests answered with a status and errors.
func (s *Server) Refuse(n, status int, errors ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range n {
		s.refusals = append(s.refusals, refusal{status, errors})
	}
}

// Calls returns how many requests there were.
func (s *Server) Calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	w.Header().Set("Content-Type", "application/json")
	if len(s.refusals) > 0 {
		next := s.refusals[0]
		s.refusals = s.refusals[1:]
		refuse(w, next.status, next.errors...)
		return
	}
	if r.Header.Get("X-Vault-Token") != s.Token {
		refuse(w, http.StatusForbidden, "permission denied")
		return
	}
	operation, ok := strings.CutPrefix(r.URL.Path, "/v1/transit/")
	if !ok || r.Header.Get("X-Vault-Namespace") != s.Namespace {
		refuse(w, http.StatusNotFound, fmt.Sprintf("no handler for route %q. route entry not found.", strings.TrimPrefix(r.URL.Path, "/v1/")))
		return
	}
	if r.Method != http.MethodPost && r.Method != http.MethodPut {
		refuse(w, http.StatusMethodNotAllowed, "unsupported operation")
		return
	}
	var body struct {
		Plaintext      string `json:"plaintext"`
		Ciphertext     string `json:"ciphertext"`
		AssociatedData string `json:"associated_data"`
	}
	input := json.NewDecoder(r.Body)
	input.DisallowUnknownFields()
	if err := input.Decode(&body); err != nil {
		refuse(w, http.StatusBadRequest, "failed to parse JSON input: "+err.Error())
		return
	}
	bound, err := base64.StdEncoding.DecodeString(body.AssociatedData)
	if err != nil {
		refuse(w, http.StatusBadRequest, "failed to base64-decode associated_data")
		return
	}
	switch operation {
	case "encrypt/grantd":
		s.encrypt(w, body.Plaintext, bound)
	case "decrypt/grantd":
		s.decrypt(w, body.Ciphertext, bound)
	default:
		refuse(w, http.StatusBadRequest, "encryption key not found")
	}
}

func (s *Server) encrypt(w http.ResponseWriter, text string, bound []byte) {
	plain, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		refuse(w, http.StatusBadRequest, "failed to base64-decode plaintext")
		return
	}
	aead := s.versions[len(s.versions)-1]
	nonce := make([]byte, aead.NonceSize())
	rand.Read(nonce)
	sealed := base64.StdEncoding.EncodeToString(aead.Seal(nonce, nonce, plain, bound))
	answer(w, map[string]any{"ciphertext": fmt.Sprintf("vault:v%d:%s", len(s.versions), sealed), "key_version": len(s.versions)})
}

func (s *Server) decrypt(w http.ResponseWriter, text string, bound []byte) {
	rest, ok := strings.CutPrefix(text, "vault:v")
	number, sealed, _ := strings.Cut(rest, ":")
	version, err := strconv.Atoi(number)
	raw, err2 := base64.StdEncoding.DecodeString(sealed)
	switch {
	case !ok:
		refuse(w, http.StatusBadRequest, "invalid ciphertext: no prefix")
		return
	case err != nil || err2 != nil || version < 1 || version > len(s.versions):
		refuse(w, http.StatusBadRequest, "invalid ciphertext: could not decode")
		return
	case version < s.oldest:
		refuse(w, http.StatusBadRequest, "ciphertext or signature version is disallowed by policy (too old)")
		return
	}
	aead := s.versions[version-1]
	if len(raw) < aead.NonceSize() {
		refuse(w, http.StatusBadRequest, "invalid ciphertext length")
		return
	}
	plain, err := aead.Open(nil, raw[:aead.NonceSize()], raw[aead.NonceSize():], bound)
	if err != nil {
		refuse(w, http.StatusBadRequest, "cipher: message authentication failed")
		return
	}
	answer(w, map[string]any{"plaintext": base64.StdEncoding.EncodeToString(plain)})
}

func answer(w http.ResponseWriter, data map[string]any) {
	_ = json.NewEncoder(w).Encode(map[string]any{"request_id": "1", "lease_id": "", "renewable": false, "lease_duration": 0,
		"data": data, "wrap_info": nil, "warnings": nil, "auth": nil}) // a client that left hears nothing
}

func refuse(w http.ResponseWriter, status int, errors ...string) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": errors})
}
