package providers

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// S1: who may be sent events is judged by a list of its own, when a webhook is made and at each attempt.
func TestS1_ReceiversOfWebhooks(t *testing.T) {
	for _, c := range []struct {
		allow   string
		url     string
		allowed bool
	}{
		{"", "https://app.example.com/hook?of=grantd", true},
		{"", "https://app.example.com:443/", true},
		{"", "https://app.example.com:8443/", false},
		{"app.example.com:8443", "https://app.example.com:8443/", true},
		{"app.example.com", "https://app.example.com:8443/", true},
		{"other.example.com:8443", "https://app.example.com:8443/", false},
		{"", "http://app.example.com/", false},
		{"app.example.com", "http://app.example.com/", false},
		{"app.example.com:80", "http://app.example.com/", true},
		{"", "https://93.184.216.34/", false},
		{"93.184.216.0/24", "https://93.184.216.34/", true},
		{"", "https://user@app.example.com/", false},
		{"", "https://app.example.com/#part", false},
		{"", "https://app.example.com\\@evil.example.com/", false},
		{"", "https://app.example.com/ä", false},
		{"", "//app.example.com/", false},
		{"", "https://" + strings.Repeat("a", 3000) + ".example.com/", false},
	} {
		r, err := NewReceivers([]string{c.allow}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Check(c.url); (err == nil) != c.allowed {
			t.Errorf("%s with %q: %v", c.url, c.allow, err)
		}
	}
	if _, err := NewReceivers([]string{"https://app.example.com"}, nil); err == nil {
		t.Error("a list with a URL in it was taken")
	}
}

// S1: what is not listed and not public gets nothing; no redirect is followed; an answer may be as long as it likes, and is not
// waited for longer than the caller does.
func TestS1_ReceiversAreDialledLikeUpstreams(t *testing.T) {
	reached := 0
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		reached++
		switch req.URL.Path {
		case "/redirect":
			http.Redirect(w, req, "/elsewhere", http.StatusTemporaryRedirect)
		case "/long":
			_, _ = w.Write([]byte(strings.Repeat("x", 1<<20)))
		case "/hangs":
			select {
			case <-release:
			case <-req.Context().Done():
			}
		}
	}))
	defer server.Close()
	defer close(release)
	listed, err := NewReceivers([]string{strings.TrimPrefix(server.URL, "http://")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := NewReceivers([]string{"127.0.0.2:80"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	post := func(r *Receivers, path string, patience time.Duration) int {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		return r.Post(ctx, server.URL+path, http.Header{"Webhook-Id": {"1"}}, []byte("{}"))
	}
	for path, status := range map[string]int{"/": 200, "/redirect": 307, "/long": 200} {
		if got := post(listed, path, time.Minute); got != status {
			t.Errorf("%s: %d", path, got)
		}
	}
	if reached != 3 {
		t.Errorf("reached %d times: a redirect was followed", reached)
	}
	if got := post(stranger, "/", time.Minute); got != 0 || reached != 3 {
		t.Errorf("an address that is not listed answered %d", got)
	}
	if got := post(listed, "/hangs", 20*time.Millisecond); got != 0 {
		t.Errorf("an answer that did not come is %d", got)
	}
}
