package api

import (
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humaecho"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/models"
)

// acting are the operations about consents and authorizations, which a service does for the user that the request names.
var acting = map[string]bool{
	"authorize": true, "callback": true, "beginDevice": true, "pollDevice": true, "importToken": true,
	"listAuthorizations": true, "getAuthorization": true, "deleteAuthorization": true,
	"getToken": true, "getAccessToken": true, "getUserInfo": true, "checkToken": true, "resetToken": true, "revokeToken": true,
	"listExternalAuths": true, "getExternalAuth": true, "deleteExternalAuth": true,
	"beginExternalDevice": true, "pollExternalDevice": true, "getAgentToken": true,
}

const (
	namedUser = "userId"
	// userFilter is the operation whose parameter of that name is a filter for everybody but a service.
	userFilter = "listAuthorizations"
)

// actsFor documents the parameter that names the user, and has the request answered as that user's.
func (s *Server) actsFor(op *huma.Operation) {
	op.Middlewares = append(op.Middlewares, func(ctx huma.Context, next func(huma.Context)) {
		if err := s.act(ctx, op.OperationID); err != nil {
			write(humaecho.UnwrapV4(ctx), s.problem(ctx.Context(), err))
			return
		}
		next(ctx)
	})
	if !slices.Contains(op.Errors, http.StatusForbidden) {
		op.Errors = append(op.Errors, http.StatusForbidden)
	}
	if !slices.Contains(op.Errors, http.StatusUnprocessableEntity) {
		op.Errors = append(op.Errors, http.StatusUnprocessableEntity)
	}
	if op.OperationID == userFilter {
		return
	}
	op.Parameters = append(op.Parameters, &huma.Param{
		Name: namedUser, In: "query", Schema: &huma.Schema{Type: huma.TypeString}, Example: "ada",
		Description: "For API tokens of the role service, which have to name the user that the request is for. Everybody else may only name themselves (403).",
	})
}

func (s *Server) act(ctx huma.Context, operation string) error {
	k := callOf(ctx.Context())
	if operation == userFilter && !k.caller.IsService() {
		return nil
	}
	caller, err := broker.ActingFor(k.caller, models.Storable(ctx.Query(namedUser)))
	k.caller = caller
	return err
}
