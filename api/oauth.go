package api

import (
	"bytes"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/models"
)

// The routes of the standard: token exchange (RFC 8693), introspection (RFC 7662) and what tells clients of the two (RFC
// 8414). They take forms and answer in the words of OAuth, which is why they are not in the OpenAPI document: the RFCs
// describe them.
const (
	exchangePath   = "/oauth2/token"
	introspectPath = "/oauth2/introspect"
	metadataPath   = "/.well-known/oauth-authorization-server"
)

const (
	grantExchange   = "urn:ietf:params:oauth:grant-type:token-exchange"
	typeAccessToken = "urn:ietf:params:oauth:token-type:access_token"
	typeJWT         = "urn:ietf:params:oauth:token-type:jwt"
	typeIDToken     = "urn:ietf:params:oauth:token-type:id_token"
	assertionJWT    = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
)

// OAuthMetadata is the metadata of grantd as an authorization server (RFC 8414 section 2).
type OAuthMetadata struct {
	Issuer                string   `json:"issuer"`
	TokenEndpoint         string   `json:"token_endpoint"`
	IntrospectionEndpoint string   `json:"introspection_endpoint"`
	ResponseTypes         []string `json:"response_types_supported"`
	GrantTypes            []string `json:"grant_types_supported"`
	TokenAuth             []string `json:"token_endpoint_auth_methods_supported"`
	IntrospectionAuth     []string `json:"introspection_endpoint_auth_methods_supported"`
	Documentation         string   `json:"service_documentation"`
}

// ExchangeAnswer is a token that was exchanged (RFC 8693 section 2.2.1).
type ExchangeAnswer struct {
	AccessToken     string `json:"access_token"`
	IssuedTokenType string `json:"issued_token_type"`
	TokenType       string `json:"token_type"`
	ExpiresIn       int    `json:"expires_in,omitempty"`
	Scope           string `json:"scope"`
}

// IntrospectAnswer tells of a token (RFC 7662 section 2.2).
type IntrospectAnswer struct {
	Active bool   `json:"active"`
	Exp    int64  `json:"exp,omitempty"`
	Scope  string `json:"scope,omitempty"`
	Sub    string `json:"sub,omitempty"`
	Aud    string `json:"aud,omitempty"`
}

// OAuthError is the body of every refusal (RFC 6749 section 5.2).
type OAuthError struct {
	Error       string `json:"error"`
	Description string `json:"error_description,omitempty"`
	ConnectURL  string `json:"connect_url,omitempty"`
}

func (s *Server) mountOAuth() {
	s.echo.POST(exchangePath, s.inOAuth(s.exchange))
	s.echo.POST(introspectPath, s.inOAuth(s.introspect))
	s.echo.GET(metadataPath, s.oauthMetadata)
}

func (s *Server) oauthMetadata(c echo.Context) error {
	methods := []string{"client_secret_basic", "client_secret_post"}
	return c.JSON(http.StatusOK, OAuthMetadata{Issuer: s.publicURL, TokenEndpoint: s.publicURL + exchangePath, IntrospectionEndpoint: s.publicURL + introspectPath,
		ResponseTypes: []string{}, GrantTypes: []string{grantExchange}, TokenAuth: methods, IntrospectionAuth: methods, Documentation: s.publicURL + "/docs"})
}

// inOAuth mounts what takes a form and answers with a body, or with an error in the words of OAuth.
func (s *Server) inOAuth(answer func(*http.Request, url.Values) (any, error)) echo.HandlerFunc {
	return func(c echo.Context) error {
		form, err := oauthForm(c.Request())
		var body any
		if err == nil {
			body, err = answer(c.Request(), form)
		}
		if err != nil {
			return s.refuseOAuth(c, err)
		}
		return answerOAuth(c, http.StatusOK, body)
	}
}

func (s *Server) exchange(r *http.Request, form url.Values) (any, error) {
	ctx := r.Context()
	x, err := exchangeOf(form)
	if err == nil {
		x.Client, err = oauthClient(r, form)
	}
	if err != nil {
		return nil, err
	}
	e, err := s.service.BeginExchange(ctx, x)
	if err != nil {
		return nil, err
	}
	if err := clientIDFits(r, form, e.Caller.TokenID); err != nil {
		return nil, err
	}
	callOf(ctx).caller = e.Caller
	if err := s.takePlace(ctx); err != nil {
		return nil, err
	}
	t, err := s.service.Exchange(ctx, e, x)
	return ExchangeAnswer{AccessToken: t.Access.Reveal(), IssuedTokenType: typeAccessToken, TokenType: "Bearer",
		ExpiresIn: int(t.ExpiresIn.Seconds()), Scope: strings.Join(t.Authorization.Scopes, " ")}, err
}

func (s *Server) introspect(r *http.Request, form url.Values) (any, error) {
	ctx := r.Context()
	client, err := oauthClient(r, form)
	if err != nil {
		return nil, err
	}
	caller, err := s.service.IntrospectionClient(ctx, client)
	if err == nil {
		err = clientIDFits(r, form, caller.TokenID)
	}
	if err == nil && form.Get("token") == "" {
		err = oauthRefusal(broker.ExchangeInvalidRequest, "token is missing.")
	}
	if err == nil {
		callOf(ctx).caller = caller
		err = s.takePlace(ctx)
	}
	if err != nil {
		return nil, err
	}
	t, err := s.service.Introspect(ctx, caller, models.Secret(form.Get("token")))
	answer := IntrospectAnswer{Active: t.Active, Scope: strings.Join(t.Scopes, " "), Sub: t.UserID, Aud: t.ProviderID}
	if t.ExpiresAt != nil {
		answer.Exp = t.ExpiresAt.Unix()
	}
	return answer, err
}

func oauthRefusal(code, description string) error {
	return &broker.ExchangeError{Code: code, Description: description}
}

// repeatable are the parameters that may come more than once (RFC 8693 section 2.1).
var repeatable = []string{"audience", "resource"}

// oauthForm reads the body. What is in the address counts for nothing: addresses end up in logs.
func oauthForm(r *http.Request) (url.Values, error) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/x-www-form-urlencoded" {
		return nil, oauthRefusal(broker.ExchangeInvalidRequest, "The body must be a form: application/x-www-form-urlencoded.")
	}
	body, err := readForm(r)
	if err != nil {
		return nil, oauthRefusal(broker.ExchangeInvalidRequest, "The form cannot be read.")
	}
	form, err := url.ParseQuery(body)
	if err != nil {
		return nil, oauthRefusal(broker.ExchangeInvalidRequest, "The form cannot be read.")
	}
	for name, values := range form {
		if len(values) > 1 && !slices.Contains(repeatable, name) {
			return nil, oauthRefusal(broker.ExchangeInvalidRequest, "Each parameter may be given once, except audience and resource.")
		}
	}
	return form, nil
}

// usualForm is as much as most forms have.
const usualForm = 16 << 10

// readForm reads a body, and where its length is known into one piece of memory.
func readForm(r *http.Request) (string, error) {
	var b bytes.Buffer
	b.Grow(int(min(max(r.ContentLength, 0), usualForm)) + bytes.MinRead)
	_, err := b.ReadFrom(http.MaxBytesReader(nil, r.Body, maxBody))
	return b.String(), err
}

// exchangeOf reads what is asked for.
func exchangeOf(form url.Values) (broker.Exchange, error) {
	x := broker.Exchange{Subject: models.Secret(form.Get("subject_token")), Actor: models.Secret(form.Get("actor_token")), Audiences: nonEmpty(form["audience"]),
		Resources: nonEmpty(form["resource"]), Scopes: strings.Fields(form.Get("scope")), Account: models.Storable(form.Get("account"))}
	switch grant := form.Get("grant_type"); {
	case grant == "":
		return x, oauthRefusal(broker.ExchangeInvalidRequest, "grant_type is missing: it must be "+grantExchange+".")
	case grant != grantExchange:
		return x, oauthRefusal("unsupported_grant_type", "grant_type must be "+grantExchange+".")
	case x.Subject == "":
		return x, oauthRefusal(broker.ExchangeInvalidRequest, "subject_token is missing.")
	case !fits(form.Get("subject_token_type"), x.Subject):
		return x, oauthRefusal(broker.ExchangeInvalidRequest, "subject_token_type must say what subject_token is: "+typeAccessToken+", or for a JWT also "+typeJWT+".")
	case x.Actor == "" && form.Get("actor_token_type") != "":
		return x, oauthRefusal(broker.ExchangeInvalidRequest, "actor_token_type is given without actor_token.")
	case x.Actor != "" && !fits(form.Get("actor_token_type"), x.Actor):
		return x, oauthRefusal(broker.ExchangeInvalidRequest, "actor_token_type must say what actor_token is: "+typeAccessToken+", or for a JWT also "+typeJWT+".")
	}
	if wanted := form.Get("requested_token_type"); wanted != "" && wanted != typeAccessToken {
		return x, oauthRefusal(broker.ExchangeInvalidRequest, "requested_token_type must be "+typeAccessToken+", or be left out.")
	}
	if len(x.Audiences)+len(x.Resources) > maxTargets {
		return x, oauthRefusal(broker.ExchangeInvalidTarget, "audience and resource must name one provider.")
	}
	return x, nil
}

// maxTargets bounds how many names of one provider are looked up.
const maxTargets = 4

// nonEmpty leaves out what is empty, which counts as not sent (RFC 6749 section 3.2).
func nonEmpty(values []string) []string {
	return slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == "" })
}

// fits reports whether a token is of a type: an API token is an access token, a JWT may be called one too.
func fits(tokenType string, token models.Secret) bool {
	switch tokenType {
	case typeAccessToken:
		return true
	case typeJWT, typeIDToken:
		return strings.Count(token.Reveal(), ".") == 2
	}
	return false
}

// oauthClient is what the client authenticates with: one of Basic, the form, an assertion and Bearer.
func oauthClient(r *http.Request, form url.Values) (models.Secret, error) {
	var ways []models.Secret
	if _, secret, ok := basicAuth(r); ok {
		ways = append(ways, secret)
	} else if token := bearer(r.Header); token != "" {
		ways = append(ways, token)
	}
	if secret := form.Get("client_secret"); secret != "" {
		ways = append(ways, models.Secret(secret))
	}
	if assertion := form.Get("client_assertion"); assertion != "" {
		if form.Get("client_assertion_type") != assertionJWT {
			return "", oauthRefusal(broker.ExchangeInvalidRequest, "client_assertion_type must be "+assertionJWT+".")
		}
		ways = append(ways, models.Secret(assertion))
	}
	switch len(ways) {
	case 0:
		return "", oauthRefusal(broker.ExchangeInvalidClient, "The client must authenticate: with its API token's id as client_id and the whole token as client_secret, by Basic or in the form, or with a token of a trusted issuer.")
	case 1:
		return ways[0], nil
	}
	return "", oauthRefusal(broker.ExchangeInvalidRequest, "The client must authenticate in one way only.")
}

// basicAuth reads the two halves, which are form-encoded (RFC 6749 section 2.3.1).
func basicAuth(r *http.Request) (id string, secret models.Secret, ok bool) {
	user, password, ok := r.BasicAuth()
	if !ok {
		return "", "", false
	}
	id, err := url.QueryUnescape(user)
	plain, err2 := url.QueryUnescape(password)
	return id, models.Secret(plain), err == nil && err2 == nil
}

// clientIDFits refuses a client_id that is not that of the token which came with it.
func clientIDFits(r *http.Request, form url.Values, tokenID string) error {
	id := form.Get("client_id")
	if basic, _, ok := basicAuth(r); ok {
		id = basic
	}
	needed := form.Get("client_secret") != "" || r.Header.Get("Authorization") != "" && bearer(r.Header) == ""
	if id == tokenID || id == "" && !needed {
		return nil
	}
	return oauthRefusal(broker.ExchangeInvalidClient, "client_id must be the id of the API token that is given as client_secret.")
}

// refuseOAuth answers with an error in the words of OAuth. What is wrong with a request is never a 5xx.
func (s *Server) refuseOAuth(c echo.Context, err error) error {
	refused, ok := errors.AsType[*broker.ExchangeError](err)
	if !ok {
		return s.failOAuth(c, err)
	}
	status := http.StatusBadRequest
	if refused.Code == broker.ExchangeInvalidClient {
		status = http.StatusUnauthorized
		if tooMany := s.countFailure(c, models.Errorf(models.CodeUnauthenticated, "%s", refused.Description)); models.CodeOf(tooMany) != models.CodeUnauthenticated {
			return s.failOAuth(c, tooMany)
		}
		c.Response().Header().Set("WWW-Authenticate", `Basic realm="grantd"`)
	}
	return answerOAuth(c, status, OAuthError{Error: refused.Code, Description: oauthText(refused.Description), ConnectURL: refused.ConnectURL})
}

// failOAuth answers with what is no mistake of the client's.
func (s *Server) failOAuth(c echo.Context, err error) error {
	e := s.problem(c.Request().Context(), err)
	code := "temporarily_unavailable"
	switch {
	case e.Status == http.StatusInternalServerError:
		code = "server_error"
	case e.Status == http.StatusBadGateway:
		e.Status = http.StatusServiceUnavailable // 502 is not for clients of OAuth to know
	case e.Status < http.StatusInternalServerError && e.Status != http.StatusTooManyRequests && e.Status != statusClientGone:
		code, e.Status = broker.ExchangeInvalidRequest, http.StatusBadRequest
	}
	for name, values := range e.headers {
		c.Response().Header()[name] = values
	}
	return answerOAuth(c, e.Status, OAuthError{Error: code, Description: oauthText(e.Message)})
}

// oauthText leaves of a sentence what an error_description may have (RFC 6749 section 5.2).
func oauthText(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '"' || r == '\\':
			return '\''
		case r < ' ' || r > '~':
			return '?'
		}
		return r
	}, s)
}

// answerOAuth sends a body that nobody keeps (RFC 6749 section 5.1).
func answerOAuth(c echo.Context, status int, body any) error {
	h := c.Response().Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	h.Set("Vary", "Authorization")
	if status == http.StatusServiceUnavailable && h.Get("Retry-After") == "" {
		h.Set("Retry-After", strconv.Itoa(1))
	}
	x, ok := body.(ExchangeAnswer)
	if !ok {
		return c.JSON(status, body)
	}
	raw, err := x.json()
	if err != nil {
		return err
	}
	return c.JSONBlob(status, raw)
}
