package providers

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"
)

// world is the public internet as a fake: whatever host is dialled by its name,
// over TLS, the fake answers, and remembers who was meant. It is for types whose
// hosts cannot be chosen. Patterns may start with a host, as in
// "POST oauth2.example.com/token".
type world struct {
	*fake
	mu      sync.Mutex
	dialled []string
}

// worldTestHost is where the type test lives in a world.
const worldTestHost = "https://test.example.com"

// newWorld returns the fake and a registry for which it is the internet.
func newWorld(t *testing.T) (*world, *Registry) {
	t.Helper()
	w := &world{fake: &fake{mux: http.NewServeMux()}}
	ca := newAuthority(t)
	w.Server = httptest.NewUnstartedServer(w.fake)
	w.TLS = &tls.Config{GetCertificate: ca.certify}
	w.StartTLS()
	t.Cleanup(w.Close)

	r := newRegistry(t, Options{TestHost: worldTestHost, TLS: &tls.Config{RootCAs: ca.pool()}})
	notice := func(host string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.dialled = append(w.dialled, host)
	}
	r.dialer.lookup = func(_ context.Context, _, host string) ([]netip.Addr, error) {
		notice(host)
		return []netip.Addr{netip.MustParseAddr("140.82.121.4")}, nil
	}
	r.dialer.judged = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, w.Listener.Addr().String())
	}
	r.dialer.listed = func(ctx context.Context, network, addr string) (net.Conn, error) {
		notice(addr)
		return r.dialer.judged(ctx, network, addr)
	}
	return w, r
}

// hosts returns every host that was dialled, sorted.
func (w *world) hosts() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	hosts := slices.Clone(w.dialled)
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// authority signs a certificate for any name.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key}
	der, err := x509.CreateCertificate(rand.Reader, a.template("the world"), a.template("the world"), &key.PublicKey, key)
	if err == nil {
		a.cert, err = x509.ParseCertificate(der)
	}
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *authority) template(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
}

func (a *authority) certify(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, a.template(hello.ServerName), a.cert, &a.key.PublicKey, a.key)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: a.key}, nil
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}
