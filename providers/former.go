package providers

import (
	"context"
	"errors"
	"net/http"
	"slices"
)

// A client may have two secrets while one replaces the other. The new one is sent. Only where the upstream definitely
// refuses it is the same call made once more, with the former one: nothing was spent by then.

// secretCodes are what upstreams answer to a client secret that is not the client's. Others that are about the client, such
// as unauthorized_client, are no reason to try another. GitHub's REST API answers with a 401 and no code.
var secretCodes = []string{"invalid_client", "incorrect_client_credentials", "bad_client_secret", "invalid_client_secret"}

// refusesSecret reports whether an error is an upstream's whole answer, and says that the client secret is wrong.
func refusesSecret(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Kind == KindClient && !e.Ambiguous && (slices.Contains(secretCodes, e.Code) || e.Code == "" && e.Status == http.StatusUnauthorized)
}

// eitherSecret makes a call with the client's secret, and where that is refused with the former one. Where both are, the
// answer to the new one counts.
func eitherSecret[T any](ctx context.Context, u *upstream, call func(*upstream) (T, error)) (T, error) {
	got, err := call(u)
	if u.c.Former == nil || !refusesSecret(err) {
		return got, err
	}
	former := u.c.Former(ctx)
	if former == "" {
		return got, err
	}
	again := *u
	again.c.Secret, again.c.Former = former, nil
	second, failed := call(&again)
	if refusesSecret(failed) {
		return got, err
	}
	if failed == nil && u.c.FormerTaken != nil {
		u.c.FormerTaken(ctx)
	}
	return second, failed
}
