package testidp

import (
	"crypto/hmac"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"html/template"
	"net/http"
	"net/url"
	"strings"
)

//go:embed page.html
var pageSource string

var page = template.Must(template.New("page").Parse(pageSource))

// pageData is what the page shows: an error, or a question.
type pageData struct {
	Error   string
	AskCode bool // for a device's user code
	Decided bool // the device will know

	UserCode string
	Client   string
	Scopes   []string
	ReturnTo string
	Handle   string
	People   []person
	Chosen   string
}

const browserCookie = "testidp_browser"

func (s *Server) showConsent(w http.ResponseWriter, r *http.Request, a ask) {
	browser := s.browser(w, r)
	chosen := findPerson(a.Hint)
	people := builtIn
	if chosen.ID > int64(len(builtIn)) {
		people = append([]person{chosen}, builtIn...)
	}
	returnTo, _ := url.Parse(a.Redirect)
	show(w, http.StatusOK, pageData{
		UserCode: a.UserCode,
		Client:   a.Client,
		Scopes:   strings.Fields(a.Scope),
		ReturnTo: returnTo.Host,
		Handle:   s.seal(a, browser),
		People:   people,
		Chosen:   chosen.Login,
	})
}

// decide takes the person's answer.
func (s *Server) decide(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	cookie, err := r.Cookie(browserCookie)
	if err != nil {
		showError(w, "This page was opened in another browser, or cookies are switched off.")
		return
	}
	a, ok := s.unseal(r.PostFormValue("handle"), cookie.Value)
	login := r.PostFormValue("person")
	if !ok || !validLogin(login) {
		showError(w, "This page is too old or was not made for this browser. Please start again.")
		return
	}
	allow := r.PostFormValue("decision") == "allow"
	if a.UserCode != "" {
		s.decideDevice(w, a, login, allow)
		return
	}
	if !allow {
		a.answer(w, r, url.Values{"error": {"access_denied"}})
		return
	}
	s.allow(w, r, a, login)
}

// browser returns the cookie that ties a handle to the browser it was shown
// to; another site can post a form, but has no handle that fits.
func (s *Server) browser(w http.ResponseWriter, r *http.Request) string {
	if c, err := r.Cookie(browserCookie); err == nil {
		return c.Value
	}
	value := s.secret("")
	http.SetCookie(w, &http.Cookie{
		Name: browserCookie, Value: value, Path: "/", HttpOnly: true,
		Secure: r.TLS != nil, SameSite: http.SameSiteLaxMode,
	})
	return value
}

func (s *Server) seal(a ask, browser string) string {
	b, err := json.Marshal(a)
	must(err)
	body := base64.RawURLEncoding.EncodeToString(b)
	return body + "." + s.sign(body, browser)
}

func (s *Server) unseal(handle, browser string) (a ask, ok bool) {
	body, mac, _ := strings.Cut(handle, ".")
	if !same(mac, s.sign(body, browser)) {
		return ask{}, false
	}
	b, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil || json.Unmarshal(b, &a) != nil {
		return ask{}, false
	}
	return a, s.now().Unix() < a.Expires
}

func (s *Server) sign(body, browser string) string {
	mac := hmac.New(sha256.New, s.handleKey)
	mac.Write([]byte(browser + "." + body))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func showError(w http.ResponseWriter, text string) {
	show(w, http.StatusBadRequest, pageData{Error: text})
}

// show writes the page. The policy has no form-action: browsers apply it to
// the redirect that follows the form as well, which goes to the client.
func show(w http.ResponseWriter, status int, data pageData) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; base-uri 'none'")
	w.WriteHeader(status)
	page.Execute(w, data)
}
