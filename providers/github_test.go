package providers

import (
	"context"
	"crypto/tls"
	"net"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/grantd/grantd/models"
)

const (
	octo       = `{"id":583231000000000001,"login":"octo","name":null,"email":null,"bio":"b","avatar_url":"https://avatars.example/u/1"}`
	octoEmails = `[{"email":"old@x.example","primary":false,"verified":true},{"email":"new@x.example","primary":true,"verified":true}]`
)

func TestGitHubUser(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, user   string
		emailsStatus int
		emails       string
		email        string
	}{
		{"private address", octo, 200, octoEmails, "new@x.example"},
		{"unverified", octo, 200, `[{"email":"new@x.example","primary":true,"verified":false}]`, ""},
		{"none", octo, 200, `[]`, ""},
		{"no permission", octo, 403, `{"message":"Resource not accessible by integration"}`, ""},
		{"no such endpoint", octo, 404, notFound, ""},
		{"public address", strings.Replace(octo, `"email":null`, `"email":"pub@x.example"`, 1), 500, ``, "pub@x.example"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f, r, c := githubUpstream(t)
			f.says("GET /api/v3/user", 200, tc.user)
			f.says("GET /api/v3/user/emails", tc.emailsStatus, tc.emails)
			got, err := r.At(c).Identify(t.Context(), theTokens(), "")
			if err != nil {
				t.Fatal(err)
			}
			if got.Raw["login"] != "octo" {
				t.Errorf("raw %v", got.Raw)
			}
			got.Raw = nil
			want := models.User{Sub: "583231000000000001", NickName: "octo", Email: tc.email, Picture: "https://avatars.example/u/1", Description: "b"}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestGitHubUserFailures(t *testing.T) {
	t.Parallel()
	for user, kind := range map[string]Kind{`{"login":"octo"}`: KindProtocol, `{"id":1.5}`: KindProtocol, `{"id":null}`: KindProtocol, htmlPage: KindProtocol} {
		f, r, c := githubUpstream(t)
		f.says("GET /api/v3/user", 200, user)
		f.says("GET /api/v3/user/emails", 200, octoEmails)
		_, err := r.At(c).UserInfo(t.Context(), theAccess)
		want(t, err, kind, "")
	}
	f, r, c := githubUpstream(t)
	f.says("GET /api/v3/user", 401, `{"message":"Bad credentials"}`)
	_, err := r.At(c).UserInfo(t.Context(), theAccess)
	want(t, err, KindDenied, "")
}

// Rule 26 for GitHub. Trap 30: a 422 proves nothing. Trap 20: a 403 may be a
// limit. D4: a 404 page of something else is not GitHub's word.
func TestProtocolRule26_GitHubRevoke(t *testing.T) {
	t.Parallel()
	limit := []string{"X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "1"}
	cases := []struct {
		name    string
		status  int
		body    string
		headers []string
		outcome models.Outcome
		kind    Kind
	}{
		{"done", 204, "", nil, models.OutcomeRevoked, ""},
		{"invalid before", 404, notFound, nil, models.OutcomeAlreadyRevoked, ""},
		{"another server's 404", 404, htmlPage, nil, "", KindTransient},
		{"trap 30", 422, `{"message":"Validation Failed"}`, nil, "", KindTransient},
		{"bad client", 401, `{"message":"Bad credentials"}`, nil, "", KindClient},
		{"trap 20, primary limit", 403, `{"message":"API rate limit exceeded"}`, limit, "", KindTransient},
		{"trap 20, secondary limit", 403, `{"message":"no"}`, []string{"Retry-After", "60"}, "", KindTransient},
		{"trap 20, in words only", 403, `{"message":"You have exceeded a secondary rate limit"}`, nil, "", KindTransient},
		{"throttled", 429, `{"message":"no"}`, nil, "", KindTransient},
		{"forbidden", 403, `{"message":"Forbidden"}`, nil, "", KindRefused},
		{"down", 502, htmlPage, nil, "", KindTransient},
	}
	for _, tc := range cases {
		for scope, what := range map[models.RevokeScope]string{models.RevokeGrant: "grant", models.RevokeToken: "token"} {
			t.Run(tc.name+" "+what, func(t *testing.T) {
				t.Parallel()
				f, r, c := githubUpstream(t)
				f.mux.HandleFunc("DELETE /api/v3/applications/{id}/"+what, reply(tc.status, "application/json", tc.body, tc.headers...))
				outcome, err := r.At(c).Revoke(t.Context(), theTokens(), scope)
				if outcome != tc.outcome || KindOf(err) != tc.kind {
					t.Errorf("%q, %v", outcome, err)
				}
				got := f.last(t)
				if got.body != `{"access_token":"`+theAccess+`"}` || got.header.Get("Accept") != githubJSON || len(f.requests()) != 1 {
					t.Errorf("%s %v", got.body, got.header)
				}
			})
		}
	}
}

func TestGitHubRevokeNeedsAnAccessToken(t *testing.T) {
	t.Parallel()
	f, r, c := githubUpstream(t)
	outcome, err := r.At(c).Revoke(t.Context(), Tokens{Refresh: theRefresh}, models.RevokeGrant)
	if outcome != models.OutcomeNoLiveToken || err != nil || len(f.requests()) != 0 {
		t.Errorf("%q, %v, %d requests", outcome, err, len(f.requests()))
	}
}

func TestS2_ClientIDIsPathEscaped(t *testing.T) {
	t.Parallel()
	f, r, c := githubUpstream(t)
	c.ID = "a/../b?c#d%e"
	f.says("DELETE /api/v3/applications/{id}/grant", 204, "")
	if _, err := r.At(c).Revoke(t.Context(), theTokens(), models.RevokeGrant); err != nil {
		t.Fatal(err)
	}
	escaped := url.PathEscape(c.ID)
	if got := f.last(t).path; got != "/api/v3/applications/"+escaped+"/grant" {
		t.Error(got)
	}
	if got := r.At(c).SettingsURL(); got != f.URL+"/settings/connections/applications/"+escaped {
		t.Error(got)
	}
}

// GitHub has no prompt=consent, and ignores a nonce.
func TestGitHubAuthorizeURL(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, Options{})
	at, q := authorizeQuery(t, r, Client{Type: "github", ID: "x"}, AuthorizeRequest{State: "s", RedirectURI: "https://b.example/", Nonce: "n", Verifier: theVerifier})
	if at != "https://github.com/login/oauth/authorize" || q.Get("scope") != "read:user user:email" || q.Has("prompt") || q.Has("nonce") {
		t.Errorf("%s %v", at, q)
	}
	_, q = authorizeQuery(t, r, Client{Type: "github", ID: "x", Scopes: []string{}}, AuthorizeRequest{State: "s", Verifier: theVerifier})
	if q.Has("scope") {
		t.Errorf("a GitHub App has no scopes, sent %q", q.Get("scope"))
	}
}

// A client of a self-managed host has been seen to lose its secret to the public
// one, because one URL of many was not derived from the host. So: walk through
// everything a client can do, and look where it dials.
func TestCustomHostsNeverReachTheOthers(t *testing.T) {
	t.Parallel()
	cases := map[string][]string{
		"":                     {"api.github.com:443", "github.com:443"},
		"git.example.com":      {"git.example.com:443"},
		"git.example.com:8443": {"git.example.com:8443"},
		"acme.ghe.com":         {"acme.ghe.com:443", "api.acme.ghe.com:443"},
		"github.com.evil.test": {"github.com.evil.test:443"},
		"notghe.com":           {"notghe.com:443"},
	}
	for host, want := range cases {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.says("POST /login/oauth/access_token", 200, githubAppTokens)
			for _, api := range []string{"", "/api/v3"} {
				f.says("GET "+api+"/user", 200, octo)
				f.says("GET "+api+"/user/emails", 200, octoEmails)
				f.says("DELETE "+api+"/applications/{id}/{what}", 204, "")
			}
			server := httptest.NewTLSServer(f)
			t.Cleanup(server.Close)
			r := newRegistry(t, Options{TLS: &tls.Config{InsecureSkipVerify: true}})
			dialled := leadingTo(r, server.Listener.Addr().String())

			walk(t, r, Client{Type: "github", ID: "Iv1.0123", Secret: theSecret, Host: host})
			if diff := cmp.Diff(want, dialled()); diff != "" {
				t.Errorf("dialled %s", diff)
			}
		})
	}
}

// walk does everything there is to do with a client.
func walk(t *testing.T, r *Registry, c Client) {
	t.Helper()
	host := c.Host
	if host == "" {
		host = "github.com"
	}
	link, err := r.At(c).AuthorizeURL(t.Context(), AuthorizeRequest{State: "s", Verifier: theVerifier})
	if err != nil || !strings.HasPrefix(link, "https://"+host+"/") {
		t.Errorf("authorize at %s, %v", link, err)
	}
	if link := r.At(c).SettingsURL(); !strings.HasPrefix(link, "https://"+host+"/") {
		t.Errorf("settings at %s", link)
	}
	if _, err := exchange(t, r, c); err != nil {
		t.Error(err)
	}
	if _, err := r.At(c).Refresh(t.Context(), theTokens()); err != nil {
		t.Error(err)
	}
	if _, err := r.At(c).Identify(t.Context(), theTokens(), ""); err != nil {
		t.Error(err)
	}
	for _, scope := range []models.RevokeScope{models.RevokeGrant, models.RevokeToken} {
		if outcome, err := r.At(c).Revoke(t.Context(), theTokens(), scope); outcome != models.OutcomeRevoked || err != nil {
			t.Errorf("%s: %q, %v", scope, outcome, err)
		}
	}
}

// leadingTo makes every name lead to one server, and records names and ports.
func leadingTo(r *Registry, server string) (dialled func() []string) {
	var mu sync.Mutex
	names := map[netip.Addr]string{}
	got := map[string]bool{}
	r.dialer.lookup = func(_ context.Context, _, host string) ([]netip.Addr, error) {
		mu.Lock()
		defer mu.Unlock()
		ip := netip.AddrFrom4([4]byte{140, 82, 121, byte(len(names))})
		names[ip] = host
		return []netip.Addr{ip}, nil
	}
	r.dialer.judged = func(ctx context.Context, network, addr string) (net.Conn, error) {
		ap := netip.MustParseAddrPort(addr)
		mu.Lock()
		_, port, _ := net.SplitHostPort(addr)
		got[net.JoinHostPort(names[ap.Addr()], port)] = true
		mu.Unlock()
		return (&net.Dialer{Timeout: time.Minute}).DialContext(ctx, network, server)
	}
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		var all []string
		for name := range got {
			all = append(all, name)
		}
		slices.Sort(all)
		return all
	}
}
