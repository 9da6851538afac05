// Package transit is the transit secrets engine of HashiCorp Vault, for tests: a fake of it, or with GRANTD_TEST_VAULT the
// program that the variable names (`vault`, or the one that `make kms` builds from kms/vaulttest), which is a real one. The tests
// of this package hold the fake to what the real one answers.
package transit

import (
	"net/http"
	"net/http/httptest"
	"os"
	"sync/atomic"
	"testing"
)

// Server has a transit engine at "transit" with one key of the type aes256-gcm96, "grantd".
type Server struct {
	*httptest.Server
	engine
	// Token may do what Policy allows, and nothing else.
	Token string
	// Namespace is the only one that the engine is in; "" where the server knows no namespaces.
	Namespace string

	calls atomic.Int64
}

// Policy is that of docs/kms.md.
const Policy = `path "transit/encrypt/grantd" { capabilities = ["update"] }
path "transit/decrypt/grantd" { capabilities = ["update"] }
`

// engine is the server behind a Server, and what its operator does.
type engine interface {
	http.Handler
	// Rotate adds a version of the key, which encrypts from now on.
	Rotate()
	// Retire has only the newest version decrypt: min_decryption_version.
	Retire()
	// Seal has every request answered with 503, until Unseal.
	Seal()
	Unseal()
	// Forbid withdraws what Policy allows, until Allow.
	Forbid()
	Allow()
}

// program is the variable that names a real Vault.
const program = "GRANTD_TEST_VAULT"

// Start returns a server that speaks http on loopback, with TLS if tls is set.
func Start(t testing.TB, tls bool) *Server {
	t.Helper()
	s := new(Server)
	if path := os.Getenv(program); path != "" {
		s.engine, s.Token = startVault(t, path)
	} else {
		f := newFake()
		s.engine, s.Token, s.Namespace = f, f.token, f.namespace
	}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.calls.Add(1)
		s.engine.ServeHTTP(w, r)
	}))
	if tls {
		s.StartTLS()
	} else {
		s.Server.Start()
	}
	t.Cleanup(s.Close)
	return s
}

// Calls returns how many requests there were, less what the operator did.
func (s *Server) Calls() int { return int(s.calls.Load()) }
