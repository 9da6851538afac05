package api

import (
	"context"

	"github.com/grantd/grantd/models"
)

// DeviceConsent is what to show to a person who consents on another device.
type DeviceConsent struct {
	DeviceCode              string `json:"deviceCode" doc:"For poll/ alone; to be kept secret. It is grantd's own: the provider's device code stays here."`
	UserCode                string `json:"userCode" doc:"What the person enters at verificationUri, and compares."`
	VerificationURI         string `json:"verificationUri" format:"uri" doc:"Where the person goes, on any device."`
	VerificationURIComplete string `json:"verificationUriComplete,omitempty" format:"uri" doc:"The same with the user code in it, for a link or a QR code; left out where the provider has none."`
	ExpiresIn               int64  `json:"expiresIn" doc:"How many seconds the codes live, at most half an hour."`
	Interval                int64  `json:"interval" doc:"How many seconds to wait between polls."`
}

func (s *Server) beginDevice(ctx context.Context, c models.Caller, in *ByID) (*private[DeviceConsent], error) {
	d, err := s.service.BeginDevice(ctx, c, in.ID)
	return privately(&DeviceConsent{
		DeviceCode: d.DeviceCode.Reveal(), UserCode: d.UserCode, VerificationURI: d.VerificationURI,
		VerificationURIComplete: d.VerificationURIComplete,
		ExpiresIn:               int64(d.ExpiresIn.Seconds()), Interval: int64(d.Interval.Seconds()),
	}), err
}

// DevicePoll is the body of POST providers/{id}/device/poll/.
type DevicePoll struct {
	DeviceCode models.Secret `json:"deviceCode" doc:"As device/ gave it out."`
}

func (s *Server) pollDevice(ctx context.Context, c models.Caller, in *struct {
	ByID
	Body DevicePoll
}) (*private[Completion], error) {
	done, err := s.service.PollDevice(ctx, c, in.ID, in.Body.DeviceCode)
	return privately(&Completion{authorization(done.Authorization), user(done.User)}), err
}
