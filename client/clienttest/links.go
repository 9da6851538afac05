package clienttest

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/grantd/grantd/models"
)

// link is a connect link.
type link struct {
	models.ConnectLink
	key     string  // what its address ends with
	result  string  // "" before the person returned
	account Account // that the person returned with
}

// Follow opens the address of a connect link as a person does who agrees at the upstream, with an account of theirs, and
// returns where the browser returns to: the link's returnUrl with link and result in its query.
func (s *Server) Follow(address string, a Account) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, key, _ := strings.Cut(address, "/connect/")
	for _, l := range s.links {
		if l.key != key || key == "" {
			continue
		}
		if l.Status != models.LinkOpen {
			return "", errors.New("the link was opened before")
		}
		if l.ReturnURL == "" || !l.Confirm {
			l.finish(s.connect(l.UserID, a))
			return l.ReturnURL, nil
		}
		l.Status, l.result = models.LinkReturned, "result-"+s.id()
		l.account = a
		back, err := url.Parse(l.ReturnURL)
		if err != nil {
			return "", err
		}
		query := back.Query()
		query.Set("link", l.ID)
		query.Set("result", l.result)
		back.RawQuery = query.Encode()
		return back.String(), nil
	}
	return "", errors.New("there is no link at this address")
}

func (l *link) finish(authorization string) {
	l.Status, l.AuthorizationID = models.LinkConnected, &authorization
}

func (s *Server) createLink(r *http.Request, _ string) (int, any) {
	var n struct {
		UserID, ProviderID, Slug, ReturnURL string
		Scopes                              []string
		ExpiresIn                           int64
		Confirm                             *bool
		SignIn, Popup                       bool
	}
	if err := json.NewDecoder(r.Body).Decode(&n); err != nil {
		return refuse(400, "The body is not valid JSON.")
	}
	switch {
	case n.UserID == "":
		return invalid("userId", "is required")
	case (n.ProviderID == "") == (n.Slug == ""):
		return invalid("providerId", "exactly one of providerId and slug must be given")
	case n.ProviderID != s.Provider.ID && n.Slug != s.Provider.Slug:
		return refuse(404, "OAuth provider not found.")
	}
	confirm := !n.SignIn
	if n.Confirm != nil {
		confirm = *n.Confirm
	}
	if !confirm && !n.SignIn {
		return invalid("confirm", "must be true, unless signIn is")
	}
	if confirm && n.ReturnURL == "" {
		return invalid("returnUrl", "is required, because the result that confirm/ takes is returned there")
	}
	life := 600 * time.Second
	if n.ExpiresIn > 0 {
		life = time.Duration(n.ExpiresIn) * time.Second
	}
	made := now()
	l := &link{key: "key-" + s.id(), ConnectLink: models.ConnectLink{ID: s.id(), OrgID: "acme", UserID: n.UserID, ProviderID: s.Provider.ID, ReturnURL: n.ReturnURL,
		Scopes: n.Scopes, Confirm: confirm, SignIn: n.SignIn, Popup: n.Popup, ExpiresAt: made.Add(life), CreatedAt: made, Status: models.LinkOpen}}
	s.links[l.ID] = l
	return 201, private{"id": l.ID, "url": s.URL + "/connect/" + l.key, "expiresAt": l.ExpiresAt}
}

func noLink() (int, any) { return refuse(404, "Connect link not found.") }

func (s *Server) getLink(r *http.Request, _ string) (int, any) {
	l := s.links[r.PathValue("id")]
	if l == nil {
		return noLink()
	}
	return 200, l.ConnectLink
}

func (s *Server) confirmLink(r *http.Request, _ string) (int, any) {
	var body struct{ Result, UserID string }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		return refuse(400, "The body is not valid JSON.")
	}
	l := s.links[r.PathValue("id")]
	switch {
	case l == nil:
		return noLink()
	case l.Status == models.LinkFailed:
		return refuse(410, "The link is over. Make another one.")
	case body.Result == "" || body.Result != l.result:
		return refuse(400, "This is not the result that the person returned with by this link. Nothing was changed.")
	case body.UserID != l.UserID:
		l.Status, l.Error = models.LinkFailed, models.LinkAnotherUser
		return 403, &problem{Message: "The link is for another user. It has ended, and nothing was connected.", ErrorFields: []models.FieldError{}, Detail: string(models.LinkAnotherUser)}
	case l.Status == models.LinkReturned:
		l.finish(s.connect(l.UserID, l.account))
	}
	return 200, private{"authorizedProvider": s.shown(s.authorizations[*l.AuthorizationID], false), "replaces": nil}
}
