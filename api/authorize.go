package api

import (
	"context"
	"encoding/json"
	"io"
	"mime"
	"net/url"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/models"
)

type authorizeInput struct {
	ByID
	State       string         `query:"state" example:"YWRhLWFuZC1oZXItc2Vzc2lvbg" doc:"8 to 512 characters that come back unchanged. Without, one is made."`
	RedirectURI string         `query:"redirect_uri" example:"https://app.example.com/oauth/callback" doc:"Where the person returns to. Without, the first of the provider's redirectUris, or else grantd's own page."`
	SkipConsent optional[bool] `query:"skip_consent" doc:"Whether the provider may leave out its consent page. Without, as the provider is set."`

	// The names that other operations spell these in.
	OtherRedirectURI string         `query:"redirectUri" doc:"The same as redirect_uri."`
	OtherSkipConsent optional[bool] `query:"skipConsent" doc:"The same as skip_consent."`

	form bool
	body io.Reader
}

// Resolve implements huma.Resolver.
func (in *authorizeInput) Resolve(ctx huma.Context) []error {
	kind, _, _ := mime.ParseMediaType(ctx.Header("Content-Type"))
	in.form, in.body = kind == "application/x-www-form-urlencoded", io.LimitReader(ctx.BodyReader(), maxBody)
	return nil
}

// settle makes one of the two spellings of each parameter.
func (in *authorizeInput) settle() error {
	var wrong []models.FieldError
	switch {
	case in.RedirectURI == "":
		in.RedirectURI = in.OtherRedirectURI
	case in.OtherRedirectURI != "" && in.OtherRedirectURI != in.RedirectURI:
		wrong = append(wrong, models.FieldError{Name: "redirectUri", Message: "must equal redirect_uri; give only one of the two"})
	}
	switch {
	case !in.SkipConsent.Given:
		in.SkipConsent = in.OtherSkipConsent
	case in.OtherSkipConsent.Given && in.OtherSkipConsent.Value != in.SkipConsent.Value:
		wrong = append(wrong, models.FieldError{Name: "skipConsent", Message: "must equal skip_consent; give only one of the two"})
	}
	if in.hasFields() {
		wrong = append(wrong, models.FieldError{Name: "body",
			Message: "is not accepted here; send state, redirect_uri (or redirectUri) and skip_consent (or skipConsent) as query parameters"})
	}
	if len(wrong) > 0 {
		return models.Invalid(wrong...)
	}
	return nil
}

// hasFields reports whether the client put its parameters into the body, where they
// would be ignored. No body, an empty object and anything that is neither JSON nor a
// form are as good as none.
func (in *authorizeInput) hasFields() bool {
	body, err := io.ReadAll(in.body)
	if err != nil || len(body) == 0 {
		return false
	}
	if in.form {
		fields, err := url.ParseQuery(string(body))
		return err == nil && len(fields) > 0
	}
	var fields map[string]json.RawMessage
	return json.Unmarshal(body, &fields) == nil && len(fields) > 0
}

// Redirect is where to send the person.
type Redirect struct {
	RedirectURL string `json:"redirectUrl" format:"uri" doc:"The provider's consent page."`
	State       string `json:"state" doc:"The state inside redirectUrl. It works once, within ten minutes."`
}

func (s *Server) authorize(ctx context.Context, c models.Caller, in *authorizeInput) (*private[Redirect], error) {
	if !utf8.ValidString(in.State) { // could not come back unchanged
		return nil, models.Invalid(models.FieldError{Name: "state", Message: "must be text in UTF-8"})
	}
	if err := in.settle(); err != nil {
		return nil, err
	}
	a, err := s.service.Authorize(ctx, c, broker.AuthorizeRequest{
		ProviderID: in.ID, State: in.State, RedirectURI: in.RedirectURI, SkipConsent: in.SkipConsent.pointer(),
	})
	return privately(&Redirect{RedirectURL: a.RedirectURL, State: a.State}), err
}
