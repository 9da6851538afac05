package brokertest

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
)

// Example is an example in the OpenAPI document that the API serves.
type Example struct {
	Operation string // its id
	Where     string // "request", or the status
	Name      string // among several of one place
	Body      []byte
	// Wrong is how it differs from its schema.
	Wrong error
}

// Examples reads the examples of the bodies of requests, of success and of errors. A body
// without one is an Example without Body.
func (h *Instance) Examples(t testing.TB) []Example {
	t.Helper()
	d := h.documented(t)
	var all []Example
	paths, _ := dig(d.raw, "paths")
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		methods, _ := dig(paths, path)
		for method := range methods {
			op, _ := dig(methods, method)
			id, _ := op["operationId"].(string)
			place := []string{"paths", path, method}
			if content, ok := dig(op, "requestBody", "content"); ok {
				all = append(all, d.examplesOf(t, id, "request", content, append(slices.Clone(place), "requestBody", "content"))...)
			}
			responses, _ := dig(op, "responses")
			for status := range responses {
				if content, ok := dig(responses, status, "content"); ok && status != "default" {
					all = append(all, d.examplesOf(t, id, status, content, append(slices.Clone(place), "responses", status, "content"))...)
				}
			}
		}
	}
	return all
}

func (d *document) examplesOf(t testing.TB, id, where string, content map[string]any, pointer []string) []Example {
	t.Helper()
	var all []Example
	for media := range content {
		values := map[string]any{}
		if value, ok := content[media].(map[string]any)["example"]; ok {
			values[""] = value
		}
		named, _ := dig(content, media, "examples")
		for name := range named {
			values[name] = d.referred(named[name].(map[string]any))["value"]
		}
		if len(values) == 0 {
			all = append(all, Example{Operation: id, Where: where})
		}
		for name, value := range values {
			e := Example{Operation: id, Where: where, Name: name}
			if text, ok := value.(string); ok && media != "application/json" {
				e.Body = asList(media, []byte(text))
			} else {
				e.Body = must(json.Marshal(value))(t)
			}
			e.Wrong = d.validate(append(slices.Clone(pointer), media, "schema"), e.Body)
			all = append(all, e)
		}
	}
	return all
}

// referred returns what an example refers to, or itself.
func (d *document) referred(example map[string]any) map[string]any {
	ref, ok := example["$ref"].(string)
	if !ok {
		return example
	}
	meant, _ := dig(d.raw, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
	return meant
}
