package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// upstream is an API on https that remembers the tokens it was shown.
func upstream(t *testing.T, answer func(w http.ResponseWriter, r *http.Request)) (url string, base http.RoundTripper, shown *[]string) {
	t.Helper()
	shown = &[]string{}
	var mu sync.Mutex
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		*shown = append(*shown, r.Header.Get("Authorization"))
		mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL, s.Client().Transport, shown
}

// tokens is a grantd that knows one token, and a newer one once it was asked whether the first is valid.
func tokens(match string, checks *atomic.Int64) *Client {
	return over(func(r *http.Request) (*http.Response, error) {
		if strings.HasSuffix(r.URL.Path, "/check/") {
			checks.Add(1)
			return says(200, `{"valid":false}`), nil
		}
		return says(201, fmt.Sprintf(`{"accessToken":"t%d","authorizedOauthProvider":{"id":"a","provider":{"id":"p","config":{"match":[%s]}}}}`, checks.Load(), match)), nil
	})
}

func fine(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "fine") }

func TestATransportSendsTheTokenToItsOrigins(t *testing.T) {
	t.Parallel()
	url, base, shown := upstream(t, fine)
	host := strings.TrimPrefix(url, "https://")
	for name, transport := range map[string]*Transport{
		"given":                tokens("", new(atomic.Int64)).Transport("a", url),
		"of the provider":      tokens(`"git.example.com/team","`+host+`"`, new(atomic.Int64)).Transport("a"),
		"with a slash":         tokens("", new(atomic.Int64)).Transport("a", url+"/"),
		"one of several given": tokens("", new(atomic.Int64)).Transport("a", "https://other.example", url),
	} {
		transport.Base = base
		request, _ := http.NewRequestWithContext(t.Context(), "GET", url+"/x", nil)
		answer, err := (&http.Client{Transport: transport}).Do(request)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		answer.Body.Close()
		if request.Header.Get("Authorization") != "" {
			t.Errorf("%s: the caller's request was changed", name)
		}
	}
	for _, token := range *shown {
		if token != "Bearer t0" {
			t.Errorf("the upstream was shown %q", token)
		}
	}
	if len(*shown) != 4 {
		t.Errorf("it was asked %d times", len(*shown))
	}
}

// Design: the token goes to its origins alone; not to another one, not by plain http, not after a redirect.
func TestATransportSendsTheTokenNowhereElse(t *testing.T) {
	t.Parallel()
	elsewhere, _, stolen := upstream(t, fine)
	plain := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		*stolen = append(*stolen, r.Header.Get("Authorization"))
	}))
	t.Cleanup(plain.Close)
	var lead string
	url, base, _ := upstream(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, lead, http.StatusTemporaryRedirect) })
	for name, c := range map[string]struct {
		to, lead string
		origins  []string
	}{
		"another origin":            {elsewhere, "", []string{url}},
		"plain http":                {plain.URL, "", []string{url, plain.URL}},
		"a redirect elsewhere":      {url, elsewhere, []string{url}},
		"a redirect to plain http":  {url, plain.URL, []string{url, plain.URL}},
		"no origins":                {url, "", nil},
		"an origin that is a start": {"https://127.0.0.1.evil.example/", "", []string{"https://127.0.0.1"}},
		"another port":              {url, "", []string{"https://127.0.0.1"}},
		"an origin with a path":     {url, "", []string{url + "/api"}},
		"an origin with a user":     {url, "", []string{strings.Replace(url, "https://", "https://x@", 1)}},
		"a user in the address":     {strings.Replace(elsewhere, "https://", "https://127.0.0.1@", 1), "", []string{"https://127.0.0.1"}},
	} {
		lead = c.lead
		transport := tokens("", new(atomic.Int64)).Transport("a", c.origins...)
		transport.Base = base
		answer, err := (&http.Client{Transport: transport}).Get(c.to)
		if err == nil {
			answer.Body.Close()
		}
		if !errors.Is(err, ErrOrigin) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(*stolen) != 0 {
		t.Errorf("another origin was asked: %q", *stolen)
	}
}

// A 401 leads to one check, however many requests get one, and to one retry of each that can be repeated.
func TestATransportReplacesATokenThatTheUpstreamRefuses(t *testing.T) {
	t.Parallel()
	var bodies sync.Map
	url, base, shown := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Header.Get("Authorization") == "Bearer t0" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		bodies.Store(string(body), true)
	})
	var checked atomic.Int64
	c := tokens("", &checked)
	old, _ := c.Token(t.Context(), "a")
	transport := c.Transport("a", url)
	transport.Base, transport.Tokens = base, stuck{old}
	h := &http.Client{Transport: transport}
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			answer, err := h.Post(url, "text/plain", strings.NewReader(fmt.Sprint("body ", n)))
			if err != nil || answer.StatusCode != 200 {
				t.Errorf("%v, %v", answer, err)
			}
			if err == nil {
				answer.Body.Close()
			}
			if _, ok := bodies.Load(fmt.Sprint("body ", n)); !ok {
				t.Error("the body was not sent again")
			}
		})
	}
	all.Wait()
	if checked.Load() != 1 || len(*shown) != 16 {
		t.Errorf("%d checks, %d requests", checked.Load(), len(*shown))
	}
	// What cannot be read again is not sent again.
	request, _ := http.NewRequestWithContext(t.Context(), "POST", url, io.NopCloser(strings.NewReader("once")))
	answer, err := h.Do(request)
	if err != nil || answer.StatusCode != http.StatusUnauthorized {
		t.Fatalf("%v, %v", answer, err)
	}
	answer.Body.Close()
}

// stuck gives out one token for ever.
type stuck struct{ token Token }

func (s stuck) Token(context.Context, string) (Token, error) { return s.token, nil }

// A token that the upstream accepts elsewhere is not replaced, and grantd is asked about it twice a minute at most.
func TestATransportAsksGrantdSeldom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		checked, sent := 0, 0
		c := over(func(r *http.Request) (*http.Response, error) {
			switch {
			case r.URL.Host == "api.example":
				sent++
				return says(401, ""), nil
			case strings.HasSuffix(r.URL.Path, "/check/"):
				checked++
				return says(200, `{"valid":true}`), nil
			}
			return says(201, `{"accessToken":"t"}`), nil
		})
		transport := c.Transport("a", "https://api.example")
		transport.Base = c.http.Transport
		for range 100 {
			answer, err := (&http.Client{Transport: transport}).Get("https://api.example/")
			if err != nil || answer.StatusCode != 401 {
				t.Fatalf("%v, %v", answer, err)
			}
			answer.Body.Close()
			time.Sleep(time.Second)
		}
		if checked != 4 || sent != 100 {
			t.Errorf("%d checks for %d requests in 100 s", checked, sent)
		}
		if len(c.checks.last) != 1 {
			t.Errorf("%d checks are remembered", len(c.checks.last))
		}
	})
}
