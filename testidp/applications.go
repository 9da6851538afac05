package testidp

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// tokenOperation does one thing to an access token of a client whose
// credentials were right.
type tokenOperation func(w http.ResponseWriter, r *http.Request, c Client, access string)

// application wraps GitHub's REST endpoints for OAuth applications: Basic
// authentication of RFC 7617, nothing percent-encoded, and a JSON body that
// names the access token. Only an access token that lives will do; for any
// other, the answer is 404.
func (s *Server) application(do tokenOperation) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		client, fail := s.authenticatePlain(r)
		if fail != nil {
			refuseAPI(w, http.StatusUnauthorized, "Bad credentials")
			return
		}
		if client.ID != r.PathValue("client_id") {
			refuseAPI(w, http.StatusNotFound, "Not Found")
			return
		}
		var body struct {
			AccessToken string `json:"access_token"`
		}
		if json.NewDecoder(r.Body).Decode(&body) != nil || body.AccessToken == "" {
			refuseAPI(w, http.StatusUnprocessableEntity, "Validation Failed")
			return
		}
		do(w, r, client, body.AccessToken)
	}
}

func (s *Server) deleteGrant(w http.ResponseWriter, _ *http.Request, c Client, access string) {
	noContent(w, s.ledger.endAll(access, c.ID, s.now()))
}

func (s *Server) deleteToken(w http.ResponseWriter, _ *http.Request, c Client, access string) {
	noContent(w, s.ledger.endOne(access, c.ID, s.now()))
}

func (s *Server) checkToken(w http.ResponseWriter, r *http.Request, c Client, access string) {
	g, ok := s.ledger.find(access, c.ID, s.now())
	s.describe(w, r, g, ok)
}

func (s *Server) resetToken(w http.ResponseWriter, r *http.Request, c Client, access string) {
	g, ok := s.ledger.replace(access, c.ID, s.terms(gitHub))
	s.describe(w, r, g, ok)
}

func noContent(w http.ResponseWriter, found bool) {
	if !found {
		refuseAPI(w, http.StatusNotFound, "Not Found")
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// describe answers with the token's authorization.
func (s *Server) describe(w http.ResponseWriter, r *http.Request, g grant, found bool) {
	if !found {
		refuseAPI(w, http.StatusNotFound, "Not Found")
		return
	}
	base := s.base(r)
	hash := sha256.Sum256([]byte(g.access))
	writeJSON(w, http.StatusOK, map[string]any{
		"id":               g.id,
		"url":              base + "/api/v3/authorizations",
		"scopes":           strings.Fields(g.accessScope),
		"token":            g.access,
		"token_last_eight": g.access[len(g.access)-8:],
		"hashed_token":     hex.EncodeToString(hash[:]),
		"app":              map[string]string{"client_id": g.client, "name": g.client, "url": base},
		"note":             nil,
		"note_url":         nil,
		"fingerprint":      nil,
		"created_at":       g.created.UTC().Format(time.RFC3339),
		"updated_at":       g.created.UTC().Format(time.RFC3339),
		"expires_at":       g.accessExpires.UTC().Format(time.RFC3339),
		"user":             findPerson(g.user).gitHub(base),
	})
}
