package providers

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/grantd/grantd/models"
)

// Device is the answer of a device authorization endpoint (RFC 8628 §3.2). The
// code is ours alone; the rest is for the person.
type Device struct {
	Code            models.Secret
	UserCode        string
	VerificationURI string
	// VerificationURIComplete has the user code in it; "" when there is none.
	VerificationURIComplete string
	ExpiresIn, Interval     time.Duration
}

// DeviceState is how far a device flow has come.
type DeviceState string

// The states. All but pending and slow_down are final.
const (
	DeviceDone     DeviceState = "done"
	DevicePending  DeviceState = "authorization_pending"
	DeviceSlowDown DeviceState = "slow_down"
	DeviceExpired  DeviceState = "expired_token"
	DeviceDeclined DeviceState = "access_denied"
)

// DevicePoll is one answer to a poll.
type DevicePoll struct {
	State DeviceState
	// Interval is the new one where slow_down named it; 0 = five seconds more
	// (RFC 8628 §3.5).
	Interval time.Duration
	Tokens   Tokens // with DeviceDone
}

const (
	deviceGrant     = "urn:ietf:params:oauth:grant-type:device_code"
	deviceInterval  = 5 * time.Second // where none is named (RFC 8628 §3.2)
	deviceExpiresIn = 5 * time.Minute // where none makes sense
	maxUserCode     = 64
)

// BeginDevice asks for a device code (RFC 8628 §3.1), with the client's
// authentication. KindRefused means that the upstream has no device flow, or has
// it switched off for this client.
func (at Upstream) BeginDevice(ctx context.Context) (Device, error) {
	u, err := at.upstream(ctx)
	if err != nil {
		return Device{}, err
	}
	if u.e.DeviceAuthURL == "" {
		return Device{}, &Error{Kind: KindRefused, Err: errors.New("the upstream has no device flow")}
	}
	return eitherSecret(ctx, u, func(u *upstream) (Device, error) {
		form := url.Values{"client_id": {u.c.ID}}
		if scopes := u.scopes(); len(scopes) > 0 {
			form.Set("scope", strings.Join(scopes, " "))
		}
		a, err := u.postBy(ctx, u.reads, u.e.DeviceAuthURL, form)
		if err != nil {
			return Device{}, err
		}
		return u.readDevice(a)
	})
}

// readDevice reads the answer; Google writes verification_url.
func (u *upstream) readDevice(a *answer) (Device, error) {
	code := models.Secret(a.text("device_code"))
	if !a.ok() || code == "" {
		e := failure(a, u.now(), u.c.Secret)
		if a.status == 404 { // an older self-managed GitLab
			e.Kind = KindRefused
		}
		return Device{}, e
	}
	d := Device{
		Code:            code,
		UserCode:        a.text("user_code"),
		VerificationURI: u.shown(cmp.Or(a.text("verification_uri"), a.text("verification_url"))),
		// Google has no such field, and Entra leaves it out.
		VerificationURIComplete: u.shown(a.text("verification_uri_complete")),
	}
	if d.UserCode == "" || d.UserCode != plain(d.UserCode) || len(d.UserCode) > maxUserCode || d.VerificationURI == "" || len(code) > MaxToken {
		return Device{}, protocol("the device authorization names no usable code and address")
	}
	d.ExpiresIn, _ = lifetime(a.object["expires_in"])
	d.Interval, _ = lifetime(a.object["interval"])
	d.ExpiresIn, d.Interval = cmp.Or(d.ExpiresIn, deviceExpiresIn), cmp.Or(d.Interval, deviceInterval)
	return d, nil
}

// shown returns an address that a person may be sent to, "" for any other.
func (u *upstream) shown(raw string) string {
	if raw == "" || !models.IsStorable(raw) || u.allow.checkURL(raw, true) != nil {
		return ""
	}
	return raw
}

// deviceStates are the codes of RFC 8628 §3.5, and their dialects.
var deviceStates = map[string]DeviceState{
	"authorization_pending":  DevicePending,
	"slow_down":              DeviceSlowDown,
	"expired_token":          DeviceExpired,
	"token_expired":          DeviceExpired, // GitHub, in places
	"code_expired":           DeviceExpired, // Entra, in places
	"access_denied":          DeviceDeclined,
	"authorization_declined": DeviceDeclined, // Entra
}

// PollDevice asks once whether the person has consented. A wait is an answer and
// no error; how often to ask is the caller's duty. GitHub says all of it with
// HTTP 200.
func (at Upstream) PollDevice(ctx context.Context, code models.Secret) (DevicePoll, error) {
	u, err := at.upstream(ctx)
	if err != nil {
		return DevicePoll{}, err
	}
	return eitherSecret(ctx, u, func(u *upstream) (DevicePoll, error) { return u.pollDevice(ctx, code) })
}

func (u *upstream) pollDevice(ctx context.Context, code models.Secret) (DevicePoll, error) {
	form := url.Values{"grant_type": {deviceGrant}, "device_code": {code.Reveal()}, "client_id": {u.c.ID}}
	a, err := u.postBy(ctx, u.tokens, u.e.TokenURL, form)
	if err != nil {
		return DevicePoll{}, err
	}
	if state, known := deviceStates[a.text("error")]; known && !a.down() {
		interval, _ := lifetime(a.object["interval"])
		return DevicePoll{State: state, Interval: interval}, nil
	}
	t, err := u.readTokens(a, code)
	if err != nil {
		return DevicePoll{}, err
	}
	return DevicePoll{State: DeviceDone, Tokens: t}, nil
}
