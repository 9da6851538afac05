package providers

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/grantd/grantd/models"
)

// oauth2Config is a whole one below base; changes with nil as value leave keys out.
func oauth2Config(base string, changes map[string]any) map[string]any {
	config := map[string]any{"authStyle": "basic", "authorizeUrl": base + "/a?audience=x", "tokenUrl": base + "/t", "userInfoUrl": base + "/u",
		"revokeUrl": base + "/r", "introspectUrl": base + "/i", "deviceUrl": base + "/d", "settingsUrl": "https://idp.example/apps"}
	maps.Copy(config, changes)
	maps.DeleteFunc(config, func(_ string, v any) bool { return v == nil })
	return config
}

// oauth2Upstream is a server that only its config knows.
func oauth2Upstream(t *testing.T, changes map[string]any) (*fake, *Registry, Client) {
	t.Helper()
	f := newFake(t)
	r := newRegistry(t, Options{Allow: []string{f.host()}})
	return f, r, Client{Type: "oauth2", ID: "my id", Secret: theSecret, Scopes: []string{"read"}, Config: oauth2Config(f.URL, changes)}
}

func init() { dialects["oauth2"] = func(host string) dialect { return oauth2Dialect(host, nil) } }

// oauth2Dialect is a server that makes the most of what it may do, as an OpenID
// Provider might; it says nothing of scopes.
func oauth2Dialect(host string, changes map[string]any) dialect {
	base := "https://" + host
	return dialect{
		config:       oauth2Config(base, changes),
		authorizeURL: base + "/a", tokenURL: base + "/t", deviceURL: base + "/d", revokeURL: base + "/r", introspectURL: base + "/i",
		settingsURL:  "https://idp.example/apps",
		asks:         map[string]string{"audience": "x"},
		asksSkipping: map[string]string{"audience": "x"},

		basic:              true,
		rotation:           rotates,
		refreshKillsAccess: true,
		echo:               func([]string) map[string]any { return map[string]any{} },
		kills:              killsGrant,
		grantKillsAll:      true,
		resources:          map[string]func(*strict, *pair, *http.Request) (int, any){"GET " + base + "/u": adaClaims},
		user:               ada,
	}
}

// The whole life again, with a server that has its own names for people and no
// introspection, and wants a form.
func TestOAuth2ConformanceElsewhere(t *testing.T) {
	t.Parallel()
	d := oauth2Dialect("idp.example", map[string]any{"authStyle": "post", "introspectUrl": nil, "issuer": "https://idp.example",
		"claims": map[string]any{"sub": "data.0.id", "nickName": "data.0.login"}})
	d.basic, d.introspectURL, d.iss = false, "", "https://idp.example"
	d.resources = map[string]func(*strict, *pair, *http.Request) (int, any){
		"GET https://idp.example/u": func(*strict, *pair, *http.Request) (int, any) { return 200, `{"data":[{"id":7,"login":"ada"}]}` },
	}
	d.user = models.User{Sub: "7", NickName: "ada"}
	conform(t, "oauth2", "idp.example", d)
}

func TestOAuth2Settings(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, Options{Allow: []string{"localhost:9000"}})
	const base = "https://idp.example"
	for name, changes := range map[string]map[string]any{
		"whole":           {},
		"the least":       {"revokeUrl": nil, "introspectUrl": nil, "deviceUrl": nil, "settingsUrl": nil},
		"listed plain":    {"tokenUrl": "http://localhost:9000/t", "userInfoUrl": "http://localhost:9000/u"},
		"several hosts":   {"tokenUrl": "https://other.example/t"},
		"post":            {"authStyle": "post"},
		"none":            {"authStyle": "none"},
		"issuer":          {"issuer": base, "requireIss": true},
		"device":          {"device": true},
		"traits":          {"refreshKillsAccess": false, "revokesSingly": true},
		"claims":          {"claims": map[string]any{"sub": "data.0.id", "email": "mail", "description": "bio"}},
		"without PKCE":    {"pkce": false},
		"more parameters": {"authorizeParams": map[string]any{"access_type": "offline"}},
	} {
		if wrong := r.At(Client{Type: "oauth2", ID: "x", Config: oauth2Config(base, changes)}).Validate(); wrong != nil {
			t.Errorf("%s: %v", name, wrong)
		}
	}
	for _, tc := range []struct {
		field   string
		changes map[string]any
	}{
		{"authStyle", map[string]any{"authStyle": nil}},
		{"authStyle", map[string]any{"authStyle": "auto"}},
		{"authStyle", map[string]any{"authStyle": 1}},
		{"authorizeUrl", map[string]any{"authorizeUrl": nil}},
		{"tokenUrl", map[string]any{"tokenUrl": nil}},
		{"tokenUrl", map[string]any{"tokenUrl": "http://idp.example/t"}},
		{"tokenUrl", map[string]any{"tokenUrl": "http://localhost:9001/t"}},
		{"tokenUrl", map[string]any{"tokenUrl": "https://169.254.169.254/t"}},
		{"tokenUrl", map[string]any{"tokenUrl": "https://user@idp.example/t"}},
		{"tokenUrl", map[string]any{"tokenUrl": "https://idp.example/t#x"}},
		{"tokenUrl", map[string]any{"tokenUrl": "/t"}},
		{"tokenUrl", map[string]any{"tokenUrl": 7}},
		{"userInfoUrl", map[string]any{"userInfoUrl": nil}},
		{"userInfoUrl", map[string]any{"userInfoUrl": ""}},
		{"revokeUrl", map[string]any{"revokeUrl": "http://idp.example/r"}},
		{"introspectUrl", map[string]any{"introspectUrl": "ftp://idp.example/i"}},
		{"deviceUrl", map[string]any{"deviceUrl": "javascript:alert(1)"}},
		{"settingsUrl", map[string]any{"settingsUrl": "javascript:alert(1)"}},
		{"issuer", map[string]any{"issuer": "https://idp.example?x"}},
		{"requireIss", map[string]any{"requireIss": true}},
		{"device", map[string]any{"device": true, "deviceUrl": nil}},
		{"claims", map[string]any{"claims": "sub"}},
		{"claims", map[string]any{"claims": map[string]any{"id": "x"}}},
		{"claims", map[string]any{"claims": map[string]any{"sub": ""}}},
		{"claims", map[string]any{"claims": map[string]any{"sub": "a..b"}}},
		{"claims", map[string]any{"claims": map[string]any{"sub": ".a"}}},
		{"claims", map[string]any{"claims": map[string]any{"sub": "a\n"}}},
		{"claims", map[string]any{"claims": map[string]any{"sub": 1}}},
		{"claims", map[string]any{"claims": map[string]any{"sub": strings.Repeat("a", 256)}}},
		{"revokesSingly", map[string]any{"revokesSingly": "yes"}},
		{"token_url", map[string]any{"token_url": "https://idp.example/t"}},
	} {
		wrong := r.At(Client{Type: "oauth2", ID: "x", Config: oauth2Config(base, tc.changes)}).Validate()
		if len(wrong) != 1 || wrong[0].Name != "config."+tc.field {
			t.Errorf("%v: %v", tc.changes, wrong)
		}
	}
	if wrong := r.At(Client{Type: "oauth2", ID: "x", Host: "idp.example", Config: oauth2Config(base, nil)}).Validate(); len(wrong) != 1 || wrong[0].Name != "metadata.host" {
		t.Errorf("%v", wrong)
	}
}

func TestOAuth2AuthorizeURL(t *testing.T) {
	t.Parallel()
	_, r, c := oauth2Upstream(t, nil)
	link, err := r.At(c).AuthorizeURL(t.Context(), AuthorizeRequest{State: "some-state", RedirectURI: "https://broker.example/cb", Verifier: theVerifier})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	if q := u.Query(); u.Path != "/a" || q.Get("audience") != "x" || q.Get("scope") != "read" || q.Get("code_challenge_method") != "S256" || q.Has("prompt") {
		t.Errorf("sent to %s", link)
	}
	c.Scopes = nil
	if link, _ := r.At(c).AuthorizeURL(t.Context(), AuthorizeRequest{State: "s", RedirectURI: "https://broker.example/cb", Verifier: theVerifier}); strings.Contains(link, "scope=") {
		t.Errorf("asks for scopes that nobody named: %s", link)
	}
	if got := r.At(c).SettingsURL(); got != "https://idp.example/apps" {
		t.Errorf("settings at %q", got)
	}
}

// Trap 25, and protocol rule 13: in the one style that config names, at every
// endpoint that wants the client.
func TestTrap25_OAuth2ClientAuthentication(t *testing.T) {
	t.Parallel()
	for _, style := range []string{"basic", "post", "none"} {
		t.Run(style, func(t *testing.T) {
			t.Parallel()
			f, r, c := oauth2Upstream(t, map[string]any{"authStyle": style})
			f.says("/", 200, `{"access_token":"a","active":true,"device_code":"d","user_code":"u","verification_uri":"https://idp.example/d"}`)
			for path, call := range map[string]func() error{
				"/t": func() error { _, err := exchange(t, r, c); return err },
				"/r": func() error { _, err := r.At(c).Revoke(t.Context(), theTokens(), models.RevokeGrant); return err },
				"/i": func() error { _, err := r.At(c).Check(t.Context(), theTokens()); return err },
				"/d": func() error { _, err := r.At(c).BeginDevice(t.Context()); return err },
			} {
				if err := call(); err != nil {
					t.Fatalf("%s: %v", path, err)
				}
				sent := f.last(t)
				id, secret, basic := basicOf(sent)
				form := sent.form(t)
				if sent.path != path || basic != (style == "basic") || form.Has("client_secret") != (style == "post") {
					t.Errorf("%s: basic %v, form %v", sent.path, basic, form.Has("client_secret"))
				}
				if basic && (id != url.QueryEscape(c.ID) || secret != url.QueryEscape(theSecret)) || !basic && form.Get("client_id") != c.ID ||
					style == "post" && form.Get("client_secret") != theSecret {
					t.Errorf("%s: another client than ours", path)
				}
			}
		})
	}
}

func TestOAuth2User(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		claims any
		body   string
		want   models.User
	}{
		"as OpenID Connect has it": {nil, `{"sub":"1","name":"Ada L","given_name":"Ada","family_name":"L","preferred_username":"ada","email":"ada@x.example","picture":"https://x.example/a","locale":"en"}`,
			models.User{Sub: "1", Name: "Ada L", GivenName: "Ada", FamilyName: "L", NickName: "ada", Email: "ada@x.example", Picture: "https://x.example/a", Locale: "en"}},
		"by paths": {map[string]any{"sub": "data.0.id", "nickName": "data.0.login", "description": "bio", "email": "data.0.mail"},
			`{"data":[{"id":"u7","login":"ada","mail":"ada@x.example"}],"bio":"x","email":"other@x.example","name":"Ada"}`,
			models.User{Sub: "u7", NickName: "ada", Name: "Ada", Email: "ada@x.example", Description: "x"}},
		"numbers keep their digits": {map[string]any{"sub": "id"}, `{"id":583231000000000001}`, models.User{Sub: "583231000000000001"}},
		"a standard name elsewhere": {map[string]any{"name": "profile.name"}, `{"sub":"1","name":"Not this"}`, models.User{Sub: "1"}},
		"odd fields":                {nil, `{"sub":"1","name":{"first":"A"},"email":["x"],"picture":"http://x.example/a"}`, models.User{Sub: "1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, r, c := oauth2Upstream(t, map[string]any{"claims": tc.claims})
			f.says("GET /u", 200, tc.body)
			got, err := r.At(c).Identify(t.Context(), theTokens(), "")
			if err != nil {
				t.Fatal(err)
			}
			if got.Raw == nil {
				t.Error("no raw")
			}
			got.Raw = nil
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
			if sent := f.last(t); sent.header.Get("Authorization") != "Bearer "+theAccess || discloses(sent.path) {
				t.Error("trap 26: the token travels in the header alone")
			}
		})
	}
}

// Without a sub nobody knows whose tokens they are, however well the rest is named.
func TestOAuth2RefusesAnswersWithoutASub(t *testing.T) {
	t.Parallel()
	sub := func(path string) map[string]any { return map[string]any{"claims": map[string]any{"sub": path}} }
	for _, tc := range []struct {
		changes map[string]any
		body    string
	}{
		{nil, `{"id":"1","email":"ada@x.example"}`},
		{nil, `{"sub":""}`},
		{nil, `{"sub":null}`},
		{nil, `{"sub":{"id":"1"}}`},
		{nil, `["sub"]`},
		{nil, htmlPage},
		{sub("data.id"), `{"sub":"1","data":{}}`},
		{sub("data.id"), `{"sub":"1","data":"id"}`},
		{sub("data.id"), `{"sub":"1","data":[{"id":"1"}]}`},
		{sub("data.id"), `{"sub":"1","data.id":"1"}`},
		{sub("data.id"), `{"sub":"1","data":{"id":1.5}}`},
		{sub("data.id"), `{"sub":"1","data":{"id":true}}`},
		{sub("data.1.id"), `{"sub":"1","data":[{"id":"1"}]}`},
		{sub("data.-1.id"), `{"sub":"1","data":[{"id":"1"}]}`},
		{sub("data.0x0.id"), `{"sub":"1","data":[{"id":"1"}]}`},
		{sub("data.99999999999999999999.id"), `{"sub":"1","data":[{"id":"1"}]}`},
	} {
		f, r, c := oauth2Upstream(t, tc.changes)
		f.says("GET /u", 200, tc.body)
		if _, err := r.At(c).Identify(t.Context(), theTokens(), ""); KindOf(err) != KindProtocol {
			t.Errorf("%v in %s: %v", tc.changes, tc.body, err)
		}
	}
}

// A4: each endpoint, the issuer and the field that names an account are fixed; what
// does not move anything is not.
func TestA4_OAuth2IsFixedWhereConfigPutsIt(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, Options{})
	const base = "https://idp.example"
	at := func(changes map[string]any) []string {
		return r.At(Client{Type: "oauth2", ID: "x", Config: oauth2Config(base, changes)}).FixedBefore()
	}
	before := at(nil)
	for _, name := range []string{"authorizeUrl", "tokenUrl", "revokeUrl", "introspectUrl", "userInfoUrl", "deviceUrl", "issuer"} {
		if slices.Equal(before, at(map[string]any{name: base + "/elsewhere"})) {
			t.Errorf("%s may move to another path", name)
		}
	}
	if slices.Equal(before, at(map[string]any{"claims": map[string]any{"sub": "email"}})) {
		t.Error("accounts may change their names")
	}
	if slices.Equal(at(map[string]any{"revokeUrl": nil, "introspectUrl": base + "/x"}), at(map[string]any{"introspectUrl": nil, "revokeUrl": base + "/x"})) {
		t.Error("two endpoints may change places")
	}
	for _, same := range []map[string]any{{"settingsUrl": base + "/elsewhere"}, {"pkce": false}, {"authStyle": "post"}, {"refreshKillsAccess": false},
		{"claims": map[string]any{"sub": "sub", "name": "x"}}} {
		if diff := cmp.Diff(before, at(same)); diff != "" {
			t.Errorf("%v moves it: %s", same, diff)
		}
	}
	if diff := cmp.Diff([]string{base}, r.At(Client{Type: "oauth2", ID: "x", Config: oauth2Config(base, nil)}).Origins()); diff != "" {
		t.Error(diff)
	}
}

func TestA3_OAuth2Issuer(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, Options{})
	const base = "https://idp.example"
	for _, tc := range []struct {
		changes map[string]any
		iss     string
		ok      bool
	}{
		{map[string]any{"issuer": base}, base, true},
		{map[string]any{"issuer": base}, base + "/", false},
		{map[string]any{"issuer": base}, "", true},
		{map[string]any{"issuer": base, "requireIss": true}, "", false},
		{nil, base, false}, // nobody said who it is
		{nil, "", true},
	} {
		c := Client{Type: "oauth2", ID: "x", Config: oauth2Config(base, tc.changes)}
		if err := r.At(c).CheckIssuer(t.Context(), tc.iss, true); (err == nil) != tc.ok {
			t.Errorf("%v, iss %q: %v", tc.changes, tc.iss, err)
		}
	}
}

// What is not configured is not there, and nobody is asked.
func TestOAuth2WithTheLeast(t *testing.T) {
	t.Parallel()
	f, r, c := oauth2Upstream(t, map[string]any{"revokeUrl": nil, "introspectUrl": nil, "deviceUrl": nil, "settingsUrl": nil})
	if outcome, err := r.At(c).Revoke(t.Context(), theTokens(), models.RevokeGrant); outcome != models.OutcomeUnsupported || err != nil {
		t.Errorf("%q, %v", outcome, err)
	}
	if _, err := r.At(c).BeginDevice(t.Context()); KindOf(err) != KindRefused {
		t.Errorf("%v", err)
	}
	if n := len(f.requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
	f.says("GET /u", 200, `{"sub":"1"}`)
	if got, err := r.At(c).Check(t.Context(), theTokens()); !got.Valid || err != nil {
		t.Errorf("checked by user info: %v, %v", got, err)
	}
	if got := r.At(c).SettingsURL(); got != "" {
		t.Errorf("settings at %q", got)
	}
}

// Tokens come as they come: what is not said is unknown, and an error is judged by
// its code. Traps 1 and 12.
func TestOAuth2Tokens(t *testing.T) {
	t.Parallel()
	f, r, c := oauth2Upstream(t, nil)
	f.says("POST /t", 200, `{"access_token":"a","refresh_token":"r","expires_in":"3600"}`)
	got, err := r.At(c).Refresh(t.Context(), theTokens())
	if diff := cmp.Diff(Tokens{Access: "a", Refresh: "r", ExpiresIn: time.Hour}, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if form := f.last(t).form(t); form.Has("scope") || form.Get("refresh_token") != theRefresh {
		t.Errorf("sent %v", form)
	}
	for body, kind := range map[string]Kind{`{"error":"invalid_grant"}`: KindDenied, `{"error":"invalid_client"}`: KindClient,
		`{"error":"slow_down"}`: KindTransient, `{"error":"whatever"}`: KindRefused} {
		for _, status := range []int{200, 400, 401} {
			f, r, c := oauth2Upstream(t, nil)
			f.says("POST /t", status, body)
			if _, err := r.At(c).Refresh(t.Context(), theTokens()); KindOf(err) != kind {
				t.Errorf("%d %s: %v", status, body, err)
			}
		}
	}
}

// Trap 27: a JWT of several kilobytes is kept whole.
func TestTrap27_OAuth2TokensAreLong(t *testing.T) {
	t.Parallel()
	f, r, c := oauth2Upstream(t, nil)
	long := strings.Repeat("x", 12000)
	f.says("POST /t", 200, `{"access_token":"`+long+`"}`)
	if got, err := exchange(t, r, c); err != nil || got.Access.Reveal() != long {
		t.Errorf("%d characters, %v", len(got.Access), err)
	}
}

// Traps 28 and 29, for each call and with every endpoint on a host of its own: what an
// upstream repeats is not quoted, and where it points nobody goes.
func TestTrap28_OAuth2ErrorsAreNotQuoted(t *testing.T) {
	t.Parallel()
	everything, err := json.Marshal(strings.Join([]string{theSecret, theCode, theVerifier, theAccess, theRefresh}, " "))
	if err != nil {
		t.Fatal(err)
	}
	for _, answer := range []http.HandlerFunc{
		reply(400, "application/json", `{"error":"invalid_grant","error_description":`+string(everything)+`}`),
		reply(200, "text/html", "<p>"+string(everything)),
		reply(307, "text/plain", "", "Location", "https://evil.example/?"+theRefresh),
	} {
		w, r := newWorld(t)
		w.mux.HandleFunc("/", answer)
		c := Client{Type: "oauth2", ID: "x", Secret: theSecret, Config: oauth2Config("https://idp.example", map[string]any{"userInfoUrl": "https://api.idp.example/u"})}
		for name, call := range map[string]func() error{
			"exchange": func() error { _, err := exchange(t, r, c); return err },
			"refresh":  func() error { _, err := r.At(c).Refresh(t.Context(), theTokens()); return err },
			"user":     func() error { _, err := r.At(c).UserInfo(t.Context(), theAccess); return err },
			"check":    func() error { _, err := r.At(c).Check(t.Context(), theTokens()); return err },
			"begin":    func() error { _, err := r.At(c).BeginDevice(t.Context()); return err },
			"poll":     func() error { _, err := r.At(c).PollDevice(t.Context(), theCode); return err },
		} {
			if err := call(); err == nil || discloses(texts(err)) {
				t.Errorf("%s: took it for an answer, or quotes it", name)
			}
		}
		_, err := r.At(c).Revoke(t.Context(), theTokens(), models.RevokeGrant)
		if discloses(texts(err)) {
			t.Error("the revocation's error quotes it")
		}
		if diff := cmp.Diff([]string{"api.idp.example", "idp.example"}, w.hosts()); diff != "" {
			t.Errorf("trap 29: %s", diff)
		}
	}
}
