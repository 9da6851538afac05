package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/providers"
)

// DeviceFlow is a consent that is given on another device (RFC 8628 section 3.2):
// what to show to the person, and how to ask whether they have consented.
type DeviceFlow struct {
	// DeviceCode is a handle of ours, for PollDevice alone. The upstream's device
	// code never leaves the service.
	DeviceCode      models.Secret
	UserCode        string
	VerificationURI string
	// VerificationURIComplete has the user code in it; "" when there is none.
	VerificationURIComplete string
	ExpiresIn, Interval     time.Duration // whole seconds
}

// BeginDevice asks the upstream for a device code, for any user of the
// organisation, where the provider has that switched on.
func (s *Service) BeginDevice(ctx context.Context, c models.Caller, providerID string) (DeviceFlow, error) {
	p, err := s.visibleProvider(ctx, c, providerID)
	if err != nil {
		return DeviceFlow{}, err
	}
	if err := mayConsent(p); err != nil {
		return DeviceFlow{}, err
	}
	if err := s.allowsDevice(p); err != nil {
		return DeviceFlow{}, err
	}
	at, err := s.open(ctx, p)
	if err != nil {
		return DeviceFlow{}, err
	}
	// The upstream is not asked for what could not be kept.
	if err := s.mayBegin(ctx, s.store, newFlow(c, p, models.ChannelDevice, "", "")); err != nil {
		return DeviceFlow{}, err
	}
	call, cancel := context.WithTimeout(ctx, s.timing.CallerWait)
	defer cancel()
	d, err := at.BeginDevice(call)
	if err != nil {
		if !refusesDevice(failure(err)) {
			s.consentRefused(ctx, p, c, err)
		}
		return DeviceFlow{}, s.deviceRefused(p, err)
	}
	return s.openDevice(ctx, c, p, d)
}

// allowsDevice refuses providers that have the device flow not switched on: it is
// easier to abuse than a consent in the browser that asked for it (RFC 8628
// section 5.4), so that an admin has to want it.
func (s *Service) allowsDevice(p models.Provider) error {
	t, known := s.at(p).Traits()
	on, _ := p.Config["device"].(bool)
	switch {
	case known && !t.Device:
		return models.Errorf(models.CodeConflict, "Providers of type %s have no device flow. Use authorize.", p.Type)
	case !on:
		return models.Errorf(models.CodeConflict, "The device flow is switched off for this provider. An admin can switch it on by setting device to true in its config.")
	}
	return nil
}

// deviceRefused is what the caller is told when there is no device code.
func (s *Service) deviceRefused(p models.Provider, err error) error {
	up, _ := errors.AsType[*providers.Error](err)
	if up == nil || !refusesDevice(up) {
		return s.at(p).failed(err)
	}
	return &models.Error{Code: models.CodeUpstream, Detail: up.Code, Err: fmt.Errorf("provider %s: %w", p.ID, err),
		Message: "The provider does not let this OAuth client begin a device flow. An admin must switch it on there, where the client is registered."}
}

// refusesDevice tells a client that may not use the device flow from one that is
// not accepted at all (RFC 6749 section 5.2).
func refusesDevice(up *providers.Error) bool {
	return up.Kind == providers.KindRefused || up.Kind == providers.KindClient && up.Code == "unauthorized_client"
}

// openDevice keeps the upstream's device code, sealed, and gives out a handle.
func (s *Service) openDevice(ctx context.Context, c models.Caller, p models.Provider, d providers.Device) (DeviceFlow, error) {
	handle := randomText()
	f := newFlow(c, p, models.ChannelDevice, handle, "")
	f.PollInterval = min(d.Interval, maxDeviceLife)
	var err error
	if f.Sealed, err = s.sealJSON(flowOwner(f, "request"), request{Device: d.Code.Reveal()}); err != nil {
		return DeviceFlow{}, err
	}
	life := min(d.ExpiresIn, maxDeviceLife)
	if err := s.beginConsent(ctx, &f, life); err != nil {
		return DeviceFlow{}, err
	}
	return DeviceFlow{
		DeviceCode: models.Secret(handle), UserCode: d.UserCode, VerificationURI: d.VerificationURI,
		VerificationURIComplete: d.VerificationURIComplete, ExpiresIn: life, Interval: f.PollInterval,
	}, nil
}

// failedDeclined is the reason of a flow whose person said no.
const failedDeclined = "declined"

var (
	errDeviceOver     = deviceError("expired_token", 0)
	errDeviceDeclined = deviceError("access_denied", 0)
)

var deviceSentences = map[string]string{
	"authorization_pending": "The person has not consented yet. Ask again after Retry-After.",
	"slow_down":             "The provider asks for fewer polls. Ask again after Retry-After, and no faster from then on.",
	"access_denied":         "The user declined the consent.",
	"expired_token":         "The deviceCode is unknown, expired, already used, or not yours. Begin again.",
}

func deviceError(code string, wait time.Duration) *models.Error {
	return &models.Error{Code: models.CodeBadRequest, Message: deviceSentences[code], Detail: code, RetryAfter: wait}
}

func devicePending(wait time.Duration) *models.Error {
	return deviceError("authorization_pending", wait)
}

// deviceAnswer puts what the common road says into a device's words. Whatever may
// pass, such as a slow upstream, is one more wait.
func deviceAnswer(err error) error {
	known, _ := errors.AsType[*models.Error](err)
	switch {
	case known == errBadState:
		return errDeviceOver
	case known != nil && known.Code == models.CodeUpstream && known.RetryAfter > 0:
		pending := devicePending(known.RetryAfter)
		pending.Err = err
		return pending
	}
	return err
}
