package broker_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/testidp"
)

// scopeSpeaker is the test authorization server behind a gateway that writes scopes of
// its own into token answers.
type scopeSpeaker struct {
	idp   *testidp.Server
	scope atomic.Value // a string; none leaves the answers alone
}

func (s *scopeSpeaker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rec := httptest.NewRecorder()
	s.idp.ServeHTTP(rec, r)
	body := rec.Body.Bytes()
	var tokens map[string]any
	scope, _ := s.scope.Load().(string)
	if scope != "" && json.Unmarshal(body, &tokens) == nil && tokens["access_token"] != nil {
		tokens["scope"] = scope
		body, _ = json.Marshal(tokens)
	}
	for name, values := range rec.Header() {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(rec.Code)
	_, _ = w.Write(body)
}

// speaking runs a test with such a server on both backends.
func speaking(t *testing.T, f func(*testing.T, *brokertest.Instance, *scopeSpeaker)) {
	brokertest.Each(t, func(t *testing.T, b brokertest.Backend) {
		s := &scopeSpeaker{idp: testidp.New(testidp.Options{AutoConsent: true,
			Clients: []testidp.Client{{ID: brokertest.ClientID, Secret: brokertest.ClientSecret}}})}
		server := httptest.NewServer(s)
		t.Cleanup(server.Close)
		t.Cleanup(s.idp.Close)
		f(t, brokertest.New(t, &brokertest.Options{Backend: b, IdP: s.idp, IdPURL: server.URL}), s)
	})
}

// Findings F3, F6: a NUL in a scope of a token answer lost the consent on PostgreSQL
// and was told as an outage; 900 kB of scopes were kept, and listed, as they came.
func TestT3_ScopesOfATokenAnswerAreMadeFit(t *testing.T) {
	many := make([]string, 10_000)
	for i := range many {
		many[i] = "scope:" + strconv.Itoa(i)
	}
	long := strings.Repeat("x", 257)
	for name, c := range map[string]struct {
		scope string
		kept  []string
		cut   bool
	}{
		"NUL":       {"a\x00b read", []string{"read"}, true},
		"only NUL":  {"a\x00b", []string{}, true},
		"not ASCII": {"read l\u00e4sa \"x\" a\\b", []string{"read"}, true},
		"long":      {long + " read " + long[1:], []string{"read", long[1:]}, true},
		"many":      {strings.Join(many, " "), many[:256], true},
		"twice":     {"read read,write", []string{"read", "write"}, false},
		"usual":     {"https://www.googleapis.com/auth/drive read:user", []string{"https://www.googleapis.com/auth/drive", "read:user"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			speaking(t, func(t *testing.T, h *brokertest.Instance, s *scopeSpeaker) {
				p := h.Provider(t, "test")
				s.scope.Store(c.scope)
				consented := h.Consent(t, h.User, p, "ada")
				s.scope.Store("plain")
				renewed := h.Consent(t, h.User, p, "ada")
				s.scope.Store(c.scope)
				must(h.Service.Reset(ctx, h.User.Caller, renewed.ID))(t)
				refreshed := must(h.Store.Linked(ctx, renewed.ID))(t).Authorization
				for _, a := range []struct {
					way    string
					scopes []string
					cut    bool
				}{{"consent", consented.Scopes, consented.ScopesCut}, {"refresh", refreshed.Scopes, refreshed.ScopesCut}} {
					if !slices.Equal(a.scopes, c.kept) || a.cut != c.cut {
						t.Errorf("a %s keeps %.200q (%t), want %.200q (%t)", a.way, a.scopes, a.cut, c.kept, c.cut)
					}
				}
				if !slices.Equal(renewed.Scopes, []string{"plain"}) || renewed.ScopesCut {
					t.Errorf("after a renewed consent: %v, %t", renewed.Scopes, renewed.ScopesCut)
				}
			})
		})
	}
}
