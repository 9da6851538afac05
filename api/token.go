package api

import (
	"context"
	"net/http"
	"reflect"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humaecho"

	"github.com/grantd/grantd/models"
)

// Token is an access token that works now. Its text is a plain string: this is
// the one answer that a secret leaves in.
type Token struct {
	AccessToken   string                `json:"accessToken" doc:"The provider's access token."`
	ExpiresAt     *time.Time            `json:"expiresAt,omitempty" doc:"When it stops working; left out when unknown."`
	Authorization *models.Authorization `json:"authorizedOauthProvider"`
}

type tokenRequest struct {
	ByID
	MinTTL string `query:"minTtl" example:"5m" doc:"How long the token should live at least, in seconds or as 90s, 5m. At most 15 minutes and half a token's life are taken into account."`
}

func (s *Server) token(ctx context.Context, c models.Caller, in *tokenRequest) (*huma.StreamResponse, error) {
	minTTL, err := seconds("minTtl", in.MinTTL)
	if err != nil {
		return nil, err
	}
	t, err := s.service.Token(ctx, c, in.ID, minTTL)
	if err != nil {
		return nil, err
	}
	return sendToken(&Token{t.Access.Reveal(), inUTC(t.ExpiresAt), authorization(t.Authorization)})
}

// sendToken writes the answer itself: Huma, which finds the headers and the encoder
// of each answer again, would cost as much again as the encoding.
func sendToken(t *Token) (*huma.StreamResponse, error) {
	body, err := t.json()
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(out huma.Context) {
		response := humaecho.UnwrapV4(out).Response()
		h := response.Header()
		h["Content-Type"], h["Cache-Control"] = plainJSON, notStored
		response.WriteHeader(http.StatusCreated)
		_, _ = response.Write(body) // the client is gone; there is nobody to tell
	}}, nil
}

// The same lists for all answers, because Header.Set would make one for each.
var plainJSON, notStored = []string{"application/json"}, []string{noStore}

// documentTokens describes the answers that Huma does not write.
func (s *Server) documentTokens() {
	for _, path := range []string{"token/", "accessToken/"} {
		response := s.huma.OpenAPI().Paths[root+"authorizedProviders/{id}/"+path].Post.Responses["201"]
		response.Headers = map[string]*huma.Param{"Cache-Control": {Schema: &huma.Schema{Type: huma.TypeString}}}
		response.Content = map[string]*huma.MediaType{
			"application/json": {Schema: s.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[Token](), true, "")},
		}
	}
}

// seconds reads a length of time from a query parameter: a number of seconds, or a
// Go duration. Absent is 0.
func seconds(name, value string) (time.Duration, error) {
	if value == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(value)
	if n, numErr := strconv.ParseUint(value, 10, 31); numErr == nil {
		d, err = time.Duration(n)*time.Second, nil
	}
	if err != nil || d < 0 {
		return 0, models.Invalid(models.FieldError{Name: name, Message: "must be a number of seconds, or a duration such as 90s or 5m"})
	}
	return d, nil
}
