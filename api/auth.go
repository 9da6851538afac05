package api

import (
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humaecho"

	"github.com/grantd/grantd/models"
)

// sessionTokenHeader is how clients of the external-auth API send their token.
const sessionTokenHeader = "Coder-Session-Token"

// authenticate turns the token into the caller that the handler is given.
func (s *Server) authenticate(ctx huma.Context, next func(huma.Context)) {
	c := humaecho.UnwrapV4(ctx)
	r := c.Request()
	caller, err := s.identify(r)
	if err != nil {
		write(c, s.problem(r.Context(), s.countFailure(c, err)))
		return
	}
	callOf(r.Context()).caller = caller
	next(ctx)
}

func (s *Server) identify(r *http.Request) (models.Caller, error) {
	token := bearer(r.Header)
	if token == "" {
		return models.Caller{}, models.Errorf(models.CodeUnauthenticated,
			"An API token is required. Send it in the header Authorization: Bearer <token>.")
	}
	return s.callerOf(r.Context(), token)
}

// bearer finds the token in the headers, and only there: addresses end up in
// logs and histories.
func bearer(h http.Header) models.Secret {
	scheme, token, _ := strings.Cut(strings.TrimSpace(h.Get("Authorization")), " ")
	if strings.EqualFold(scheme, "Bearer") {
		if token = strings.TrimSpace(token); token != "" {
			return models.Secret(token)
		}
	}
	return models.Secret(strings.TrimSpace(h.Get(sessionTokenHeader)))
}

// checkID answers 404 to ids that cannot exist, before they reach a database
// that would be upset by them.
func (s *Server) checkID(ctx huma.Context, next func(huma.Context)) {
	if models.ValidID(ctx.Param("id")) {
		next(ctx)
		return
	}
	c := humaecho.UnwrapV4(ctx)
	write(c, s.problem(ctx.Context(), models.Errorf(models.CodeNotFound, "There is nothing with this id.")))
}
