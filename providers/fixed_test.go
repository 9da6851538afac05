package providers

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"
)

// withType is a registry that knows one type more.
func withType(t *testing.T, typ *Type, allow ...string) *Registry {
	t.Helper()
	r := newRegistry(t, Options{Allow: allow})
	r.types[typ.Name] = typ
	return r
}

// placed is a type whose token endpoint is where config says.
func placed() *Type {
	return &Type{
		Name:     "placed",
		settings: []setting{{name: "tokenUrl", check: isIssuer}},
		hooks: hooks{
			at: func(c Client, _ string) Endpoints {
				text := func(name string) string { s, _ := c.Config[name].(string); return s }
				return Endpoints{
					Endpoint: oauth2.Endpoint{TokenURL: text("tokenUrl"), AuthStyle: oauth2.AuthStyleInHeader},
					UserInfo: text("userInfoUrl"),
					Public:   c.Config["public"] == true,
				}
			},
			fixedBefore: func(u *upstream) []string { return u.e.urls() },
		},
	}
}

// A4: what is fixed besides the origins is the type's to say, and where it says
// nothing, fingerprints are those of the origins alone, as they have always been.
func TestA4_FixedEndpoints(t *testing.T) {
	t.Parallel()
	r := withType(t, placed())
	c := Client{Type: "placed", ID: "x", Config: map[string]any{"tokenUrl": "https://idp.example/t"}}
	want := []string{"https://idp.example", "", "https://idp.example/t", "", "", "", "", ""}
	if diff := cmp.Diff(want, r.At(c).FixedBefore()); diff != "" {
		t.Error(diff)
	}
	for _, c := range []Client{
		{Type: "github", ID: "x", Config: map[string]any{"pkce": false}},
		{Type: "github", ID: "x", Host: "git.example.com"},
		{Type: "oidc", ID: "x", Config: map[string]any{"issuer": "https://idp.example/a", "refreshKillsAccess": false}},
		{Type: "gone", ID: "x"},
	} {
		if diff := cmp.Diff(r.At(c).Origins(), r.At(c).FixedBefore()); diff != "" {
			t.Errorf("%s: %s", c.Type, diff)
		}
	}
}

// S2: an endpoint that config named is judged again whenever it is used: what has
// left the allow list is not spoken to, least of all without TLS.
func TestS2_ConfiguredEndpointsAreJudgedAtEachCall(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.says("/", 200, `{"access_token":"a","sub":"1"}`)
	c := Client{Type: "placed", ID: "x", Secret: theSecret, Config: map[string]any{"tokenUrl": f.URL + "/t", "pkce": false}}
	if _, err := exchange(t, withType(t, placed(), f.host()), c); err != nil {
		t.Fatal(err)
	}
	before := len(f.requests())
	for name, endpoint := range map[string]string{"plain http": "http://idp.example/t", "the fake, not listed": f.URL + "/t",
		"an address": "https://169.254.169.254/t", "no URL": "https://%zz"} {
		c.Config["tokenUrl"] = endpoint
		_, err := exchange(t, withType(t, placed()), c)
		if e := failed(t, err); e.Kind != KindTransient || e.Ambiguous {
			t.Errorf("%s: %v", name, err)
		}
	}
	c.Config["tokenUrl"], c.Config["userInfoUrl"] = f.URL+"/t", "http://idp.example/u"
	if _, err := exchange(t, withType(t, placed(), f.host()), c); KindOf(err) != KindTransient {
		t.Errorf("one endpoint of two: %v", err)
	}
	if n := len(f.requests()); n != before {
		t.Errorf("%d requests got through", n-before)
	}
}

// A public client's secret stays here, whichever style its server would take.
func TestAPublicClientSendsNoSecret(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.says("/", 200, `{"access_token":"a"}`)
	c := Client{Type: "placed", ID: "x", Secret: theSecret, Config: map[string]any{"tokenUrl": f.URL + "/t", "public": true}}
	if _, err := exchange(t, withType(t, placed(), f.host()), c); err != nil {
		t.Fatal(err)
	}
	got := f.last(t)
	if form := got.form(t); form.Get("client_id") != "x" || form.Has("client_secret") || got.header.Get("Authorization") != "" {
		t.Errorf("sent %v, %v", form, got.header)
	}
}

// Settings that ask for what the endpoints lack are said to be wrong at once, not
// when somebody meets them.
func TestImpossibleSettings(t *testing.T) {
	t.Parallel()
	typ := placed()
	typ.Device = true
	r := withType(t, typ)
	for name, c := range map[string]Client{
		"config.device":     {Type: "placed", ID: "x", Config: map[string]any{"device": true}},
		"config.requireIss": {Type: "placed", ID: "x", Config: map[string]any{"requireIss": true}},
	} {
		if wrong := r.At(c).Validate(); len(wrong) != 1 || wrong[0].Name != name {
			t.Errorf("%s: %v", name, wrong)
		}
	}
	good := Client{Type: "oidc", ID: "x", Config: map[string]any{"issuer": "https://idp.example", "device": true, "requireIss": true}}
	if wrong := r.At(good).Validate(); wrong != nil {
		t.Errorf("%v", wrong)
	}
}

// The page for admins gets the documented parameters and no secret.
func TestAdminConsentURL(t *testing.T) {
	t.Parallel()
	typ := placed()
	typ.at = func(Client, string) Endpoints { return Endpoints{AdminConsent: "https://login.example/adminconsent"} }
	typ.DefaultScopes = []string{"a", "b"}
	c := Client{Type: "placed", ID: "x&y", Secret: theSecret}
	const page = "https://login.example/adminconsent?client_id=x%26y&redirect_uri=https%3A%2F%2Fgrantd.example%2Fcb&scope=a+b"
	if got := withType(t, typ).At(c).AdminConsentURL("https://grantd.example/cb"); got != page {
		t.Errorf("sent to %s", got)
	}
	for _, name := range []string{"github", "oidc", "gone"} {
		if got := newRegistry(t, Options{}).At(Client{Type: name, ID: "x"}).AdminConsentURL("https://grantd.example/cb"); got != "" {
			t.Errorf("%s sends admins to %s", name, got)
		}
	}
}
