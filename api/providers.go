package api

import (
	"context"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/models"
)

// providerList's filters are declared here and read by values.
type providerList struct {
	IDs     []string `query:"ids,explode" doc:"Only these ids; repeated or separated by commas. Also finds providers that are being deleted."`
	Types   []string `query:"types,explode" doc:"Only these types; repeated or separated by commas."`
	Host    []string `query:"host,explode" doc:"Only these self-managed hosts; repeated or separated by commas."`
	OrderBy string   `query:"orderBy" enum:"createdAt,-createdAt" doc:"createdAt for the oldest first (the default), -createdAt for the newest."`
	Paging
}

func (s *Server) listProviders(ctx context.Context, c models.Caller, in *providerList) (*answer[List[models.Provider]], error) {
	page, err := s.service.Providers(ctx, c, broker.ProviderQuery{
		IDs: values(ctx, "ids"), Types: values(ctx, "types"), Hosts: values(ctx, "host"),
		OrderBy: in.OrderBy, Limit: in.Limit, Cursor: storable(in.Cursor),
	})
	if err != nil {
		return nil, err
	}
	return list(ctx, s, page, provider), nil
}

func (s *Server) createProvider(ctx context.Context, c models.Caller, in *struct{ Body models.ProviderInput }) (*answer[models.Provider], error) {
	p, err := s.service.CreateProvider(ctx, c, in.Body)
	return &answer[models.Provider]{provider(p)}, err
}

func (s *Server) getProvider(ctx context.Context, c models.Caller, in *ByID) (*answer[models.Provider], error) {
	if in.ID == "callback" { // an id has digits
		return nil, models.Errorf(models.CodeNotFound, "There is no provider with the id callback. To complete a consent, send POST %sproviders/callback/ "+
			"with the JSON body {providerId, state, code}, not GET with a query. "+
			"A browser returns to /external-auth/{provider id or slug}/callback, which completes the consents that were begun there.", root)
	}
	p, err := s.service.Provider(ctx, c, in.ID)
	return &answer[models.Provider]{provider(p)}, err
}

type providerUpdate struct {
	ByID
	Body models.ProviderPatch
}

func (s *Server) updateProvider(ctx context.Context, c models.Caller, in *providerUpdate) (*answer[models.Provider], error) {
	p, err := s.service.ChangeProvider(ctx, c, in.ID, in.Body)
	return &answer[models.Provider]{provider(p)}, err
}

type providerDeletion struct {
	ByID
	Force bool `query:"force" doc:"Give up on revoking at the provider: what cannot be revoked is reported as abandoned."`
}

func (s *Server) deleteProvider(ctx context.Context, c models.Caller, in *providerDeletion) (*accepted, error) {
	j, err := s.service.DeleteProvider(ctx, c, in.ID, in.Force)
	return s.accept(j), err
}
