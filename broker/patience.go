package broker

import (
	"context"
	"time"

	"github.com/grantd/grantd/models"
)

// patiently asks an upstream something about an access token that was made at the
// given time. GitHub's replicas learn of a new token one after the other: a token
// that is refused within that lag is asked about once more before anybody concludes
// that it is no longer valid. ask says whether the token was refused.
func patiently[T any](ctx context.Context, s *Service, p models.Provider, made time.Time, ask func() (T, bool, error)) (T, error) {
	answer, refused, err := ask()
	if !refused {
		return answer, err
	}
	wait := s.at(p).lagOf(ctx, made)
	if wait == 0 {
		return answer, err
	}
	return again(ctx, wait, answer, err, ask)
}

// askedTwice asks once more, a moment later, where the first answer settled nothing.
func askedTwice[T any](ctx context.Context, lag time.Duration, ask func() (T, bool, error)) (T, error) {
	answer, unsettled, err := ask()
	if !unsettled {
		return answer, err
	}
	return again(ctx, max(lag, shortestLag), answer, err, ask)
}

func again[T any](ctx context.Context, wait time.Duration, answer T, err error, ask func() (T, bool, error)) (T, error) {
	select {
	case <-ctx.Done():
	case <-time.After(wait):
		answer, _, err = ask()
	}
	return answer, err
}

// lagOf is how long to wait before a refusal counts, a second at most; 0 when it
// counts at once.
func (at upstream) lagOf(ctx context.Context, made time.Time) time.Duration {
	t, ok := at.Traits()
	if !ok || t.Lag == 0 {
		return 0
	}
	if now, err := at.s.store.Now(ctx); err != nil || now.Sub(made) > 3*t.Lag {
		return 0
	}
	return min(t.Lag, longestLag)
}
