package api

import (
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/grantd/grantd/models"
)

// errorExamples are bodies of errors, by status. What has no message here has the
// sentence that is always said with the status.
var errorExamples = map[int]Error{
	http.StatusBadRequest:            {Message: "The body is not valid JSON."},
	http.StatusUnauthorized:          {Message: "The API token is missing, unknown, expired or revoked. Send it as: Authorization: Bearer grd_…"},
	http.StatusForbidden:             {Message: "The OAuth provider is inactive; it gives no tokens."},
	http.StatusNotFound:              {Message: "OAuth provider authorization not found."},
	http.StatusRequestTimeout:        {},
	http.StatusConflict:              {Message: `Another provider of the organisation has the slug "github".`},
	http.StatusGone:                  {Message: "The authorization has expired or was withdrawn at the provider. The user must authorize again."},
	http.StatusRequestEntityTooLarge: {},
	http.StatusUnsupportedMediaType:  {},
	http.StatusUnprocessableEntity: {
		Message:     "name: is required",
		ErrorFields: []models.FieldError{{Name: "name", Message: "is required"}},
		Validations: []Validation{{Field: "name", Detail: "is required"}},
	},
	http.StatusTooManyRequests:     {Message: "There are too many requests at once: at most 2000 for each caller. Try again in a second.", Detail: "requests-caller"},
	http.StatusInternalServerError: {},
	http.StatusBadGateway:          {Message: "The provider could not be reached or did not answer as it should. Try again shortly."},
	http.StatusServiceUnavailable:  {Message: "The service cannot reach its database right now. Try again shortly."},
}

// addErrorExamples puts the bodies of errors into the document's components, where the
// answers of all operations refer to them.
func (s *Server) addErrorExamples() {
	document := s.huma.OpenAPI()
	document.Components.Examples = map[string]*huma.Example{}
	for status, e := range errorExamples {
		e.Status, e.RequestID = status, exampleRequestID
		if e.Message == "" {
			e.Message = sentences[status]
		}
		if e.ErrorFields == nil {
			e.ErrorFields = []models.FieldError{}
		}
		document.Components.Examples[errorExample(status)] = &huma.Example{Summary: http.StatusText(status), Value: e}
	}
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
