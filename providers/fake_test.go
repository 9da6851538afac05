package providers

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/grantd/grantd/models"
)

// What must never be seen outside a request.
const (
	theSecret   = "s3cr3t-client/+%:value"
	theCode     = "c0de-0123456789"
	theVerifier = "verifier-0123456789-0123456789-0123456789-0123"
	theAccess   = "ghu_access-0123456789"
	theRefresh  = "ghr_refresh-0123456789"
)

// Answers as upstreams give them.
const (
	githubAppTokens     = `{"access_token":"ghu_x","expires_in":28800,"refresh_token":"ghr_x","refresh_token_expires_in":15811200,"token_type":"bearer","scope":""}`
	githubClassicTokens = `{"access_token":"gho_x","scope":"repo,user:email","token_type":"bearer"}`
	githubFormTokens    = `access_token=gho_x&scope=repo%2Cuser%3Aemail&token_type=bearer`
	notFound            = `{"message":"Not Found"}`
	htmlPage            = "<html><body>502 Bad Gateway</body></html>"
)

// request is one that reached a fake.
type request struct {
	method, path, body string
	header             http.Header
}

func (r request) form(t *testing.T) url.Values {
	t.Helper()
	form, err := url.ParseQuery(r.body)
	if err != nil {
		t.Fatal(err)
	}
	return form
}

// fake is an upstream that answers as it is told and remembers what it was sent.
type fake struct {
	*httptest.Server
	mux  *http.ServeMux
	mu   sync.Mutex
	seen []request
}

func newFake(t *testing.T) *fake {
	t.Helper()
	f := &fake{mux: http.NewServeMux()}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	f.mu.Lock()
	f.seen = append(f.seen, request{r.Method, r.URL.EscapedPath(), string(body), r.Header.Clone()})
	f.mu.Unlock()
	r.Body = io.NopCloser(bytes.NewReader(body))
	f.mux.ServeHTTP(w, r)
}

// requests returns what has reached the fake so far.
func (f *fake) requests() []request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]request{}, f.seen...)
}

func (f *fake) last(t *testing.T) request {
	t.Helper()
	all := f.requests()
	if len(all) == 0 {
		t.Fatal("nothing reached the upstream")
	}
	return all[len(all)-1]
}

// lastPost is the last request but for those of keys, which are read beside.
func (f *fake) lastPost(t *testing.T) request {
	t.Helper()
	for _, r := range slices.Backward(f.requests()) {
		if r.method == http.MethodPost {
			return r
		}
	}
	t.Fatal("nothing was posted")
	return request{}
}

// host is the fake's address, as in an allow list.
func (f *fake) host() string { return strings.TrimPrefix(f.URL, "http://") }

// says makes the fake answer a pattern with JSON.
func (f *fake) says(pattern string, status int, body string) {
	f.mux.HandleFunc(pattern, reply(status, "application/json", body))
}

func reply(status int, contentType, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// hangUp reads the request and drops the connection without an answer.
func hangUp(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func newRegistry(t *testing.T, o Options) *Registry {
	t.Helper()
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// testUpstream is a fake with a registry whose type "test" speaks to it.
func testUpstream(t *testing.T) (*fake, *Registry, Client) {
	t.Helper()
	f := newFake(t)
	r := newRegistry(t, Options{TestHost: f.URL})
	return f, r, Client{Type: "test", ID: "id", Secret: theSecret}
}

// githubUpstream is a fake Enterprise Server on plain http.
func githubUpstream(t *testing.T) (*fake, *Registry, Client) {
	t.Helper()
	f := newFake(t)
	r := newRegistry(t, Options{Allow: []string{f.host()}})
	return f, r, Client{Type: "github", ID: "Iv1.0123", Secret: theSecret, Host: f.URL}
}

func exchange(t *testing.T, r *Registry, c Client) (Tokens, error) {
	t.Helper()
	return r.At(c).Exchange(t.Context(), ExchangeRequest{Code: theCode, RedirectURI: "https://broker.example/cb", Verifier: theVerifier})
}

func theTokens() Tokens { return Tokens{Access: theAccess, Refresh: theRefresh} }

// failed returns the *Error that err must be.
func failed(t *testing.T, err error) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("error is %T (%v), want *Error", err, err)
	}
	return e
}

func want(t *testing.T, err error, kind Kind, code string) *Error {
	t.Helper()
	e := failed(t, err)
	if e.Kind != kind || e.Code != code {
		t.Errorf("failed as %s %q, want %s %q", e.Kind, e.Code, kind, code)
	}
	return e
}

// texts is all that printing an error could show, its causes included.
func texts(err error) string {
	var b strings.Builder
	for ; err != nil; err = errors.Unwrap(err) {
		b.WriteString(err.Error() + "\n")
		if e, ok := err.(*Error); ok {
			b.WriteString(e.Description + "\n" + e.Code + "\n")
		}
	}
	return b.String()
}

var theSecrets = []models.Secret{theSecret, theCode, theVerifier, theAccess, theRefresh}

func discloses(s string) bool { return repeats(s, theSecrets) }
