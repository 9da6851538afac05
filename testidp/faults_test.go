package testidp_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/grantd/grantd/testidp"
)

func TestFaultsAnswerInTheEndpointsPlace(t *testing.T) {
	t.Parallel()
	b := setup(t, testidp.Options{})
	_, refresh := b.idp.Mint(clientID, "ada")
	strike := func(f testidp.Fault) answer {
		f.Endpoint, f.Times = testidp.Refresh, 1
		b.idp.Inject(f)
		return b.refresh(refresh)
	}

	limited := strike(testidp.Fault{Status: 429, RetryAfter: "Wed, 21 Oct 2037 07:28:00 GMT"})
	if limited.status != 429 || limited.header.Get("Retry-After") != "Wed, 21 Oct 2037 07:28:00 GMT" {
		t.Errorf("%d, Retry-After %q", limited.status, limited.header.Get("Retry-After"))
	}
	begin := time.Now().Truncate(time.Second)
	dated := strike(testidp.Fault{Status: 429, RetryIn: 3600})
	if at, err := http.ParseTime(dated.header.Get("Retry-After")); err != nil || at.Sub(begin) < time.Hour || time.Until(at) > time.Hour {
		t.Errorf("an hour from now is Retry-After %q", dated.header.Get("Retry-After"))
	}
	gateway := strike(testidp.Fault{Status: 502, Body: "<h1>Bad gateway</h1>"})
	if gateway.status != 502 || !strings.HasPrefix(gateway.header.Get("Content-Type"), "text/html") {
		t.Errorf("%d %q", gateway.status, gateway.header.Get("Content-Type"))
	}
	odd := strike(testidp.Fault{Body: "hm", ContentType: "text/plain", Headers: map[string]string{"X-Ratelimit-Remaining": "0"}})
	if odd.text != "hm" || odd.header.Get("Content-Type") != "text/plain" || odd.header.Get("X-Ratelimit-Remaining") != "0" {
		t.Errorf("%+v", odd)
	}
	moved := strike(testidp.Fault{Location: "https://elsewhere.test/"})
	if moved.status != 302 || moved.header.Get("Location") != "https://elsewhere.test/" {
		t.Errorf("%d to %q", moved.status, moved.header.Get("Location"))
	}
	strike(testidp.Fault{Error: "invalid_grant"}).want(t, 400, "invalid_grant")
	strike(testidp.Fault{Error: "temporarily_unavailable"}).want(t, 503, "temporarily_unavailable")
	strike(testidp.Fault{WrongSecret: true}).want(t, 401, "invalid_client")

	if got := len(b.idp.Faults()); got != 0 {
		t.Errorf("%d faults are left", got)
	}
	b.refresh(refresh).want(t, 200, "") // none of them spent the token
}

func TestFaultErrorsSpeakTheDialect(t *testing.T) {
	t.Parallel()
	b := setup(t, testidp.Options{AutoConsent: true})
	access, refresh := b.idp.Mint(clientID, "ada")

	b.idp.Inject(testidp.Fault{Endpoint: testidp.Token, Error: "invalid_grant"})
	b.post(tokenPath, "grant_type", "refresh_token", "refresh_token", refresh).want(t, 200, "bad_refresh_token")
	b.post(tokenPath, "code", "x").want(t, 200, "bad_verification_code")
	b.idp.ClearFaults()

	b.idp.Inject(testidp.Fault{Endpoint: testidp.API, WrongSecret: true})
	b.application("DELETE", "grant", clientID, secret, access).want(t, 401, "")
	b.idp.ClearFaults()

	b.idp.Inject(testidp.Fault{Endpoint: testidp.Revoke, Status: 503})
	b.application("DELETE", "grant", clientID, secret, access).want(t, 503, "")
	b.post("/revoke", "token", refresh).want(t, 503, "")
	b.idp.ClearFaults()

	b.idp.Inject(testidp.Fault{Endpoint: testidp.Authorize, Error: "temporarily_unavailable", Times: 1})
	if got := b.returned(b.authorize("/authorize")).Get("error"); got != "temporarily_unavailable" {
		t.Errorf("error = %q", got)
	}
	evil := "https://evil.test"
	b.idp.Inject(testidp.Fault{Endpoint: testidp.Authorize, Iss: &evil})
	if got := b.returned(b.authorize("/authorize")).Get("iss"); got != evil {
		t.Errorf("iss = %q", got)
	}

	b.idp.Inject(testidp.Fault{Endpoint: testidp.UserInfo, Error: "insufficient_scope"})
	b.get("/userinfo", access).want(t, 403, "insufficient_scope")
}

func TestFaultsChangeTokenAnswers(t *testing.T) {
	t.Parallel()
	b := setup(t, testidp.Options{})
	for raw, want := range map[string]any{`"3600"`: "3600", `0`: 0.0, `-5`: -5.0, `null`: nil, `1e30`: 1e30} {
		_, refresh := b.idp.Mint(clientID, "ada")
		b.idp.Inject(testidp.Fault{Endpoint: testidp.Token, Times: 1, ExpiresIn: json.RawMessage(raw)})
		if got := b.refresh(refresh).fields["expires_in"]; got != want {
			t.Errorf("expires_in %s arrives as %v", raw, got)
		}
	}

	_, refresh := b.idp.Mint(clientID, "ada")
	b.idp.Inject(testidp.Fault{Endpoint: testidp.Token, Times: 1, OmitRefresh: true})
	if a := b.refresh(refresh); a.status != 200 || a.str("refresh_token") != "" {
		t.Errorf("omit_refresh: %d %s", a.status, a.text)
	}
	b.refresh(refresh).want(t, 200, "") // what was not replaced stays good

	_, refresh = b.idp.Mint(clientID, "ada")
	b.idp.Inject(testidp.Fault{Endpoint: testidp.Token, HugeBody: 1 << 20})
	if a := b.refresh(refresh); len(a.text) <= 1<<20 || a.str("access_token") == "" {
		t.Errorf("huge_body: %d bytes", len(a.text))
	}
}

func TestFaultsSkipCountAndCombine(t *testing.T) {
	t.Parallel()
	b := setup(t, testidp.Options{})
	access, _ := b.idp.Mint(clientID, "ada")
	b.idp.Inject(
		testidp.Fault{Endpoint: testidp.Any, RetryAfter: "7"},
		testidp.Fault{Endpoint: testidp.UserInfo, Skip: 1, Times: 2, Status: 500},
	)
	var got []int
	for range 4 {
		a := b.get("/userinfo", access)
		got = append(got, a.status)
		if a.header.Get("Retry-After") != "7" {
			t.Error("the fault that matches everything did not strike")
		}
	}
	if diff := cmp.Diff([]int{200, 500, 500, 200}, got); diff != "" {
		t.Errorf("statuses (-want +got):\n%s", diff)
	}
}

// The answer to a rotation is lost: the token is spent all the same, and using
// it again is reuse.
func TestResetAfterDoesTheWork(t *testing.T) {
	t.Parallel()
	b := setup(t, testidp.Options{})
	_, refresh := b.idp.Mint(clientID, "ada")
	b.idp.Inject(testidp.Fault{Endpoint: testidp.Refresh, Times: 1, ResetAfter: true})

	r := b.request("POST", "/token", form("client_id", clientID, "client_secret", secret,
		"grant_type", "refresh_token", "refresh_token", refresh).Encode())
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	_, err := b.http.Do(r)
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("error %v, want a connection reset", err)
	}
	b.refresh(refresh).want(t, 400, "invalid_grant")
	if got := b.idp.Stats().RefreshReused; got != 1 {
		t.Errorf("%d refresh tokens reused, want 1", got)
	}
}

// record calls the server without a network, so that synctest owns the time.
func record(ctx context.Context, idp *testidp.Server, path string, pairs ...string) (rec *httptest.ResponseRecorder, aborted bool) {
	r := httptest.NewRequestWithContext(ctx, "POST", path, strings.NewReader(
		form(append([]string{"client_id", clientID, "client_secret", secret}, pairs...)...).Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	rec = httptest.NewRecorder()
	defer func() { aborted = recover() == http.ErrAbortHandler }()
	idp.ServeHTTP(rec, r)
	return rec, false
}

func newServer() *testidp.Server {
	return testidp.New(testidp.Options{Clients: []testidp.Client{{ID: clientID, Secret: secret}}})
}

func TestLatencyHoldsNobodyElseUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		idp := newServer()
		idp.Inject(testidp.Fault{Endpoint: testidp.Revoke, LatencyMS: 1000})
		start := time.Now()
		var all sync.WaitGroup
		for range 64 {
			_, refresh := idp.Mint(clientID, "ada")
			all.Go(func() { record(t.Context(), idp, "/revoke", "token", refresh) })
		}
		all.Wait()
		if took := time.Since(start); took != time.Second {
			t.Errorf("64 revocations of 1s each took %v together", took)
		}
		if got := idp.Stats(); got.MaxConcurrentRevocations != 64 || got.LiveGrants != 0 {
			t.Errorf("stats = %+v", got)
		}
	})
}

func TestLeavingDuringLatency(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		fault testidp.Fault
		spent bool
	}{
		{"before the work", testidp.Fault{LatencyMS: 5000}, false},
		{"after the work", testidp.Fault{AnswerLatencyMS: 5000}, true},
		{"hanging", testidp.Fault{Hang: true}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				idp := newServer()
				_, refresh := idp.Mint(clientID, "ada")
				test.fault.Endpoint, test.fault.Times = testidp.Refresh, 1
				idp.Inject(test.fault)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if _, aborted := record(ctx, idp, "/token", "grant_type", "refresh_token", "refresh_token", refresh); !aborted {
					t.Error("the request was answered")
				}
				again, _ := record(t.Context(), idp, "/token", "grant_type", "refresh_token", "refresh_token", refresh)
				if spent := again.Code != 200; spent != test.spent {
					t.Errorf("the token is spent: %v, want %v", spent, test.spent)
				}
			})
		})
	}
}

func TestCloseLetsGoOfHangingRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		idp := newServer()
		idp.Inject(testidp.Fault{Endpoint: testidp.Any, Hang: true})
		var all sync.WaitGroup
		all.Go(func() { record(t.Context(), idp, "/revoke", "token", "x") })
		synctest.Wait()
		idp.Close()
		all.Wait()
	})
}

func TestFaultsThatCannotBeMeant(t *testing.T) {
	t.Parallel()
	for _, f := range []testidp.Fault{
		{Endpoint: "tokn"}, {Endpoint: testidp.Token, Times: -1}, {Endpoint: testidp.Token, Status: 7},
		{Endpoint: testidp.Token, ExpiresIn: json.RawMessage("soon")},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%+v was accepted", f)
				}
			}()
			newServer().Inject(f)
		}()
	}
}

func (b *bench) control(method, path, body string) answer {
	b.Helper()
	return b.do(b.request(method, "/_control/"+path, body))
}

func TestControl(t *testing.T) {
	t.Parallel()
	b := setup(t, testidp.Options{})

	var out struct {
		ExpiresIn int64 `json:"expires_in"`
		Tokens    []struct {
			User    string `json:"user"`
			Access  string `json:"access_token"`
			Refresh string `json:"refresh_token"`
		} `json:"tokens"`
	}
	b.control("POST", "access_ttl", `{"seconds": 90}`).want(t, 200, "")
	minted := b.control("POST", "mint", `{"client_id":"app","count":2000,"prefix":"u"}`)
	if err := json.Unmarshal([]byte(minted.text), &out); err != nil {
		t.Fatal(err)
	}
	last := out.Tokens[1999]
	if last.User != "u2000" || !b.alive(last.Access) || out.ExpiresIn != 90 {
		t.Errorf("expires_in %d, last %q", out.ExpiresIn, last.User)
	}

	var stats testidp.Stats
	if err := json.Unmarshal([]byte(b.control("GET", "stats", "").text), &stats); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(b.idp.Stats(), stats); diff != "" {
		t.Errorf("Stats and /_control/stats differ:\n%s", diff)
	}
	if stats.LiveGrantsByClient[clientID] != 2000 || stats.LiveRefreshTokens != 2000 {
		t.Errorf("stats = %+v", stats)
	}

	if got := b.control("POST", "expire", "").fields["expired"]; got != 2000.0 {
		t.Errorf("expired = %v", got)
	}
	b.control("POST", "secret", `{"client_id":"app","client_secret":"new"}`).want(t, 200, "")
	b.refresh(last.Refresh).want(t, 401, "invalid_client")
	b.control("POST", "client", `{"client_id":"app","client_secret":"s3cret"}`).want(t, 200, "")

	b.control("POST", "faults", `{"endpoint":"refresh","status":500}`).want(t, 200, "")
	b.control("POST", "faults", `[{"endpoint":"refresh","status":501},{"endpoint":"token","expires_in":null}]`).want(t, 200, "")
	b.refresh(last.Refresh).want(t, 500, "")
	var faults []testidp.Fault
	json.Unmarshal([]byte(b.control("GET", "faults", "").text), &faults)
	if len(faults) != 3 || string(faults[2].ExpiresIn) != "null" {
		t.Errorf("faults = %+v", faults)
	}
	b.control("DELETE", "faults", "").want(t, 200, "")
	b.refresh(last.Refresh).want(t, 200, "")

	b.control("POST", "reset", "").want(t, 200, "")
	if got := b.idp.Stats(); got.LiveGrants != 0 || got.Calls[testidp.Refresh] != 0 {
		t.Errorf("after a reset: %+v", got)
	}
}

func TestControlRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t, testidp.Options{})
	for path, body := range map[string]string{
		"faults": `{"endpoint":"refresh","stauts":500}`,
		"mint":   `{"client_id":"nobody","count":1}`,
		"secret": `{"client_id":"nobody","client_secret":"x"}`,
		"client": `{}`,
	} {
		if a := b.control("POST", path, body); a.status != 400 || a.str("error") == "" {
			t.Errorf("%s: %d %s", path, a.status, a.text)
		}
	}
	r := b.request("POST", "/_control/reset", "")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	if got := b.do(r).status; got != 403 {
		t.Errorf("a foreign page: status %d, want 403", got)
	}
}
