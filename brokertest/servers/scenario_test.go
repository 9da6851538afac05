package servers_test

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/brokertest/servers"
)

// object is JSON as it went over the wire.
type object = map[string]any

const (
	api      = "/api/v2/externalOAuth/"
	callback = api + "providers/callback/"
)

// together is how many callers want a token at the same time.
const together = 20

// scenario is the whole life of the authorizations at one registration of a server, with the access tokens that grantd
// handed out on the way.
type scenario struct {
	*testing.T
	server   servers.Server
	way      servers.Registration
	h        *brokertest.Instance
	provider string

	handedOut map[string]string // access token → what it was handed out for
	mayLive   map[string]bool   // access tokens of which grantd said that they may live on
}

// play plays every way to register the server, each on a server of its own: what is left over is counted.
func play(t *testing.T, start func(testing.TB) servers.Server) {
	t.Parallel()
	first := start(t)
	for i, way := range first.Registrations() {
		t.Run(way.Name, func(t *testing.T) {
			server := first
			if i > 0 {
				server = start(t)
			}
			way := server.Registrations()[i]
			s := &scenario{T: t, server: server, way: way, handedOut: map[string]string{}, mayLive: map[string]bool{},
				h: brokertest.New(t, &brokertest.Options{Allow: []string{server.Addr()}, RedirectAllow: []string{"http://127.0.0.1:5173"}})}
			s.provider = s.register()
			s.play()
		})
	}
}

func (s *scenario) play() {
	ada := s.consent(s.provider, s.h.User, "ada")
	s.expires(ada)
	s.endsUpstream(ada)
	s.reset(ada)
	s.consentsAgain(ada)
	s.revokesToken(ada)

	s.token(s.h.Colleague, s.consent(s.provider, s.h.Colleague, "grace"), "grace's consent")
	if s.way.Devices {
		s.token(s.h.User, s.device("heidi"), "heidi's device")
	}
	// The same client again, and a person who consents to both.
	twin := s.register()
	s.token(s.h.Colleague, s.consent(twin, s.h.Colleague, "grace"), "grace's consent to the second provider")

	s.deleted(s.provider)
	s.deleted(twin)
	s.nothingIsLeft()
}

func (s *scenario) register() string {
	s.Helper()
	return text(s, s.do(201, s.h.Admin, "POST", api+"providers/", s.way.Body), "id")
}

// consent lets the person consent, and returns the authorization.
func (s *scenario) consent(provider string, who brokertest.Person, person string) string {
	s.Helper()
	begun := s.do(200, who, "POST", api+"providers/"+provider+"/authorize/?"+url.Values{"redirect_uri": {servers.RedirectURI}}.Encode(), nil)
	back := s.server.Consent(s, text(s, begun, "redirectUrl"), person).Query()
	if back.Get("code") == "" {
		s.Fatalf("the server sent the person back with %v", back)
	}
	done := s.do(200, who, "POST", callback, object{"providerId": provider, "state": back.Get("state"), "code": back.Get("code"), "iss": back.Get("iss")})
	s.isAbout(done["userInfo"].(object), person)
	return text(s, done["authorizedProvider"].(object), "id")
}

func (s *scenario) isAbout(user object, person string) {
	s.Helper()
	if user["email"] != person+"@example.test" || user["sub"] == "" || user["name"] == "" {
		s.Errorf("the user is %v, want %s", user, person)
	}
}

// token fetches the access token and keeps it in mind.
func (s *scenario) token(who brokertest.Person, authorization, what string) string {
	s.Helper()
	return s.handOut(s.do(201, who, "POST", s.at(authorization, "token/"), nil), what)
}

func (s *scenario) handOut(answer object, what string) string {
	s.Helper()
	token := text(s, answer, "accessToken")
	s.handedOut[token] = what
	if !s.server.Accepts(s, token) {
		s.Errorf("the server does not accept the token after %s", what)
	}
	return token
}

// expires: many callers at the same time, one refresh.
func (s *scenario) expires(authorization string) {
	s.Helper()
	old := s.token(s.h.User, authorization, "the consent")
	s.server.Expire(s, "ada")
	s.change(`UPDATE credentials SET refresh_after = saved_at, expires_at = saved_at`)

	var mu sync.Mutex
	var all sync.WaitGroup
	got := map[string]int{}
	for range together {
		all.Go(func() {
			answer := s.plainly("POST", s.at(authorization, "token/"))
			mu.Lock()
			defer mu.Unlock()
			got[answer]++
		})
	}
	all.Wait()
	if len(got) != 1 || got[""] > 0 || got[old] > 0 {
		s.Fatalf("%d callers got %d different tokens, the old one %d times, none %d times", together, len(got), got[old], got[""])
	}
	s.handedOut[slices.Collect(maps.Keys(got))[0]] = "the refresh"
	if held := s.server.Living(s); held != (servers.Living{Refresh: 1, Access: 1}) {
		s.Errorf("after the refresh the server holds %+v, want one pair", held)
	}
}

// endsUpstream: the server says that the access token is invalid before its time. A check tells so, and user info is
// answered with a fresh token. Where the server does not say so, neither do we: nobody is told that the token is good.
func (s *scenario) endsUpstream(authorization string) {
	s.Helper()
	if s.way.Silent {
		s.server.Expire(s, "ada")
		s.do(502, s.h.User, "GET", s.at(authorization, "userinfo/"), nil)
		s.do(502, s.h.User, "POST", s.at(authorization, "check/"), nil)
		s.change(`UPDATE credentials SET refresh_after = saved_at, expires_at = saved_at`)
		s.token(s.h.User, authorization, "its time by our clock")
		s.checked(authorization, true)
		return
	}
	s.checked(authorization, true)
	s.server.Expire(s, "ada")
	s.isAbout(s.do(200, s.h.User, "GET", s.at(authorization, "userinfo/"), nil), "ada")
	s.token(s.h.User, authorization, "the user info")
	s.server.Expire(s, "ada")
	s.checked(authorization, false)
}

func (s *scenario) checked(authorization string, valid bool) {
	s.Helper()
	if check := s.do(200, s.h.User, "POST", s.at(authorization, "check/"), nil); check["valid"] != valid {
		s.Errorf("a check says %v, want valid: %v", check, valid)
	}
}

// reset: the answer about the old token is true.
func (s *scenario) reset(authorization string) {
	s.Helper()
	old := s.token(s.h.User, authorization, "the check")
	answer := s.do(201, s.h.User, "POST", s.at(authorization, "reset/"), nil)
	if fresh := s.handOut(answer, "the reset"); fresh == old {
		s.Error("the reset brought the old token")
	}
	lives := s.server.Accepts(s, old)
	observed := !lives && !s.way.Silent // what nobody can observe is not claimed
	if answer["oldTokenRevoked"] != observed {
		s.Errorf("the reset says oldTokenRevoked: %v, and the server accepts the old token: %v", answer["oldTokenRevoked"], lives)
	}
	s.mayLive[old] = answer["oldTokenRevoked"] == false
}

// consentsAgain: the authorization stays, and the old pair is given back.
func (s *scenario) consentsAgain(authorization string) {
	s.Helper()
	if again := s.consent(s.provider, s.h.User, "ada"); again != authorization {
		s.Errorf("the same person's second consent made the authorization %s, want %s", again, authorization)
	}
	s.token(s.h.User, authorization, "the second consent")
}

// revokesToken: DELETE token/.
func (s *scenario) revokesToken(authorization string) {
	s.Helper()
	token := s.token(s.h.User, authorization, "the second consent")
	if answer := s.do(200, s.h.User, "DELETE", s.at(authorization, "token/"), nil); answer["outcome"] != "revoked" || answer["status"] != "expired" {
		s.Errorf("DELETE token/ says %v", answer)
	}
	if s.server.Accepts(s, token) {
		s.Error("the server accepts the token that was revoked")
	}
	s.do(410, s.h.User, "POST", s.at(authorization, "token/"), nil)
}

// device lets the person consent on another device.
func (s *scenario) device(person string) string {
	s.Helper()
	begun := s.do(201, s.h.User, "POST", api+"providers/"+s.provider+"/device/", nil)
	s.server.ApproveDevice(s, text(s, begun, "userCode"), person)
	s.change(`UPDATE flows SET next_poll_at = created_at`)
	done := s.do(200, s.h.User, "POST", api+"providers/"+s.provider+"/device/poll/", object{"deviceCode": begun["deviceCode"]})
	s.isAbout(done["userInfo"].(object), person)
	return text(s, done["authorizedProvider"].(object), "id")
}

// deleted deletes a provider, and wants its job to end well.
func (s *scenario) deleted(provider string) {
	s.Helper()
	location, err := url.Parse(text(s, s.do(202, s.h.Admin, "DELETE", api+"providers/"+provider+"/", nil), "location"))
	if err != nil {
		s.Fatal(err)
	}
	var job object
	brokertest.Eventually(s, "the deletion ends", func() bool {
		job = s.do(200, s.h.Admin, "GET", location.Path, nil)
		return job["status"] == "COMPLETED" || job["status"] == "ERROR"
	})
	s.Logf("the deletion ended with %v", job["details"])
	if job["status"] != "COMPLETED" {
		s.Errorf("the deletion ended %v", job)
	}
}

// nothingIsLeft looks inside the server. No refresh token lives, and of the access tokens only those of which grantd said
// that they may.
func (s *scenario) nothingIsLeft() {
	s.Helper()
	living := 0
	for token, what := range s.handedOut {
		if !s.server.Accepts(s, token) {
			continue
		}
		living++
		if !s.mayLive[token] {
			s.Errorf("the token after %s lives, and nobody was told", what)
		}
	}
	if held, want := s.server.Living(s), (servers.Living{Access: living}); held != want {
		s.Errorf("in the end the server holds %+v, want %+v", held, want)
	}
}

func (s *scenario) at(authorization, what string) string {
	return api + "authorizedProviders/" + authorization + "/" + what
}

func (s *scenario) do(status int, who brokertest.Person, method, path string, body any) object {
	s.Helper()
	answer := s.h.Do(s, who, method, path, body)
	if answer.Status != status {
		s.Fatalf("%s %s: got %d, want %d: %.600s", method, path, answer.Status, status, answer.Body)
	}
	if len(answer.Body) == 0 {
		return nil
	}
	return answer.JSON(s)
}

// plainly is a request from a goroutine: the access token in its answer, "" where it was refused.
func (s *scenario) plainly(method, path string) string {
	r, err := http.NewRequest(method, s.h.URL+path, nil)
	if err != nil {
		s.Error(err)
		return ""
	}
	r.Header.Set("Authorization", "Bearer "+s.h.User.Token.Reveal())
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		s.Error(err)
		return ""
	}
	defer response.Body.Close()
	var answer struct{ AccessToken string }
	said, err := io.ReadAll(response.Body)
	if err != nil || json.Unmarshal(said, &answer) != nil || response.StatusCode != 201 {
		s.Errorf("%s %s: %s %.300s", method, path, response.Status, said)
	}
	return answer.AccessToken
}

// change writes to grantd's database, for what only time would bring about.
func (s *scenario) change(statement string) {
	s.Helper()
	if _, err := brokertest.SQL(s, s.h.DatabaseURL).Exec(statement); err != nil {
		s.Fatalf("%s: %v", statement, err)
	}
}

func text(t testing.TB, o object, name string) string {
	t.Helper()
	value, ok := o[name].(string)
	if !ok {
		t.Fatalf("%s is %v, want a string", name, o[name])
	}
	return value
}
