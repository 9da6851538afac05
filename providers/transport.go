package providers

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/grantd/grantd/traces"
)

const (
	maxBody     = 1 << 20 // after decompression
	maxHeader   = 64 << 10
	readTimeout = 3 * time.Second
	callTimeout = 30 * time.Second
)

// transports are the connections to upstreams: fresh makes one for each call, kept keeps
// them.
//
// Both speak HTTP/1.1, where net/http's rules of sending again are the ones
// above, use no proxy and follow no redirect: a 307 from a token endpoint would
// post the client secret to wherever it points. Where instead is given, it takes the
// place of both.
func transports(d *dialer, config *tls.Config, instead http.RoundTripper) (fresh, kept http.RoundTripper) {
	if instead != nil {
		return instead, instead
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	once := &http.Transport{
		Proxy:                  nil,
		DialContext:            d.DialContext,
		TLSClientConfig:        config.Clone(),
		TLSHandshakeTimeout:    dialTimeout,
		MaxResponseHeaderBytes: maxHeader,
		Protocols:              protocols,
		DisableKeepAlives:      true,
	}
	reused := once.Clone()
	reused.DisableKeepAlives = false
	reused.MaxIdleConnsPerHost = 64 // no fewer than a process revokes at once, so that most revocations need not open one
	reused.IdleConnTimeout = 90 * time.Second
	return once, reused
}

// clients are the three ways to call an upstream:
//
//   - tokens, for the token endpoint: no time-out but the context's, and a fresh
//     connection for each call. net/http sends a POST again by itself only if
//     not a byte of it was written, which is safe; but a kept connection that
//     the upstream closes while the request is under way makes the outcome
//     unknown for no reason, and a refresh token is too dear for that.
//   - calls, for revocations, which may be repeated.
//   - reads, for user info, discovery and keys, with a short time-out.
type clients struct{ tokens, calls, reads *http.Client }

// clientsFor makes the clients of a provider type, which are observed under its name. reads
// is the class that its reads are observed as. All share the connections of the transports.
func (r *Registry) clientsFor(providerType string, reads CallClass) clients {
	client := func(base http.RoundTripper, class CallClass, timeout time.Duration) *http.Client {
		return &http.Client{Transport: &transport{base, Call{Type: providerType, Class: class}, r.observe, r.traces}, CheckRedirect: noRedirect, Timeout: timeout}
	}
	return clients{tokens: client(r.fresh, CallToken, 0), calls: client(r.kept, CallRevoke, callTimeout), reads: client(r.kept, reads, readTimeout)}
}

// clientsAt returns the clients of a type. Tests may know types that are in no list.
func (r *Registry) clientsAt(t *Type) clients {
	if c, ok := r.clientsOf[t.Name]; ok {
		return c
	}
	return r.clientsFor(t.Name, CallAPI)
}

// CallClass is a kind of endpoint that is called.
type CallClass string

// The classes.
const (
	CallToken    CallClass = "token"    // the token endpoint, and what stands in for it
	CallRevoke   CallClass = "revoke"   // giving tokens back
	CallAPI      CallClass = "api"      // user info, and whether a token is good
	CallMetadata CallClass = "metadata" // discovery and key sets
)

// Call is a call to an upstream, as Options.Observe is told of it.
type Call struct {
	Type   string // of the provider, "" for metadata and key sets
	Class  CallClass
	Status int           // HTTP status, 0 when no answer came
	Took   time.Duration // until the answer began, or the call failed
}

// noRedirect hands the redirect itself back as the answer.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// transport caps what is read and turns every failure on the way into an Error
// that says whether the request may have arrived.
type transport struct {
	base    http.RoundTripper
	call    Call
	observe func(Call)
	traces  *traces.Tracer
}

func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	var sent atomic.Bool // from the moment there is a connection, to be on the safe side
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { sent.Store(true) }}
	req = req.Clone(httptrace.WithClientTrace(req.Context(), trace))
	req.Header.Set("User-Agent", "grantd")
	_, span := t.traces.Call(req.Context(), "call "+string(t.call.Class), req.Header)
	began := time.Now()
	resp, err := t.base.RoundTrip(req)
	call := t.call
	call.Took = time.Since(began)
	if err != nil {
		t.observe(call)
		span.Returned(call.Type, string(call.Class), 0)
		return nil, unreachable(err, sent.Load())
	}
	call.Status = resp.StatusCode
	t.observe(call)
	span.Returned(call.Type, string(call.Class), call.Status)
	noteAnswer(req)
	resp.Body = withoutBOM(&cappedBody{ReadCloser: resp.Body, left: maxBody})
	return resp, nil
}

// cappedBody fails once more than maxBody was read.
type cappedBody struct {
	io.ReadCloser
	left int64
}

func (b *cappedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, &Error{Kind: KindProtocol, Ambiguous: true, Err: errors.New("the answer is longer than 1 MiB")}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = unreachable(err, true)
	}
	return n, err
}

// byteOrderMark may come before JSON, and is no part of it (RFC 8259 §8.1).
const byteOrderMark = "\xEF\xBB\xBF"

// withoutBOM is the body less a byte order mark at its beginning.
func withoutBOM(body io.ReadCloser) io.ReadCloser {
	return &bomless{ReadCloser: body, rest: bufio.NewReaderSize(body, len(byteOrderMark))}
}

type bomless struct {
	io.ReadCloser
	rest  *bufio.Reader
	begun bool
}

func (b *bomless) Read(p []byte) (int, error) {
	if !b.begun {
		b.begun = true
		if head, _ := b.rest.Peek(len(byteOrderMark)); string(head) == byteOrderMark {
			_, _ = b.rest.Discard(len(byteOrderMark)) // of what was peeked at
		}
	}
	return b.rest.Read(p)
}

// unreachable makes the Error for a request without a whole answer. However it
// failed, it reads the same.
func unreachable(err error, sent bool) *Error {
	e := &Error{Kind: KindTransient, Ambiguous: sent, Err: cause(err)}
	if _, untrusted := errors.AsType[*tls.CertificateVerificationError](e.Err); untrusted {
		e.Code, e.Advice = "tls_certificate", "The TLS certificate of the provider's server cannot be verified. It must be renewed there, or the operator must trust the authority that issued it."
	}
	return e
}

// cause keeps the errors whose text is known to be ours or the system's.
// net/http quotes malformed answers in others, which may repeat a secret.
func cause(err error) error {
	var (
		op   *net.OpError
		dns  *net.DNSError
		cert *tls.CertificateVerificationError
		slow net.Error
	)
	switch {
	case errors.Is(err, errBlocked):
		return errBlocked
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.As(err, &op):
		return op
	case errors.As(err, &dns):
		return dns
	case errors.As(err, &cert):
		return cert
	case errors.As(err, &slow) && slow.Timeout():
		return context.DeadlineExceeded
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return io.ErrUnexpectedEOF
	}
	return errors.New("the connection broke")
}

// asError finds the Error that transport made. What http.Client adds on its own,
// such as its time-out, counts as sent.
func asError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return unreachable(err, true)
}
