package api

import (
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/grantd/grantd/models"
)

// errorExamples are errors of the broker whose answers are examples, one for each status
// that it knows; nothing more particular is said with the others.
var errorExamples = []*models.Error{
	models.Errorf(models.CodeBadRequest, "The body is not valid JSON."),
	models.Errorf(models.CodeUnauthenticated, "The API token is missing, unknown, expired or revoked. Send it as: Authorization: Bearer grd_…"),
	models.Errorf(models.CodeForbidden, "The OAuth provider is inactive; it gives no tokens."),
	models.Errorf(models.CodeNotFound, "OAuth provider authorization not found."),
	models.Errorf(models.CodeConflict, "Another provider of the organisation has the slug %q.", "github"),
	models.Errorf(models.CodeGone, "The authorization has expired or was withdrawn at the provider. The user must authorize again."),
	models.Invalid(models.FieldError{Name: "name", Message: "is required"}),
	{Code: models.CodeRateLimited, Message: "There are too many requests at once: at most 2000 for each caller. Try again in a second.", Detail: "requests-caller"},
	models.Errorf(models.CodeUpstream, "The provider could not be reached or did not answer as it should. Try again shortly."),
	models.Errorf(models.CodeUnavailable, "The service cannot reach its database right now. Try again shortly."),
}

// addErrorExamples puts the bodies of errors into the document's components, where the
// answers of all operations refer to them.
func (s *Server) addErrorExamples() {
	k := &call{id: exampleRequestID}
	examples := map[string]*huma.Example{}
	add := func(e *Error) {
		examples[errorExample(e.Status)] = &huma.Example{Summary: http.StatusText(e.Status), Value: e}
	}
	for status := range meanings {
		add(plainError(k, status))
	}
	for _, known := range errorExamples {
		add(newError(k, known))
	}
	s.huma.OpenAPI().Components.Examples = examples
}

// withErrorExample returns the content of an answer with a reference to its example.
func withErrorExample(content map[string]*huma.MediaType, status int) map[string]*huma.MediaType {
	all := make(map[string]*huma.MediaType, len(content))
	for media, m := range content {
		all[media] = &huma.MediaType{Schema: m.Schema, Examples: map[string]*huma.Example{
			"error": {Ref: "#/components/examples/" + errorExample(status)}}}
	}
	return all
}

func errorExample(status int) string { return "error" + strconv.Itoa(status) }
