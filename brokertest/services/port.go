package services

import (
	"fmt"
	"math/rand/v2"
	"net"
)

// freePort returns a loopback port that nobody listens on. It stays below the
// range from which the kernel gives ports to outgoing connections (32768 on
// Linux), or one of those could sit on the port while a server is stopped.
func freePort() (int, error) {
	var err error
	for range 100 {
		port := 20000 + rand.IntN(12000)
		var l net.Listener
		if l, err = net.Listen("tcp", loopback(port)); err == nil {
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("no free port: %w", err)
}

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
