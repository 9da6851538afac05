package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// callers are connections that are kept, each asking for one token after the
// other. They share the machine with what they measure, so they are lean: bytes
// that were prepared once go out, and of the answer only what must be read is
// looked at. net/http's client would cost about as much as the server.
type callers struct {
	address  string // host:port
	requests [][]byte
	conns    []*conn
}

type conn struct {
	net.Conn
	in *bufio.Reader
}

// newCallers opens n connections to the server at base.
func newCallers(ctx context.Context, n int, base string, requests [][]byte) (*callers, error) {
	c := &callers{address: strings.TrimPrefix(base, "http://"), requests: requests}
	for range n {
		opened, err := new(net.Dialer).DialContext(ctx, "tcp", c.address)
		if err != nil {
			return nil, errors.Join(err, c.close())
		}
		c.conns = append(c.conns, &conn{opened, bufio.NewReaderSize(opened, 16<<10)})
	}
	return c, nil
}

func (c *callers) close() error {
	var errs []error
	for _, open := range c.conns {
		errs = append(errs, open.Close())
	}
	return errors.Join(errs...)
}

// request is one request without a body, as it goes over the wire.
func request(method, path, token string) []byte {
	length := ""
	if method == "POST" {
		length = "Content-Length: 0\r\n"
	}
	return fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer %s\r\n%s\r\n", method, path, token, length)
}

func tokenPath(authorization string) string {
	return "/api/v2/externalOAuth/authorizedProviders/" + authorization + "/token/"
}

// load has every caller ask for the given time, and returns how long each answer
// took. The first answer that is not a success ends it.
func (c *callers) load(ctx context.Context, d time.Duration) ([]time.Duration, error) {
	end := time.Now().Add(d)
	took := make([][]time.Duration, len(c.conns))
	errs := make([]error, len(c.conns))
	var all sync.WaitGroup
	for i, open := range c.conns {
		all.Go(func() { took[i], errs[i] = c.ask(ctx, open, i, end) })
	}
	all.Wait()
	return slices.Concat(took...), errors.Join(errs...)
}

// ask begins each caller at another place, so that they do not ask for the same.
func (c *callers) ask(ctx context.Context, on *conn, caller int, end time.Time) ([]time.Duration, error) {
	took := make([]time.Duration, 0, 1<<14)
	next := caller * len(c.requests) / len(c.conns)
	for start := time.Now(); start.Before(end) && ctx.Err() == nil; {
		if err := on.exchange(c.requests[next%len(c.requests)]); err != nil {
			return nil, err
		}
		next++
		now := time.Now()
		took = append(took, now.Sub(start))
		start = now
	}
	return took, ctx.Err()
}

// exchange sends a request and reads the answer to its end.
func (c *conn) exchange(request []byte) error {
	if _, err := c.Write(request); err != nil {
		return err
	}
	status, err := c.in.ReadSlice('\n')
	if err != nil {
		return err
	}
	if len(status) < 12 || status[9] != '2' {
		return fmt.Errorf("the server answered %q", status)
	}
	length, err := c.headers()
	if err != nil {
		return err
	}
	if length < 0 {
		return c.chunks()
	}
	_, err = c.in.Discard(length)
	return err
}

var contentLength = []byte("Content-Length: ")

// headers returns the length of the body, -1 when it comes in chunks.
func (c *conn) headers() (int, error) {
	length := -1
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil || len(line) <= len("\r\n") {
			return length, err
		}
		if value, ok := bytes.CutPrefix(line, contentLength); ok {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return 0, err
			}
		}
	}
}

func (c *conn) chunks() error {
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		size, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 16, 32)
		if err != nil {
			return err
		}
		if _, err := c.in.Discard(int(size) + len("\r\n")); err != nil || size == 0 {
			return err
		}
	}
}

// sample fetches one answer with net/http, to look at what is measured.
func sample(ctx context.Context, base string, request []byte) (string, error) {
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(request)))
	if err != nil {
		return "", err
	}
	r = r.WithContext(ctx)
	r.URL.Scheme, r.URL.Host, r.RequestURI = "http", strings.TrimPrefix(base, "http://"), ""
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode/100 != 2 {
		err = fmt.Errorf("%s: %s", answer.Status, body)
	}
	return string(body), err
}

// figures are what is said about many answers.
type figures struct {
	perSecond float64
	p50, p99  time.Duration
	cpu       time.Duration // of the server's process, for each answer
}

// summarize takes the rounds of one server: the throughput is the median of the
// rounds, so that a neighbour's burst spoils a round and not the figure; the
// percentiles are of all answers.
func summarize(rounds [][]time.Duration, d time.Duration) figures {
	var perSecond []float64
	for _, r := range rounds {
		perSecond = append(perSecond, float64(len(r))/d.Seconds())
	}
	slices.Sort(perSecond)
	all := slices.Concat(rounds...)
	slices.Sort(all)
	return figures{perSecond: perSecond[len(perSecond)/2], p50: percentile(all, 50), p99: percentile(all, 99)}
}

// percentile is for sorted values.
func percentile(sorted []time.Duration, p int) time.Duration {
	return sorted[min(len(sorted)-1, len(sorted)*p/100)]
}

func median(all []time.Duration) time.Duration {
	return percentile(slices.Sorted(slices.Values(all)), 50)
}

func ratio(a, b time.Duration) float64 { return float64(a) / float64(b) }
