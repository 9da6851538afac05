package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/grantd/grantd/models"
)

func TestEveryCodeHasItsStatus(t *testing.T) {
	s := newTestServer(t)
	for code, want := range map[models.Code]int{
		models.CodeBadRequest: 400, models.CodeUnauthenticated: 401, models.CodeForbidden: 403, models.CodeNotFound: 404,
		models.CodeConflict: 409, models.CodeGone: 410, models.CodeInvalid: 422, models.CodeRateLimited: 429,
		models.CodeInternal: 500, models.CodeUpstream: 502, models.CodeUnavailable: 503, "unheard of": 500,
	} {
		e := s.problem(context.Background(), fmt.Errorf("doing x: %w", models.Errorf(code, "A sentence.")))
		if e.Status != want || e.Message == "" {
			t.Errorf("%s: got %d %q, want %d", code, e.Status, e.Message, want)
		}
	}
}

func TestAnswersTellNothingInternal(t *testing.T) {
	s := newTestServer(t)
	for _, err := range []error{
		errors.New("dial tcp 10.0.0.7: password wrong"),
		&models.Error{Code: models.CodeInternal, Message: "10.0.0.7", Detail: "10.0.0.7"},
		&models.Error{Code: models.CodeUpstream, Message: "The provider does not answer.", Err: errors.New("10.0.0.7")},
	} {
		e := s.problem(context.Background(), err)
		if strings.Contains(e.Message+e.Detail, "10.0.0.7") {
			t.Errorf("the answer tells %q %q", e.Message, e.Detail)
		}
	}
	if !strings.Contains(s.log.String(), "10.0.0.7") {
		t.Error("the log does not tell")
	}
}

func TestRetryAfterIsWholeSecondsRoundedUp(t *testing.T) {
	s := newTestServer(t)
	for _, c := range []struct {
		code  models.Code
		after time.Duration
		want  string
	}{
		{models.CodeUpstream, 1200 * time.Millisecond, "2"},
		{models.CodeUpstream, 0, ""},
		{models.CodeUnavailable, 0, "1"}, // always said
		{models.CodeRateLimited, 90 * time.Second, "90"},
	} {
		e := s.problem(context.Background(), &models.Error{Code: c.code, RetryAfter: c.after})
		if got := e.GetHeaders().Get("Retry-After"); got != c.want {
			t.Errorf("%s after %v: got %q, want %q", c.code, c.after, got, c.want)
		}
	}
}

func TestAPanicIsA500WithoutDetail(t *testing.T) {
	s := newTestServer(t)
	s.echo.GET("/panics", func(echo.Context) error { panic("the reason") })
	got := s.send(t, httptest.NewRequest(http.MethodGet, "/panics", nil))
	if got.status != 500 || got.err.Message != "Internal error." || strings.Contains(got.raw, "reason") {
		t.Errorf("got %d %s", got.status, got.raw)
	}
	if !strings.Contains(s.log.String(), "the reason") || !strings.Contains(s.log.String(), got.err.RequestID) {
		t.Error("the log does not tell the reason under the request's id")
	}
}

func TestAClientThatLeftIsNoFaultOfOurs(t *testing.T) {
	s := newTestServer(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if e := s.problem(ctx, fmt.Errorf("reading: %w", ctx.Err())); e.Status != statusClientGone {
		t.Errorf("got %d", e.Status)
	}
}

// Of a client that waits still, it was not the client's request that was cancelled: the
// process stops, or lost its database.
func TestT3_SomethingCancelledIsAnOutageForAClientThatWaits(t *testing.T) {
	s := newTestServer(t)
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	cancelled := &models.Error{Code: models.CodeCancelled, Message: "The request was cancelled.", Err: context.Canceled}
	for name, c := range map[string]struct {
		err         error
		here, after int
	}{
		"the store's":    {fmt.Errorf("reading: %w", cancelled), 503, statusClientGone},
		"any other":      {fmt.Errorf("reading: %w", context.Canceled), 503, statusClientGone},
		"interrupted":    {models.Errorf(models.CodeUnavailable, "The database is away."), 503, statusClientGone},
		"the upstream's": {&models.Error{Code: models.CodeUpstream, Message: "Try again.", Err: context.Canceled}, 502, statusClientGone},
		"a fault":        {errors.New("no such column"), 500, 500},
		"not found":      {models.Errorf(models.CodeNotFound, "Flow not found."), 404, 404},
	} {
		if e := s.problem(context.Background(), c.err); e.Status != c.here || e.Message == "" {
			t.Errorf("%s: a client that waits gets %d %q, want %d", name, e.Status, e.Message, c.here)
		}
		if e := s.problem(gone, c.err); e.Status != c.after {
			t.Errorf("%s: for a client that has left %d, want %d", name, e.Status, c.after)
		}
	}
}
