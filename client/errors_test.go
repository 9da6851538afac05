package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grantd/grantd/models"
)

// wire is a network of which a test says what it answers.
type wire func(*http.Request) (*http.Response, error)

func (w wire) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r.Body.Close()
	}
	return w(r)
}

// says is an answer of grantd's; header lines are such as "Retry-After: 1".
func says(status int, body string, header ...string) *http.Response {
	h := http.Header{"X-Request-Id": {"r1"}}
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		h.Set(name, value)
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

func over(w wire) *Client {
	return New("https://grantd.example", "s3cr3t", &http.Client{Transport: w})
}

var errNetwork = errors.New("connection refused")

func TestErrorsTellWhatTheyAreAbout(t *testing.T) {
	t.Parallel()
	all := []error{ErrUnauthenticated, ErrForbidden, ErrNotFound, ErrConflict, ErrConsentNeeded, ErrInvalid, ErrRateLimited, ErrUpstreamDown, ErrUnavailable}
	ours := `{"message":"No.","status":1}`
	for name, tc := range map[string]struct {
		answer *http.Response
		want   error
	}{
		"401": {says(401, ours), ErrUnauthenticated}, "403": {says(403, ours), ErrForbidden}, "404": {says(404, ours), ErrNotFound},
		"409": {says(409, ours), ErrConflict}, "410": {says(410, ours), ErrConsentNeeded}, "422": {says(422, ours), ErrInvalid},
		"429": {says(429, ours), ErrRateLimited}, "502": {says(502, ours), ErrUpstreamDown}, "503": {says(503, ours), ErrUnavailable},
		"a proxy's 502": {says(502, "<html>"), ErrUnavailable}, "a proxy's 503": {says(503, ""), ErrUnavailable}, "a proxy's 504": {says(504, ""), ErrUnavailable},
		"a proxy's 404":        {says(404, "<html>"), ErrNotFound},
		"500":                  {says(500, ours), nil},
		"no answer":            {nil, ErrUnavailable},
		"nobody connected":     {says(400, `{"error":"interaction_required","connect_url":"https://x"}`), ErrConsentNeeded},
		"a scope too many":     {says(400, `{"error":"invalid_scope","connect_url":"https://x"}`), ErrConsentNeeded},
		"no such target":       {says(400, `{"error":"invalid_target"}`), ErrNotFound},
		"no client of ours":    {says(401, `{"error":"invalid_client"}`), ErrUnauthenticated},
		"no client for others": {says(400, `{"error":"unauthorized_client"}`), ErrForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := over(func(*http.Request) (*http.Response, error) {
				if tc.answer == nil {
					return nil, errNetwork
				}
				return tc.answer, nil
			}).Once()
			_, err := c.Exchange(context.Background(), ExchangeRequest{Audience: "p"})
			if err == nil || strings.Contains(err.Error(), "s3cr3t") {
				t.Fatalf("the error is %v", err)
			}
			for _, sentinel := range all {
				if errors.Is(err, sentinel) != (sentinel == tc.want) {
					t.Errorf("%v: is %v: %t", err, sentinel, errors.Is(err, sentinel))
				}
			}
		})
	}
}

// An address has states in its query: of it, no error says more than the path.
func TestErrorsDoNotNameAddresses(t *testing.T) {
	t.Parallel()
	c := over(func(*http.Request) (*http.Response, error) { return nil, errNetwork }).Once()
	_, err := c.Authorize(context.Background(), "p", AuthorizeRequest{State: "s3cret"})
	if !errors.Is(err, errNetwork) || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("the error is %v", err)
	}
}

// That the caller gave up says nothing about grantd.
func TestACallerWhoGivesUpIsNoOutage(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	c := over(func(*http.Request) (*http.Response, error) { cancel(); return nil, ctx.Err() })
	if _, err := c.Token(ctx, "a"); errors.Is(err, ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
}

// Requests are sent again where that may help and does no harm, after as long as grantd says.
func TestRequestsAreRepeated(t *testing.T) {
	t.Parallel()
	ours := `{"message":"No."}`
	fetch := func(ctx context.Context, c *Client) error { _, err := c.Token(ctx, "a"); return err }
	read := func(ctx context.Context, c *Client) error { _, err := c.Provider(ctx, "p"); return err }
	make_ := func(ctx context.Context, c *Client) error {
		_, err := c.CreateAPIToken(ctx, NewAPIToken{Role: models.RoleUser})
		return err
	}
	for name, c := range map[string]struct {
		call   func(context.Context, *Client) error
		answer func() (*http.Response, error)
		within time.Duration // that the caller has
		sent   int
		took   time.Duration
	}{
		"a limit":                     {make_, func() (*http.Response, error) { return says(429, ours, "Retry-After: 2"), nil }, time.Minute, 3, 4 * time.Second},
		"a limit for long":            {make_, func() (*http.Response, error) { return says(429, ours, "Retry-After: 60"), nil }, time.Hour, 1, 0},
		"a limit, and a short wait":   {read, func() (*http.Response, error) { return says(429, ours, "Retry-After: 2"), nil }, time.Second, 1, 0},
		"the upstream is away":        {fetch, func() (*http.Response, error) { return says(502, ours, "Retry-After: 1"), nil }, time.Minute, 3, 2 * time.Second},
		"the client is refused":       {fetch, func() (*http.Response, error) { return says(502, ours), nil }, time.Minute, 1, 0},
		"the database is away":        {read, func() (*http.Response, error) { return says(503, ours), nil }, time.Minute, 3, 600 * time.Millisecond},
		"no answer to a read":         {read, func() (*http.Response, error) { return nil, errNetwork }, time.Minute, 3, 600 * time.Millisecond},
		"no answer to a fetch":        {fetch, func() (*http.Response, error) { return nil, errNetwork }, time.Minute, 3, 600 * time.Millisecond},
		"no answer to what makes":     {make_, func() (*http.Response, error) { return nil, errNetwork }, time.Minute, 1, 0},
		"the database, of what makes": {make_, func() (*http.Response, error) { return says(503, ours, "Retry-After: 1"), nil }, time.Minute, 1, 0},
		"what is wrong stays wrong":   {fetch, func() (*http.Response, error) { return says(410, ours), nil }, time.Minute, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				sent := 0
				client := over(func(*http.Request) (*http.Response, error) { sent++; return c.answer() })
				ctx, cancel := context.WithTimeout(t.Context(), c.within)
				defer cancel()
				began := time.Now()
				if err := c.call(ctx, client); err == nil {
					t.Error("it succeeded")
				}
				if took := time.Since(began); sent != c.sent || took != c.took {
					t.Errorf("it was sent %d times in %v, want %d in %v", sent, took, c.sent, c.took)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		answers := []*http.Response{says(503, ours), says(200, `{"id":"p"}`)}
		c := over(func(*http.Request) (*http.Response, error) {
			next := answers[0]
			answers = answers[1:]
			return next, nil
		})
		if p, err := c.Provider(t.Context(), "p"); err != nil || p.ID != "p" {
			t.Errorf("after a moment: %+v, %v", p, err)
		}
	})
}

// What the platform renews is read before each request.
func TestCredentialsOfAFile(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/token"
	var sent []string
	c := NewWith("https://grantd.example", TokenFile(path), &http.Client{Transport: wire(func(r *http.Request) (*http.Response, error) {
		sent = append(sent, r.Header.Get("Authorization"))
		return says(200, `{}`), nil
	})})
	for n, content := range []string{"", "one\n", "two"} {
		if n > 0 {
			write(t, path, content)
		}
		_, err := c.Provider(t.Context(), "p")
		if (err == nil) != (n > 0) {
			t.Errorf("with %q: %v", content, err)
		}
	}
	write(t, path, " \n")
	if _, err := c.Provider(t.Context(), "p"); err == nil {
		t.Error("an empty file is accepted")
	}
	if fmt.Sprint(sent) != "[Bearer one Bearer two]" {
		t.Errorf("sent %v", sent)
	}
}
