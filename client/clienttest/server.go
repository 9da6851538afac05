package clienttest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/grantd/grantd/models"
)

const (
	root  = "/api/v2/externalOAuth/"
	agent = "/api/v2/workspaceagents/me/external-auth"
)

// Account is an account at the upstream.
type Account struct{ Sub, Login, Email string }

// Server is a grantd for tests. It is safe for concurrent use.
type Server struct {
	URL      string          // of the API
	Token    string          // the API token of a service, named app-test
	Provider models.Provider // the only one

	http *httptest.Server
	ids  int
	mu   sync.Mutex

	authorizations map[string]*authorization
	order          []string // ids of authorizations, as they were made
	links          map[string]*link
	users          map[string]string // by API token
	failing        int               // the status of every answer, 0 for none
}

type authorization struct {
	models.Authorization
	account Account
	access  string
	expires time.Time
	valid   bool // the upstream accepts the token
}

// Start starts a server; the caller closes it.
func Start() *Server {
	s := &Server{authorizations: map[string]*authorization{}, links: map[string]*link{}, users: map[string]string{}}
	s.Token = "grd_" + s.id() + "_service"
	made := now()
	s.Provider = models.Provider{ID: s.id(), OrgID: "acme", Name: "Test", Slug: "test", Type: "test", Status: models.ProviderActive, ClientID: "client",
		SecureConfigID: s.id(), Config: models.Settings{}, CreatedAt: made, UpdatedAt: made}
	s.http = httptest.NewServer(s.routes())
	s.URL = s.http.URL
	return s
}

// Close stops the server. Requests find nobody there from then on, as when grantd is away.
func (s *Server) Close() { s.http.Close() }

// Connect makes an authorization of a user's, as if the person had consented, and returns its id.
func (s *Server) Connect(user string, a Account) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.connect(user, a)
}

func (s *Server) connect(user string, a Account) string {
	if a.Sub == "" {
		a.Sub = a.Login
	}
	made := &authorization{account: a, Authorization: models.Authorization{ID: s.id(), OrgID: "acme", UserID: user, CredentialID: s.id(),
		OAuthClientID: s.Provider.ClientID, Scopes: models.Strings{"profile"}, CreatedAt: now(), Status: models.AuthorizationActive}}
	s.renew(made)
	s.authorizations[made.ID] = made
	s.order = append(s.order, made.ID)
	return made.ID
}

// Expire ends an authorization, as if the person had withdrawn it at the upstream: its user has to consent again.
func (s *Server) Expire(authorization string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.authorizations[authorization]; a != nil {
		a.Status, a.valid = models.AuthorizationExpired, false
		a.Reason = "invalid_grant"
		a.ReasonMessage = a.Reason.Message()
	}
}

// Refuse has the upstream accept an authorization's access token no more. The next fetch after a check brings another one.
func (s *Server) Refuse(authorization string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.authorizations[authorization]; a != nil {
		a.valid = false
	}
}

// Accepts tells whose access token a text is, as an upstream of the test asks: the id of the authorization, "" for nobody's.
func (s *Server) Accepts(accessToken string) (authorization string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, a := range s.authorizations {
		if a.access == accessToken && a.valid {
			return id
		}
	}
	return ""
}

// Fail answers every request with an HTTP status, such as 502 or 503, until Fail(0).
func (s *Server) Fail(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing = status
}

// UserToken makes an API token of the role user, which the exchange takes as a subject.
func (s *Server) UserToken(user string) models.Secret {
	s.mu.Lock()
	defer s.mu.Unlock()
	token := "grd_" + s.id() + "_user"
	s.users[token] = user
	return models.Secret(token)
}

// id makes an id that looks like grantd's.
func (s *Server) id() string {
	s.ids++
	return fmt.Sprintf("01936f2c-0000-7000-8000-%012d", s.ids)
}

func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// renew gives an authorization another access token.
func (s *Server) renew(a *authorization) {
	a.access, a.expires, a.valid = "access-"+s.id(), now().Add(time.Hour), true
}

func (s *Server) routes() http.Handler {
	m := http.NewServeMux()
	on := func(pattern string, answer func(*Server, *http.Request, string) (int, any)) {
		m.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { s.answer(w, r, answer) })
	}
	for _, end := range []string{"/", ""} { // with a last slash and without
		list := end
		if end == "/" {
			list = "/{$}"
		}
		on("GET "+root+"me"+list, (*Server).me)
		on("GET "+root+"providers"+list, (*Server).listProviders)
		on("GET "+root+"providers/{id}"+list, (*Server).getProvider)
		on("GET "+root+"authorizedProviders"+list, (*Server).listAuthorizations)
		on("GET "+root+"authorizedProviders/{id}"+list, (*Server).getAuthorization)
		on("DELETE "+root+"authorizedProviders/{id}"+list, (*Server).disconnect)
		on("POST "+root+"authorizedProviders/{id}/token"+list, (*Server).token)
		on("POST "+root+"authorizedProviders/{id}/accessToken"+list, (*Server).token)
		on("POST "+root+"authorizedProviders/{id}/check"+list, (*Server).check)
		on("POST "+root+"connectLinks"+list, (*Server).createLink)
		on("GET "+root+"connectLinks/{id}"+list, (*Server).getLink)
		on("POST "+root+"connectLinks/{id}/confirm"+list, (*Server).confirmLink)
	}
	on("GET "+agent, (*Server).gitToken)
	m.HandleFunc("POST /oauth2/token", s.exchange)
	on("/", func(*Server, *http.Request, string) (int, any) { return refuse(404, "There is nothing at this path.") })
	return m
}

// answer serves one request of the API: who asks, for whom, and what is answered.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, answer func(*Server, *http.Request, string) (int, any)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	status, body := s.refused(r)
	if status == 0 {
		status, body = answer(s, r, r.URL.Query().Get("userId"))
	}
	id := s.id()
	if e, ok := body.(*problem); ok {
		e.RequestID, e.Status = id, status
	}
	h := w.Header()
	h.Set("X-Request-Id", id)
	if _, secret := body.(private); secret {
		h.Set("Cache-Control", "no-store")
	}
	switch status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", "Bearer")
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable:
		h.Set("Retry-After", "1")
	}
	send(w, status, body)
}

// private is an answer that must not be kept by anyone on its way.
type private map[string]any

func send(w http.ResponseWriter, status int, body any) {
	if body == nil {
		w.WriteHeader(status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client is gone; there is nobody to tell
}

// refused is what every request may be refused with.
func (s *Server) refused(r *http.Request) (int, any) {
	if s.failing != 0 {
		return refuse(s.failing, "This test wants grantd to fail.")
	}
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if token != s.Token {
		return refuse(401, "The API token is missing, unknown, expired or revoked. Send it as: Authorization: Bearer grd_…")
	}
	acts := strings.HasPrefix(r.URL.Path, root+"authorizedProviders") || r.URL.Path == agent
	if acts && r.URL.Query().Get("userId") == "" {
		return invalid("userId", "is required: it names the user that the request is for")
	}
	return 0, nil
}

// problem is the body of every error.
type problem struct {
	Message     string              `json:"message"`
	Status      int                 `json:"status"`
	ErrorFields []models.FieldError `json:"errorFields"`
	Detail      string              `json:"detail,omitempty"`
	RequestID   string              `json:"requestId"`
}

func refuse(status int, message string) (int, any) {
	return status, &problem{Message: message, ErrorFields: []models.FieldError{}}
}

func invalid(field, message string) (int, any) {
	return 422, &problem{Message: field + ": " + message, ErrorFields: []models.FieldError{{Name: field, Message: message}}}
}

type list[T any] struct {
	Data     []T     `json:"data"`
	Count    int     `json:"count"`
	Next     *string `json:"next"`
	Previous *string `json:"previous"`
}

func listed[T any](data []T) (int, any) { return 200, list[T]{Data: data, Count: len(data)} }

func (s *Server) me(*http.Request, string) (int, any) {
	id, _, _ := strings.Cut(strings.TrimPrefix(s.Token, "grd_"), "_")
	return 200, models.Me{OrgID: "acme", UserID: "app-test", Role: models.RoleService, By: models.ByAPIToken, TokenID: id, Name: "Test",
		Providers: models.Strings{s.Provider.ID}, ReturnOrigins: models.Strings{"https://app.example.com"}}
}

func (s *Server) listProviders(r *http.Request, _ string) (int, any) {
	query := r.URL.Query()
	for name, value := range map[string]string{"ids": s.Provider.ID, "types": s.Provider.Type} {
		if wanted := strings.Join(query[name], ","); wanted != "" && !slices.Contains(strings.Split(wanted, ","), value) {
			return listed([]models.Provider{})
		}
	}
	return listed([]models.Provider{s.Provider})
}

func (s *Server) getProvider(r *http.Request, _ string) (int, any) {
	if r.PathValue("id") != s.Provider.ID {
		return refuse(404, "OAuth provider not found.")
	}
	return 200, s.Provider
}

// of finds an authorization of a user's.
func (s *Server) of(r *http.Request, user string) (*authorization, bool) {
	a := s.authorizations[r.PathValue("id")]
	return a, a != nil && a.UserID == user
}

func unknown() (int, any) { return refuse(404, "OAuth provider authorization not found.") }

// shown is an authorization as it is told with a token; in whole it is as lists and a single one tell it.
func (s *Server) shown(a *authorization, whole bool) models.Authorization {
	seen := a.Authorization
	seen.Provider = &s.Provider
	if whole {
		seen.Account = &models.AuthorizedAccount{Sub: a.account.Sub, Login: a.account.Login, Email: a.account.Email}
		seen.ExpiresAt, seen.RefreshedAt = &a.expires, &a.CreatedAt
	}
	return seen
}

func (s *Server) listAuthorizations(r *http.Request, user string) (int, any) {
	query, found := r.URL.Query(), []models.Authorization{}
	fits := func(name string, values ...string) bool {
		return query.Get(name) == "" || slices.Contains(values, query.Get(name))
	}
	for _, id := range s.order {
		a := s.authorizations[id]
		if a != nil && a.UserID == user && fits("providerId", s.Provider.ID) && fits("status", string(a.Status)) && fits("account", a.account.Sub, a.account.Login, a.account.Email) {
			found = append(found, s.shown(a, true))
		}
	}
	return listed(found)
}

func (s *Server) getAuthorization(r *http.Request, user string) (int, any) {
	a, ok := s.of(r, user)
	if !ok {
		return unknown()
	}
	return 200, s.shown(a, true)
}

func (s *Server) disconnect(r *http.Request, user string) (int, any) {
	a, ok := s.of(r, user)
	if !ok {
		return unknown()
	}
	delete(s.authorizations, a.ID)
	return 204, nil
}

func (s *Server) token(r *http.Request, user string) (int, any) {
	a, ok := s.of(r, user)
	switch {
	case !ok:
		return unknown()
	case a.Status == models.AuthorizationExpired:
		return refuse(410, "The authorization has expired or was withdrawn at the provider. The user must authorize again.")
	}
	seen := s.shown(a, false)
	return 201, private{"accessToken": a.access, "expiresAt": a.expires, "authorizedOauthProvider": seen}
}

func (s *Server) check(r *http.Request, user string) (int, any) {
	a, ok := s.of(r, user)
	if !ok {
		return unknown()
	}
	answer := map[string]any{"valid": a.valid, "checkedAt": now(), "expiresAt": a.expires, "scopes": a.Scopes, "missingScopes": a.MissingScopes, "status": a.Status}
	if !a.valid && a.Status == models.AuthorizationActive {
		s.renew(a) // as the next fetch would
	}
	return 200, answer
}

func (s *Server) gitToken(r *http.Request, user string) (int, any) {
	if id := r.URL.Query().Get("id"); id != s.Provider.ID && id != s.Provider.Slug {
		return refuse(404, "OAuth provider not found.")
	}
	if a := s.newest(user); a != nil && a.Status == models.AuthorizationActive {
		return 200, private{"access_token": a.access, "token_extra": map[string]any{}, "url": "", "type": s.Provider.Type, "username": a.access, "password": "", "expires_at": a.expires}
	}
	return 200, private{"access_token": "", "token_extra": map[string]any{}, "url": s.connectURL(), "type": "", "username": "", "password": "", "expires_at": nil}
}

func (s *Server) newest(user string) *authorization {
	for _, id := range slices.Backward(s.order) {
		if a := s.authorizations[id]; a != nil && a.UserID == user {
			return a
		}
	}
	return nil
}

func (s *Server) connectURL() string { return s.URL + "/external-auth/" + s.Provider.ID + "/callback" }

// exchange is the standard exchange (RFC 8693), with the API token of the service as bearer or as client_secret.
func (s *Server) exchange(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Cache-Control", "no-store")
	refuse := func(status int, code, description, connect string) {
		body := map[string]string{"error": code, "error_description": description}
		if connect != "" {
			body["connect_url"] = connect
		}
		send(w, status, body)
	}
	user, known := s.users[r.PostFormValue("subject_token")]
	client, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if _, secret, ok := r.BasicAuth(); ok {
		client, _ = url.QueryUnescape(secret)
	}
	switch {
	case s.failing != 0:
		w.Header().Set("Retry-After", "1")
		refuse(503, "temporarily_unavailable", "This test wants grantd to fail.", "")
		return
	case client != s.Token && (!known || client != r.PostFormValue("subject_token")):
		refuse(401, "invalid_client", "The client must authenticate with an API token that is accepted here.", "")
		return
	case !known:
		refuse(400, "invalid_request", "subject_token must be a token of the client's organisation that is accepted here, and not an admin's.", "")
		return
	case r.PostFormValue("audience") != s.Provider.ID && r.PostFormValue("audience") != s.Provider.Slug:
		refuse(400, "invalid_target", "audience must name exactly one active provider.", "")
		return
	}
	a := s.newest(user)
	if a == nil || a.Status != models.AuthorizationActive {
		refuse(400, "interaction_required", "Nothing is connected to the provider. The person has to connect it.", s.connectURL())
		return
	}
	for scope := range strings.FieldsSeq(r.PostFormValue("scope")) {
		if !slices.Contains(a.Scopes, scope) {
			refuse(400, "invalid_scope", "The token has not been granted the scope.", s.connectURL())
			return
		}
	}
	send(w, 200, map[string]any{"access_token": a.access, "issued_token_type": "urn:ietf:params:oauth:token-type:access_token", "token_type": "Bearer",
		"expires_in": int(time.Until(a.expires).Seconds()), "scope": strings.Join(a.Scopes, " ")})
}

// Authorizations returns the ids of a user's authorizations, in the order in which they were made.
func (s *Server) Authorizations(user string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []string
	for _, id := range s.order {
		if a := s.authorizations[id]; a != nil && a.UserID == user {
			ids = append(ids, id)
		}
	}
	return ids
}
