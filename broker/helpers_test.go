package broker_test

import (
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/models"
)

func statusTo(p models.Provider, s models.ProviderStatus) func(*brokertest.Instance) error {
	return func(h *brokertest.Instance) error {
		_, err := h.Service.ChangeProvider(ctx, h.Admin.Caller, p.ID, models.ProviderPatch{Status: &s})
		return err
	}
}

func secretTo(p models.Provider, secret models.Secret) func(*brokertest.Instance) error {
	return func(h *brokertest.Instance) error {
		_, err := h.Service.ChangeProvider(ctx, h.Admin.Caller, p.ID, models.ProviderPatch{ClientSecret: &secret})
		return err
	}
}
