package client

import (
	"context"
	"net/http"

	"github.com/grantd/grantd/models"
)

// Device is a consent that a person gives on another device (RFC 8628): show
// them UserCode and VerificationURI, and poll.
type Device struct {
	DeviceCode              models.Secret `json:"deviceCode"` // for PollDevice alone
	UserCode                string        `json:"userCode"`
	VerificationURI         string        `json:"verificationUri"`
	VerificationURIComplete string        `json:"verificationUriComplete"` // "" when there is none
	ExpiresIn               int64         `json:"expiresIn"`               // seconds
	Interval                int64         `json:"interval"`                // seconds between polls
}

// BeginDevice begins the caller's consent to a provider on another device.
func (c *Client) BeginDevice(ctx context.Context, provider string) (Device, error) {
	var d Device
	return d, c.call(ctx, http.MethodPost, at("providers", provider, "device/"), nil, nil, &d)
}

// PollDevice completes a consent on another device once the person has given it.
// Until then it fails with an [Error] whose Detail is authorization_pending or
// slow_down: ask again after its RetryAfter. Any other is final.
func (c *Client) PollDevice(ctx context.Context, provider string, code models.Secret) (Completed, error) {
	body := struct {
		DeviceCode models.Secret `json:"deviceCode"`
	}{code}
	var done Completed
	return done, c.call(ctx, http.MethodPost, at("providers", provider, "device/poll/"), nil, body, &done)
}
