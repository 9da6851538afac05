package providers

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/grantd/grantd/models"
)

// Kind says what a failure means for the tokens.
type Kind string

// The kinds.
const (
	KindDenied    Kind = "denied"    // the grant or token is no longer valid: the person must authorize again
	KindClient    Kind = "client"    // the upstream refuses our client: an admin must act, tokens are kept
	KindTransient Kind = "transient" // down, throttled or unreachable: try again later
	KindProtocol  Kind = "protocol"  // an answer that makes no sense
	KindRefused   Kind = "refused"   // the upstream refused this request for another reason
)

var sentences = map[Kind]string{
	KindDenied:    "the upstream says the grant has ended",
	KindClient:    "the upstream refuses the client",
	KindTransient: "the upstream could not be reached",
	KindProtocol:  "the upstream gave an answer that makes no sense",
	KindRefused:   "the upstream refused the request",
}

// Error is how every call to an upstream fails.
type Error struct {
	Kind Kind
	// Code is the error code of RFC 6749 or its kin, "" unless it looks like one.
	Code   string
	Status int // HTTP status, 0 when no answer was read
	// RetryAfter is what the upstream asked for, at most an hour; 0 = nothing.
	RetryAfter time.Duration
	// Ambiguous: the request was sent and no whole answer came back, so the
	// upstream may have processed it.
	Ambiguous bool
	// Unreadable: the answer is a success, and has not what it should bring.
	Unreadable bool
	// Description is the upstream's text, escaped, at most 200 characters, and
	// "" when it repeats a secret of the request.
	Description string
	// Advice is a sentence of ours where trying again cannot help: what an admin must
	// correct. Code then is a word of ours too.
	Advice string
	// Err is the cause, for the log; it tells blocked from refused from slow,
	// which callers must not learn.
	Err error
}

// Error returns a sentence without anything an upstream wrote but its code.
func (e *Error) Error() string {
	s := sentences[e.Kind]
	if e.Code != "" {
		s += ": " + e.Code
	}
	if e.Status != 0 {
		s += fmt.Sprintf(" (HTTP %d)", e.Status)
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of the first Error in err's chain, "" when there is
// none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}

// failure makes the Error for an answer that is not a success. secrets are those
// of the request: an upstream that repeats one is not quoted.
func failure(a *answer, now time.Time, secrets ...models.Secret) *Error {
	code, text := a.mainCode(), a.errorText()
	return &Error{
		Kind:        judge(a, code, text),
		Code:        codeFrom(code, secrets),
		Status:      a.status,
		RetryAfter:  retryAfter(a, now),
		Description: describe(text, secrets),
	}
}

// failure is failure with what the client's config knows of its upstream.
func (u *upstream) failure(a *answer, secrets ...models.Secret) *Error {
	secrets = append(secrets, u.c.Secret)
	e := failure(a, u.now(), secrets...)
	if code := u.finalCode(a); code != "" && !repeats(code, secrets) {
		e.Kind, e.Code = KindDenied, code
	}
	return e
}

func judge(a *answer, code, text string) Kind {
	kind, known := kinds[code]
	switch {
	case a.down() || a.throttled():
		return KindTransient
	case badClientText.MatchString(text):
		return KindClient
	case known:
		return kind
	case code == "invalid_request" && saysInvalid(invalidRefreshText, text):
		return KindDenied
	case a.status/100 == 3:
		return KindProtocol
	case a.object == nil:
		return KindTransient // a gateway's page, not the upstream's word
	case a.ok() && !a.saysError():
		return KindProtocol
	}
	return KindRefused
}

// unreadable makes the Error for a success without what it should bring: the upstream may
// have done what it was asked for (R3).
func unreadable(a *answer, what string) *Error {
	e := protocol("%s", what)
	if a.object == nil {
		e.Kind = KindTransient
	}
	e.Status, e.Ambiguous, e.Unreadable = a.status, true, true
	return e
}

// bearerFailure makes the Error for a resource that refused an access token
// (RFC 6750 §3.1). A 401 is the token's end; a 403 is a missing scope, a limit
// or a policy, never an end.
func bearerFailure(a *answer, now time.Time, secrets ...models.Secret) *Error {
	e := failure(a, now, secrets...)
	if m := challengeCode.FindStringSubmatch(a.header.Get("WWW-Authenticate")); m != nil {
		e.Code = codeFrom(m[1], secrets)
	}
	switch {
	case a.down() || a.throttled():
	case a.status == http.StatusUnauthorized:
		e.Kind = KindDenied
	case e.Kind == KindDenied || e.Kind == KindClient:
		e.Kind = KindRefused
	}
	return e
}

var challengeCode = regexp.MustCompile(`(?i)\berror="([^"]*)"`)

// codeShape is what error codes look like, and tokens do not: no digits, no
// capitals, not long.
var codeShape = regexp.MustCompile(`^[a-z_.-]{1,40}$`)

func codeFrom(s string, secrets []models.Secret) string {
	if !codeShape.MatchString(s) && kinds[s] == "" {
		return ""
	}
	for _, secret := range secrets { // codes are in lower case by now
		if v := codeText(secret.Reveal()); v != "" && strings.Contains(s, v) {
			return ""
		}
	}
	return s
}

const maxDescription = 200

// describe makes upstream text fit for a message: printable, short, and free of
// what we sent.
func describe(s string, secrets []models.Secret) string {
	if repeats(s, secrets) {
		return ""
	}
	quoted := strconv.Quote(short(s, maxDescription))
	return short(quoted[1:len(quoted)-1], maxDescription)
}

// short cuts s after n characters.
func short(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}

// repeats reports whether s holds one of the secrets, as it is or escaped.
func repeats(s string, secrets []models.Secret) bool {
	for _, secret := range secrets {
		v := secret.Reveal()
		if v != "" && (strings.Contains(s, v) || strings.Contains(s, url.QueryEscape(v))) {
			return true
		}
	}
	return false
}

// protocol makes the Error for an answer that was read and makes no sense.
func protocol(format string, args ...any) *Error {
	return &Error{Kind: KindProtocol, Err: fmt.Errorf(format, args...)}
}
