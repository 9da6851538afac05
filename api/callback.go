package api

import (
	"context"
	"encoding/json"

	"github.com/danielgtaylor/huma/v2"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/models"
)

// Callback is the body of POST providers/callback/: what the provider added to
// the address that the person returned to.
type Callback struct {
	ProviderID       string        `json:"providerId" doc:"The provider that the consent was begun with."`
	State            models.Secret `json:"state" doc:"The state, as it came back."`
	Code             notNull       `json:"code,omitempty" doc:"The code, when the person agreed."`
	Error            notNull       `json:"error,omitempty" doc:"The error, when not. Exactly one of code and error is given."`
	ErrorDescription notNull       `json:"error_description,omitempty" doc:"What the provider said about the error."`
	Iss              notNull       `json:"iss,omitempty" doc:"The issuer, where the provider sent one (RFC 9207)."`
}

// notNull is text that may be left out but not be null: a null code is a bug in
// the client, which would otherwise look like a missing one. It may be a code,
// so it prints nothing.
type notNull struct {
	value models.Secret
	null  bool
}

// UnmarshalJSON implements json.Unmarshaler.
func (n *notNull) UnmarshalJSON(data []byte) error {
	n.null = string(data) == "null"
	return json.Unmarshal(data, &n.value)
}

// Schema implements huma.SchemaProvider.
func (n *notNull) Schema(huma.Registry) *huma.Schema { return &huma.Schema{Type: huma.TypeString} }

// named is a field that may be left out, by its name.
type named struct {
	name  string
	given notNull
}

// noNulls refuses fields that are null.
func noNulls(fields ...named) error {
	var wrong []models.FieldError
	for _, f := range fields {
		if f.given.null {
			wrong = append(wrong, models.FieldError{Name: f.name, Message: "must be a string; leave it out instead of sending null"})
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

func (s *Server) callback(ctx context.Context, c models.Caller, in *struct{ Body Callback }) (*private[Completion], error) {
	b := in.Body
	if err := noNulls(named{"code", b.Code}, named{"error", b.Error}, named{"error_description", b.ErrorDescription}, named{"iss", b.Iss}); err != nil {
		return nil, err
	}
	if !models.ValidID(b.ProviderID) {
		return nil, models.Errorf(models.CodeNotFound, "There is no provider with this providerId.")
	}
	done, err := s.service.Complete(ctx, c, broker.Callback{
		ProviderID: b.ProviderID, State: b.State.Reveal(), Code: b.Code.value, Error: b.Error.value.Reveal(),
		ErrorDescription: b.ErrorDescription.value.Reveal(), Iss: b.Iss.value.Reveal(),
	})
	return privately(&Completion{authorization(done.Authorization), user(done.User)}), err
}
