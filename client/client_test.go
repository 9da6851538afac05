package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/grantd/grantd/models"
)

// request is what a call put on the wire.
type request struct {
	Line, Auth, ContentType, Body string
}

// grantd answers with canned bodies, one per call, and remembers what came.
type grantd struct {
	answers []answer
	got     []request
}

type answer struct {
	status int
	header http.Header
	body   string
}

func (g *grantd) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	g.got = append(g.got, request{r.Method + " " + r.RequestURI, r.Header.Get("Authorization"), r.Header.Get("Content-Type"), string(body)})
	a := g.answers[0]
	g.answers = g.answers[1:]
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.WriteHeader(a.status)
	io.WriteString(w, a.body)
}

func setup(t *testing.T, answers ...answer) (*Client, *grantd) {
	t.Helper()
	g := &grantd{answers: answers}
	s := httptest.NewServer(g)
	t.Cleanup(s.Close)
	return New(s.URL+"/", "tok", nil).Once(), g
}

func ok(body string) answer { return answer{status: 200, body: body} }

// TestCalls: what each method sends.
func TestCalls(t *testing.T) {
	t.Parallel()
	ctx, yes, name, secret := context.Background(), true, "n", models.Secret("s3")
	located := answer{status: 202, body: `{"location":"https://public.example/api/v2/externalOAuth/jobs/j1/"}`}
	cases := map[string]struct {
		answer answer
		call   func(*Client) error
		want   string
		body   string
	}{
		"create provider": {answer{status: 201, body: `{"id":"p"}`}, func(c *Client) error {
			_, err := c.CreateProvider(ctx, models.ProviderInput{Name: "n", Type: "github", ClientID: "c", ClientSecret: "s3", Metadata: models.ProviderMetadataInput{Host: "h.example"}})
			return err
		}, "POST /api/v2/externalOAuth/providers/",
			`{"name":"n","type":"github","clientId":"c","clientSecret":"s3","skipConsent":false,"metadata":{"host":"h.example"}}`},
		"provider": {ok(`{}`), func(c *Client) error { _, err := c.Provider(ctx, "a/b"); return err },
			"GET /api/v2/externalOAuth/providers/a%2Fb/", ""},
		"change nothing": {ok(`{}`), func(c *Client) error { _, err := c.ChangeProvider(ctx, "p", models.ProviderPatch{}); return err },
			"PATCH /api/v2/externalOAuth/providers/p/", `{}`},
		"change provider": {ok(`{}`), func(c *Client) error {
			_, err := c.ChangeProvider(ctx, "p", models.ProviderPatch{Name: &name, ClientSecret: &secret, Scopes: &[]string{}})
			return err
		}, "PATCH /api/v2/externalOAuth/providers/p/", `{"name":"n","clientSecret":"s3","scopes":[]}`},
		"delete provider": {located, func(c *Client) error { _, err := c.DeleteProvider(ctx, "p"); return err },
			"DELETE /api/v2/externalOAuth/providers/p/", ""},
		"force": {located, func(c *Client) error { _, err := c.ForceDeleteProvider(ctx, "p"); return err },
			"DELETE /api/v2/externalOAuth/providers/p/?force=true", ""},
		"authorize": {ok(`{}`), func(c *Client) error {
			_, err := c.Authorize(ctx, "p", AuthorizeRequest{State: "x", RedirectURI: "http://localhost/cb", SkipConsent: &yes})
			return err
		}, "POST /api/v2/externalOAuth/providers/p/authorize/?redirect_uri=http%3A%2F%2Flocalhost%2Fcb&skip_consent=true&state=x", ""},
		"complete": {ok(`{}`), func(c *Client) error {
			_, err := c.Complete(ctx, ReturnTo("p", map[string][]string{"state": {"x"}, "code": {"c0de"}, "iss": {"i"}}))
			return err
		}, "POST /api/v2/externalOAuth/providers/callback/", `{"providerId":"p","state":"x","code":"c0de","iss":"i"}`},
		"import": {ok(`{}`), func(c *Client) error {
			_, err := c.ImportToken(ctx, models.Import{ProviderID: "p", AccessToken: "t0k3n", ExpiresIn: 60})
			return err
		}, "POST /api/v2/externalOAuth/authorizedProviders/import/", `{"providerId":"p","accessToken":"t0k3n","expiresIn":60}`},
		"poll": {ok(`{}`), func(c *Client) error { _, err := c.PollDevice(ctx, "p", "c0de"); return err },
			"POST /api/v2/externalOAuth/providers/p/device/poll/", `{"deviceCode":"c0de"}`},
		"disconnect": {answer{status: 204}, func(c *Client) error { return c.Disconnect(ctx, "a") },
			"DELETE /api/v2/externalOAuth/authorizedProviders/a/", ""},
		"token": {answer{status: 201, body: `{}`}, func(c *Client) error { _, err := c.Token(ctx, "a"); return err },
			"POST /api/v2/externalOAuth/authorizedProviders/a/token/", ""},
		"user info": {ok(`{}`), func(c *Client) error { _, err := c.UserInfo(ctx, "a"); return err },
			"GET /api/v2/externalOAuth/authorizedProviders/a/userinfo/", ""},
		"job": {ok(`{}`), func(c *Client) error { _, err := c.Job(ctx, "https://public.example/x/jobs/j1/"); return err },
			"GET /api/v2/externalOAuth/jobs/j1/", ""},
		"stats": {located, func(c *Client) error { _, err := c.StartStats(ctx); return err },
			"POST /api/v2/externalOAuth/jobs/", `{"type":"STATS"}`},
	}
	for label, tc := range cases {
		t.Run(label, func(t *testing.T) {
			t.Parallel()
			c, g := setup(t, tc.answer)
			if err := tc.call(c); err != nil {
				t.Fatal(err)
			}
			want := request{Line: tc.want, Auth: "Bearer tok", Body: tc.body}
			if tc.body != "" {
				want.ContentType = "application/json"
			}
			if diff := cmp.Diff([]request{want}, g.got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestATokenArrivesAndDoesNotPrint: the one secret among the answers.
func TestATokenArrivesAndDoesNotPrint(t *testing.T) {
	t.Parallel()
	c, _ := setup(t, ok(`{"accessToken":"gho_1","expiresAt":"2026-01-02T03:04:05Z","authorizedOauthProvider":{"id":"a","provider":{"id":"p"}}}`))
	token, err := c.Token(context.Background(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if token.AccessToken.Reveal() != "gho_1" || token.ExpiresAt.Year() != 2026 || token.Authorization.Provider.ID != "p" {
		t.Errorf("token = %+v", token)
	}
	if printed, _ := json.Marshal(token); strings.Contains(string(printed), "gho_1") {
		t.Errorf("encodes as %s", printed)
	}
}

// TestASecretIsPlainInTheRequestAlone: what the caller holds goes on printing nothing.
func TestASecretIsPlainInTheRequestAlone(t *testing.T) {
	t.Parallel()
	secret := models.Secret("s3")
	for name, in := range map[string]any{"input": models.ProviderInput{ClientSecret: secret}, "patch": models.ProviderPatch{ClientSecret: &secret}} {
		if sent, err := json.Marshal(plain(in)); err != nil || !strings.Contains(string(sent), `"clientSecret":"s3"`) {
			t.Errorf("%s: sent %s, %v", name, sent, err)
		}
		if kept, err := json.Marshal(in); err != nil || !strings.Contains(string(kept), `"clientSecret":"[redacted]"`) {
			t.Errorf("%s: kept %s, %v", name, kept, err)
		}
	}
}

// TestListsGoThroughAllPages: the links point at the public URL, where the
// token must not be sent.
func TestListsGoThroughAllPages(t *testing.T) {
	t.Parallel()
	c, g := setup(t,
		ok(`{"data":[{"id":"1"},{"id":"2"}],"count":2,"next":"https://public.example/api/v2/externalOAuth/providers/?cursor=x&types=github","previous":null}`),
		ok(`{"data":[{"id":"3"}],"count":1,"next":null,"previous":null}`))
	var ids []string
	for p, err := range c.Providers(context.Background(), ProviderQuery{Types: []string{"github"}}) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, p.ID)
	}
	if !slices.Equal(ids, []string{"1", "2", "3"}) {
		t.Errorf("ids = %v", ids)
	}
	if last := g.got[1].Line; last != "GET /api/v2/externalOAuth/providers/?cursor=x&types=github" {
		t.Errorf("the second page was asked for by %s", last)
	}
}

// TestFiltersOfJobs: what lists of jobs and of their items are asked with.
func TestFiltersOfJobs(t *testing.T) {
	t.Parallel()
	empty := ok(`{"data":[],"count":0,"next":null,"previous":null}`)
	c, g := setup(t, empty, empty, empty)
	for _, err := range c.Jobs(context.Background(), JobQuery{Types: []models.JobType{models.JobStats},
		Statuses: []models.JobStatus{models.JobPending, models.JobRunning}, ProviderID: "p"}) {
		t.Error(err)
	}
	for _, err := range c.JobItems(context.Background(), "https://public.example/jobs/j1/") {
		t.Error(err)
	}
	for _, err := range c.JobItems(context.Background(), "j1", models.OutcomeFailed, models.OutcomeAbandoned) {
		t.Error(err)
	}
	var lines []string
	for _, r := range g.got {
		lines = append(lines, strings.TrimPrefix(r.Line, "GET /api/v2/externalOAuth/jobs/"))
	}
	if want := []string{"?providerId=p&status=PENDING&status=RUNNING&types=STATS", "j1/items/", "j1/items/?outcome=failed&outcome=abandoned"}; !slices.Equal(lines, want) {
		t.Errorf("asked for %q", lines)
	}
	for _, err := range c.JobItems(context.Background(), "https://public.example/") {
		if err == nil {
			t.Error("a location without an id passes")
		}
	}
}

func TestAListEndsWithItsError(t *testing.T) {
	t.Parallel()
	c, _ := setup(t, answer{status: 403, body: `{"message":"No."}`})
	var failures int
	for _, err := range c.Authorizations(context.Background(), AuthorizationQuery{}) {
		if err == nil {
			t.Fatal("an item")
		}
		failures++
	}
	if failures != 1 {
		t.Errorf("%d failures", failures)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		answer answer
		want   Error
	}{
		"ours": {
			answer{422, http.Header{"X-Request-Id": {"r1"}, "Retry-After": {"7"}},
				`{"message":"name: too long","status":422,"detail":"d","errorFields":[{"name":"name","message":"too long"}]}`},
			Error{422, "name: too long", []models.FieldError{{Name: "name", Message: "too long"}}, "d", "r1", 7 * time.Second, "", false},
		},
		"a proxy's": {
			answer{502, nil, "<html>"},
			Error{Status: 502, Message: "bad gateway, without saying why", Foreign: true},
		},
		"a redirect is not followed": {
			answer{302, http.Header{"Location": {"https://elsewhere.example/"}}, ""},
			Error{Status: 302, Message: "a redirect, which grantd never sends; is the base URL right?", Foreign: true},
		},
	}
	for label, tc := range cases {
		t.Run(label, func(t *testing.T) {
			t.Parallel()
			c, _ := setup(t, tc.answer)
			_, err := c.Provider(context.Background(), "p")
			var got *Error
			if !errors.As(err, &got) {
				t.Fatalf("err = %v", err)
			}
			if diff := cmp.Diff(&tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestWaitJobTellsChanges: the same state seen twice is told once. The first
// answer comes at once, the others when there is news, and before the HTTP client
// gives up.
func TestWaitJobTellsChanges(t *testing.T) {
	t.Parallel()
	running := `{"id":"j1","status":"RUNNING","details":[{"name":"revoked","value":"1"}]}`
	c, g := setup(t, ok(`{"id":"j1","status":"PENDING"}`), ok(running), ok(running), ok(`{"id":"j1","status":"COMPLETED"}`))
	var seen []models.JobStatus
	job, err := c.WaitJob(context.Background(), "https://public.example/jobs/j1/", time.Millisecond, func(j models.Job) {
		seen = append(seen, j.Status)
	})
	if err != nil || job.Status != models.JobCompleted {
		t.Fatalf("job %+v, err %v", job, err)
	}
	if want := []models.JobStatus{"PENDING", "RUNNING", "COMPLETED"}; !slices.Equal(seen, want) {
		t.Errorf("told %v", seen)
	}
	var asked []string
	for _, r := range g.got {
		asked = append(asked, strings.TrimPrefix(r.Line, "GET /api/v2/externalOAuth/jobs/j1/"))
	}
	if want := []string{"", "?wait=15s", "?wait=15s", "?wait=15s"}; !slices.Equal(asked, want) {
		t.Errorf("asked with %q", asked)
	}
}

func TestWaitJobEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	c, _ := setup(t, ok(`{"id":"j1","status":"RUNNING"}`))
	_, err := c.WaitJob(ctx, "j1", time.Hour, func(models.Job) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
}

func TestAnAnswerThatIsNotOursIsAnError(t *testing.T) {
	t.Parallel()
	c, _ := setup(t, ok("<html>"), ok(`{}`))
	if _, err := c.Provider(context.Background(), "p"); err == nil {
		t.Error("a page passes for a provider")
	}
	if _, err := c.DeleteProvider(context.Background(), "p"); err == nil {
		t.Error("a deletion without a location passes")
	}
	if _, err := c.Job(context.Background(), "https://public.example/"); err == nil {
		t.Error("a location without an id passes")
	}
}
