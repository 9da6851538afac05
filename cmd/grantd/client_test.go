package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/commands"
	"github.com/grantd/grantd/models"
)

// asCommand has the test binary be grantd itself, for tests that need a real process.
const asCommand = "GRANTD_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// shell is a person's shell: what it has in its environment.
type shell struct {
	t    *testing.T
	vars []string
	// processes has each command run in a process of its own, and not in that of the test, which is quicker.
	processes bool
}

// newShell is the shell of somebody who has a folder for settings, and no context yet.
func newShell(t *testing.T) *shell {
	return &shell{t: t, vars: []string{"XDG_CONFIG_HOME=" + t.TempDir()}}
}

// signedIn is the shell of somebody who signed in.
func signedIn(t *testing.T, h *brokertest.Instance, who brokertest.Person) *shell {
	s := newShell(t)
	if o := s.given(who.Token.Reveal()+"\n", "login", h.URL, "--token"); o.code != exitOK {
		t.Fatalf("signing in: exit code %d\n%s", o.code, o.err)
	}
	return s
}

// given runs a command with a text on standard input.
func (s *shell) given(input string, args ...string) outcome {
	s.t.Helper()
	if !s.processes {
		var out, complaint bytes.Buffer
		code := run(s.t.Context(), args, console{strings.NewReader(input), &out, &complaint}, s.vars)
		return outcome{code, out.String(), complaint.String()}
	}
	cmd := exec.CommandContext(s.t.Context(), os.Args[0], args...)
	cmd.Env = append([]string{asCommand + "=1"}, s.vars...)
	cmd.Stdin = strings.NewReader(input)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	return outcome{cmd.ProcessState.ExitCode(), out.String(), complaint.String()}
}

func (s *shell) run(args ...string) outcome { s.t.Helper(); return s.given("", args...) }

// must is run where nothing may fail, and returns what was printed.
func (s *shell) must(args ...string) string {
	s.t.Helper()
	o := s.run(args...)
	if o.code != exitOK {
		s.t.Fatalf("grantd %s: exit code %d\n%s", strings.Join(args, " "), o.code, o.err)
	}
	return o.out
}

// object is must with -o json.
func (s *shell) object(args ...string) map[string]any {
	s.t.Helper()
	var v map[string]any
	out := s.must(append(args, "-o", "json")...)
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		s.t.Fatalf("grantd %v prints no JSON object: %v\n%s", args, err, out)
	}
	return v
}

func (s *shell) contextsFile() string {
	return filepath.Join(strings.TrimPrefix(s.vars[0], "XDG_CONFIG_HOME="), "grantd", "contexts.json")
}

func TestAPersonSignsInAndOut(t *testing.T) {
	t.Parallel()
	h := brokertest.New(t, nil)
	s := newShell(t)
	s.processes = true
	mustFail(t, s.run("providers", "list"), commands.ExitSignedOut, "run grantd login")
	mustFail(t, s.given("grd_nonsense\n", "login", h.URL, "--token"), commands.ExitSignedOut, "401")
	mustFail(t, s.given("\n", "login", h.URL, "--token"), exitUsage, "API token is expected")
	mustFail(t, s.given("x\n", "login", "http://grantd.example.com", "--token"), exitUsage, "must begin with https")
	mustFail(t, s.run("login", h.URL), exitUsage, "--token")
	if _, err := os.Stat(s.contextsFile()); err == nil {
		t.Error("a sign-in that failed is kept")
	}

	if o := s.given(h.Admin.Token.Reveal()+"\n", "login", h.URL, "--token", "--name", "work"); o.code != exitOK || strings.Contains(o.out+o.err, h.Admin.Token.Reveal()) {
		t.Fatalf("signing in: exit code %d\n%s%s", o.code, o.out, o.err)
	}
	if o := s.given(h.Other.Token.Reveal(), "login", h.URL, "--token", "--name", "globex"); o.code != exitOK {
		t.Fatalf("signing in elsewhere: %s", o.err)
	}
	for _, file := range []string{s.contextsFile(), filepath.Dir(s.contextsFile())} {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s may be read by others: %v %v", file, info.Mode(), err)
		}
	}
	h.Provider(t, "test")
	if out := s.must("providers", "list"); strings.Contains(out, "test provider") {
		t.Errorf("the context that was signed in last is not used:\n%s", out)
	}
	s.must("context", "use", "work")
	if out := s.must("providers", "list"); !strings.Contains(out, "test provider") {
		t.Errorf("the chosen context is not used:\n%s", out)
	}
	if out := s.must("providers", "list", "--context", "globex"); strings.Contains(out, "test provider") {
		t.Errorf("--context is not used:\n%s", out)
	}
	if out := s.must("whoami"); !regexp.MustCompile(`(?m)^organisation +acme$`).MatchString(out) || !regexp.MustCompile(`(?m)^role +admin$`).MatchString(out) || strings.Contains(out, "grd_") {
		t.Errorf("the admin is\n%s", out)
	}
	list := s.must("context", "list")
	if strings.Contains(list, "grd_") || !regexp.MustCompile(`(?m)^\*  work +http`).MatchString(list) {
		t.Errorf("the contexts are listed as\n%s", list)
	}
	// Its token is for the grantd that it was made for.
	mustFail(t, s.run("providers", "list", "--url", "http://127.0.0.1:1"), exitUsage, "another grantd")

	s.must("logout")
	mustFail(t, s.run("providers", "list"), commands.ExitSignedOut, "run grantd login")
	if raw, err := os.ReadFile(s.contextsFile()); err != nil || strings.Contains(string(raw), h.Admin.Token.Reveal()) {
		t.Errorf("the token is kept after the sign-out (%v)", err)
	}
	if err := os.Chmod(s.contextsFile(), 0o644); err != nil {
		t.Fatal(err)
	}
	mustFail(t, s.run("context", "list"), exitFailure, "chmod 600")

	byVariable := &shell{t: t, vars: []string{"GRANTD_URL=" + h.URL, "GRANTD_TOKEN=" + h.Admin.Token.Reveal()}, processes: true}
	mustFail(t, byVariable.run("providers", "list", "--context", "work"), exitUsage, "unset one of them")
	if out := byVariable.must("providers", "list"); !strings.Contains(out, "test provider") {
		t.Errorf("the token of the environment is not used:\n%s", out)
	}
}

func TestAnAdminManagesProvidersByCommands(t *testing.T) {
	t.Parallel()
	h := brokertest.New(t, nil)
	s := signedIn(t, h, h.Admin)
	s.vars = append(s.vars, "CLIENT_SECRET="+brokertest.ClientSecret)
	mustFail(t, s.run("providers", "create", "--type", "test", "--client-id", brokertest.ClientID, "--name", "Git", "--secret-env", "ABSENT"), exitUsage, "--secret-env")
	mustFail(t, s.run("providers", "create", "--type", "nothing", "--client-id", "x", "--name", "Git", "--secret-env", "CLIENT_SECRET"), exitUsage, "type: must be one of")

	made := s.object("providers", "create", "--type", "test", "--client-id", brokertest.ClientID, "--name", "Git", "--slug", "git", "--secret-env", "CLIENT_SECRET",
		"--scope", "repo", "--scope", "user", "--config", "device=true", "--config", `authorizeParams={"audience":"x"}`, "--description", "Line one\nline two")
	if made["slug"] != "git" || fmt.Sprint(made["scopes"]) != "[repo user]" || fmt.Sprint(made["config"]) != "map[authorizeParams:map[audience:x] device:true]" {
		t.Errorf("made %v", made)
	}
	// What others write does not reach a terminal as it is. grantd lets a joiner through, as emoji need it.
	if _, err := h.Admin.Client.ChangeProvider(t.Context(), made["id"].(string), models.ProviderPatch{Name: new("Git\u200d")}); err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"table", "json", "yaml"} {
		out := s.must("providers", "get", "git", "-o", format)
		if strings.Contains(out, "\u200d") || !strings.Contains(out, `Git\u200d`) {
			t.Errorf("%s shows what is not printable:\n%q", format, out)
		}
	}
	var inYAML map[string]any
	if err := yaml.Unmarshal([]byte(s.must("providers", "get", "git", "-o", "yaml")), &inYAML); err != nil || inYAML["name"] != "Git\u200d" || inYAML["description"] != "Line one\nline two" {
		t.Errorf("YAML reads back as %v (%v)", inYAML, err)
	}
	changed := s.object("providers", "update", "git", "--name", "Code", "--scope=", "--config", "device=", "--config", "pkce=false", "--skip-consent")
	if changed["name"] != "Code" || fmt.Sprint(changed["scopes"]) != "[]" || changed["skipConsent"] != true || fmt.Sprint(changed["config"]) != "map[authorizeParams:map[audience:x] pkce:false]" {
		t.Errorf("changed to %v", changed)
	}
	mustFail(t, s.run("providers", "update", "git"), exitUsage, "say what to change")
	mustFail(t, s.run("providers", "get", "absent"), commands.ExitNotFound, `no provider "absent"`)
	mustFail(t, s.run("providers", "delete", "git"), exitUsage, "--yes")

	p, err := h.Admin.Client.Provider(t.Context(), made["id"].(string))
	if err != nil {
		t.Fatal(err)
	}
	h.Consent(t, h.User, p, "ada")
	o := s.run("providers", "delete", "git", "--yes", "--watch")
	if o.code != exitOK || !regexp.MustCompile(`(?m)^status +COMPLETED$`).MatchString(o.out) || !regexp.MustCompile(`(?m)^revoked +1$`).MatchString(o.out) {
		t.Errorf("the deletion ended with %d:\n%s%s", o.code, o.out, o.err)
	}
	if !strings.Contains(o.err, "COMPLETED: 1 of 1") || strings.ContainsAny(o.err, "\r\x1b") {
		t.Errorf("the progress, off a terminal, is %q", o.err)
	}
	jobs := s.must("jobs", "list", "--type", "DELETE_PROVIDER", "-o", "json")
	var list []models.Job
	if err := json.Unmarshal([]byte(jobs), &list); err != nil || len(list) != 1 {
		t.Fatalf("the jobs are %s (%v)", jobs, err)
	}
	s.must("jobs", "watch", list[0].ID)
	if out := s.must("audit", "--action", "provider.created", "--action", "provider.deleted"); !strings.Contains(out, "provider.created") || strings.Contains(out, "provider.changed") {
		t.Errorf("the audit trail is\n%s", out)
	}
	if out := s.must("audit", "--export", "--since", "1h"); strings.Count(out, "\n") < 3 || !json.Valid([]byte(strings.SplitN(out, "\n", 2)[0])) {
		t.Errorf("the export is\n%s", out)
	}
	s.must("stats", "--count", "--watch")
	if out := s.must("stats"); !strings.HasPrefix(out, "DAY") {
		t.Errorf("the statistics are\n%s", out)
	}
	mustFail(t, signedIn(t, h, h.User).run("audit"), commands.ExitSignedOut, "403")
}

func TestAPersonUsesConnectionsByCommands(t *testing.T) {
	t.Parallel()
	h := brokertest.New(t, nil)
	p := h.Provider(t, "test")
	if _, err := h.Admin.Client.ChangeProvider(t.Context(), p.ID, models.ProviderPatch{Config: &map[string]any{"device": true}}); err != nil {
		t.Fatal(err)
	}
	s := signedIn(t, h, h.User)
	if out := s.must("connections", "connect", p.Slug); !strings.Contains(out, h.URL+"/external-auth/"+p.ID+"/callback") {
		t.Errorf("the page to connect at is %s", out)
	}
	a := h.Consent(t, h.User, p, "ada")
	if out := s.must("connections", "list", "--provider", p.Slug); !strings.Contains(out, a.ID) || !strings.Contains(out, "active") {
		t.Errorf("the connections are\n%s", out)
	}
	colleague := signedIn(t, h, h.Colleague)
	asked := make(chan struct{})
	said, ended := &signalling{text: "Open this address", found: func() { close(asked) }}, make(chan int, 1)
	go func() {
		ended <- run(t.Context(), []string{"connections", "connect", p.Slug, "--wait"}, console{strings.NewReader(""), said, said}, colleague.vars)
	}()
	<-asked
	h.Consent(t, h.Colleague, p, "grace")
	if code := <-ended; code != exitOK || !strings.Contains(said.String(), "Connected at") {
		t.Errorf("waiting for a connection ended with %d: %s", code, said.String())
	}
	token := s.must("connections", "token", a.ID)
	if want, err := h.User.Client.Token(t.Context(), a.ID); err != nil || token != want.AccessToken.Reveal()+"\n" {
		t.Errorf("the token is %q, which is not the one that the API gives (%v)", token, err)
	}
	if k := s.object("connections", "token", a.ID); k["accessToken"] != strings.TrimSpace(token) || k["expiresAt"] == nil {
		t.Errorf("as JSON the token is %v", k)
	}
	if out := s.must("connections", "check", a.ID); !regexp.MustCompile(`(?m)^valid +yes$`).MatchString(out) {
		t.Errorf("the check says\n%s", out)
	}
	if out := s.must("connections", "reset", a.ID); strings.Contains(out, "gho_") || !strings.Contains(out, a.ID) {
		t.Errorf("the reset says\n%s", out)
	}
	if again := s.must("connections", "token", a.ID); again == token {
		t.Error("the token is the same after a reset")
	}
	mustFail(t, s.run("connections", "token", "0197f0a0-0000-7000-8000-000000000000"), commands.ExitNotFound, "404")
	admin := signedIn(t, h, h.Admin)
	mustFail(t, admin.run("connections", "token", a.ID), commands.ExitSignedOut, "403")
	s.must("connections", "disconnect", a.ID)
	mustFail(t, s.run("connections", "get", a.ID), commands.ExitNotFound, "404")

	service := signedIn(t, h, h.Limited(t, broker.NewAPIToken{OrgID: "acme", UserID: "app-web", Role: models.RoleService, Providers: []string{p.ID}, ReturnOrigins: []string{"https://app.example.com"}}))
	mustFail(t, service.run("connections", "list"), exitUsage, "userId")
	if out := service.must("connections", "list", "--as", "ada"); !strings.HasPrefix(out, "ID") {
		t.Errorf("a service sees %s", out)
	}
	if me := service.object("whoami", "--as", "ada"); me["userId"] != "app-web" || me["role"] != "service" || fmt.Sprint(me["providers"]) != "["+p.ID+"]" || me["authenticatedBy"] != "apiToken" {
		t.Errorf("the service is %v", me)
	}
	link := service.object("links", "create", "--user", "ada", "--provider", p.Slug, "--return-url", "https://app.example.com/done")
	if out := service.must("links", "get", link["id"].(string)); !strings.Contains(out, "open") {
		t.Errorf("the link is\n%s", out)
	}
	service.must("links", "withdraw", link["id"].(string))

	made := admin.given("", "tokens", "create", "--role", "user", "--user", "app-nightly", "--name", "Nightly")
	if made.code != exitOK || !strings.HasPrefix(made.out, "grd_") || strings.Contains(made.err, "grd_") {
		t.Fatalf("making a token: %d %s%s", made.code, made.out, made.err)
	}
	list := admin.must("tokens", "list", "--user", "app-nightly")
	id := regexp.MustCompile(`(?m)^(\S+) +app-nightly`).FindStringSubmatch(list)
	if id == nil || strings.Contains(list, strings.TrimSpace(made.out)) {
		t.Fatalf("the tokens are\n%s", list)
	}
	admin.must("tokens", "revoke", id[1])
	if out := admin.must("tokens", "list", "--user", "app-nightly"); !strings.Contains(out, "revoked") {
		t.Errorf("the token that was revoked is listed as\n%s", out)
	}
}

// provider is an OpenID provider as far as a command line needs one: a device flow, a code flow with PKCE, and refresh
// tokens that work once.
type openIDProvider struct {
	t      *testing.T
	url    string
	issuer *brokertest.Issuer

	mu      sync.Mutex
	life    int64 // of an id_token, in seconds
	polls   int
	refresh int // how many refresh tokens were given out
	ask     url.Values
}

func newOpenIDProvider(t *testing.T) *openIDProvider {
	p := &openIDProvider{t: t, issuer: brokertest.NewIssuer(t), life: 3600}
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, status int, v any) {
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, map[string]any{"issuer": p.url, "authorization_endpoint": p.url + "/authorize", "token_endpoint": p.url + "/token",
			"device_authorization_endpoint": p.url + "/device", "scopes_supported": []string{"openid", "offline_access"}})
	})
	mux.HandleFunc("POST /device", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("client_id") != "grantd-cli" || r.FormValue("scope") != "openid offline_access" {
			answer(w, 400, map[string]any{"error": "invalid_client"})
			return
		}
		answer(w, 200, map[string]any{"device_code": "handle", "user_code": "WDJB-MJHT", "verification_uri": "https://idp.example/device\x1b[2J", "interval": 1})
	})
	mux.HandleFunc("GET /authorize", func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.ask = r.URL.Query()
		back := p.ask.Get("redirect_uri") + "?" + url.Values{"code": {"code-1"}, "state": {p.ask.Get("state")}, "iss": {p.url}}.Encode()
		http.Redirect(w, r, back, http.StatusFound)
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		_ = r.ParseForm()
		var nonce any
		switch r.Form.Get("grant_type") {
		case "urn:ietf:params:oauth:grant-type:device_code":
			if p.polls++; p.polls == 1 {
				answer(w, 400, map[string]any{"error": "authorization_pending"})
				return
			}
		case "authorization_code":
			nonce = p.ask.Get("nonce")
			if r.Form.Get("code") != "code-1" || challengeOf(r.Form.Get("code_verifier")) != p.ask.Get("code_challenge") || r.Form.Get("redirect_uri") != p.ask.Get("redirect_uri") {
				answer(w, 400, map[string]any{"error": "invalid_grant"})
				return
			}
		default:
			if r.Form.Get("refresh_token") != fmt.Sprintf("refresh-%d", p.refresh) {
				answer(w, 400, map[string]any{"error": "invalid_grant"})
				return
			}
		}
		p.refresh++
		claims := map[string]any{"iss": p.url, "nonce": nonce}
		if p.life > 0 {
			claims["exp"] = p.issuer.Claims("", nil)["iat"].(int64) + p.life
		}
		answer(w, 200, map[string]any{"access_token": "opaque", "token_type": "Bearer", "refresh_token": fmt.Sprintf("refresh-%d", p.refresh),
			"id_token": p.issuer.Bearer(t, "ada", claims).Reveal()})
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	p.url = server.URL
	return p
}

// given is how many refresh tokens were given out.
func (p *openIDProvider) given() (n int) {
	p.set(func() { n = p.refresh })
	return n
}

func (p *openIDProvider) set(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

// trusting is an instance that accepts the provider's tokens.
func (p *openIDProvider) trusting(t *testing.T) *brokertest.Instance {
	source := p.issuer.Source()
	source.Issuer, source.URL = p.url, p.issuer.URL+"/keys"
	return brokertest.New(t, &brokertest.Options{Allow: []string{p.issuer.Host()}, Issuers: []broker.TrustedIssuer{{
		Name: "corp", Keys: source, Audience: brokertest.Audience, Org: "acme", User: broker.UserClaim{Template: "sub"}, Role: models.RoleUser, MaxAge: 24 * time.Hour,
		Rules: []broker.Rule{{Claim: "sub", Value: "ada"}},
	}}})
}

func TestAPersonSignsInAtAnIssuerWithADevice(t *testing.T) {
	t.Parallel()
	idp := newOpenIDProvider(t)
	h := idp.trusting(t)
	h.Provider(t, "test")
	s := newShell(t)
	mustFail(t, s.run("login", h.URL, "--issuer", idp.url), exitUsage, "--client-id")
	mustFail(t, s.run("login", h.URL, "--issuer", idp.url, "--client-id", "other"), commands.ExitSignedOut, "invalid_client")
	idp.set(func() { idp.life = 20 }) // so short that each command has it renewed
	o := s.run("login", h.URL, "--issuer", idp.url, "--client-id", "grantd-cli", "--name", "corp")
	if o.code != exitOK || !strings.Contains(o.err, "WDJB-MJHT") || strings.Contains(o.err, "\x1b") {
		t.Fatalf("signing in: exit code %d\n%q", o.code, o.err)
	}
	for range 2 {
		if out := s.must("providers", "list"); !strings.Contains(out, "test provider") {
			t.Errorf("the providers are\n%s", out)
		}
	}
	// Several at once wait for each other: a refresh token works once.
	s.processes = true
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			if o := s.run("providers", "list"); o.code != exitOK {
				t.Errorf("beside others: exit code %d, %s", o.code, o.err)
			}
		})
	}
	all.Wait()
	if n := idp.given(); n != 6 {
		t.Errorf("%d tokens were given out for a sign-in and five commands", n)
	}
	if out := s.must("context", "list", "-o", "json"); strings.Contains(out, "refresh-") || !strings.Contains(out, idp.url) {
		t.Errorf("the contexts are %s", out)
	}
	// A refresh token that was used elsewhere ends the sign-in.
	idp.set(func() { idp.refresh = 100 })
	mustFail(t, s.run("providers", "list"), commands.ExitSignedOut, "run grantd login again")
}

func TestAPersonSignsInAtAnIssuerWithABrowser(t *testing.T) {
	t.Parallel()
	idp := newOpenIDProvider(t)
	h := idp.trusting(t)
	s := newShell(t)
	shown := make(chan struct{})
	said := &signalling{text: "/authorize?", found: func() { close(shown) }}
	ended := make(chan int, 1)
	go func() {
		ended <- run(t.Context(), []string{"login", h.URL, "--issuer", idp.url, "--client-id", "grantd-cli", "--browser"}, console{strings.NewReader(""), said, said}, s.vars)
	}()
	<-shown
	at := regexp.MustCompile(`http://\S+/authorize\?\S+`).FindString(said.String())
	// A page that somebody else sends the browser to is not the answer.
	ask, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	if a, err := http.Get(ask.Query().Get("redirect_uri") + "?code=stolen&state=guessed"); err != nil || a.StatusCode != http.StatusBadRequest {
		t.Errorf("an answer with another state: %v %v", a, err)
	} else {
		a.Body.Close()
	}
	a, err := http.Get(at)
	if err != nil {
		t.Fatal(err)
	}
	a.Body.Close()
	if code := <-ended; code != exitOK {
		t.Fatalf("signing in: exit code %d\n%s", code, said.String())
	}
	s.must("connections", "list")
}

func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
