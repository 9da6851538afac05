package main

import (
	"net"
	"net/url"
	"sync"
)

// proxy is a way to a server that can be cut: connections stay open and nothing
// comes through, as when a network breaks. What was on its way comes through
// when it is repaired.
type proxy struct {
	listener net.Listener
	target   string

	mu   sync.Mutex
	open chan struct{} // closed while the way is open
	all  []net.Conn
}

func newProxy(s *scene, target string) *proxy {
	s.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	s.must(err)
	p := &proxy{listener: listener, target: target, open: make(chan struct{})}
	close(p.open)
	go p.accept()
	s.Cleanup(p.close)
	return p
}

// through returns the database's URL by way of a new proxy.
func through(s *scene, database string) (string, *proxy) {
	s.Helper()
	u, err := url.Parse(database)
	s.must(err)
	p := newProxy(s, u.Host)
	u.Host = p.listener.Addr().String()
	return u.String(), p
}

func (p *proxy) accept() {
	for {
		from, err := p.listener.Accept()
		if err != nil {
			return
		}
		to, err := net.Dial("tcp", p.target)
		if err != nil {
			from.Close()
			continue
		}
		p.mu.Lock()
		p.all = append(p.all, from, to)
		p.mu.Unlock()
		go p.carry(from, to)
		go p.carry(to, from)
	}
}

// carry copies what comes, whenever the way is open.
func (p *proxy) carry(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		<-p.way()
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *proxy) way() chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open
}

func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = make(chan struct{})
}

func (p *proxy) mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.open:
	default:
		close(p.open)
	}
}

func (p *proxy) close() {
	p.listener.Close()
	p.mend()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.all {
		c.Close()
	}
}
