package testidp

import (
	"net"
	"net/http"
	"time"
)

// TB is what [Start] needs of a test: a *testing.T and a *testing.B are one.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// Start serves a new [Server] on a free port of the loopback network until the test ends, and returns it with its URL.
func Start(t TB, o Options) (idp *Server, url string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("starting the test authorization server: %v", err)
	}
	idp = New(o)
	web := &http.Server{Handler: idp, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = web.Serve(listener) }() // ends with Close
	t.Cleanup(func() {
		idp.Close()
		_ = web.Close()
	})
	return idp, "http://" + listener.Addr().String()
}
