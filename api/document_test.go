package api

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
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
		Tags  []described
		Paths map[string]map[string]struct {
			described
			Tags       []string
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
			if len(op.Tags) != 1 || !slices.ContainsFunc(d.Tags, func(t described) bool { return t.Name == op.Tags[0] && t.Description != "" }) {
				t.Errorf("%s %s is in the groups %q, of which one must be described", method, path, op.Tags)
			}
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

// docs/openapi.json is what the API serves, so that clients can be made from it and a change of it can be read in a
// commit. GRANTD_WRITE=1 writes it.
func TestTheCommittedDocumentIsCurrent(t *testing.T) {
	var current bytes.Buffer
	if err := json.Indent(&current, newTestServer(t).OpenAPI(), "", " "); err != nil {
		t.Fatal(err)
	}
	current.WriteByte('\n')
	const path = "../docs/openapi.json"
	if os.Getenv("GRANTD_WRITE") == "1" {
		if err := os.WriteFile(path, current.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	committed, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(committed, current.Bytes()) {
		t.Error("docs/openapi.json is not what the API serves: GRANTD_WRITE=1 go test -run TestTheCommittedDocument ./api writes it anew")
	}
}
