package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/traces"
)

// observe is the one middleware: it names the request, catches panics, logs and
// counts. Echo wraps each middleware again for every request, so there is one.
func (s *Server) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		k := &call{id: requestID(r.Header.Get(echo.HeaderXRequestID)), url: r.URL}
		ctx := r.Context()
		if !probe(r.URL.Path) {
			ctx, k.span = s.traces.Request(ctx, r.Header)
		}
		c.SetRequest(r.WithContext(withCall(ctx, k)))
		h := c.Response().Header()
		h[echo.HeaderXRequestID], h[echo.HeaderXContentTypeOptions] = []string{k.id}, nosniff
		defer s.finish(c, k, time.Now())
		if err := s.admit(c, next); err != nil {
			s.answerEchoError(err, c)
		}
		return nil
	}
}

// nosniff is the same list for all answers, because Header.Set would make one for each.
var nosniff = []string{"nosniff"}

// probe reports whether a path is asked for every few seconds by what watches the process.
func probe(path string) bool {
	return strings.HasSuffix(path, "/healthz") || strings.HasSuffix(path, "/readyz")
}

// admit turns away what announces too large a body; one that does not announce
// it is cut off where it is read.
func (s *Server) admit(c echo.Context, next echo.HandlerFunc) error {
	if c.Request().ContentLength > maxBody {
		return echo.ErrStatusRequestEntityTooLarge
	}
	return next(c)
}

// finish is deferred directly, because only then recover works.
func (s *Server) finish(c echo.Context, k *call, start time.Time) {
	cut := false
	if p := recover(); p != nil {
		cut = s.answerPanic(c, p)
	}
	if k.done != nil {
		k.done()
	}
	s.account(c, k, time.Since(start))
	if cut {
		panic(http.ErrAbortHandler) // ends the connection without more noise
	}
}

// answerPanic reports whether the connection has to be cut, because half an
// answer must not look like a whole one.
func (s *Server) answerPanic(c echo.Context, p any) (cut bool) {
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		return true
	}
	k := callOf(c.Request().Context())
	s.log.Error("a handler panicked", "requestId", k.id, "route", c.Path(), "panic", p, "stack", string(debug.Stack()))
	if c.Response().Committed {
		return true
	}
	write(c, newError(k, &models.Error{Code: models.CodeInternal}))
	return false
}

// account writes the access line and the metrics: patterns and ids of ours,
// never a path, a query, a header or a body.
func (s *Server) account(c echo.Context, k *call, took time.Duration) {
	route, method, status := s.pattern(c), knownMethod(c.Request().Method), c.Response().Status
	s.metrics.observe(series{route, method, status, k.waits}, took)
	k.span.Answered(method, route, status, k.id)
	level := levelOf(route, status)
	if !s.log.Enabled(context.Background(), level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("method", method), slog.String("route", route), slog.Int("status", status),
		slog.Float64("durationSeconds", took.Seconds()), slog.String("requestId", k.id), slog.String("ip", c.RealIP()),
		slog.String("org", k.caller.OrgID), slog.String("user", k.caller.UserID),
	}
	if k.caller.Actor != "" {
		attrs = append(attrs, slog.String("actor", k.caller.Actor))
	}
	if trace := traces.ID(c.Request().Context()); trace != "" {
		attrs = append(attrs, slog.String("traceId", trace))
	}
	if route == unmatched {
		attrs = append(attrs, slog.String("path", string(misplacedPath(c.Request().URL.Path))))
	}
	s.log.LogAttrs(context.Background(), level, "request", attrs...)
}

// levelOf keeps what machines ask all the time out of the usual log: tokens are
// counted in the audit trail, probes tell nothing while they succeed.
func levelOf(route string, status int) slog.Level {
	switch {
	case status >= 500:
		return slog.LevelWarn
	case status < 300 && (!strings.HasPrefix(route, "/api/") || strings.HasSuffix(route, "oken/") || route == version2+agentPath):
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// pattern names the route, or "unmatched": clients must not be able to make up
// labels.
func (s *Server) pattern(c echo.Context) string {
	if p := c.Path(); s.patterns[p] {
		return p
	}
	return unmatched
}

const unmatched = "unmatched"

func knownMethod(m string) string {
	switch m {
	case http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete, http.MethodPut, http.MethodHead, http.MethodOptions:
		return m
	}
	return "other"
}
