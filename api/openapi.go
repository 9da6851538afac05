package api

import (
	"encoding/json"
	"net/http"
	"reflect"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/labstack/echo/v4"

	"github.com/grantd/grantd/models"
)

const (
	documentPath  = "/api/v2/openapi.json"
	bearerScheme  = "bearer"
	sessionScheme = "sessionToken"
)

// humaConfig switches off what Huma would add: pages that load from elsewhere,
// paths of its own, and $schema fields in the answers.
func humaConfig(publicURL, version string) huma.Config {
	c := huma.DefaultConfig("grantd", version)
	c.CreateHooks = nil
	c.OpenAPIPath, c.DocsPath, c.SchemasPath = "", "", ""
	c.Formats = map[string]huma.Format{
		"application/json": {Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: decode},
	}
	c.Components.Schemas = huma.NewMapRegistry("#/components/schemas/", schemaName)
	c.Info.Description = about
	c.Info.License = &huma.License{Name: "Apache 2.0", Identifier: "Apache-2.0"}
	c.Info.Contact = &huma.Contact{Name: "grantd", URL: "https://github.com/grantd/grantd"}
	c.Tags = tags
	c.Servers = []*huma.Server{{URL: publicURL}}
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		bearerScheme:  {Type: "http", Scheme: "bearer", Description: "An API token: Authorization: Bearer grd_…"},
		sessionScheme: {Type: "apiKey", In: "header", Name: sessionTokenHeader, Description: "The same token, in the header of the external-auth API."},
	}
	return c
}

// schemaNames are those that clients know some types by, whatever we call them.
var schemaNames = map[reflect.Type]string{
	reflect.TypeFor[models.ProviderInput]():         "NewProvider",
	reflect.TypeFor[models.ProviderMetadataInput](): "NewMetadata",
	reflect.TypeFor[models.ProviderPatch]():         "ProviderChange",
}

func schemaName(t reflect.Type, hint string) string {
	of := t
	if of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	if name := schemaNames[of]; name != "" {
		return name
	}
	return huma.DefaultSchemaNamer(t, hint)
}

// openAPI completes the document: what the models cannot say about themselves, because
// they know no HTTP, is added here. The function that it returns renders the document,
// when it is asked for first.
func (s *Server) openAPI() func() []byte {
	schemas := s.huma.OpenAPI().Components.Schemas.Map()
	for name, fields := range fieldDocs {
		for field, text := range fields {
			schemas[name].Properties[field].Description = text
		}
	}
	for name, schema := range schemas {
		for field, property := range schema.Properties {
			if property.Description == "" && property.Ref == "" {
				property.Description = textOf(name, field)
			}
		}
	}
	for name, values := range statusValues {
		schemas[name].Properties["status"].Enum = values
	}
	text := &huma.Schema{Type: huma.TypeString}
	schemas["Detail"].Properties["value"].OneOf = []*huma.Schema{text, {Type: huma.TypeArray, Items: text}}
	account := schemas["ExternalAuth"].Properties["user"]
	schemas["ExternalAuth"].Properties["user"] = &huma.Schema{Description: account.Description,
		AnyOf: []*huma.Schema{{Ref: account.Ref}, {Type: "null"}}}
	s.addExamples()
	return sync.OnceValue(func() []byte {
		document, err := json.Marshal(s.huma.OpenAPI())
		if err != nil {
			panic(err) // made of our own structs only
		}
		return document
	})
}

func (s *Server) serveDocument(c echo.Context) error {
	return c.Blob(http.StatusOK, "application/json", s.document())
}

// statusValues are the statuses that there are. Types are not listed anywhere:
// a new one must not need a change here.
var statusValues = map[string][]any{
	"Provider": {models.ProviderActive, models.ProviderInactive, models.ProviderDisabled, models.ProviderDeleted},
	"Authorization": {models.AuthorizationActive, models.AuthorizationExpired,
		models.AuthorizationInvalidOAuthClient, models.AuthorizationInvalidProviderState},
	"Job": {models.JobPending, models.JobRunning, models.JobCompleted, models.JobError},
}

// errorHeaders are what some statuses bring along.
var errorHeaders = map[int]map[string]*huma.Param{
	http.StatusUnauthorized:       {"WWW-Authenticate": {Schema: &huma.Schema{Type: huma.TypeString}, Description: "Bearer"}},
	http.StatusTooManyRequests:    quotaHeaders,
	http.StatusBadGateway:         retryAfter,
	http.StatusServiceUnavailable: retryAfter,
}

var quotaHeaders = map[string]*huma.Param{
	"Retry-After":      retryAfter["Retry-After"],
	"RateLimit-Policy": {Schema: &huma.Schema{Type: huma.TypeString}, Description: "The limit that was reached, as in draft-ietf-httpapi-ratelimit-headers-10."},
	"RateLimit":        {Schema: &huma.Schema{Type: huma.TypeString}, Description: "What is left of it, and for how many seconds that is so."},
}

var retryAfter = map[string]*huma.Param{
	"Retry-After": {Schema: &huma.Schema{Type: huma.TypeInteger}, Description: "How many seconds to wait before asking again."},
}
