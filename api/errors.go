package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/grantd/grantd/models"
)

// statusOf is the one table from what went wrong to the HTTP status.
var statusOf = map[models.Code]int{
	models.CodeBadRequest:      http.StatusBadRequest,
	models.CodeUnauthenticated: http.StatusUnauthorized,
	models.CodeForbidden:       http.StatusForbidden,
	models.CodeNotFound:        http.StatusNotFound,
	models.CodeConflict:        http.StatusConflict,
	models.CodeGone:            http.StatusGone,
	models.CodeInvalid:         http.StatusUnprocessableEntity,
	models.CodeRateLimited:     http.StatusTooManyRequests,
	models.CodeInternal:        http.StatusInternalServerError,
	models.CodeUpstream:        http.StatusBadGateway,
	models.CodeUnavailable:     http.StatusServiceUnavailable,
}

// sentences are said where nothing more particular is known: by Echo, by Huma,
// and for whatever is internal.
var sentences = map[int]string{
	http.StatusBadRequest:            "The request could not be read.",
	http.StatusNotFound:              "There is nothing at this path.",
	http.StatusMethodNotAllowed:      "This path does not support the method. The header Allow lists those it does.",
	http.StatusRequestTimeout:        "The body did not arrive in time. Send it again.",
	http.StatusRequestEntityTooLarge: "The body is too large: at most 1 MiB is accepted.",
	http.StatusUnsupportedMediaType:  "This kind of body is not supported: send application/json.",
	http.StatusTooEarly:              "This page is not fetched ahead of time. Open it.",
	http.StatusInternalServerError:   "Internal error.",
	statusClientGone:                 "The client closed the request.",
}

// statusClientGone is what nginx logs for a client that did not wait. Nobody
// reads the answer; the log and the metrics must not show a fault of ours.
const statusClientGone = 499

// Error is the body of every answer that is not a success.
type Error struct {
	Message     string              `json:"message" minLength:"1" doc:"What is wrong and what would be right, for a person to read."`
	Status      int                 `json:"status" doc:"The HTTP status."`
	ErrorFields []models.FieldError `json:"errorFields" doc:"The fields or parameters that are wrong."`
	Detail      string              `json:"detail,omitempty" doc:"A word for programs, such as the provider's OAuth error code."`
	Validations []Validation        `json:"validations,omitempty" doc:"The same as errorFields, for clients of the external-auth API."`
	RequestID   string              `json:"requestId" doc:"Names this request in the log."`

	headers http.Header
}

// Validation is a field error as clients of the external-auth API read it.
type Validation struct {
	Field  string `json:"field"`
	Detail string `json:"detail"`
}

// Error implements error.
func (e *Error) Error() string { return e.Message }

// GetStatus implements huma.StatusError.
func (e *Error) GetStatus() int { return e.Status }

// GetHeaders implements huma.HeadersError.
func (e *Error) GetHeaders() http.Header { return e.headers }

// problem turns an error of the broker into an answer, and logs what the answer
// must not tell.
func (s *Server) problem(ctx context.Context, err error) *Error {
	k, known := callOf(ctx), answerTo(ctx, err)
	if known.Code == models.CodeCancelled {
		return plainError(k, statusClientGone)
	}
	e := newError(k, known)
	s.logFailure(ctx, k, e.Status, known)
	return e
}

// answerTo is what err means for the client of a request. Where it is about a client that
// has left, no fault of ours is to be shown. Where a client that waits still meets
// something cancelled, that was ours, such as at shutdown.
func answerTo(ctx context.Context, err error) *models.Error {
	known, ok := errors.AsType[*models.Error](err)
	if !ok {
		known = &models.Error{Code: models.CodeInternal, Err: err}
	}
	stopped, left := errors.Is(err, context.Canceled), errors.Is(ctx.Err(), context.Canceled)
	switch {
	case left && (stopped || known.Code == models.CodeUnavailable): // a statement that was cancelled may fail as an interrupted one
		return &models.Error{Code: models.CodeCancelled, Err: err}
	case stopped && (known.Code == models.CodeCancelled || known.Code == models.CodeInternal):
		return &models.Error{Code: models.CodeUnavailable, Message: "The request was interrupted. Try again shortly.", Err: err}
	}
	return known
}

func (s *Server) logFailure(ctx context.Context, k *call, status int, known *models.Error) {
	level := slog.LevelDebug
	switch {
	case status == http.StatusInternalServerError:
		level = slog.LevelError
	case status > http.StatusInternalServerError:
		level = slog.LevelWarn
	}
	s.log.Log(ctx, level, "request failed", "requestId", k.id, "status", status, "error", known)
}

// newError makes the body. Of what is internal it tells nothing.
func newError(k *call, known *models.Error) *Error {
	status, ok := statusOf[known.Code]
	if !ok || status == http.StatusInternalServerError {
		return plainError(k, http.StatusInternalServerError)
	}
	e := plainError(k, status)
	e.Detail = known.Detail
	e.setFields(known.Fields)
	if known.Message != "" {
		e.Message = known.Message
	}
	e.headers = advice(status, known.RetryAfter)
	tellQuota(e.headers, known.Quota, known.RetryAfter)
	return e
}

func plainError(k *call, status int) *Error {
	e := &Error{Status: status, Message: sentences[status], ErrorFields: []models.FieldError{}, RequestID: k.id}
	if e.Message == "" {
		e.Message = http.StatusText(status) + "."
	}
	return e
}

func (e *Error) setFields(fields []models.FieldError) {
	for _, f := range fields {
		e.ErrorFields = append(e.ErrorFields, f)
		e.Validations = append(e.Validations, Validation{Field: f.Name, Detail: f.Message})
	}
}

// advice are the headers that tell a client how to go on.
func advice(status int, retryAfter time.Duration) http.Header {
	h := http.Header{}
	if status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
	if retryAfter <= 0 && (status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests) {
		retryAfter = time.Second
	}
	if retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(retryAfter.Seconds()))))
	}
	return h
}

// tellQuota names the limit that was reached, in the syntax of
// draft-ietf-httpapi-ratelimit-headers-10.
func tellQuota(h http.Header, q *models.Quota, retryAfter time.Duration) {
	if q == nil {
		return
	}
	policy, left := fmt.Sprintf("%q;q=%d", q.Policy, q.Limit), fmt.Sprintf("%q;r=0", q.Policy)
	if q.Window > 0 {
		policy += fmt.Sprintf(";w=%d", int(q.Window.Seconds()))
		left += fmt.Sprintf(";t=%d", int(math.Ceil(retryAfter.Seconds())))
	} else {
		policy += `;qu="concurrent-requests"`
	}
	h.Set("RateLimit-Policy", policy)
	h.Set("RateLimit", left)
}

// answerEchoError is Echo's error handler: for unknown paths and methods, and
// for what its own handlers return.
func (s *Server) answerEchoError(err error, c echo.Context) {
	var known *echo.HTTPError
	if errors.As(err, &known) && known.Code == http.StatusNotFound {
		s.answerUnmatched(c)
		return
	}
	if errors.As(err, &known) && known.Code < http.StatusInternalServerError {
		write(c, plainError(callOf(c.Request().Context()), known.Code))
		return
	}
	write(c, s.problem(c.Request().Context(), err))
}

// write sends e, unless an answer is on its way already.
func write(c echo.Context, e *Error) {
	if c.Response().Committed {
		return
	}
	h := c.Response().Header()
	for name, values := range e.headers {
		h[name] = values
	}
	h.Set("Content-Type", "application/json")
	c.Response().WriteHeader(e.Status)
	encoder := json.NewEncoder(c.Response())
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(e) // the client is gone; there is nobody to tell
}
