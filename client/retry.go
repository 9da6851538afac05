package client

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"
)

// How requests are repeated: a few times, and not where grantd asks for a longer wait than callers have.
const (
	usualTries  = 3
	firstWait   = 200 * time.Millisecond // where nobody says how long to wait; doubled each time
	longestWait = 5 * time.Second
)

// Once returns a client that sends every request once. Others repeat those that can do no harm: what was refused for its
// rate (429), and where grantd or the provider was away (502, 503, no answer) reads, fetches of tokens, and what may be
// sent twice. They wait for as long as Retry-After says, and do not repeat where that is more than 5 s, or more than ctx
// has left.
func (c *Client) Once() *Client {
	once := *c
	once.tries = 1
	return &once
}

// retry tells whether to send a request again, and after how long.
func (c *Client) retry(request *http.Request, answer *http.Response, err error, try int) (time.Duration, bool) {
	if try >= c.tries || request.Context().Err() != nil {
		return 0, false
	}
	wait := firstWait << (try - 1)
	switch {
	case err != nil:
		if !errors.Is(err, ErrUnavailable) || !repeatable(request) {
			return 0, false
		}
	case answer.StatusCode == http.StatusTooManyRequests, passing(answer) && repeatable(request):
		if advised := retryAfter(answer.Header.Get("Retry-After")); advised > 0 {
			wait = advised
		}
	default:
		return 0, false
	}
	deadline, bounded := request.Context().Deadline()
	return wait, wait <= longestWait && (!bounded || time.Until(deadline) > wait)
}

// passing reports whether an answer may be another one soon. grantd's own 502 says so with Retry-After: without it an admin
// has to do something first.
func passing(answer *http.Response) bool {
	switch answer.StatusCode {
	case http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	case http.StatusBadGateway:
		return answer.Header.Get("Retry-After") != "" || answer.Header.Get("X-Request-Id") == ""
	}
	return false
}

// sentTwice are the ends of paths whose POST has the same answer when it is sent again.
var sentTwice = []string{"/token/", "/check/", "/callback/", "/confirm/", exchangePath, introspectPath}

// repeatable reports whether a request does no harm when it is sent again, although it may have been served.
func repeatable(request *http.Request) bool {
	if request.Method == http.MethodGet {
		return true
	}
	if request.Method != http.MethodPost {
		return false
	}
	for _, end := range sentTwice {
		if strings.HasSuffix(request.URL.Path, end) {
			return true
		}
	}
	return false
}

// pause waits, unless ctx ends before.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
