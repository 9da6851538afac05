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
	v, ok := n.w.pass(&gate{kind: gateSend, replica: n.replica, actor: call.actor, what: what, refresh: call.refreshes()}, ctx.Done())
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
	defer n.w.ledger.returned(call)
	resp := n.answer(r, body, call, v)
	came, ok := n.w.pass(&gate{kind: gateAnswer, replica: n.replica, actor: call.actor, what: "the answer to " + what, refresh: call.refreshes()}, ctx.Done())
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

// answer is what the upstream says, or what stands before it.
func (n network) answer(r *http.Request, body []byte, c *call, v verdict) *http.Response {
	switch v {
	case throttled:
		return page(r, http.StatusTooManyRequests, `{"error":"slow_down"}`, http.Header{"Retry-After": {"30"}})
	case broken:
		return page(r, http.StatusServiceUnavailable, "out of order", nil)
	default:
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	n.w.ledger.begin(c)
	resp, _ := direct{n.w.idp}.RoundTrip(r)
	n.w.ledger.end(c, resp.StatusCode)
	return resp
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
	presented    string // the token that it is about
	grant        string // grant_type
	owner        string // whose token that is
	lease        leased // the credential's lease when it arrived
	status       int
	brought      tokens   // issued by it
	ended        []string // the tokens that ended by it
	denied       bool     // the upstream did not accept the client
	over         bool     // the caller has an answer, or does not wait for one any more
	lost         bool     // what it brought did not reach the database, and cannot any more
}

func (c *call) refreshes() bool { return c.grant == "refresh_token" }

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
