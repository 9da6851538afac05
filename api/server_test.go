package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/models"
)

// secretInBody is what no answer and no log may repeat.
const secretInBody = "s3cr3t-in-the-body"

// testServer is a Server without a service behind it: whatever reaches the
// broker panics, and shows as a 500. The token "good" is an admin's.
type testServer struct {
	*Server
	log *bytes.Buffer
}

func newTestServer(t testing.TB) *testServer {
	t.Helper()
	logged := &bytes.Buffer{}
	s := New(Options{
		Service:   &broker.Service{},
		PublicURL: "https://grantd.example.com",
		Version:   "dev",
		Log:       slog.New(slog.NewTextHandler(logged, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	s.beginRequest = func(models.Caller) (func(), error) { return func() {}, nil }
	s.addFailure = func(netip.Addr) error { return nil }
	s.callerOf = func(_ context.Context, token models.Secret) (models.Caller, error) {
		if token.Reveal() != "good" {
			return models.Caller{}, models.Errorf(models.CodeUnauthenticated, "The API token is not valid.")
		}
		return models.Caller{OrgID: "o", UserID: "u", Role: models.RoleAdmin}, nil
	}
	return &testServer{s, logged}
}

type reply struct {
	status int
	header http.Header
	raw    string
	err    Error
}

func (s *testServer) send(t *testing.T, r *http.Request) reply {
	t.Helper()
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	got := reply{status: w.Code, header: w.Header(), raw: w.Body.String()}
	if w.Code >= 400 {
		if err := json.Unmarshal(w.Body.Bytes(), &got.err); err != nil {
			t.Fatalf("the body is not an Error: %v: %s", err, got.raw)
		}
	}
	return got
}

// ask sends a request with a good token and, where there is a body, its type.
func (s *testServer) ask(t *testing.T, method, path, body string) reply {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, path, reader)
	r.Header.Set("Authorization", "Bearer good")
	r.Header.Set("Content-Type", "application/json")
	return s.send(t, r)
}

func (r reply) field(name string) string {
	for _, f := range r.err.ErrorFields {
		if f.Name == name {
			return f.Message
		}
	}
	return ""
}
