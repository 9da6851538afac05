package broker

import (
	"context"
	"errors"

	"github.com/grantd/grantd/models"
)

// BeginExternalDevice is BeginDevice for the external-auth API: the provider is
// named by id or slug, and one without a device flow is a bad request there.
func (s *Service) BeginExternalDevice(ctx context.Context, c models.Caller, name string) (DeviceFlow, error) {
	p, err := s.activeProvider(ctx, c, name)
	if err != nil {
		return DeviceFlow{}, err
	}
	d, err := s.BeginDevice(ctx, c, p.ID)
	return d, unsupported(err)
}

// PollExternalDevice is PollDevice for the external-auth API, which asks only
// whether the person has consented.
func (s *Service) PollExternalDevice(ctx context.Context, c models.Caller, name string, code models.Secret) error {
	p, err := s.activeProvider(ctx, c, name)
	if err != nil {
		return err
	}
	_, err = s.PollDevice(ctx, c, p.ID, code)
	return unsupported(err)
}

// unsupported makes a bad request of a conflict, keeping its sentence.
func unsupported(err error) error {
	var e *models.Error
	if errors.As(err, &e) && e.Code == models.CodeConflict {
		refused := *e
		refused.Code = models.CodeBadRequest
		return &refused
	}
	return err
}
