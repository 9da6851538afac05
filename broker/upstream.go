package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/providers"
	"github.com/grantd/grantd/store"
)

// upstream is a provider's upstream as the broker asks it: bound to the provider's
// client, with what was learned of it (admit, learn), what it takes in an hour (take) and
// what tokens there are bound to (fingerprint, grantKey).
type upstream struct {
	providers.Upstream
	s        *Service
	provider models.Provider
}

// at returns a provider's upstream for what needs no client secret. What calls it takes
// open.
func (s *Service) at(p models.Provider) upstream {
	return upstream{s.upstream.At(unsealedClient(p)), s, p}
}

// open returns a provider's upstream with the client secret.
func (s *Service) open(ctx context.Context, p models.Provider) (upstream, error) {
	secret, err := s.clientSecret(ctx, s.store, p)
	return s.withSecret(p, secret), err
}

func (s *Service) withSecret(p models.Provider, secret models.Secret) upstream {
	c := unsealedClient(p)
	c.Secret = secret
	c.Former = func(ctx context.Context) models.Secret { return s.formerSecret(ctx, p) }
	c.FormerTaken = func(ctx context.Context) { s.noteFormerSecret(ctx, p) }
	return upstream{s.upstream.At(c), s, p}
}

// opened is what a call upstream about an authorization takes: its provider's upstream,
// and its tokens.
func (s *Service) opened(ctx context.Context, l models.Linked) (upstream, pair, error) {
	at, err := s.open(ctx, l.Provider)
	if err != nil {
		return at, pair{}, err
	}
	p, err := s.openPair(&l)
	return at, p, err
}

// openedWith is opened with a client secret that was read already, an empty one where it is gone.
func (s *Service) openedWith(l models.Linked, config models.SecureConfig) (upstream, pair, error) {
	if config.ID == "" {
		return upstream{}, pair{}, fmt.Errorf("loading the client secret of provider %s: %w", l.Provider.ID, store.ErrNotFound)
	}
	secret, _, err := s.openSecret(l.Provider, config)
	if err != nil {
		return upstream{}, pair{}, err
	}
	p, err := s.openPair(&l)
	return s.withSecret(l.Provider, secret), p, err
}

// failed turns a failure of a provider into a sentence for the caller.
// Refused, blocked and timed out look the same (S1).
func (at upstream) failed(err error) error {
	var known *models.Error
	var up *providers.Error
	switch {
	case errors.As(err, &known):
		return err
	case !errors.As(err, &up):
		return fmt.Errorf("asking provider %s: %w", at.provider.ID, err)
	}
	if up.Err != nil { // for the log alone: it tells a blocked address from a slow one
		err = fmt.Errorf("provider %s: %w: %w", at.provider.ID, err, up.Err)
	}
	switch {
	case up.Advice != "":
		return &models.Error{Code: models.CodeUpstream, Message: up.Advice, Detail: up.Code, Err: err}
	case up.Kind == providers.KindClient:
		return clientRefusedHere(err)
	case up.Kind == providers.KindDenied:
		return expired(err)
	}
	return &models.Error{Code: models.CodeUpstream, Message: "The provider could not be reached or did not answer as it should. Try again shortly.",
		Detail: up.Code, RetryAfter: max(up.RetryAfter, retrySoon), Err: err}
}

// answerTo is the answer to who asked for a refresh that failed, as l tells it now.
func (s *Service) answerTo(l models.Linked, err error) error {
	switch {
	case l.HasVerdict(models.VerdictExpired):
		return expired(err)
	case l.Provider.InTrouble() != "":
		return inTrouble(l.Provider, l.Now)
	}
	known, ok := errors.AsType[*models.Error](s.at(l.Provider).failed(err))
	if !ok {
		return err
	}
	if wait := l.BackOff(); wait > known.RetryAfter {
		known.RetryAfter = wait
	}
	return known
}

// clientRefusedHere is the answer where the client was refused for one token or code:
// that says nothing yet about the others (R5).
func clientRefusedHere(err error) *models.Error {
	return &models.Error{Code: models.CodeUpstream, Detail: "invalid_client", Err: err,
		Message: "The provider did not accept this OAuth client for this request. If this continues, an admin must check its clientSecret; nobody needs to authorize again."}
}

// clientRefused is the answer while the client is under suspicion.
func clientRefused(err error) *models.Error {
	return &models.Error{Code: models.CodeUpstream, Detail: string(models.AuthorizationInvalidOAuthClient), Err: err,
		Message: "The provider refuses this OAuth client. An admin must correct its clientSecret; nobody needs to authorize again."}
}

func expired(err error) error {
	return &models.Error{Code: models.CodeGone, Message: "The authorization has expired or was withdrawn at the provider. The user must authorize again.", Err: err}
}

// slowUpstream is the answer when an upstream takes longer than a caller waits (R2). The
// call goes on, so asking again soon is worth it.
var slowUpstream = &models.Error{Code: models.CodeUpstream, RetryAfter: retrySlowUpstream,
	Message: "The provider is slow to answer. The request goes on here; ask again shortly."}

// noSlot is the answer where a caller has waited for a refresh that could not begin, since
// as many as may run at once were under way.
var noSlot = &models.Error{Code: models.CodeUpstream, RetryAfter: retrySoon,
	Message: "Too many refreshes are running, so this token could not be refreshed in time. Try again shortly."}

// rateLimited is the answer while a pause lasts that the provider asked for (S3).
func rateLimited(wait time.Duration) error {
	return &models.Error{Code: models.CodeUpstream, RetryAfter: wait,
		Message: "The provider is rate limiting grantd. Try again after Retry-After."}
}

// failure returns the upstream error in err's chain, one without a kind for nil,
// or one that says only that something failed on the way.
func failure(err error) *providers.Error {
	if err == nil {
		return &providers.Error{}
	}
	var up *providers.Error
	if errors.As(err, &up) {
		return up
	}
	return &providers.Error{Kind: providers.KindTransient, Code: "internal", Err: err}
}
