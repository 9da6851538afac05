package simulation

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/grantd/grantd/brokertest/protocol"
)

// network carries a replica's requests to the upstream, through two gates: one before a
// request arrives, and one before its answer does.
type network struct {
	w       *world
	replica *replica
}

// RoundTrip implements http.RoundTripper.
func (n network) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx := r.Context()
	body, err := readBody(r)
	if err != nil {
		return nil, err
	}
	form, _ := url.ParseQuery(string(body))
	call := &call{replica: n.replica, method: r.Method, path: r.URL.Path, actor: actorOf(ctx), presented: presented(r, body, form), grant: form.Get("grant_type")}
	what := call.String(n.w)
	v, ok := n.w.pass(&gate{kind: gateSend, replica: n.replica, actor: call.actor, what: what, of: call.of()}, ctx.Done())
	if !ok || ctx.Err() != nil {
		n.w.followCall(call, protocol.CallFails)
		return nil, context.Cause(ctx)
	}
	if v == unreachable {
		n.w.followCall(call, protocol.CallFails)
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	if trace := httptrace.ContextClientTrace(ctx); trace != nil && trace.GotConn != nil {
		trace.GotConn(httptrace.GotConnInfo{})
	}
	defer n.returned(call)
	resp := n.answer(r, body, call, v)
	came, ok := n.w.pass(&gate{kind: gateAnswer, replica: n.replica, actor: call.actor, what: "the answer to " + what, of: call.of()}, ctx.Done())
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	switch {
	case !ok || ctx.Err() != nil:
		n.w.followCall(call, protocol.AnswerIsLost)
		n.w.ledger.lost(call)
		return nil, context.Cause(ctx)
	case came == loses:
		n.w.followCall(call, protocol.AnswerIsLost)
		n.w.ledger.lost(call)
		return nil, &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	case came == garbled:
		n.w.followCall(call, protocol.AnswerIsLost)
		n.w.ledger.lost(call)
		return page(r, http.StatusOK, "<html>It worked, or did it?</html>", nil), nil
	}
	if v == stolen {
		n.w.noteStolen(call)
	}
	switch {
	case v != goOn:
		n.w.followCall(call, protocol.CallFails)
	case call.denied:
		n.w.followCall(call, protocol.ClientIsRefused)
	default:
		n.w.followCall(call, protocol.AnswerArrives)
	}
	return resp, nil
}

// returned notes that nobody waits for an answer any more. A process that was killed as the
// request was on its way did not have it.
func (n network) returned(c *call) {
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	n.w.ledger.returned(c)
	if n.w.isDead(n.replica) {
		n.w.ledger.lost(c)
	}
}

// answer is what the upstream says, or what stands before it. The upstream answers one request
// after the other.
func (n network) answer(r *http.Request, body []byte, c *call, v verdict) *http.Response {
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	switch v {
	case throttled:
		return page(r, http.StatusTooManyRequests, `{"error":"slow_down"}`, http.Header{"Retry-After": {n.w.retryAfter}})
	case broken:
		return page(r, http.StatusServiceUnavailable, "out of order", nil)
	default:
	}
	n.w.ledger.begin(c)
	if v == stolen {
		r, body = n.mixedUp(r, body, c)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	resp, _ := direct{n.w.idp}.RoundTrip(r)
	n.w.ledger.end(c, resp.StatusCode)
	return resp
}

// mixedUp is a request about the token of somebody else, which the upstream answers instead.
func (n network) mixedUp(r *http.Request, body []byte, c *call) (*http.Request, []byte) {
	account, at, _ := strings.Cut(c.owner, " at ")
	other := map[bool]string{true: "edsger", false: "ada"}[account == "ada"]
	for _, p := range n.w.image.places {
		if p.name == at {
			token := n.w.idp.MintAccess(p.client, other)
			r = r.Clone(r.Context())
			if r.Header.Get("Authorization") == "Bearer "+c.presented {
				r.Header.Set("Authorization", "Bearer "+token)
			}
			return r, bytes.ReplaceAll(body, []byte(c.presented), []byte(token))
		}
	}
	return r, body
}

func page(r *http.Request, status int, text string, header http.Header) *http.Response {
	if header == nil {
		header = http.Header{}
	}
	return &http.Response{StatusCode: status, Status: http.StatusText(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Body: io.NopCloser(strings.NewReader(text)), ContentLength: int64(len(text)), Request: r}
}

func readBody(r *http.Request) ([]byte, error) {
	if r.Body == nil {
		return nil, nil
	}
	body, err := io.ReadAll(r.Body)
	return body, errors.Join(err, r.Body.Close())
}

// presented is the token that a request is about.
func presented(r *http.Request, body []byte, form url.Values) string {
	if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return bearer
	}
	for _, field := range []string{"refresh_token", "token"} {
		if form.Get(field) != "" {
			return form.Get(field)
		}
	}
	if _, rest, ok := bytes.Cut(body, []byte(`"access_token":"`)); ok {
		token, _, _ := bytes.Cut(rest, []byte(`"`))
		return string(token)
	}
	return ""
}

// call is one request to the upstream.
type call struct {
	replica      *replica
	actor        string
	method, path string
	presented    string    // the token that it is about
	grant        string    // grant_type
	owner        string    // whose token that is
	lease        leased    // the credential's lease when it arrived
	leasedAt     time.Time // when the lease was asked for, in real time
	status       int
	brought      tokens   // issued by it
	ended        []string // the tokens that ended by it
	denied       bool     // the upstream did not accept the client
	over         bool     // the caller has an answer, or does not wait for one any more
	lost         bool     // what it brought did not reach the database, and cannot any more
}

func (c *call) refreshes() bool { return c.grant == "refresh_token" }

// of says what a request is of.
func (c *call) of() of {
	switch {
	case c.refreshes():
		return refresh
	case c.method == http.MethodPost && (strings.HasSuffix(c.path, "/token") && c.grant == "" || strings.HasSuffix(c.path, "/introspect")):
		return identity
	}
	return anything
}

func (c *call) revokes() bool {
	return c.method == http.MethodDelete || strings.HasSuffix(c.path, "/revoke")
}

func (c *call) String(w *world) string {
	what := c.method + " " + c.path
	switch {
	case c.refreshes():
		what = "refresh with " + w.ledger.nameOf(c.presented)
	case c.grant != "":
		what = "exchange of a code"
	case c.presented != "":
		what += " about " + w.ledger.nameOf(c.presented)
	}
	return what
}
