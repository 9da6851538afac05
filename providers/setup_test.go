package providers

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/grantd/grantd/models"
)

func theURL(t *testing.T, r *Registry, c Client) error {
	t.Helper()
	_, err := r.At(c).AuthorizeURL(t.Context(), AuthorizeRequest{State: "s", Nonce: "n", Verifier: theVerifier})
	return err
}

// Finding G3: a public client of an OpenID Provider had to invent a secret, which was
// then sent as Basic and refused. It sends its id, and nothing else, everywhere.
func TestAPublicClientSendsItsIDAlone(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Client){
		"no secret":                       func(c *Client) { c.Secret = "" },
		"none, and a secret is kept":      func(c *Client) { c.Config["authStyle"] = "none" },
		"none, and no secret":             func(c *Client) { c.Secret = ""; c.Config["authStyle"] = "none" },
		"none, which metadata leaves out": func(c *Client) { c.Config["authStyle"] = "none" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, r, c := oidcWith(t, func(m map[string]any) {
				m["introspection_endpoint"] = m["issuer"].(string) + "/introspect"
				m["token_endpoint_auth_methods_supported"] = []string{"private_key_jwt"}
			})
			f.says("POST /token", 200, `{"access_token":"a","refresh_token":"r"}`)
			f.says("POST /revoke", 200, ``)
			f.says("POST /introspect", 200, `{"active":true}`)
			change(&c)
			exchange(t, r, c)
			r.At(c).Refresh(t.Context(), theTokens())
			r.At(c).Check(t.Context(), theTokens())
			outcome, err := r.At(c).Revoke(t.Context(), theTokens(), models.RevokeGrant)
			if outcome != models.OutcomeRevoked || err != nil {
				t.Errorf("revoked: %q, %v", outcome, err)
			}
			posts := 0
			for _, got := range f.requests() {
				if got.method != http.MethodPost {
					continue
				}
				posts++
				form := got.form(t)
				if form.Get("client_id") != c.ID || form.Has("client_secret") || got.header.Get("Authorization") != "" {
					t.Errorf("%s was sent %v and %q", got.path, form, got.header.Get("Authorization"))
				}
			}
			if posts != 5 {
				t.Errorf("%d calls, want 5", posts)
			}
		})
	}
}

func TestMayBePublic(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, Options{})
	for _, tc := range []struct {
		typ   string
		style any
		may   bool
	}{
		{"oidc", nil, true}, {"oidc", "none", true}, {"oidc", "basic", false}, {"oidc", "post", false},
		{"oauth2", "none", true}, {"oauth2", "basic", false}, {"oauth2", "post", false},
		{"github", nil, false}, {"github", "none", false}, {"nonesuch", nil, false},
	} {
		c := Client{Type: tc.typ, ID: "id", Config: map[string]any{"authStyle": tc.style}}
		if got := r.At(c).MayBePublic(); got != tc.may {
			t.Errorf("%s with authStyle %v: %v", tc.typ, tc.style, got)
		}
	}
}

// Finding K7: a client that was registered for client_secret_post failed where the
// metadata lists Basic too, since oidc could not be told (RFC 7591 §2).
func TestConfigSaysHowTheClientAuthenticates(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		supported []string
		style     any
		header    bool
	}{
		{[]string{"client_secret_basic", "client_secret_post"}, "post", false},
		{[]string{"client_secret_basic", "client_secret_post"}, "basic", true},
		{[]string{"client_secret_basic", "client_secret_post"}, nil, true},
		{[]string{"client_secret_post"}, "basic", true},
		{[]string{"private_key_jwt"}, "post", false},
	} {
		f, r, c := oidcWith(t, func(m map[string]any) { m["token_endpoint_auth_methods_supported"] = tc.supported })
		f.says("POST /token", 200, `{"access_token":"a"}`)
		if tc.style != nil {
			c.Config["authStyle"] = tc.style
		}
		if _, err := exchange(t, r, c); err != nil {
			t.Fatalf("%v, %v: %v", tc.supported, tc.style, err)
		}
		got := f.last(t)
		if (got.header.Get("Authorization") != "") != tc.header || got.form(t).Has("client_secret") == tc.header {
			t.Errorf("%v, %v: %v %s", tc.supported, tc.style, got.header, got.body)
		}
	}
	_, r, c := oidcUpstream(t)
	c.Config["authStyle"] = "auto"
	if wrong := r.At(c).Validate(); len(wrong) != 1 || wrong[0].Name != "config.authStyle" {
		t.Errorf("auto: %v", wrong)
	}
}

// Finding G7: Django OAuth Toolkit redirects its discovery document to the same
// address with a slash, which was refused like a redirect to anybody else's server.
func TestDiscoveryFollowsOneRedirectOnItsOrigin(t *testing.T) {
	t.Parallel()
	const wellKnown = "/.well-known/openid-configuration"
	for name, tc := range map[string]struct {
		status   int
		location string // BASE is the issuer
		code     string // "" is success
	}{
		"with a slash":         {301, wellKnown + "/", ""},
		"absolute":             {302, "BASE" + wellKnown + "/", ""},
		"307":                  {307, wellKnown + "/", ""},
		"elsewhere below":      {308, "/other", ""},
		"another port":         {301, "http://127.0.0.1:1" + wellKnown + "/", "issuer_redirects"},
		"another scheme":       {301, "https://SAME" + wellKnown + "/", "issuer_redirects"},
		"another host":         {301, "//idp.example" + wellKnown + "/", "issuer_redirects"},
		"with a user":          {301, "http://u@SAME" + wellKnown + "/", "issuer_redirects"},
		"nowhere":              {301, "", "issuer_redirects"},
		"a second redirect":    {301, "/again", "issuer_redirects"},
		"a script":             {301, "javascript:alert(1)", "issuer_redirects"},
		"to what is not there": {301, "/gone", "no_metadata"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			to := strings.NewReplacer("BASE", f.URL, "SAME", f.host()).Replace(tc.location)
			f.mux.HandleFunc("GET "+wellKnown, reply(tc.status, "text/html", "", "Location", to))
			f.mux.HandleFunc("GET /again", reply(301, "text/html", "", "Location", wellKnown+"/"))
			f.says("GET /gone", 404, notFound)
			f.says("GET "+wellKnown+"/{$}", 200, asJSON(oidcMetadata(f.URL)))
			f.says("GET /other", 200, asJSON(oidcMetadata(f.URL)))
			r := newRegistry(t, Options{Allow: []string{f.host()}})
			err := theURL(t, r, Client{Type: "oidc", ID: "id", Config: map[string]any{"issuer": f.URL}})
			if tc.code == "" && err != nil {
				t.Fatal(err)
			}
			if tc.code != "" {
				want(t, err, KindProtocol, tc.code)
			}
			if n := len(f.requests()); n > 2 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

// Finding G7: a server whose metadata names no revocation endpoint could not be given
// one. What config names goes before what metadata says, and is bound like the issuer.
func TestConfigNamesEndpointsThatMetadataLacks(t *testing.T) {
	t.Parallel()
	f, r, c := oidcWith(t, func(m map[string]any) {
		delete(m, "revocation_endpoint")
		m["introspection_endpoint"] = m["issuer"].(string) + "/nothing-here"
	})
	f.says("POST /revoke_token", 200, "")
	f.says("POST /ask", 200, `{"active":true}`)
	before := r.At(c).FixedBefore()
	c.Config["revokeUrl"], c.Config["introspectUrl"] = f.URL+"/revoke_token", f.URL+"/ask"
	if wrong := r.At(c).Validate(); len(wrong) > 0 {
		t.Fatal(wrong)
	}
	if outcome, err := r.At(c).Revoke(t.Context(), theTokens(), models.RevokeGrant); outcome != models.OutcomeRevoked || err != nil {
		t.Errorf("revoked: %q, %v", outcome, err)
	}
	if said, err := r.At(c).Check(t.Context(), theTokens()); err != nil || !said.Valid {
		t.Errorf("checked: %+v, %v", said, err)
	}
	if can := r.At(c).Abilities(); !can.Revokes || !can.Validates {
		t.Errorf("%+v", can)
	}
	if fixed := r.At(c).FixedBefore(); len(fixed) != len(before)+2 {
		t.Errorf("fixed are %v, were %v", fixed, before)
	}
	c.Config["revokeUrl"] = "https://elsewhere.example/r"
	if origins := strings.Join(r.At(c).Origins(), " "); origins != f.URL+" https://elsewhere.example" {
		t.Errorf("bound to %s", origins)
	}
	c.Config["revokeUrl"] = "ftp://elsewhere.example/r"
	if wrong := r.At(c).Validate(); len(wrong) != 1 || wrong[0].Name != "config.revokeUrl" {
		t.Errorf("ftp: %v", wrong)
	}
}

// Finding G5: an issuer without the slash of its metadata was told as "try again
// shortly", for ever. What only an admin can correct has a code and says what to do;
// what passes by itself has neither.
func TestWhatAnAdminMustCorrectIsToldFromAnOutage(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answer http.HandlerFunc // of discovery
		code   string
		says   string
	}{
		"slash missing":       {nil, "issuer_mismatch", "with a slash at the end"},
		"no metadata":         {reply(404, "application/json", notFound), "no_metadata", "config.issuer"},
		"no metadata, a page": {reply(404, "text/html", htmlPage), "no_metadata", "config.issuer"},
		"forbidden":           {reply(403, "text/html", htmlPage), "no_metadata", "config.issuer"},
		"a website":           {reply(200, "text/html", htmlPage), "metadata_not_json", "config.issuer"},
		"redirect":            {reply(302, "text/html", "", "Location", "https://elsewhere.example/"), "issuer_redirects", "config.issuer"},
		"down":                {reply(503, "text/html", htmlPage), "", ""},
		"too many":            {reply(429, "text/html", ""), "", ""},
		"broken off":          {hangUp, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			if tc.answer == nil {
				tc.answer = reply(200, "application/json", asJSON(oidcMetadata(f.URL+"/")))
			}
			f.mux.HandleFunc("GET /.well-known/openid-configuration", tc.answer)
			r := newRegistry(t, Options{Allow: []string{f.host()}})
			e := failed(t, theURL(t, r, Client{Type: "oidc", ID: "id", Config: map[string]any{"issuer": f.URL}}))
			if e.Code != tc.code || !strings.Contains(e.Advice, tc.says) || (e.Advice == "") != (tc.code == "") {
				t.Errorf("%s %q: %q", e.Kind, e.Code, e.Advice)
			}
			if e.Kind == KindDenied || e.Kind == KindClient {
				t.Errorf("%s is a verdict", e.Kind)
			}
		})
	}
}

// Finding G5, the same kind: a certificate that cannot be verified is no passing outage.
func TestAnUntrustedCertificateIsToldFromAnOutage(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	server.Config.ErrorLog = nil
	r := newRegistry(t, Options{Allow: []string{strings.TrimPrefix(server.URL, "https://")}})
	e := want(t, theURL(t, r, Client{Type: "oidc", ID: "id", Config: map[string]any{"issuer": server.URL}}), KindTransient, "tls_certificate")
	if e.Advice == "" || e.Ambiguous {
		t.Errorf("%q, ambiguous %v", e.Advice, e.Ambiguous)
	}
}
