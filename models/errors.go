package models

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Code says what kind of failure an Error is. The edge has one table from code
// to HTTP status; nothing below the edge knows about statuses.
type Code string

// The codes. Their order is that of the statuses they become.
const (
	CodeBadRequest      Code = "bad_request"     // 400: a flow, code or state that cannot be used
	CodeUnauthenticated Code = "unauthenticated" // 401
	CodeForbidden       Code = "forbidden"       // 403: visible to you, but not for your role or not now
	CodeNotFound        Code = "not_found"       // 404: absent, or not visible to you
	CodeConflict        Code = "conflict"        // 409: the state of the thing does not allow it
	CodeGone            Code = "gone"            // 410: the person must authorize again
	CodeInvalid         Code = "invalid"         // 422: well-formed but wrong; Fields says where
	CodeRateLimited     Code = "rate_limited"    // 429
	CodeCancelled       Code = "cancelled"       // 499: the client has disconnected
	CodeInternal        Code = "internal"        // 500
	CodeUpstream        Code = "upstream"        // 502: the provider is down or refuses our client
	CodeUnavailable     Code = "unavailable"     // 503: our own database or keyset
)

// FieldError names one wrong field and says what would be right.
type FieldError struct {
	Name    string `json:"name"`
	Message string `json:"message"`
}

// Error is a failure with a sentence that is safe to show to anyone. Whatever is
// not an Error is internal, and its text is for the log only.
type Error struct {
	Code       Code
	Message    string
	Fields     []FieldError
	Detail     string        // a machine-readable word beside the message, such as an OAuth error code
	RetryAfter time.Duration // how long the caller should wait before asking again; 0 means no advice
	Quota      *Quota        // the limit that was reached, for CodeRateLimited
	Err        error         // the cause, for the log; never shown
}

// Quota is a limit that a caller has used up.
type Quota struct {
	Policy string // its name
	Limit  int
	Window time.Duration // what is counted within; 0 where it is counted at once
}

// Error returns the safe sentence, with the cause behind it when there is one.
func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: %v", e.Message, e.Err)
	}
	return e.Message
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error with a safe sentence. It does not wrap: the arguments
// become text that callers see.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Invalid makes a CodeInvalid error that names the fields which are wrong, in its
// message too: clients print that alone.
func Invalid(fields ...FieldError) *Error {
	sentences := make([]string, len(fields))
	for i, f := range fields {
		sentences[i] = f.Name + ": " + f.Message
	}
	return &Error{Code: CodeInvalid, Message: strings.Join(sentences, "; "), Fields: fields}
}

// CodeOf returns the code of the first Error in err's chain, CodeInternal when
// there is none, and "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeInternal
}
