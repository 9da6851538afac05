package api

import (
	"context"

	"github.com/grantd/grantd/models"
)

func (s *Server) importToken(ctx context.Context, c models.Caller, in *struct{ Body given[models.Import] }) (*private[Completion], error) {
	if err := in.Body.refuseNull("refreshToken", "accessToken"); err != nil {
		return nil, err
	}
	token := in.Body.value
	if !models.ValidID(token.ProviderID) {
		return nil, models.Errorf(models.CodeNotFound, "There is no provider with this providerId.")
	}
	done, err := s.service.Import(ctx, c, token)
	return privately(&Completion{authorization(done.Authorization), user(done.User)}), err
}
