package api

import (
	"context"
	"unicode/utf8"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/models"
)

type authorizeInput struct {
	ByID
	State       string         `query:"state" doc:"8 to 512 characters that come back unchanged. Without, one is made."`
	RedirectURI string         `query:"redirect_uri" doc:"Where the person returns to. Without, the first of the provider's redirectUris, or else grantd's own page."`
	SkipConsent optional[bool] `query:"skip_consent" doc:"Whether the provider may leave out its consent page. Without, as the provider is set."`
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
	a, err := s.service.Authorize(ctx, c, broker.AuthorizeRequest{
		ProviderID: in.ID, State: in.State, RedirectURI: in.RedirectURI, SkipConsent: in.SkipConsent.pointer(),
	})
	return privately(&Redirect{RedirectURL: a.RedirectURL, State: a.State}), err
}
