package providers

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/grantd/grantd/models"
)

// Section 0 of the fact sheet: what an answer of the token endpoint means.
func TestKindOfTokenErrors(t *testing.T) {
	t.Parallel()
	oauth := func(code string) string { return `{"error":"` + code + `","error_description":"d"}` }
	cases := []struct {
		name   string
		status int
		body   string
		kind   Kind
		code   string
	}{
		{"ended grant", 400, oauth("invalid_grant"), KindDenied, "invalid_grant"},
		{"trap 1: github says so with 200", 200, oauth("bad_refresh_token"), KindDenied, "bad_refresh_token"},
		{"trap 1: github code", 200, oauth("bad_verification_code"), KindDenied, "bad_verification_code"},
		{"entra", 400, oauth("interaction_required"), KindDenied, "interaction_required"},
		{"bitbucket", 400, `{"error":"invalid_request","error_description":"Invalid refresh_token"}`, KindDenied, "invalid_request"},
		{"trap 12: box, bad client", 400, oauth("invalid_client"), KindClient, "invalid_client"},
		{"trap 12: gitlab, bad client", 401, oauth("invalid_client"), KindClient, "invalid_client"},
		{"trap 12: github, bad client", 200, oauth("incorrect_client_credentials"), KindClient, "incorrect_client_credentials"},
		{"trap 12: an ended grant with 401", 401, oauth("invalid_grant"), KindDenied, "invalid_grant"},
		{"box by its words", 400, `{"error":"bad_request","error_description":"The client credentials are not valid"}`, KindClient, "bad_request"},
		{"deleted client", 401, oauth("deleted_client"), KindClient, "deleted_client"},
		{"K1: of a refresh token it is the grant's end", 403, oauth("unauthorized_client"), KindDenied, "unauthorized_client"},
		{"our mistake", 400, oauth("invalid_request"), KindRefused, "invalid_request"},
		{"refused in a 200", 200, oauth("redirect_uri_mismatch"), KindRefused, "redirect_uri_mismatch"},
		{"scope", 400, oauth("invalid_scope"), KindRefused, "invalid_scope"},
		{"busy", 400, oauth("temporarily_unavailable"), KindTransient, "temporarily_unavailable"},
		{"slow down", 200, oauth("slow_down"), KindTransient, "slow_down"},
		{"500", 500, oauth("server_error"), KindTransient, "server_error"},
		{"a 500 ends no grant", 500, oauth("invalid_grant"), KindTransient, "invalid_grant"},
		{"gateway", 502, htmlPage, KindTransient, ""},
		{"gateway with 200", 200, htmlPage, KindTransient, ""},
		{"gateway with 404", 404, htmlPage, KindTransient, ""},
		{"gitlab throttles in words", 429, "Retry later", KindTransient, ""},
		{"nothing at all", 200, "", KindTransient, ""},
		{"no token", 200, `{"token_type":"bearer"}`, KindProtocol, ""},
		{"empty token", 200, `{"access_token":""}`, KindProtocol, ""},
		{"numeric token", 200, `{"access_token":17}`, KindProtocol, ""},
		{"error that is no text", 200, `{"error":{"code":7}}`, KindRefused, ""},
		{"other JSON", 404, notFound, KindRefused, ""},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f, r, c := testUpstream(t)
			f.says("POST /token", tc.status, tc.body)
			_, err := r.At(c).Refresh(t.Context(), theTokens())
			e := want(t, err, tc.kind, tc.code)
			unread := tc.status == 200 && (tc.kind == KindProtocol || tc.body == "" || tc.body == htmlPage) // R13
			if e.Status != tc.status || e.Ambiguous != unread || e.Unreadable != unread {
				t.Errorf("status %d, ambiguous %v, unreadable %v", e.Status, e.Ambiguous, e.Unreadable)
			}
			if n := len(f.requests()); n != 1 {
				t.Errorf("trap 3: %d requests", n)
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	in := func(d time.Duration) string { return now.Add(d).Format(http.TimeFormat) }
	epoch := func(d time.Duration) string { return strconv.FormatInt(now.Add(d).Unix(), 10) }
	cases := []struct {
		name    string
		status  int
		headers []string
		kind    Kind
		want    time.Duration
	}{
		{"seconds", 429, []string{"Retry-After", "60"}, KindTransient, time.Minute},
		{"date", 503, []string{"Retry-After", in(90 * time.Second)}, KindTransient, 90 * time.Second},
		{"past date", 503, []string{"Retry-After", in(-time.Hour)}, KindTransient, 0},
		{"capped seconds", 429, []string{"Retry-After", "99999999999999"}, KindTransient, time.Hour},
		{"capped date", 429, []string{"Retry-After", in(48 * time.Hour)}, KindTransient, time.Hour},
		{"negative", 429, []string{"Retry-After", "-5"}, KindTransient, time.Second},
		{"rubbish", 503, []string{"Retry-After", "later"}, KindTransient, 0},
		{"trap 20: secondary limit", 403, []string{"Retry-After", "60"}, KindTransient, time.Minute},
		{"trap 20: primary limit", 403, []string{"X-RateLimit-Remaining", "0", "X-RateLimit-Reset", epoch(10 * time.Minute)}, KindTransient, 10 * time.Minute},
		{"trap 20: not a limit", 403, []string{"X-RateLimit-Remaining", "40", "X-RateLimit-Reset", epoch(time.Minute)}, KindRefused, 0},
		{"429 without a word", 429, nil, KindTransient, time.Minute},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			r := newRegistry(t, Options{TestHost: f.URL, Now: func() time.Time { return now }})
			f.mux.HandleFunc("POST /token", reply(tc.status, "application/json", `{"message":"no"}`, tc.headers...))
			_, err := exchange(t, r, Client{Type: "test", ID: "id"})
			if e := want(t, err, tc.kind, ""); e.RetryAfter != tc.want {
				t.Errorf("retry after %v, want %v", e.RetryAfter, tc.want)
			}
		})
	}
}

// R3 asks whether a request without an answer may have been processed.
func TestR3_Ambiguous(t *testing.T) {
	t.Parallel()

	t.Run("reset after sending", func(t *testing.T) {
		t.Parallel()
		f, r, c := testUpstream(t)
		f.mux.HandleFunc("POST /token", hangUp)
		_, err := r.At(c).Refresh(t.Context(), theTokens())
		if e := want(t, err, KindTransient, ""); !e.Ambiguous {
			t.Error("not ambiguous")
		}
		if n := len(f.requests()); n != 1 {
			t.Errorf("net/http sent the refresh token %d times", n)
		}
	})

	t.Run("reset within the answer", func(t *testing.T) {
		t.Parallel()
		f, r, c := testUpstream(t)
		f.mux.HandleFunc("POST /token", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, `{"access_token":"half`)
		})
		_, err := r.At(c).Refresh(t.Context(), theTokens())
		if e := want(t, err, KindTransient, ""); !e.Ambiguous {
			t.Error("not ambiguous")
		}
	})

	t.Run("deadline after sending", func(t *testing.T) {
		t.Parallel()
		f, r, c := testUpstream(t)
		ctx, cancel := context.WithCancel(t.Context())
		f.mux.HandleFunc("POST /token", func(_ http.ResponseWriter, r *http.Request) {
			cancel()
			<-r.Context().Done()
		})
		_, err := r.At(c).Refresh(ctx, theTokens())
		if e := want(t, err, KindTransient, ""); !e.Ambiguous {
			t.Error("not ambiguous")
		}
	})

	t.Run("nobody listens", func(t *testing.T) {
		t.Parallel()
		f, r, c := testUpstream(t)
		f.Close()
		_, err := r.At(c).Refresh(t.Context(), theTokens())
		if e := want(t, err, KindTransient, ""); e.Ambiguous {
			t.Error("ambiguous, though nothing was sent")
		}
	})

	t.Run("discovery breaks", func(t *testing.T) {
		t.Parallel()
		f := newFake(t)
		f.mux.HandleFunc("GET /.well-known/openid-configuration", hangUp)
		r := newRegistry(t, Options{Allow: []string{f.host()}})
		c := Client{Type: "oidc", ID: "id", Config: map[string]any{"issuer": f.URL}}
		_, err := r.At(c).Refresh(t.Context(), theTokens())
		if e := want(t, err, KindTransient, ""); e.Ambiguous {
			t.Error("ambiguous, though no refresh token was sent")
		}
	})

	t.Run("handshake fails", func(t *testing.T) {
		t.Parallel()
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { listener.Close() })
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				conn.Close()
			}
		}()
		r := newRegistry(t, Options{TestHost: "https://" + listener.Addr().String()})
		_, err = r.At(Client{Type: "test", ID: "id"}).Refresh(t.Context(), theTokens())
		if e := want(t, err, KindTransient, ""); e.Ambiguous {
			t.Error("ambiguous, though nothing was sent")
		}
	})
}

// Several token calls in a row never share a connection, so that one which the
// upstream closes meanwhile makes no outcome unknown.
func TestTokenCallsUseFreshConnections(t *testing.T) {
	t.Parallel()
	f, r, c := testUpstream(t)
	peers := make(chan string, 3)
	f.mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		peers <- r.RemoteAddr
		reply(200, "application/json", githubAppTokens)(w, r)
	})
	seen := map[string]bool{}
	for range cap(peers) {
		if _, err := r.At(c).Refresh(t.Context(), theTokens()); err != nil {
			t.Fatal(err)
		}
		seen[<-peers] = true
	}
	if len(seen) != cap(peers) {
		t.Errorf("%d calls over %d connections", cap(peers), len(seen))
	}
}

// Trap 28: x/oauth2's RetrieveError prints the body it could not parse. Here an
// upstream repeats everything it was sent in every place there is.
func TestProtocolRule23_NoSecretInAnyError(t *testing.T) {
	t.Parallel()
	echo := func(status int, shape func(everything string) string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			everything := strings.Join([]string{theSecret, theCode, theVerifier, theAccess, theRefresh, r.Header.Get("Authorization")}, " ")
			w.Header().Set("WWW-Authenticate", `Bearer error="`+theAccess+`"`)
			reply(status, "application/json", shape(everything))(w, r)
		}
	}
	answers := map[string]http.HandlerFunc{
		"plain 400":     echo(400, func(s string) string { return s }),
		"plain 200":     echo(200, func(s string) string { return s }),
		"html 502":      echo(502, func(s string) string { return "<p>" + s }),
		"description":   echo(400, func(s string) string { return `{"error":"invalid_grant","error_description":"` + s + `"}` }),
		"code access":   echo(400, func(string) string { return `{"error":"` + theAccess + `"}` }),
		"code refresh":  echo(401, func(string) string { return `{"error":"` + theRefresh + `"}` }),
		"code code":     echo(403, func(string) string { return `{"error":"` + theCode + `"}` }),
		"no token":      echo(200, func(s string) string { return `{"x":"` + s + `"}` }),
		"422":           echo(422, func(s string) string { return `{"message":"` + s + `"}` }),
		"redirect":      reply(307, "text/plain", "", "Location", "https://elsewhere.example/?"+theRefresh+"&"+theAccess),
		"bad redirect":  reply(302, "text/plain", "", "Location", "https://%zz/"+theRefresh+theAccess),
		"hang up":       hangUp,
		"not even http": notHTTP,
		"too long":      echo(200, func(s string) string { return strings.Repeat(s, maxBody/len(s)+1) }),
	}
	for name, h := range answers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, call := range everyCall(t, h) {
				err := call()
				if err == nil {
					continue // a user without a problem, a revocation that counts as done
				}
				failed(t, err)
				for _, s := range []string{texts(err), fmt.Sprintf("%v %+v %#v", err, err, err)} {
					if discloses(s) {
						t.Errorf("discloses a secret: %s", s)
					}
				}
			}
		})
	}
}

// notHTTP answers with the secrets where a status line should be.
func notHTTP(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "HTTP/1.1 %s %s\r\n\r\n", theRefresh, theAccess)
}

// everyCall is each call to an upstream, of each type, that answers with h.
func everyCall(t *testing.T, h http.HandlerFunc) []func() error {
	var calls []func() error
	upstreams := []func(*testing.T) (*fake, *Registry, Client){testUpstream, githubUpstream, oidcUpstream}
	for _, make := range upstreams {
		f, r, c := make(t)
		f.mux.HandleFunc("/", h)
		calls = append(calls,
			func() error { _, err := exchange(t, r, c); return err },
			func() error { _, err := r.At(c).Refresh(t.Context(), theTokens()); return err },
			func() error { _, err := r.At(c).UserInfo(t.Context(), theAccess); return err },
			func() error { _, err := r.At(c).Revoke(t.Context(), theTokens(), models.RevokeGrant); return err },
			func() error { _, err := r.At(c).Revoke(t.Context(), theTokens(), models.RevokeToken); return err },
			func() error { _, err := r.At(c).Check(t.Context(), theTokens()); return err },
			func() error { _, err := r.At(c).Reset(t.Context(), theTokens()); return err },
			func() error { _, err := r.At(c).BeginDevice(t.Context()); return err },
			func() error { _, err := r.At(c).PollDevice(t.Context(), theCode); return err },
			func() error {
				_, err := r.At(c).Identify(t.Context(), Tokens{Access: theAccess, ID: theRefresh}, "n")
				return err
			},
		)
	}
	return calls
}

func TestDescriptionIsEscapedAndShort(t *testing.T) {
	t.Parallel()
	f, r, c := testUpstream(t)
	f.says("POST /token", 400, `{"error":"invalid_grant","error_description":"line\nbreak \u202e`+strings.Repeat("é", 300)+`"}`)
	_, err := exchange(t, r, c)
	e := want(t, err, KindDenied, "invalid_grant")
	if n := len([]rune(e.Description)); n > maxDescription || strings.ContainsAny(e.Description, "\n\u202e") ||
		!strings.HasPrefix(e.Description, `line\nbreak \u202eé`) {
		t.Errorf("%d characters: %q", n, e.Description)
	}
	if strings.Contains(err.Error(), "line") {
		t.Errorf("Error() quotes the upstream: %v", err)
	}
}

// A rate limit whose Retry-After lies in the past asked for no wait at all, and so was
// counted as a failed attempt of the items it met. The clock of an upstream that is a
// few seconds behind is enough for that.
func TestD4_ARateLimitAlwaysAsksForAWait(t *testing.T) {
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"":    time.Minute,
		"7":   7 * time.Second,
		"0":   time.Second,
		"-5":  time.Second,
		"NaN": time.Second,
		now.Add(-time.Second).Format(http.TimeFormat):    time.Second,
		now.Add(9 * time.Second).Format(http.TimeFormat): 9 * time.Second,
	} {
		a := &answer{status: http.StatusTooManyRequests, header: http.Header{"Retry-After": {value}}}
		if got := failure(a, now); got.RetryAfter != want || got.Kind != KindTransient {
			t.Errorf("429 with Retry-After %q: %s, wait %s, want %s", value, got.Kind, got.RetryAfter, want)
		}
	}
	down := &answer{status: http.StatusServiceUnavailable, header: http.Header{"Retry-After": {"0"}}}
	if got := failure(down, now); got.RetryAfter != 0 {
		t.Errorf("503 with Retry-After 0 asks for a wait of %s", got.RetryAfter)
	}
}
