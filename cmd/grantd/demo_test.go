package main

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/grantd/grantd/brokertest/browser"
	"github.com/grantd/grantd/models"
)

// signalling is an output that tells when a text has been written to it.
type signalling struct {
	text  string
	found func()

	mu      sync.Mutex
	written bytes.Buffer
	once    sync.Once
}

func (s *signalling) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.written.Write(p)
	if strings.Contains(s.written.String(), s.text) {
		s.once.Do(s.found)
	}
	return len(p), nil
}

func (s *signalling) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.written.String()
}

// anySecret is what an API token or one of the test server's tokens looks like.
var anySecret = regexp.MustCompile(`grd_[0-9a-f-]{36}_|ti[ar]_`)

var (
	varies = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|127\.0\.0\.1:\d+|code_challenge=\S+|("state": |"code": |code=)[\w"-]+`)
	polled = regexp.MustCompile(`(?m)^   → (PENDING|RUNNING).*\n`)
)

// withoutWhatVaries is what the demo prints without what differs from run to run: ids, ports, codes, and what the job said before
// its end.
func withoutWhatVaries(story string) string {
	return strings.TrimSpace(polled.ReplaceAllString(varies.ReplaceAllString(story, "…"), ""))
}

// TestDemo plays the whole story, which is the one that the README shows.
func TestDemo(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	o := mustRun(t, nil, "demo")
	for _, want := range []string{"50 callers got the same new token; the authorization server saw 1 refresh", "COMPLETED  total 3  revoked 3",
		"live grants 0, access tokens 0, refresh tokens 0", "Every step succeeded."} {
		if !strings.Contains(o.out, want) {
			t.Errorf("the story does not say %q:\n%s", want, o.out)
		}
	}
	for line := range strings.Lines(o.out) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > width {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	if secret := anySecret.FindString(o.out + o.err); secret != "" {
		t.Errorf("shows a secret that begins with %s", secret)
	}
	if o.err != "" {
		t.Errorf("standard error has %q", o.err)
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, shown, _ := strings.Cut(string(readme), "```text\n")
	shown, _, _ = strings.Cut(shown, "```")
	if got, want := withoutWhatVaries(o.out), withoutWhatVaries(shown); got != want {
		t.Errorf("README.md shows another story:\n%s\nthan\n%s", want, got)
	}
	if left, _ := os.ReadDir(temp); len(left) > 0 {
		t.Errorf("leaves %s behind", left[0].Name())
	}
}

// TestADemoThatFailsSaysWhere: which step, what was expected, what came.
func TestADemoThatFailsSaysWhere(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	var log bytes.Buffer
	out := signalling{text: " 3. ", found: cancel}
	if code := run(ctx, []string{"demo"}, console{nil, &out, &log}, nil); code != exitFailure {
		t.Fatalf("exit code %d", code)
	}
	for _, want := range []string{"failed at step 3", "expected: ", "came: ", "canceled"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("does not say %q:\n%s", want, log.String())
		}
	}
}

// TestDev: what it prints can be used until it is told to stop.
func TestDev(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	running := make(chan struct{})
	out := &signalling{text: "Ctrl-C", found: func() { close(running) }}
	var log bytes.Buffer
	ended := make(chan int)
	go func() {
		ended <- run(ctx, []string{"dev", "--log-level", "error"}, console{nil, out, &log}, []string{"GRANTD_LISTEN=127.0.0.1:0", "GRANTD_DRAIN_DELAY=0s"})
	}()
	select {
	case <-running:
	case code := <-ended:
		t.Fatalf("ended with %d\n%s", code, log.String())
	}

	said := map[string]string{}
	for line := range strings.Lines(out.String()) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && strings.ToUpper(name) == name {
			said[name] = value
		}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, said["API"]+"/providers/"+said["PROVIDER"]+"/authorize/?redirect_uri=https://any.example/", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+said["YOU"])
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("authorize answers %s", answer.Status)
	}
	signsInOnce(t, out.String())

	cancel()
	if code := <-ended; code != exitOK {
		t.Errorf("ended with %d\n%s", code, log.String())
	}
	if left, _ := os.ReadDir(temp); len(left) > 0 {
		t.Errorf("leaves %s behind", left[0].Name())
	}
}

// signsInOnce follows the address that dev prints: to look at it uses nothing up, the button signs in, and does so once.
func signsInOnce(t *testing.T, said string) {
	t.Helper()
	address := regexp.MustCompile(`http://127\.0\.0\.1:\d+/sign-in/once\?code=[A-Za-z0-9_-]{43}`).FindString(said)
	base, code, found := strings.Cut(address, "?code=")
	if !found {
		t.Fatalf("dev prints no address that signs in: %s", said)
	}
	b := browser.New(t, base)
	for range 2 {
		if shown := b.Get(t, address); shown.Hidden().Get("code") != code {
			t.Fatalf("the address shows %s", shown)
		}
	}
	press := func(b *browser.Browser, site string) browser.Page {
		r := browser.Request(t, http.MethodPost, base, url.Values{"code": {code}})
		r.Header.Set("Sec-Fetch-Site", site)
		r.Header.Set("Accept", "text/html")
		return b.Try(t, r)
	}
	if got := press(b, "cross-site"); !strings.HasPrefix(got.Status, "403") {
		t.Errorf("pressed on another site: %s", got)
	}
	if got := press(b, "same-origin"); !strings.HasPrefix(got.Status, "200") || !strings.Contains(got.Text, "Signed in as root of dev") {
		t.Errorf("pressed: %s", got)
	}
	if got := press(browser.New(t, base), "same-origin"); !strings.HasPrefix(got.Status, "401") {
		t.Errorf("pressed again: %s", got)
	}
}

// The address is printed only where nobody else can get hold of it.
func TestDevOffersToSignInOnLoopbackOnly(t *testing.T) {
	t.Parallel()
	for _, flag := range []string{"listen", "public-url", "database-url"} {
		c := Config{Listen: "127.0.0.1:8080", origin: map[string]string{flag: "environment"}}
		if flag == "listen" {
			c.Listen = ":8080"
		}
		if got := new(instance).onceAddress(&c, models.APIToken{}); got != "" {
			t.Errorf("%s: %s", flag, got)
		}
	}
}

func TestDevsCallbackShowsTheCall(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	devCallback(w, httptest.NewRequest(http.MethodGet, "/app/callback?code=c0de&state=5tate", nil))
	for _, want := range []string{`"code": "c0de"`, "$API/providers/callback/"} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("does not show %q:\n%s", want, w.Body)
		}
	}
	if !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
		t.Error("is not plain text")
	}
}

// TestDevsCallbackIsSafeToPaste: a link from elsewhere must not bring shell
// commands.
func TestDevsCallbackIsSafeToPaste(t *testing.T) {
	t.Parallel()
	for _, query := range []string{"code=c0de&state=%27;id;%27", "code=%0Aid&state=5tate", "error=access_denied&state=5tate"} {
		w := httptest.NewRecorder()
		devCallback(w, httptest.NewRequest(http.MethodGet, "/app/callback?"+query, nil))
		if strings.Contains(w.Body.String(), "curl") {
			t.Errorf("%s shows a call:\n%s", query, w.Body)
		}
	}
}

func TestBesideOf(t *testing.T) {
	t.Parallel()
	for listen, want := range map[string]string{
		"127.0.0.1:8080": "127.0.0.1:8081", ":80": "127.0.0.1:81", "127.0.0.1:0": "127.0.0.1:0", "127.0.0.1:65535": "127.0.0.1:0",
	} {
		if got := besideOf(listen); got != want {
			t.Errorf("besideOf(%q) = %q, want %q", listen, got, want)
		}
	}
}

func TestWrap(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 60)
	if got, want := wrap([]string{"curl", long, long, "end"}, "  ", "    "), "  curl "+long+" \\\n    "+long+" end"; got != want {
		t.Errorf("wrapped as\n%s", got)
	}
}
