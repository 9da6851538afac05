package api

import (
	"encoding/json"
	"strings"
	"testing"
)

// Findings G9, 13: the document had neither license nor contact nor default response,
// dozens of fields without a description, and no word on how to get a token.
func TestTheDocumentDescribesEverything(t *testing.T) {
	type described struct{ Description, Name string }
	type schema struct {
		Properties map[string]struct {
			Description string
			Ref         string `json:"$ref"`
		}
	}
	var d struct {
		Info struct {
			Description string
			License     struct{ Name, Identifier string }
			Contact     struct{ URL string }
		}
		Paths map[string]map[string]struct {
			described
			Parameters []described
			Responses  map[string]struct {
				described
				Content map[string]struct {
					Schema struct {
						Ref string `json:"$ref"`
					}
				}
			}
		}
		Components struct{ Schemas map[string]schema }
	}
	if err := json.Unmarshal(newTestServer(t).OpenAPI(), &d); err != nil {
		t.Fatal(err)
	}
	if d.Info.License.Identifier != "Apache-2.0" || d.Info.Contact.URL == "" || !strings.Contains(d.Info.Description, "POST authorizedProviders/{id}/token/") {
		t.Errorf("the document begins with %+v", d.Info)
	}
	if len(d.Paths) < 20 || len(d.Components.Schemas) < 20 {
		t.Fatalf("it has %d paths and %d schemas", len(d.Paths), len(d.Components.Schemas))
	}
	for path, methods := range d.Paths {
		for method, op := range methods {
			if op.Description == "" {
				t.Errorf("%s %s has no description", method, path)
			}
			for _, p := range op.Parameters {
				if p.Description == "" {
					t.Errorf("%s %s: the parameter %s has no description", method, path, p.Name)
				}
			}
			if got := op.Responses["default"].Content["application/json"].Schema.Ref; got != "#/components/schemas/Error" {
				t.Errorf("%s %s: the default response is %q", method, path, got)
			}
		}
	}
	for name, s := range d.Components.Schemas {
		for field, property := range s.Properties {
			if property.Description == "" && property.Ref == "" {
				t.Errorf("%s.%s has no description", name, field)
			}
		}
	}
}
