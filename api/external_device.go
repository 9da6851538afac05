package api

import (
	"context"

	"github.com/grantd/grantd/models"
)

// ExternalAuthDevice is what to show to a person who consents on another device.
type ExternalAuthDevice struct {
	DeviceCode      string `json:"device_code" doc:"For polling alone; to be kept secret. It is grantd's own: the provider's device code stays here."`
	UserCode        string `json:"user_code"`
	VerificationURI string `json:"verification_uri" doc:"Where the person enters user_code."`
	ExpiresIn       int64  `json:"expires_in" doc:"Seconds."`
	Interval        int64  `json:"interval" doc:"How many seconds to wait between polls."`
}

func (s *Server) beginExternalDevice(ctx context.Context, c models.Caller, in *ByName) (*private[ExternalAuthDevice], error) {
	d, err := s.service.BeginExternalDevice(ctx, c, in.Name)
	return privately(&ExternalAuthDevice{
		DeviceCode: d.DeviceCode.Reveal(), UserCode: d.UserCode, VerificationURI: d.VerificationURI,
		ExpiresIn: int64(d.ExpiresIn.Seconds()), Interval: int64(d.Interval.Seconds()),
	}), err
}

// ExternalAuthDevicePoll is the body of POST external-auth/{externalauth}/device.
type ExternalAuthDevicePoll struct {
	DeviceCode models.Secret `json:"device_code" doc:"As GET gave it out."`
}

func (s *Server) pollExternalDevice(ctx context.Context, c models.Caller, in *struct {
	ByName
	Body ExternalAuthDevicePoll
}) (*struct{}, error) {
	return nil, s.service.PollExternalDevice(ctx, c, in.Name, in.Body.DeviceCode)
}
