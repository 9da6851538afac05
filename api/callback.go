package api

import (
	"context"
	"encoding/json"
	"reflect"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/grantd/grantd/models"
)

// given is a body, and which of its fields are null: a null code is a bug in the client,
// which would otherwise look like a missing one.
type given[T any] struct {
	value T
	nulls []string
}

// UnmarshalJSON implements json.Unmarshaler.
func (g *given[T]) UnmarshalJSON(data []byte) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return err
	}
	for name, value := range fields {
		if string(value) == "null" {
			g.nulls = append(g.nulls, name)
		}
	}
	return json.Unmarshal(data, &g.value)
}

// Schema implements huma.SchemaProvider.
func (g *given[T]) Schema(r huma.Registry) *huma.Schema {
	return r.Schema(reflect.TypeFor[T](), true, "")
}

// refuseNull refuses texts that may be left out, where they are null.
func (g *given[T]) refuseNull(names ...string) error {
	var wrong []models.FieldError
	for _, name := range names {
		if slices.Contains(g.nulls, name) {
			wrong = append(wrong, models.FieldError{Name: name, Message: "must be a string; leave it out instead of sending null"})
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return models.Invalid(wrong...)
}

// Completion is the authorization that was given, and who gave it.
type Completion struct {
	Authorization *models.Authorization `json:"authorizedProvider"`
	User          *User                 `json:"userInfo"`
}

func (s *Server) callback(ctx context.Context, c models.Caller, in *struct{ Body given[models.Callback] }) (*private[Completion], error) {
	if err := in.Body.refuseNull("code", "error", "error_description", "iss"); err != nil {
		return nil, err
	}
	cb := in.Body.value
	if !models.ValidID(cb.ProviderID) {
		return nil, models.Errorf(models.CodeNotFound, "There is no provider with this providerId.")
	}
	done, err := s.service.Complete(ctx, c, cb)
	return privately(&Completion{authorization(done.Authorization), user(done.User)}), err
}
