package providers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

// Reach asks the servers that tokens are had from and given back to whether they answer, with
// a request to the root of each that carries nothing of the client. Any answer will do. The
// error names the cause, which only operators may learn (S1).
func (at Upstream) Reach(ctx context.Context) error {
	u, err := at.upstream(ctx)
	if err != nil {
		return withCause(err)
	}
	seen := map[string]bool{}
	for _, endpoint := range []string{u.e.TokenURL, u.e.Revoke, u.e.API} {
		place := origin(endpoint)
		if endpoint == "" || seen[place] {
			continue
		}
		seen[place] = true
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, place+"/", nil)
		if err != nil {
			return fmt.Errorf("%s is no address", place)
		}
		if _, err := u.read(req); err != nil {
			return fmt.Errorf("%s: %w", place, withCause(err))
		}
	}
	return nil
}

// withCause adds to an Error what its text leaves out.
func withCause(err error) error {
	if e, ok := errors.AsType[*Error](err); ok && e.Err != nil {
		return fmt.Errorf("%w: %w", err, e.Err)
	}
	return err
}
