package broker

import (
	"cmp"
	"context"
	"time"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/providers"
	"github.com/grantd/grantd/store"
)

// A device asks again and again. However often it does, and on however many
// replicas, the upstream is asked no faster than it allows: the flow's row says
// when the next poll may be, and who polls (RFC 8628 section 3.5). From the
// tokens on, a device flow goes the way of every other.

// PollDevice tells whether the person has consented, and is answered like Complete
// once they have. Otherwise it fails with CodeBadRequest, a bare code of RFC 8628
// in Detail, and the time until asking again makes sense in RetryAfter:
// authorization_pending, slow_down, access_denied or expired_token. The last one
// also stands for a handle that is unknown, used up or another user's (A2).
func (s *Service) PollDevice(ctx context.Context, c models.Caller, providerID string, handle models.Secret) (Completed, error) {
	p, err := s.visibleProvider(ctx, c, providerID)
	if err != nil {
		return Completed{}, err
	}
	f, now, err := s.store.FlowAndTime(ctx, c, p.ID, hashOf(handle.Reveal()))
	switch {
	case store.IsNotFound(err):
		return Completed{}, errDeviceOver
	case err != nil:
		return Completed{}, err
	case f.Channel != models.ChannelDevice:
		return Completed{}, errDeviceOver
	}
	done, err := s.advance(ctx, c, p, f, now)
	return done, deviceAnswer(err)
}

// advance takes a device flow as far as it can go now.
func (s *Service) advance(ctx context.Context, c models.Caller, p models.Provider, f models.Flow, now time.Time) (Completed, error) {
	switch {
	case f.Failure == failedDeclined:
		return Completed{}, errDeviceDeclined
	case f.Status == models.FlowFailed || !now.Before(f.ExpiresAt):
		return Completed{}, errDeviceOver
	case f.Status == models.FlowExchanged || f.Status == models.FlowDone:
		return s.collect(ctx, c, f, func(context.Context) error { return nil })
	case !p.Usable():
		return Completed{}, s.providerOff(ctx, f)
	}
	if err := s.allowsDevice(p); err != nil {
		return Completed{}, err
	}
	if wait := untilPoll(f, now); wait > 0 {
		return Completed{}, devicePending(wait)
	}
	return s.poll(ctx, devicePoll{caller: c, provider: p, flow: f, sent: now})
}

// untilPoll is how long a device should wait. A poll under way has much time, and
// seldom takes it.
func untilPoll(f models.Flow, now time.Time) time.Duration {
	wait := f.NextPollAt.Sub(now)
	if f.Status == models.FlowClaimed {
		return min(wait, f.PollInterval)
	}
	return wait
}

// devicePoll is one question to the upstream, for somebody who asked us.
type devicePoll struct {
	caller   models.Caller
	provider models.Provider
	flow     models.Flow // as it was before
	sent     time.Time
	at       upstream
	gate     store.Gate
	attempt  string
}

// poll asks the upstream, if that is for this caller to do.
func (s *Service) poll(ctx context.Context, d devicePoll) (Completed, error) {
	var req request
	err := s.openJSON(flowOwner(d.flow, "request"), d.flow.Sealed, &req)
	if err == nil {
		d.at, err = s.open(ctx, d.provider)
	}
	if err == nil {
		d.gate, err = d.at.admitToken(ctx)
	}
	if err != nil {
		return Completed{}, err
	}
	d.attempt = newID()
	taken, err := s.store.TakePoll(ctx, d.flow, d.attempt, s.timing.TokenCall+s.timing.LeaseMargin)
	if err != nil {
		return Completed{}, err
	}
	if !taken {
		return Completed{}, devicePending(d.flow.PollInterval)
	}
	return s.collect(ctx, d.caller, d.flow, func(ctx context.Context) error {
		return s.exchangeDevice(ctx, d, models.Secret(req.Device))
	})
}

// exchangeDevice polls once, and saves what it brought, before judging it.
func (s *Service) exchangeDevice(ctx context.Context, d devicePoll, code models.Secret) error {
	ctx = providers.WithAnswers(ctx)
	call, cancel := awake(ctx, s.timing.TokenCall)
	defer cancel()
	got, err := d.at.PollDevice(call, code)
	if !refusesDevice(failure(err)) { // which says nothing about refreshes
		defer d.at.learnToken(ctx, d.gate, err)
	}
	if err != nil {
		return s.pollFailed(ctx, d, err)
	}
	interval := d.flow.PollInterval
	switch got.State {
	case providers.DeviceDone:
		s.accepted(ctx, d.provider)
		return s.keepExchange(ctx, d.flow, newExchanged(got.Tokens, d.sent))
	case providers.DeviceDeclined:
		return s.endDevice(ctx, d, failedDeclined, errDeviceDeclined)
	case providers.DeviceExpired:
		return s.endDevice(ctx, d, "expired", errDeviceOver)
	case providers.DeviceSlowDown:
		interval = min(max(interval, cmp.Or(got.Interval, interval+slowDown)), maxDeviceLife)
		s.pollAgain(ctx, d, store.Poll{Next: interval, Interval: interval})
		return deviceError("slow_down", interval)
	case providers.DevicePending:
	}
	s.pollAgain(ctx, d, store.Poll{Next: interval, Interval: interval})
	return devicePending(interval)
}

// pollFailed writes down how a poll ended that was no answer. What may pass is a
// wait for the caller, each time a longer one. After a poll whose answer was lost
// the code may be spent; if the next answer says so, the consent is lost.
func (s *Service) pollFailed(ctx context.Context, d devicePoll, err error) error {
	up, f := failure(err), d.flow
	lost, reason := f.PollAttempt != "", "exchange_"+string(up.Kind)
	s.log.Warn("polling for a device failed", "flow", f.ID, "provider", d.provider.ID, "kind", up.Kind, "code", up.Code, "cause", up.Err)
	if !refusesDevice(up) && !lost {
		s.consentRefused(ctx, d.provider, d.caller, err)
	}
	switch {
	case lost && (up.Kind == providers.KindDenied || up.Kind == providers.KindRefused):
		return s.endDevice(ctx, d, "lost_response", errDeviceOver)
	case up.Kind == providers.KindDenied:
		return s.endDevice(ctx, d, reason, errDeviceOver)
	case refusesDevice(up):
		return s.endDevice(ctx, d, reason, s.deviceRefused(d.provider, err))
	}
	wait := max(up.RetryAfter, f.PollInterval, min(f.PollInterval<<min(f.PollFailures+1, 6), longestPollAgain))
	s.pollAgain(ctx, d, store.Poll{Next: wait, Interval: f.PollInterval, Failures: f.PollFailures + 1, Lost: lost || up.Ambiguous})
	if up.Kind == providers.KindClient {
		return clientRefusedHere(err)
	}
	return devicePending(wait)
}

// pollAgain gives the flow back. If that fails it is taken over when the poll's
// time is up.
func (s *Service) pollAgain(ctx context.Context, d devicePoll, outcome store.Poll) {
	outcome.Attempt = d.attempt
	if err := s.store.SavePoll(context.WithoutCancel(ctx), d.flow.ID, outcome); err != nil {
		s.log.Error("recording the outcome of a poll failed", "flow", d.flow.ID, "error", err)
	}
}

// endDevice ends the flow for good, unless somebody else has taken it over, and
// returns the answer to that.
func (s *Service) endDevice(ctx context.Context, d devicePoll, why string, answer error) error {
	err := s.store.Tx(context.WithoutCancel(ctx), func(tx *store.Store) error {
		ended, err := tx.FailPoll(ctx, d.flow.ID, d.attempt, why)
		if err != nil || !ended {
			return err
		}
		return tx.Audit(ctx, event(d.caller, models.ActionFlowFailed).provider(d.provider.ID).code(why).done())
	})
	if err != nil {
		s.log.Error("ending a flow failed", "flow", d.flow.ID, "error", err)
	}
	return answer
}
