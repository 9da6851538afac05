package providers

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// down reports a server or gateway in trouble. Its error code is not believed:
// a 500 that says invalid_grant ends nobody's grant.
func (a *answer) down() bool { return a.status >= 500 }

// throttled reports a rate limit. GitHub's are 403s, told from a refusal by
// their headers or, failing these, their message; Google's for device codes are
// 403s with a field of their own.
func (a *answer) throttled() bool {
	if a.status == http.StatusTooManyRequests {
		return true
	}
	return a.status == http.StatusForbidden && (a.header.Get("Retry-After") != "" ||
		a.header.Get("X-RateLimit-Remaining") == "0" ||
		a.text("error_code") == "rate_limit_exceeded" ||
		strings.Contains(strings.ToLower(a.text("message")), "rate limit"))
}

const maxRetryAfter = time.Hour

// leastPause is how long a rate limit lasts whose end has passed by our clock.
const leastPause = time.Second

// retryAfter returns how long the upstream asks to wait, 0 where it does not ask. A
// rate limit always asks for something, also where it names a time that has passed:
// otherwise its answers would count as failed attempts (D4).
func retryAfter(a *answer, now time.Time) time.Duration {
	wait := askedWait(a, now)
	if a.throttled() {
		return max(wait, leastPause)
	}
	return wait
}

// askedWait reads Retry-After in seconds or as a date (RFC 9110 §10.2.3), else the
// end of an exhausted rate limit, else a minute for a rate limit that says nothing,
// as GitHub asks for.
func askedWait(a *answer, now time.Time) time.Duration {
	value := strings.TrimSpace(a.header.Get("Retry-After"))
	if seconds, err := strconv.ParseFloat(value, 64); err == nil {
		return capped(seconds)
	}
	if at, err := http.ParseTime(value); err == nil {
		return capped(at.Sub(now).Seconds())
	}
	reset, err := strconv.ParseInt(a.header.Get("X-RateLimit-Reset"), 10, 64)
	if err == nil && a.header.Get("X-RateLimit-Remaining") == "0" {
		return capped(time.Unix(reset, 0).Sub(now).Seconds())
	}
	if a.throttled() {
		return time.Minute
	}
	return 0
}

// capped turns seconds into a duration between 0 and an hour.
func capped(seconds float64) time.Duration {
	switch {
	case seconds > maxRetryAfter.Seconds():
		return maxRetryAfter
	case seconds > 0:
		return time.Duration(seconds * float64(time.Second))
	}
	return 0 // NaN too
}
