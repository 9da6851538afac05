package providers

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/grantd/grantd/models"
)

const (
	entraTokens = `{"token_type":"Bearer","scope":"openid profile email User.Read","expires_in":3599,"ext_expires_in":3599,
		"access_token":"a","refresh_token":"r","id_token":"i"}`
	entraIdle = `{"error":"invalid_grant","error_description":"AADSTS700082: The refresh token has expired due to inactivity.",
		"error_codes":[700082],"timestamp":"2026-11-22 10:00:00Z","trace_id":"t","correlation_id":"c","error_uri":"https://login.microsoftonline.com/error?code=700082"}`
	entraProfile = `{"id":"87d349ed-44d7-43e1-9a83-5f2406dee5bd","displayName":"Ada Lovelace","givenName":"Ada","surname":"Lovelace",
		"mail":"ada@x.example","userPrincipalName":"ada@x.onmicrosoft.example","preferredLanguage":"en-GB","jobTitle":"Analyst","mobilePhone":null}`
	theTenant  = "11111111-2222-3333-4444-555555555555"
	ninetyDays = 90 * 24 * time.Hour
)

func init() {
	dialects["microsoft"] = func(string) dialect {
		d := microsoftDialect("https://login.microsoftonline.com/common", "https://graph.microsoft.com", nil)
		d.settingsURL = "https://myapps.microsoft.com"
		return d
	}
}

// microsoftDialect is Entra at base and Graph at its own place. Anything else that is
// asked, such as to end all sessions of a person, is no place of this upstream.
func microsoftDialect(base, graph string, config map[string]any) dialect {
	return dialect{
		config:       config,
		scopes:       []string{"openid", "profile", "email", "offline_access", "User.Read"},
		authorizeURL: base + "/oauth2/v2.0/authorize",
		tokenURL:     base + "/oauth2/v2.0/token",
		deviceURL:    base + "/oauth2/v2.0/devicecode",

		asks:         map[string]string{"prompt": "consent", "response_mode": "query"},
		asksSkipping: map[string]string{"response_mode": "query"},
		rotation:     renews,
		refreshLife:  ninetyDays,
		refreshAsks:  map[string]string{"scope": "openid profile email " + graph + "/User.Read offline_access"},
		answer:       func(a map[string]any) { a["ext_expires_in"], a["id_token"] = 3600, "not.looked.at" },
		spell: func(scope string) string { // trap 24
			if strings.Contains(scope, ".") {
				return graph + "/" + scope
			}
			return scope
		},
		invalidCode:    says{400, `{"error":"invalid_grant","error_description":"AADSTS54005: OAuth2 Authorization code was already redeemed","error_codes":[54005]}`},
		invalidRefresh: says{400, entraIdle},
		badClient:      says{401, `{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided.","error_codes":[7000215]}`},

		documents: map[string]any{"GET " + base + "/discovery/v2.0/keys": keysDocument()},
		resources: map[string]func(*strict, *pair, *http.Request) (int, any){
			"GET " + graph + "/v1.0/me": func(*strict, *pair, *http.Request) (int, any) { return 200, entraProfile },
		},
		noBearer: says{401, `{"error":{"code":"InvalidAuthenticationToken","message":"Lifetime validation failed, the token is expired."}}`},
		device: deviceDialect{ // trap 31
			fields: func(a map[string]any) { a["message"] = "To sign in, use a web browser" },
			states: map[DeviceState]says{DeviceDeclined: {400, `{"error":"authorization_declined","error_description":"AADSTS70018: x"}`}},
		},
		user: models.User{Sub: "87d349ed-44d7-43e1-9a83-5f2406dee5bd", Name: "Ada Lovelace", GivenName: "Ada", FamilyName: "Lovelace",
			NickName: "ada@x.onmicrosoft.example", Email: "ada@x.example", Locale: "en-GB", Description: "Analyst"},
		fixtures: []fixture{
			{"idle", refreshing, says{400, entraIdle}, KindDenied, "invalid_grant", ""},
			{"a second factor", refreshing, says{400, `{"error":"interaction_required","suberror":"basic_action"}`}, KindDenied, "interaction_required", ""},
			{"a code that is none", polling, says{400, `{"error":"bad_verification_code"}`}, KindDenied, "bad_verification_code", ""},
		},
	}
}

// The whole life again, in one tenant of a national cloud.
func TestMicrosoftConformanceElsewhere(t *testing.T) {
	t.Parallel()
	d := microsoftDialect("https://login.microsoftonline.us/"+theTenant, "https://graph.microsoft.us", map[string]any{"cloud": "usgov", "tenant": theTenant})
	conform(t, "microsoft", "login.microsoftonline.us", d)
}

// microsoftUpstream is Entra and Graph over TLS, by their real names.
func microsoftUpstream(t *testing.T) (*fake, *Registry, Client) {
	t.Helper()
	w, r := newWorld(t)
	return w.fake, r, Client{Type: "microsoft", ID: "id", Secret: theSecret}
}

func microsoftAuthorizeURL(t *testing.T, c Client, skip bool) *url.URL {
	t.Helper()
	link, err := newRegistry(t, Options{}).At(c).AuthorizeURL(t.Context(), AuthorizeRequest{
		State: "some-state", RedirectURI: "https://broker.example/cb", Verifier: theVerifier, SkipConsent: skip})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestMicrosoftAuthorizeURL(t *testing.T) {
	t.Parallel()
	for skip, prompt := range map[bool]string{false: "consent", true: ""} {
		u := microsoftAuthorizeURL(t, Client{Type: "microsoft", ID: "id"}, skip)
		q := u.Query()
		if u.Host+u.Path != "login.microsoftonline.com/common/oauth2/v2.0/authorize" || q.Get("prompt") != prompt || q.Has("prompt") == skip ||
			q.Get("response_mode") != "query" || q.Get("scope") != "openid profile email offline_access User.Read" {
			t.Errorf("skip %v: sent to %s", skip, u)
		}
	}
}

// Trap 17: PKCE is sent without asking the metadata, which does not name it.
func TestTrap17_MicrosoftPKCEIsSentUnasked(t *testing.T) {
	t.Parallel()
	w, r := newWorld(t)
	w.says("/", 200, `{"issuer":"https://login.microsoftonline.com/{tenantid}/v2.0"}`)
	c := Client{Type: "microsoft", ID: "id", Secret: theSecret}
	link, err := r.At(c).AuthorizeURL(t.Context(), AuthorizeRequest{State: "s", RedirectURI: "https://broker.example/cb", Verifier: theVerifier})
	if err != nil || !strings.Contains(link, "code_challenge_method=S256") || !strings.Contains(link, "code_challenge=") {
		t.Errorf("%s, %v", link, err)
	}
	w.says("POST login.microsoftonline.com/common/oauth2/v2.0/token", 200, entraTokens)
	if _, err := exchange(t, r, c); err != nil || w.last(t).form(t).Get("code_verifier") != theVerifier {
		t.Errorf("no verifier was sent: %v", err)
	}
	if n := len(w.requests()); n != 1 {
		t.Errorf("%d requests, where one spends the code", n)
	}
}

func TestMicrosoftTenants(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, Options{})
	for _, tenant := range []string{"common", "organizations", "consumers", theTenant, "x.onmicrosoft.com", "xn--bcher-kva.example"} {
		c := Client{Type: "microsoft", ID: "id", Config: map[string]any{"tenant": tenant}}
		if wrong := r.At(c).Validate(); wrong != nil {
			t.Errorf("%s: %v", tenant, wrong)
		}
		if u := microsoftAuthorizeURL(t, c, false); u.Path != "/"+tenant+"/oauth2/v2.0/authorize" || u.Host != "login.microsoftonline.com" {
			t.Errorf("%s: sent to %s", tenant, u)
		}
	}
	for _, tenant := range []any{"", "..", ".", "x", "Common", "common/", "common/../x.example", "a.example/b", "a.example?b", "a.example#b", "a%2eexample",
		"a.example\\b", "evil.example:8443", "@evil.example", "x@evil.example", " a.example", "a.example\n", "1.2.3.4", "ä.example",
		"{" + theTenant + "}", theTenant + "0", strings.ToUpper("abcdefab-2222-3333-4444-555555555555"), strings.Repeat("a.", 127) + "ex", 7, nil} {
		c := Client{Type: "microsoft", ID: "id", Config: map[string]any{"tenant": tenant}}
		if wrong := r.At(c).Validate(); len(wrong) != 1 || wrong[0].Name != "config.tenant" {
			t.Errorf("%v: %v", tenant, wrong)
		}
	}
}

// The clouds are separate: what is for one never goes to another, and there
// is no host to choose.
func TestMicrosoftClouds(t *testing.T) {
	t.Parallel()
	for cloud, own := range map[string][]string{
		"global": {"graph.microsoft.com", "login.microsoftonline.com"},
		"usgov":  {"graph.microsoft.us", "login.microsoftonline.us"},
		"china":  {"login.partner.microsoftonline.cn", "microsoftgraph.chinacloudapi.cn"},
	} {
		t.Run(cloud, func(t *testing.T) {
			t.Parallel()
			w, r := newWorld(t)
			w.says("/", 200, "{}")
			c := Client{Type: "microsoft", ID: "id", Secret: theSecret, Config: map[string]any{"cloud": cloud, "tenant": theTenant}}
			if wrong := r.At(c).Validate(); wrong != nil {
				t.Fatal(wrong)
			}
			callAll(t, r, c)
			if diff := cmp.Diff(own, w.hosts()); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff([]string{"https://" + own[0], "https://" + own[1]}, r.At(c).Origins()); diff != "" {
				t.Error(diff)
			}
		})
	}
	r := newRegistry(t, Options{})
	for _, cloud := range []any{"", "germany", "https://evil.example", "GLOBAL", 1} {
		c := Client{Type: "microsoft", ID: "id", Config: map[string]any{"cloud": cloud}}
		if wrong := r.At(c).Validate(); len(wrong) != 1 || wrong[0].Name != "config.cloud" {
			t.Errorf("%v: %v", cloud, wrong)
		}
		if origins := r.At(c).Origins(); origins != nil {
			t.Errorf("%v leads to %v", cloud, origins)
		}
	}
	if wrong := r.At(Client{Type: "microsoft", ID: "id", Host: "login.evil.example"}).Validate(); len(wrong) != 1 || wrong[0].Name != "metadata.host" {
		t.Errorf("%v", wrong)
	}
}

// A4: a tenant is a place of its own behind the same hosts.
func TestA4_MicrosoftTenantIsFixed(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, Options{})
	at := func(config map[string]any) []string {
		return r.At(Client{Type: "microsoft", ID: "id", Config: config}).FixedBefore()
	}
	common := at(nil)
	if diff := cmp.Diff(common, at(map[string]any{"tenant": "common", "cloud": "global", "pkce": false})); diff != "" {
		t.Errorf("the defaults are another place: %s", diff)
	}
	for _, other := range []map[string]any{{"tenant": "organizations"}, {"tenant": theTenant}, {"cloud": "usgov"}} {
		if slices.Equal(common, at(other)) {
			t.Errorf("%v is taken for the same place", other)
		}
	}
}

func TestMicrosoftTokens(t *testing.T) {
	t.Parallel()
	f, r, c := microsoftUpstream(t)
	f.says("POST login.microsoftonline.com/common/oauth2/v2.0/token", 200, entraTokens)
	granted := []string{"openid", "profile", "email", "User.Read"}
	want := Tokens{Access: "a", Refresh: "r", ID: "i", Scopes: granted, ExpiresIn: 3599 * time.Second, RefreshExpiresIn: ninetyDays}
	for name, get := range map[string]func() (Tokens, error){
		"exchange": func() (Tokens, error) { return exchange(t, r, c) },
		"refresh":  func() (Tokens, error) { return r.At(c).Refresh(t.Context(), theTokens()) },
		"device": func() (Tokens, error) {
			poll, err := r.At(c).PollDevice(t.Context(), theCode)
			return poll.Tokens, err
		},
	} {
		got, err := get()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want.Flags = nil
		if name == "refresh" { // its id_token would be compared, and is none
			want.Flags = []string{FlagUnverifiedID}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// Trap 25: characters that break hand-made headers arrive whole, in the form and only
// there.
func TestTrap25_MicrosoftSecretArrivesWhole(t *testing.T) {
	t.Parallel()
	f, r, c := microsoftUpstream(t)
	f.says("/", 200, entraTokens)
	if _, err := r.At(c).Refresh(t.Context(), theTokens()); err != nil {
		t.Fatal(err)
	}
	sent := f.lastPost(t)
	if form := sent.form(t); form.Get("client_secret") != theSecret || len(form["client_secret"]) != 1 || sent.header.Get("Authorization") != "" {
		t.Error("the secret did not arrive as it is")
	}
}

// Trap 27: tokens of several kilobytes are kept whole.
func TestTrap27_MicrosoftTokensAreLong(t *testing.T) {
	t.Parallel()
	f, r, c := microsoftUpstream(t)
	access, refresh := strings.Repeat("a", 6000), strings.Repeat("r", 4000)
	f.says("/", 200, `{"access_token":"`+access+`","refresh_token":"`+refresh+`","token_type":"Bearer"}`)
	got, err := exchange(t, r, c)
	if err != nil || got.Access.Reveal() != access || got.Refresh.Reveal() != refresh {
		t.Errorf("%d and %d characters, %v", len(got.Access), len(got.Refresh), err)
	}
}

// Protocol rule 22: a refresh asks for what was granted, not for what the provider
// asks for by now.
func TestProtocolRule22_MicrosoftRefreshScopes(t *testing.T) {
	t.Parallel()
	const graph = "https://graph.microsoft.com"
	for name, tc := range map[string]struct {
		asked, granted []string
		want           string
	}{
		"as asked":                   {nil, []string{"openid", "profile", "email", "User.Read"}, "openid profile email User.Read offline_access"},
		"not said":                   {nil, nil, "openid profile email offline_access User.Read"},
		"the provider wants more":    {[]string{"User.Read", "Mail.Read", "offline_access"}, []string{"User.Read"}, "User.Read offline_access"},
		"offline access was echoed":  {nil, []string{"User.Read", "offline_access"}, "User.Read offline_access"},
		"offline access not wanted":  {[]string{"User.Read"}, []string{"User.Read"}, "User.Read"},
		"default beside what it is":  {[]string{graph + "/.default", "offline_access"}, []string{graph + "/User.Read", graph + "/.default"}, graph + "/User.Read offline_access"},
		"nothing but default":        {[]string{graph + "/.default"}, []string{graph + "/.default"}, graph + "/.default"},
		"nothing is known to be had": {[]string{}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, r, c := microsoftUpstream(t)
			c.Scopes = tc.asked
			f.says("/", 200, entraTokens)
			held := theTokens()
			held.Scopes = tc.granted
			if _, err := r.At(c).Refresh(t.Context(), held); err != nil {
				t.Fatal(err)
			}
			form := f.lastPost(t).form(t)
			if form.Get("scope") != tc.want || form.Get("refresh_token") != theRefresh || form.Get("client_secret") != theSecret {
				t.Errorf("asked for %q, want %q", form.Get("scope"), tc.want)
			}
		})
	}
}

// Trap 24, at Microsoft: scopes come back in other spellings, and some not at all.
func TestTrap24_MicrosoftScopes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		asked, granted string
		missing        []string
	}{
		{"openid profile email offline_access User.Read", "User.Read", nil},
		{"user.read Files.ReadWrite", "User.Read files.readwrite", nil},
		{"User.Read", "https://graph.microsoft.com/User.Read", nil},
		{"https://graph.microsoft.com/User.Read", "User.Read", nil},
		{"https://graph.microsoft.us/Mail.Read", "Mail.Read", nil},
		{"https://graph.microsoft.com/.default", "https://graph.microsoft.com/User.Read", nil},
		{"User.Read Mail.Read", "User.Read profile", []string{"Mail.Read"}},
		{"https://outlook.example/Mail.Read", "Mail.Read", []string{"https://outlook.example/Mail.Read"}},
		{"Files.Read", "Files.Read.All", []string{"Files.Read"}},
	} {
		f, r, c := microsoftUpstream(t)
		c.Scopes = strings.Fields(tc.asked)
		f.says("/", 200, `{"access_token":"a","scope":"`+tc.granted+`"}`)
		got, err := exchange(t, r, c)
		if diff := cmp.Diff(tc.missing, got.Missing); err != nil || diff != "" {
			t.Errorf("asked %s, granted %s: %v %s", tc.asked, tc.granted, err, diff)
		}
	}
}

// Codes decide, texts with AADSTS numbers in them do not.
func TestMicrosoftTokenErrors(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		status int
		body   string
		kind   Kind
		code   string
	}{
		"idle":                     {400, entraIdle, KindDenied, "invalid_grant"},
		"withdrawn":                {400, `{"error":"invalid_grant","error_description":"AADSTS50173: x","error_codes":[50173]}`, KindDenied, "invalid_grant"},
		"second factor":            {400, `{"error":"invalid_grant","suberror":"basic_action","error_description":"AADSTS50076: x","error_codes":[50076]}`, KindDenied, "invalid_grant"},
		"interaction":              {400, `{"error":"interaction_required","suberror":"basic_action","error_description":"AADSTS50076: x"}`, KindDenied, "interaction_required"},
		"consent":                  {400, `{"error":"consent_required","error_description":"AADSTS65001: x"}`, KindDenied, "consent_required"},
		"login":                    {400, `{"error":"login_required","error_description":"x"}`, KindDenied, "login_required"},
		"wrong secret":             {401, `{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided.","error_codes":[7000215]}`, KindClient, "invalid_client"},
		"expired secret":           {401, `{"error":"invalid_client","error_description":"AADSTS7000222: x","error_codes":[7000222]}`, KindClient, "invalid_client"},
		"wrong secret, with a 400": {400, `{"error":"invalid_client","error_description":"AADSTS7000215: x"}`, KindClient, "invalid_client"},
		"unknown application":      {400, `{"error":"unauthorized_client","error_description":"AADSTS700016: x"}`, KindClient, "unauthorized_client"},
		"a text that lies":         {400, `{"error":"temporarily_unavailable","error_description":"AADSTS700082: invalid_grant"}`, KindTransient, "temporarily_unavailable"},
		"a scope":                  {400, `{"error":"invalid_scope","error_description":"AADSTS70011: x"}`, KindRefused, "invalid_scope"},
		"no right to a resource":   {400, `{"error":"invalid_resource","error_description":"AADSTS500011: x"}`, KindRefused, "invalid_resource"},
		"throttled":                {429, `{"error":"invalid_request","error_description":"AADSTS90055: x"}`, KindTransient, "invalid_request"},
		"down":                     {503, htmlPage, KindTransient, ""},
		"down, whatever it says":   {500, entraIdle, KindTransient, "invalid_grant"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, r, c := microsoftUpstream(t)
			f.says("/", tc.status, tc.body)
			_, err := r.At(c).Refresh(t.Context(), theTokens())
			want(t, err, tc.kind, tc.code)
		})
	}
}

// Trap 28: an error that repeats the tokens shows none of them.
func TestTrap28_MicrosoftErrorsAreNotQuoted(t *testing.T) {
	t.Parallel()
	f, r, c := microsoftUpstream(t)
	f.says("/", 400, `{"error":"invalid_grant","error_description":"AADSTS9002313: `+theRefresh+`","trace_id":"`+theAccess+`"}`)
	_, err := r.At(c).Refresh(t.Context(), theTokens())
	if e := want(t, err, KindDenied, "invalid_grant"); discloses(texts(err)) || e.Description != "" {
		t.Error("the error quotes a token")
	}
}

// Trap 29: a redirect would post the secret to wherever it points.
func TestTrap29_MicrosoftRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	for _, status := range []int{302, 307, 308} {
		w, r := newWorld(t)
		w.mux.HandleFunc("/", reply(status, "text/html", "", "Location", "https://evil.example/token"))
		_, err := exchange(t, r, Client{Type: "microsoft", ID: "id", Secret: theSecret})
		want(t, err, KindProtocol, "")
		if diff := cmp.Diff([]string{"login.microsoftonline.com"}, w.hosts()); diff != "" || len(w.requests()) != 1 {
			t.Error(diff)
		}
	}
}

func TestMicrosoftUser(t *testing.T) {
	t.Parallel()
	const id = "87d349ed-44d7-43e1-9a83-5f2406dee5bd"
	for name, tc := range map[string]struct {
		body string
		want models.User
	}{
		"whole": {entraProfile, models.User{Sub: id, Name: "Ada Lovelace", GivenName: "Ada", FamilyName: "Lovelace", NickName: "ada@x.onmicrosoft.example",
			Email: "ada@x.example", Locale: "en-GB", Description: "Analyst"}},
		"no mailbox": {`{"id":"` + id + `","mail":null,"userPrincipalName":"ada@x.example"}`, models.User{Sub: id, NickName: "ada@x.example", Email: "ada@x.example"}},
		"a guest": {`{"id":"` + id + `","mail":null,"userPrincipalName":"ada_home.example#EXT#@x.onmicrosoft.example"}`,
			models.User{Sub: id, NickName: "ada_home.example#EXT#@x.onmicrosoft.example"}},
		"a guest in lower case": {`{"id":"` + id + `","userPrincipalName":"ada_home.example#ext#@x.example"}`, models.User{Sub: id, NickName: "ada_home.example#ext#@x.example"}},
		"a guest with mail": {`{"id":"` + id + `","mail":"ada@home.example","userPrincipalName":"ada_home.example#EXT#@x.example"}`,
			models.User{Sub: id, NickName: "ada_home.example#EXT#@x.example", Email: "ada@home.example"}},
		"personal": {`{"id":"0003bffd1a2b3c4d","displayName":"Ada","userPrincipalName":"ada@live.example","mail":null}`,
			models.User{Sub: "0003bffd1a2b3c4d", Name: "Ada", NickName: "ada@live.example", Email: "ada@live.example"}},
		"no address at all": {`{"id":"` + id + `","userPrincipalName":"ada"}`, models.User{Sub: id, NickName: "ada"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, r := newWorld(t)
			w.says("GET graph.microsoft.com/v1.0/me", 200, tc.body)
			tokens := theTokens()
			tokens.ID = "eyJ.claims-that-nobody-reads.x"
			got, err := r.At(Client{Type: "microsoft", ID: "id"}).Identify(t.Context(), tokens, "n")
			if err != nil {
				t.Fatal(err)
			}
			got.Raw = nil
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff([]string{"graph.microsoft.com"}, w.hosts()); diff != "" || len(w.requests()) != 1 {
				t.Errorf("one source, and no other: %s", diff)
			}
		})
	}
}

func TestMicrosoftUserFailures(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		status int
		body   string
		kind   Kind
	}{
		"no id":       {200, `{"mail":"ada@x.example","userPrincipalName":"ada@x.example"}`, KindProtocol},
		"empty id":    {200, `{"id":"","mail":"ada@x.example"}`, KindProtocol},
		"invalid":     {401, `{"error":{"code":"InvalidAuthenticationToken","message":"Lifetime validation failed"}}`, KindDenied},
		"no scope":    {403, `{"error":{"code":"Authorization_RequestDenied","message":"Insufficient privileges"}}`, KindRefused},
		"gone":        {404, `{"error":{"code":"Request_ResourceNotFound","message":"x"}}`, KindRefused},
		"throttled":   {429, `{"error":{"code":"TooManyRequests"}}`, KindTransient},
		"unavailable": {503, `{"error":{"code":"serviceNotAvailable"}}`, KindTransient},
	} {
		f, r, c := microsoftUpstream(t)
		f.says("GET graph.microsoft.com/v1.0/me", tc.status, tc.body)
		if _, err := r.At(c).UserInfo(t.Context(), theAccess); KindOf(err) != tc.kind {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Trap 19 (nOAuth): the admin of any tenant can write anybody's address into an
// account. A person with the e-mail address of another is still a different person.
func TestTrap19_MicrosoftAddressesIdentifyNobody(t *testing.T) {
	t.Parallel()
	f, r, c := microsoftUpstream(t)
	victim := `{"id":"87d349ed-44d7-43e1-9a83-5f2406dee5bd","mail":"ada@x.example","userPrincipalName":"ada@x.example"}`
	attacker := strings.Replace(victim, "87d349ed", "ffffffff", 1)
	f.says("GET graph.microsoft.com/v1.0/me", 200, victim)
	one, err := r.At(c).Identify(t.Context(), theTokens(), "")
	if err != nil {
		t.Fatal(err)
	}
	f, r, c = microsoftUpstream(t)
	f.says("GET graph.microsoft.com/v1.0/me", 200, attacker)
	two, err := r.At(c).Identify(t.Context(), theTokens(), "")
	if err != nil {
		t.Fatal(err)
	}
	if one.Sub == two.Sub || one.Email != two.Email {
		t.Errorf("%q and %q are one account", one.Sub, two.Sub)
	}
	for _, u := range []models.User{one, two} {
		if u.Sub == u.Email || u.Sub == u.NickName {
			t.Errorf("%q is an address", u.Sub)
		}
	}
}

// Trap 16: the nearest thing to a revocation would sign the person out of every
// application. Nothing is sent, and the outcome says so.
func TestTrap16_MicrosoftRevokesNothing(t *testing.T) {
	t.Parallel()
	f, r, c := microsoftUpstream(t)
	f.says("/", 204, "")
	for _, scope := range []models.RevokeScope{models.RevokeGrant, models.RevokeToken} {
		if outcome, err := r.At(c).Revoke(t.Context(), theTokens(), scope); outcome != models.OutcomeUnsupported || err != nil {
			t.Errorf("%q, %v", outcome, err)
		}
	}
	if outcome, err := r.At(c).RevokeAccess(t.Context(), theAccess); outcome != models.OutcomeUnsupported || err != nil {
		t.Errorf("%q, %v", outcome, err)
	}
	if n := len(f.requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
	callAll(t, r, c)
	if len(f.requests()) == 0 {
		t.Fatal("nothing was called at all")
	}
	for _, sent := range f.requests() {
		if strings.Contains(strings.ToLower(sent.path), "revoke") || sent.method == "POST" && strings.HasPrefix(sent.path, "/v1.0/") {
			t.Errorf("called %s %s", sent.method, sent.path)
		}
	}
}

// Trap 31: Entra's words for what others call access_denied and expired_token, and
// an address without the code in it.
func TestTrap31_MicrosoftDevice(t *testing.T) {
	t.Parallel()
	f, r, c := microsoftUpstream(t)
	f.says("POST login.microsoftonline.com/common/oauth2/v2.0/devicecode", 200, `{"device_code":"d","user_code":"AB12CD34",
		"verification_uri":"https://microsoft.com/devicelogin","expires_in":900,"interval":5,"message":"To sign in, use a web browser"}`)
	got, err := r.At(c).BeginDevice(t.Context())
	want := Device{Code: "d", UserCode: "AB12CD34", VerificationURI: "https://microsoft.com/devicelogin", ExpiresIn: 900 * time.Second, Interval: 5 * time.Second}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if form := f.last(t).form(t); form.Get("scope") != "openid profile email offline_access User.Read" {
		t.Errorf("sent %v", form)
	}
	for code, state := range map[string]DeviceState{"authorization_pending": DevicePending, "authorization_declined": DeviceDeclined,
		"expired_token": DeviceExpired, "code_expired": DeviceExpired, "slow_down": DeviceSlowDown} {
		f, r, c := microsoftUpstream(t)
		f.says("POST login.microsoftonline.com/common/oauth2/v2.0/token", 400, `{"error":"`+code+`","error_description":"AADSTS70016: x"}`)
		if poll, err := r.At(c).PollDevice(t.Context(), theCode); err != nil || poll.State != state {
			t.Errorf("%s: %v, %v", code, poll.State, err)
		}
	}
	f, r, c = microsoftUpstream(t)
	f.says("/", 400, `{"error":"bad_verification_code","error_description":"x"}`)
	if _, err := r.At(c).PollDevice(t.Context(), theCode); KindOf(err) != KindDenied {
		t.Errorf("%v", err)
	}
}

// RFC 9207: Entra sends no iss yet. Should one come, it must be a tenant's that the
// provider is for.
func TestA3_MicrosoftIssuer(t *testing.T) {
	t.Parallel()
	const base, other = "https://login.microsoftonline.com/", "99999999-2222-3333-4444-555555555555"
	work, personal := []string{base + theTenant + "/v2.0", base + other + "/v2.0"}, base+personalTenant+"/v2.0"
	for _, tc := range []struct {
		config map[string]any
		good   []string
	}{
		{nil, append([]string{base + "common/v2.0", personal}, work...)},
		{map[string]any{"tenant": "organizations"}, append([]string{base + "organizations/v2.0"}, work...)},
		{map[string]any{"tenant": "consumers"}, []string{base + "consumers/v2.0", personal}},
		{map[string]any{"tenant": theTenant}, work[:1]},
		{map[string]any{"tenant": "x.example"}, append([]string{base + "x.example/v2.0"}, work...)},
		{map[string]any{"cloud": "usgov"}, []string{"https://login.microsoftonline.us/" + theTenant + "/v2.0", "https://login.microsoftonline.us/common/v2.0", "https://login.microsoftonline.us/" + personalTenant + "/v2.0"}},
	} {
		r := newRegistry(t, Options{})
		c := Client{Type: "microsoft", ID: "id", Config: tc.config}
		all := slices.Concat(tc.good, work, []string{personal, base + "common/v2.0", base + "organizations/v2.0", base + "x.example/v2.0", base + "y.example/v2.0",
			base + "{tenantid}/v2.0", base + theTenant + "/v2.0/", base + theTenant, base + theTenant + "/v1.0", base + "/v2.0", base + "a/b/v2.0", base + theTenant + "/x/v2.0",
			"https://login.microsoftonline.us/" + theTenant + "/v2.0", "https://evil.example/" + theTenant + "/v2.0", "https://sts.windows.net/" + theTenant + "/", "x"})
		for _, iss := range all {
			if err := r.At(c).CheckIssuer(t.Context(), iss, true); (err == nil) != slices.Contains(tc.good, iss) {
				t.Errorf("%v: %s: %v", tc.config, iss, err)
			}
		}
		if err := r.At(c).CheckIssuer(t.Context(), "", true); err != nil {
			t.Errorf("none: %v", err)
		}
	}
}

func TestMicrosoftPages(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, Options{})
	for _, tc := range []struct {
		config          map[string]any
		settings, admin string
	}{
		{nil, "https://myapps.microsoft.com", "https://login.microsoftonline.com/organizations/v2.0/adminconsent"},
		{map[string]any{"tenant": "organizations"}, "https://myapps.microsoft.com", "https://login.microsoftonline.com/organizations/v2.0/adminconsent"},
		{map[string]any{"tenant": theTenant}, "https://myapps.microsoft.com", "https://login.microsoftonline.com/" + theTenant + "/v2.0/adminconsent"},
		{map[string]any{"tenant": "consumers"}, "https://account.live.com/consent/Manage", ""},
		{map[string]any{"cloud": "china"}, "", "https://login.partner.microsoftonline.cn/organizations/v2.0/adminconsent"},
	} {
		c := Client{Type: "microsoft", ID: "id", Secret: theSecret, Config: tc.config}
		if got := r.At(c).SettingsURL(); got != tc.settings {
			t.Errorf("%v: settings at %q", tc.config, got)
		}
		page, query, _ := strings.Cut(r.At(c).AdminConsentURL("https://broker.example/cb"), "?")
		q, _ := url.ParseQuery(query)
		if page != tc.admin || page != "" && (q.Get("client_id") != "id" || q.Get("redirect_uri") != "https://broker.example/cb" ||
			q.Get("scope") != "openid profile email offline_access User.Read" || len(q) != 3) {
			t.Errorf("%v: admins are sent to %s?%s", tc.config, page, query)
		}
	}
}
