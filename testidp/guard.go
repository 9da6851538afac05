package testidp

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"maps"
	"math"
	"net"
	"net/http"
	"strings"
	"time"
)

const maxBody = 1 << 20

type faultKey struct{}

// faultOf is what strikes this request, for the handlers that play a part.
func faultOf(r *http.Request) Fault {
	f, _ := r.Context().Value(faultKey{}).(Fault)
	return f
}

func named(name Endpoint) func(*http.Request) Endpoint {
	return func(*http.Request) Endpoint { return name }
}

// guard stands before every endpoint: it counts the call and plays the faults
// that strike it. It holds no lock while anything waits.
func (s *Server) guard(name func(*http.Request) Endpoint, fail failWriter, next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !readBody(w, r) {
			http.Error(w, "the request body is too large or malformed", http.StatusBadRequest)
			return
		}
		endpoint := name(r)
		defer s.counters.enter(endpoint)()
		w.Header().Set("Cache-Control", "no-store")
		f := s.faults.take(endpoint, r.URL.Path, s.accountOf(r))
		if f.strikes() {
			r = r.WithContext(context.WithValue(r.Context(), faultKey{}, f))
			s.play(w, r, f, endpoint, fail, next)
			return
		}
		next(w, r)
	})
}

// readBody takes the whole body in before anything waits: net/http notices a
// client that left only once the body has been read.
func readBody(w http.ResponseWriter, r *http.Request) bool {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	r.Body = io.NopCloser(bytes.NewReader(body))
	if err != nil || r.ParseForm() != nil {
		return false
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return true
}

// accountOf is whose token a request carries: in its form, in the JSON body of GitHub's
// REST endpoints, or as a bearer token; "" for no token that was ever issued.
func (s *Server) accountOf(r *http.Request) string {
	var body struct {
		AccessToken string `json:"access_token"`
	}
	if content, err := io.ReadAll(r.Body); err == nil {
		r.Body = io.NopCloser(bytes.NewReader(content))
		_ = json.Unmarshal(content, &body) // most bodies are forms
	}
	bearer, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	for _, value := range []string{r.PostForm.Get("refresh_token"), r.PostForm.Get("token"), body.AccessToken, bearer} {
		if user := s.ledger.userOf(value); user != "" {
			return user
		}
	}
	return ""
}

func (f Fault) strikes() bool { return f.Endpoint != "" }

// released waits until the fault lets the request go, and says false when the client
// went away.
func (f Fault) released(r *http.Request) bool {
	if f.Until == nil {
		return true
	}
	select {
	case <-f.Until:
		return true
	case <-r.Context().Done():
		return false
	}
}

// delay is how long to wait before the work.
func (f Fault) delay() time.Duration {
	if f.Hang {
		return math.MaxInt64
	}
	return milliseconds(f.LatencyMS)
}

func milliseconds(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// answers says whether the fault speaks in the endpoint's place.
func (f Fault) answers() bool { return f.Status != 0 || f.Location != "" || f.Body != "" }

func (s *Server) play(w http.ResponseWriter, r *http.Request, f Fault, name Endpoint, fail failWriter, next http.HandlerFunc) {
	if !f.released(r) || !s.wait(r, f.delay()) {
		abort(w)
		return
	}
	answer := &reply{header: http.Header{}}
	switch {
	case f.ResetAfter:
		next(answer, r)
		abort(w)
		return
	case f.Error != "" && fail != nil:
		fail(answer, r, f.failure(name), f.Status)
	case f.answers():
		f.answer(answer)
	default:
		next(answer, r)
	}
	f.decorate(answer)
	if !s.wait(r, milliseconds(f.AnswerLatencyMS)) {
		abort(w)
		return
	}
	answer.send(w, f.HugeBody)
}

// wait holds the request back, and says false when client or server went away.
func (s *Server) wait(r *http.Request, d time.Duration) bool {
	if d == 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
	case <-s.closed:
	}
	return false
}

func (f Fault) answer(a *reply) {
	if f.Location != "" {
		a.header.Set("Location", f.Location)
		a.status = cmp.Or(f.Status, http.StatusFound)
	} else {
		a.status = cmp.Or(f.Status, http.StatusOK)
	}
	a.header.Set("Content-Type", "text/html; charset=utf-8")
	io.WriteString(a, f.Body)
}

// decorate adds the headers a fault brings to any answer.
func (f Fault) decorate(a *reply) {
	for name, value := range f.Headers {
		a.header.Set(name, value)
	}
	if f.RetryIn > 0 {
		a.header.Set("Retry-After", time.Now().Add(time.Duration(f.RetryIn)*time.Second).UTC().Format(http.TimeFormat))
	}
	if f.RetryAfter != "" {
		a.header.Set("Retry-After", f.RetryAfter)
	}
	if f.ContentType != "" {
		a.header.Set("Content-Type", f.ContentType)
	}
}

// abort ends the connection with a TCP reset (SO_LINGER 0), the way a crash
// does; where there is no connection to take over, net/http drops it.
func abort(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	raw := conn
	if t, ok := conn.(*tls.Conn); ok {
		raw = t.NetConn()
	}
	if t, ok := raw.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = raw.Close()
}

// reply keeps an answer back until it is known the outcome.
type reply struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *reply) Header() http.Header { return a.header }

func (a *reply) WriteHeader(status int) { a.status = cmp.Or(a.status, status) }

func (a *reply) Write(b []byte) (int, error) { return a.body.Write(b) }

// send writes the answer after so many bytes of white space: valid JSON to
// those who read it all, too much for those who know when to stop.
func (a *reply) send(w http.ResponseWriter, padding int) {
	maps.Copy(w.Header(), a.header)
	w.WriteHeader(cmp.Or(a.status, http.StatusOK))
	space := bytes.Repeat([]byte(" "), 1<<15)
	for ; padding > 0; padding -= len(space) {
		if _, err := w.Write(space[:min(padding, len(space))]); err != nil {
			return
		}
	}
	w.Write(a.body.Bytes())
}
