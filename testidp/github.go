package testidp

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

var gitHub = dialect{
	accessPrefix: "ghu_", refreshPrefix: "ghr_",
	devicePage:   "/login/device",
	lax:          true,
	splitScope:   splitGitHubScope,
	authenticate: (*Server).authenticateForm,
	fail:         failGitHub,
	answer:       answerGitHub,
}

// splitGitHubScope takes commas as well as spaces, as GitHub does.
func splitGitHubScope(scope string) []string {
	return strings.FieldsFunc(scope, func(r rune) bool { return r == ' ' || r == ',' })
}

// failGitHub is an error of GitHub's token endpoint: a success to a client that looks
// at the status only. A fault may give it another status.
func failGitHub(w http.ResponseWriter, r *http.Request, f *failure, status int) {
	if status != 0 {
		w.WriteHeader(status)
	}
	answerGitHub(w, r, map[string]any{
		"error":             f.gitHub,
		"error_description": f.description,
		"error_uri":         "https://docs.github.com/apps/managing-oauth-apps/troubleshooting-oauth-app-access-token-request-errors",
	})
}

// answerGitHub writes JSON to those who ask for it and a form to all others.
func answerGitHub(w http.ResponseWriter, r *http.Request, fields map[string]any) {
	if strings.Contains(r.Header.Get("Accept"), "application/json") {
		writeJSON(w, http.StatusOK, fields)
		return
	}
	form := url.Values{}
	for name, v := range fields {
		form.Set(name, formValue(v))
	}
	w.Header().Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	fmt.Fprint(w, form.Encode())
}

// formValue writes raw JSON, which faults put in, without its quotes.
func formValue(v any) string {
	raw, ok := v.(json.RawMessage)
	if !ok {
		return fmt.Sprint(v)
	}
	var text string
	if json.Unmarshal(raw, &text) != nil {
		text = string(raw)
	}
	return text
}

// failAPI is an error of GitHub's REST API.
func failAPI(w http.ResponseWriter, _ *http.Request, f *failure, status int) {
	if status == 0 {
		status = statusOf(f.code)
	}
	refuseAPI(w, status, f.gitHub)
}

func refuseAPI(w http.ResponseWriter, status int, message string) {
	writeJSON(w, status, map[string]string{"message": message, "documentation_url": "https://docs.github.com/rest"})
}

func (s *Server) apiUser(w http.ResponseWriter, r *http.Request) {
	p, ok := s.bearer(r)
	if !ok {
		failAPI(w, r, errInvalidToken, 0)
		return
	}
	writeJSON(w, http.StatusOK, p.gitHub(s.base(r)))
}

// apiEmails lists a second, unverified address too, so that clients have
// something to choose wrongly.
func (s *Server) apiEmails(w http.ResponseWriter, r *http.Request) {
	p, ok := s.bearer(r)
	if !ok {
		failAPI(w, r, errInvalidToken, 0)
		return
	}
	writeJSON(w, http.StatusOK, []map[string]any{
		{"email": "old." + p.email(), "primary": false, "verified": false, "visibility": nil},
		{"email": p.email(), "primary": true, "verified": true, "visibility": "private"},
	})
}

// apiInstallations says that every app is installed on the person's own account
// and on one organisation.
func (s *Server) apiInstallations(w http.ResponseWriter, r *http.Request) {
	p, ok := s.bearer(r)
	if !ok {
		failAPI(w, r, errInvalidToken, 0)
		return
	}
	base := s.base(r)
	organisation := map[string]any{"id": 1000, "login": "acme", "type": "Organization", "avatar_url": base + "/avatars/acme.svg", "html_url": base + "/acme"}
	writeJSON(w, http.StatusOK, map[string]any{"total_count": 2, "installations": []map[string]any{
		{"id": 10 + p.ID, "account": p.gitHub(base), "html_url": base + "/settings/installations/" + fmt.Sprint(10+p.ID)},
		{"id": 10, "account": organisation, "html_url": base + "/organizations/acme/settings/installations/10"},
	}})
}

// gitHub is the person in GitHub's shape; the public address is never set.
func (p person) gitHub(base string) map[string]any {
	return map[string]any{
		"id": p.ID, "login": p.Login, "name": p.Name(), "email": nil, "bio": p.Bio,
		"avatar_url": p.picture(base), "html_url": base + "/" + url.PathEscape(p.Login),
		"type": "User", "site_admin": false,
	}
}
