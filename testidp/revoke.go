package testidp

import (
	"net/http"
	"strings"
)

// revoke is RFC 7009. An unknown token is as good as revoked.
func (s *Server) revoke(w http.ResponseWriter, r *http.Request) {
	client, fail := s.clientOf(r)
	if fail == nil {
		fail = s.ledger.revoke(r.PostForm.Get("token"), client.ID)
	}
	if fail != nil {
		failStandard(w, r, fail, 0)
		return
	}
	w.WriteHeader(http.StatusOK)
}

// introspect is RFC 7662. A token of another client is not active here.
func (s *Server) introspect(w http.ResponseWriter, r *http.Request) {
	client, fail := s.clientOf(r)
	if fail != nil {
		failStandard(w, r, fail, 0)
		return
	}
	g, kind, ok := s.ledger.inspect(r.PostForm.Get("token"), client.ID, s.now())
	if !ok {
		writeJSON(w, http.StatusOK, map[string]any{"active": false})
		return
	}
	fields := map[string]any{
		"active": true, "client_id": g.client, "iss": s.base(r), "sub": g.user, "username": g.user,
		"iat": g.created.Unix(), "scope": g.scope, "exp": g.refreshExpires.Unix(),
	}
	if kind == accessKind {
		fields["token_type"], fields["scope"], fields["exp"] = "Bearer", g.accessScope, g.accessExpires.Unix()
	}
	writeJSON(w, http.StatusOK, fields)
}

// clientOf authenticates a client that presents a token.
func (s *Server) clientOf(r *http.Request) (Client, *failure) {
	if repeated(r.PostForm) || r.PostForm.Get("token") == "" {
		return Client{}, errRequest
	}
	return s.authenticate(r)
}

// userInfo is OIDC Core §5.3. Scopes do not gate the claims.
func (s *Server) userInfo(w http.ResponseWriter, r *http.Request) {
	p, ok := s.bearer(r)
	if !ok {
		failBearer(w, r, errInvalidToken, 0)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"sub": p.Login, "preferred_username": p.Login, "nickname": p.Login,
		"name": p.Name(), "given_name": p.Given, "family_name": p.Family,
		"email": p.email(), "email_verified": true,
		"picture": p.picture(s.base(r)), "locale": "en",
	})
}

// bearer finds whose access token came in the Authorization header.
func (s *Server) bearer(r *http.Request) (person, bool) {
	scheme, access, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") && !strings.EqualFold(scheme, "token") {
		return person{}, false
	}
	g, ok := s.ledger.find(access, "", s.now())
	if !ok {
		return person{}, false
	}
	return findPerson(g.user), true
}

// metadata is RFC 8414.
func (s *Server) metadata(w http.ResponseWriter, r *http.Request) {
	base := s.base(r)
	methods := []string{"client_secret_basic", "client_secret_post", "none"}
	writeJSON(w, http.StatusOK, map[string]any{
		"issuer":                                         base,
		"authorization_endpoint":                         base + "/authorize",
		"token_endpoint":                                 base + "/token",
		"device_authorization_endpoint":                  base + "/device",
		"revocation_endpoint":                            base + "/revoke",
		"introspection_endpoint":                         base + "/introspect",
		"userinfo_endpoint":                              base + "/userinfo",
		"scopes_supported":                               strings.Fields(defaultScope),
		"response_types_supported":                       []string{"code"},
		"grant_types_supported":                          []string{"authorization_code", "refresh_token", deviceGrantType},
		"code_challenge_methods_supported":               []string{"S256"},
		"token_endpoint_auth_methods_supported":          methods,
		"revocation_endpoint_auth_methods_supported":     methods,
		"introspection_endpoint_auth_methods_supported":  methods,
		"authorization_response_iss_parameter_supported": true,
	})
}
