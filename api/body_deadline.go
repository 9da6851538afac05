package api

import (
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// defaultBodyTime is how long a request's body may take to arrive.
const defaultBodyTime = 10 * time.Second

// withBodyDeadline gives the body of every request until d to arrive, before
// anybody is known: also where no handler reads it, because the server reads what
// is left of a body before it answers and when it is done. http.Server.ReadTimeout
// would end requests that wait and streams as well.
func withBodyDeadline(d time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 { // -1 where the length is not announced
			control := http.NewResponseController(w)
			_ = control.SetReadDeadline(time.Now().Add(d)) // a recorder in a test has no connection
			// A copy, because the server looks at its own request's body to see whether the
			// connection can serve another request.
			r = r.WithContext(r.Context())
			r.Body = &timedBody{r.Body, control}
		}
		next.ServeHTTP(w, r)
	})
}

// timedBody lifts the deadline once the body is there. Past the body the server goes
// on reading to see whether the client leaves, and would take a deadline for that.
type timedBody struct {
	io.ReadCloser
	control *http.ResponseController
}

func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}

// keepBodyDeadline keeps Huma from setting deadlines of its own: withBodyDeadline alone
// says how long a body may take.
func keepBodyDeadline(ctx huma.Context, next func(huma.Context)) { next(deadlineKept{ctx}) }

type deadlineKept struct{ humaContext }

type humaContext = huma.Context // embedded by a name that is none of its methods

func (deadlineKept) SetReadDeadline(time.Time) error { return nil }

// Unwrap is for humaecho.UnwrapV4.
func (c deadlineKept) Unwrap() huma.Context { return c.humaContext }
