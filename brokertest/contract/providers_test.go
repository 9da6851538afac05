package contract_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/testidp"
)

func TestANewProviderIsAnsweredWhole(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		a := h.Do(t, h.Admin, "POST", root+"providers/", newProvider(object{"name": "My IdP"}))
		p := want(t, 201, a)
		created := wantTime(t, "createdAt", p["createdAt"])
		if updated := wantTime(t, "updatedAt", p["updatedAt"]); updated.Before(created) {
			t.Errorf("updated at %s, before it was created at %s", updated, created)
		}
		for name, value := range map[string]any{"name": "My IdP", "type": "test", "clientId": brokertest.ClientID, "status": "active",
			"orgId": "acme", "skipConsent": false, "scopes": []any{}, "redirectUris": []any{}, "config": object{}} {
			if fmt.Sprint(p[name]) != fmt.Sprint(value) || p[name] == nil {
				t.Errorf("%s is %v, want %v", name, p[name], value)
			}
		}
		for _, name := range []string{"id", "secureConfigId", "slug"} {
			if text(t, p, name) == "" {
				t.Errorf("%s is empty", name)
			}
		}
		metadata := p["metadata"].(object)
		text(t, metadata, "host")
		text(t, metadata, "settingsUrl")
		if again := want(t, 200, h.Do(t, h.User, "GET", provider(text(t, p, "id")), nil)); !same(p, again) {
			t.Errorf("created as %v, read as %v", p, again)
		}
		only := list(t, want(t, 200, h.Do(t, h.User, "GET", root+"providers/", nil))["data"])
		if len(only) != 1 || !same(only[0], p) {
			t.Errorf("created as %v, listed as %v", p, only)
		}
		if p["clientSecret"] != nil || strings.Contains(string(a.Body), "clientSecret") || strings.Contains(string(a.Body), brokertest.ClientSecret) {
			t.Errorf("the client secret comes back: %s", a.Body)
		}
	})
}

func TestEveryFieldOfANewProviderIsKept(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		body := newProvider(object{"type": "github", "skipConsent": true, "slug": "our-github", "metadata": object{"host": "github.acme.example:8443"},
			"scopes": []any{"repo", "read:org"}, "redirectUris": []any{"https://app.example.com/cb", "http://localhost/cb"}, "config": object{"pkce": false}})
		p := want(t, 201, h.Do(t, h.Admin, "POST", root+"providers/", body))
		for _, name := range []string{"name", "type", "clientId", "skipConsent", "slug", "scopes", "redirectUris", "config"} {
			if fmt.Sprint(p[name]) != fmt.Sprint(body[name]) {
				t.Errorf("%s is %v, want %v", name, p[name], body[name])
			}
		}
		if host := p["metadata"].(object)["host"]; host != "github.acme.example:8443" {
			t.Errorf("metadata.host is %v", host)
		}
		if again := want(t, 200, h.Do(t, h.User, "GET", provider(text(t, p, "id")), nil)); !same(p, again) {
			t.Errorf("created as %v, read as %v", p, again)
		}
	})
}

// Terraform's acceptance test uses invented credentials.
func TestCreatingAProviderDoesNotCallTheUpstream(t *testing.T) {
	h := embedded(t)
	h.IdP.Inject(testidp.Fault{Endpoint: testidp.Any, Status: 500})
	create(t, h, object{"clientId": "invented", "clientSecret": "invented"})
	for endpoint, calls := range h.IdP.Stats().Calls {
		if calls != 0 {
			t.Errorf("%s was called %d times", endpoint, calls)
		}
	}
}

func TestSeveralProvidersOfOneTypeAndClientAreNormal(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		var made []string
		slugs := map[string]bool{}
		for range 3 {
			p := create(t, h, nil)
			made = append(made, text(t, p, "id"))
			slugs[text(t, p, "slug")] = true
		}
		if !slices.IsSorted(made) || len(slices.Compact(made)) != 3 || len(slugs) != 3 {
			t.Errorf("ids %v, slugs %v", made, slugs)
		}
	})
}

func TestASlugGivenTwiceIsAConflict(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		create(t, h, object{"slug": "ours"})
		body := want(t, 409, h.Do(t, h.Admin, "POST", root+"providers/", newProvider(object{"slug": "ours"})))
		if fields := list(t, body["errorFields"]); len(fields) != 1 || fields[0]["name"] != "slug" {
			t.Errorf("the wrong fields are %v", fields)
		}
		want(t, 409, h.Do(t, h.Admin, "PATCH", provider(createID(t, h, nil)), object{"slug": "ours"}))
		want(t, 201, h.Do(t, h.Other, "POST", root+"providers/", newProvider(object{"slug": "ours"})))
	})
}

func TestANameIsEchoedByteForByte(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		for _, name := range []string{
			"x", "  two spaces around  ", `quotes " ' and \ slashes /`, "<b>&amp;</b>", "100% %41 + ?a=b#c", "Grüße, 日本語, مرحبا, 🎉",
			"a\u0301 is not \u00e1", "null", "{}", "$(id) ; DROP TABLE providers;--", strings.Repeat("ü", 255),
		} {
			p := create(t, h, object{"name": name})
			id := text(t, p, "id")
			patched := want(t, 200, h.Do(t, h.Admin, "PATCH", provider(id), object{"name": name}))
			for _, got := range []any{p["name"], patched["name"], want(t, 200, h.Do(t, h.User, "GET", provider(id), nil))["name"]} {
				if got != name {
					t.Errorf("%q came back as %q", name, got)
				}
			}
		}
	})
}

func TestWrongProvidersAreRefusedByField(t *testing.T) {
	h := embedded(t)
	for _, c := range []struct {
		name   string
		body   object
		fields []string
	}{
		{"nothing at all", object{}, []string{"clientId", "name", "type"}},
		{"no name", newProvider(object{"name": ""}), []string{"name"}},
		{"a name of 256 characters", newProvider(object{"name": strings.Repeat("x", 256)}), []string{"name"}},
		{"a name with a line break", newProvider(object{"name": "a\nb"}), []string{"name"}},
		{"a name with a NUL", newProvider(object{"name": "a\x00b"}), []string{"name"}},
		{"a name that is null", newProvider(object{"name": nil}), []string{"name"}},
		{"an unknown type", newProvider(object{"type": "myspace"}), []string{"type"}},
		{"no client id", newProvider(object{"clientId": ""}), []string{"clientId"}},
		{"no client secret", newProvider(object{"clientSecret": ""}), []string{"clientSecret"}},
		{"no client secret for Basic", newProvider(object{"type": "oidc", "clientSecret": nil, "config": object{"issuer": "https://idp.example", "authStyle": "basic"}}), []string{"clientSecret"}},
		{"a client secret of the wrong type", newProvider(object{"clientSecret": 7}), []string{"clientSecret"}},
		{"a slug that is none", newProvider(object{"slug": "Not A Slug"}), []string{"slug"}},
		{"a scope with a space", newProvider(object{"scopes": []any{"a b"}}), []string{"scopes"}},
		{"a redirectUri that is none", newProvider(object{"redirectUris": []any{"https://ok.example/cb", "/cb"}}), []string{"redirectUris[1]"}},
		{"a host with a path", newProvider(object{"type": "github", "metadata": object{"host": "ghe.example/evil"}}), []string{"metadata.host"}},
		{"a host with a user", newProvider(object{"type": "github", "metadata": object{"host": "github.com@evil.example"}}), []string{"metadata.host"}},
		{"a host that is an address", newProvider(object{"type": "github", "metadata": object{"host": "169.254.169.254"}}), []string{"metadata.host"}},
		{"an unknown setting", newProvider(object{"config": object{"tokenUrl": "https://evil.example"}}), []string{"config.tokenUrl"}},
		{"oidc without an issuer", newProvider(object{"type": "oidc"}), []string{"config.issuer"}},
		{"two unknown fields", newProvider(object{"status": "active", "tenant": "x"}), []string{"status", "tenant"}},
		{"an unknown field of metadata", newProvider(object{"metadata": object{"hots": "x"}}), []string{"metadata.hots"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			wantFields(t, h.Do(t, h.Admin, "POST", root+"providers/", c.body), c.fields...)
		})
	}
	if left := ids(t, want(t, 200, h.Do(t, h.Admin, "GET", root+"providers/", nil))); len(left) != 0 {
		t.Errorf("%d of them are there nevertheless", len(left))
	}
}

func TestFiltersOfTheProviderList(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		a := createID(t, h, nil)
		b := createID(t, h, object{"type": "github"})
		c := createID(t, h, object{"type": "github", "metadata": object{"host": "ghe.example"}})
		for query, found := range map[string][]string{
			"":                                     {a, b, c},
			"ids=" + a:                             {a},
			"ids=" + a + "&ids=" + c:               {a, c},
			"ids=" + c + "," + a:                   {a, c},
			"ids=" + a + "," + b + "&ids=" + c:     {a, b, c},
			"ids=" + a + "&ids=" + unknownID:       {a},
			"ids=" + unknownID:                     {},
			"ids=%00,%ff,'%20OR%201=1":             {},
			"ids=,":                                {},
			"types=github":                         {b, c},
			"types=github&types=test":              {a, b, c},
			"types=test,github":                    {a, b, c},
			"types=myspace":                        {},
			"types=GitHub":                         {},
			"host=ghe.example":                     {c},
			"host=github.com":                      {b}, // where a provider without a host is
			"host=ghe.example,github.com":          {b, c},
			"host=ghe.example&host=nowhere":        {c},
			"host=nowhere":                         {},
			"types=github&host=ghe.example":        {c},
			"types=test&host=ghe.example":          {},
			"ids=" + a + "," + b + "&types=github": {b},
			"orderBy=createdAt":                    {a, b, c},
			"orderBy=-createdAt":                   {c, b, a},
			"types=github&orderBy=-createdAt":      {c, b},
			// An empty parameter counts as absent, an unknown one is ignored.
			"ids=&types=&host=&orderBy=&limit=&cursor=": {a, b, c},
			"ids=&ids=" + b:                        {b},
			"page=7&offset=3&secret=x&type=github": {a, b, c},
		} {
			page := want(t, 200, h.Do(t, h.User, "GET", root+"providers/?"+query, nil))
			if got := ids(t, page); !slices.Equal(got, found) {
				t.Errorf("?%s: got %v, want %v", query, got, found)
			}
			if page["next"] != nil || page["previous"] != nil {
				t.Errorf("?%s: next %v, previous %v", query, page["next"], page["previous"])
			}
		}
	})
}

func TestOnlyOrderLimitAndCursorAreJudged(t *testing.T) {
	h := embedded(t)
	for query, field := range map[string]string{
		"orderBy=name": "orderBy", "orderBy=CreatedAt": "orderBy", "limit=0": "limit", "limit=-1": "limit", "limit=1001": "limit",
		"limit=ten": "limit", "cursor=made-up": "cursor", "cursor=%00": "cursor",
	} {
		wantFields(t, h.Do(t, h.User, "GET", root+"providers/?"+query, nil), field)
		if field != "orderBy" {
			wantFields(t, h.Do(t, h.User, "GET", root+"authorizedProviders/?"+query, nil), field)
		}
	}
	want(t, 200, h.Do(t, h.User, "GET", root+"providers/?limit=1000", nil))
}

// next and previous are absolute addresses that can be followed as they are.
func TestListsCanBeWalked(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		var made, accounts []string
		for range 5 {
			made = append(made, createID(t, h, nil))
		}
		createID(t, h, object{"type": "github"})
		for i := range 5 {
			accounts = append(accounts, consent(t, h, h.User, made[0], fmt.Sprint("account", i)))
		}
		backwards := slices.Clone(made)
		slices.Reverse(backwards)
		for _, c := range []struct {
			path string
			want []string
		}{
			{"providers/?types=test&limit=2", made}, {"providers?types=test&limit=2&orderBy=-createdAt", backwards},
			{"providers/?types=test&limit=1", made}, {"providers/?types=test&limit=5", made}, {"providers/?types=test,&limit=4", made},
			{"authorizedProviders/?limit=2", accounts}, {"authorizedProviders/?limit=2&status=active&providerId=" + made[0], accounts},
		} {
			t.Run(c.path, func(t *testing.T) { walk(t, h, c.path, c.want) })
		}
	})
}

func walk(t *testing.T, h *brokertest.Instance, path string, all []string) {
	first := want(t, 200, h.Do(t, h.User, "GET", root+path, nil))
	if first["previous"] != nil {
		t.Errorf("the first page has a previous one: %v", first["previous"])
	}
	got, page := ids(t, first), first
	for page["next"] != nil {
		page = follow(t, h, h.User, text(t, page, "next"))
		got = append(got, ids(t, page)...)
		if len(got) > len(all) {
			break
		}
		if back := ids(t, follow(t, h, h.User, text(t, page, "previous"))); !slices.Contains(all, back[0]) {
			t.Errorf("previous of page %v leads to %v", ids(t, page), back)
		}
	}
	if !slices.Equal(got, all) {
		t.Errorf("walked over %v, want %v", got, all)
	}
}

func follow(t *testing.T, h *brokertest.Instance, who brokertest.Person, address string) object {
	t.Helper()
	path, ok := strings.CutPrefix(address, h.URL)
	if !ok {
		t.Fatalf("%s does not begin with the public URL %s", address, h.URL)
	}
	return want(t, 200, h.Do(t, who, "GET", path, nil))
}

// The API's document calls previous "the address of the page before".
func TestPreviousLeadsToThePageBefore(t *testing.T) {
	h := embedded(t)
	for range 5 {
		createID(t, h, nil)
	}
	before := want(t, 200, h.Do(t, h.User, "GET", root+"providers/?limit=1", nil))
	for before["next"] != nil {
		page := follow(t, h, h.User, text(t, before, "next"))
		if back := follow(t, h, h.User, text(t, page, "previous")); !slices.Equal(ids(t, back), ids(t, before)) {
			t.Fatalf("previous of %v leads to %v, want %v", ids(t, page), ids(t, back), ids(t, before))
		}
		before = page
	}
}

func TestProvidersAreNotPagedUnlessAskedFor(t *testing.T) {
	h := embedded(t)
	for range 101 {
		h.Provider(t, "test")
	}
	page := want(t, 200, h.Do(t, h.User, "GET", root+"providers/", nil))
	if page["count"] != 101.0 || page["next"] != nil {
		t.Errorf("count %v, next %v: Terraform reads the first page only", page["count"], page["next"])
	}
}

func TestPatchChangesWhatIsGivenAndAnswersWithTheWholeProvider(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		before := create(t, h, object{"scopes": []any{"a", "b"}, "redirectUris": []any{"https://a.example/"}, "config": object{"requireIss": true}})
		id := text(t, before, "id")
		for _, c := range []struct{ change, becomes object }{
			{object{"name": "Renamed"}, nil},
			{object{"skipConsent": true}, nil},
			{object{"status": "inactive"}, nil},
			{object{"status": "disabled"}, nil},
			{object{"status": "active"}, nil},
			{object{"slug": "renamed"}, nil},
			{object{"scopes": []any{"c"}}, nil}, // lists and objects replace whole
			{object{"redirectUris": []any{"https://b.example/x", "http://127.0.0.1/"}}, nil},
			{object{"config": object{"pkce": true}}, nil},
			{object{"clientSecret": brokertest.ClientSecret}, object{}},
			{object{"name": "Both", "skipConsent": false}, nil},
			// null leaves as it is.
			{object{"name": nil, "clientSecret": nil, "skipConsent": nil, "status": nil, "slug": nil, "scopes": nil, "redirectUris": nil,
				"config": nil, "metadata": nil, "type": nil, "clientId": nil}, object{}},
			{object{"name": "One", "scopes": nil}, object{"name": "One"}},
			{object{"scopes": []any{}}, nil},
			{object{"redirectUris": []any{}, "config": object{}}, nil},
			{object{}, nil},
		} {
			after := want(t, 200, h.Do(t, h.Admin, "PATCH", provider(id), c.change))
			if c.becomes == nil {
				c.becomes = c.change
			}
			if wantTime(t, "updatedAt", after["updatedAt"]).Before(wantTime(t, "updatedAt", before["updatedAt"])) {
				t.Errorf("%v: updatedAt went from %v to %v", c.change, before["updatedAt"], after["updatedAt"])
			}
			expected := decoded(t, before)
			for name, value := range c.becomes {
				expected[name] = value
			}
			if len(c.change) > 0 {
				expected["updatedAt"] = after["updatedAt"]
			}
			if !same(expected, after) {
				t.Errorf("%v made\n%v, want\n%v", c.change, after, expected)
			}
			if got := want(t, 200, h.Do(t, h.User, "GET", provider(id), nil)); !same(got, after) {
				t.Errorf("%v is answered with\n%v, read as\n%v", c.change, after, got)
			}
			before = after
		}
	})
}

func TestWrongChangesAreRefusedByFieldAndChangeNothing(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		before := create(t, h, nil)
		at := provider(text(t, before, "id"))
		for _, c := range []struct {
			change object
			fields []string
		}{
			{object{"name": ""}, []string{"name"}},
			{object{"clientSecret": ""}, []string{"clientSecret"}},
			{object{"name": "", "clientSecret": ""}, []string{"clientSecret", "name"}},
			{object{"type": "github"}, []string{"type"}},
			{object{"type": "test"}, []string{"type"}},
			{object{"clientId": "another"}, []string{"clientId"}},
			{object{"status": "deleted"}, []string{"status"}},
			{object{"status": "Active"}, []string{"status"}},
			{object{"status": ""}, []string{"status"}},
			{object{"name": "Renamed", "status": "deleted"}, []string{"status"}},
			{object{"slug": ""}, []string{"slug"}},
			{object{"name": 7}, []string{"name"}},
			{object{"skipConsent": "yes"}, []string{"skipConsent"}},
			{object{"scopes": "a b"}, []string{"scopes"}},
			{object{"redirectUris": []any{"javascript:alert(1)"}}, []string{"redirectUris[0]"}},
			{object{"config": object{"nonsense": true}}, []string{"config.nonsense"}},
			{object{"orgId": "globex", "id": "x"}, []string{"id", "orgId"}},
		} {
			wantFields(t, h.Do(t, h.Admin, "PATCH", at, c.change), c.fields...)
			if after := want(t, 200, h.Do(t, h.Admin, "GET", at, nil)); !same(before, after) {
				t.Fatalf("%v changed %v into %v", c.change, before, after)
			}
		}
		answer := want(t, 422, h.Do(t, h.Admin, "PATCH", at, object{"type": "x", "clientId": "y"}))
		for _, f := range list(t, answer["errorFields"]) {
			if !strings.Contains(text(t, f, "message"), "cannot be changed") {
				t.Errorf("%v", f)
			}
		}
	})
}

func TestANewClientSecretIsUsedFromThenOn(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, nil)
		h.IdP.SetSecret(brokertest.ClientID, "rotated")
		want(t, 502, h.Do(t, h.User, "POST", callback, approved(t, h, h.User, p, "ada")))
		want(t, 200, h.Do(t, h.Admin, "PATCH", provider(p), object{"clientSecret": "rotated"}))
		consent(t, h, h.User, p, "ada")
	})
}

// A1: where a consent may return to.
func TestA1_RedirectURIs(t *testing.T) {
	t.Parallel()
	eachWith(t, brokertest.Options{RedirectAllow: []string{"https://app.example.com"}}, func(t *testing.T, h *brokertest.Instance) {
		open := createID(t, h, nil)
		listed := createID(t, h, object{"redirectUris": []any{"https://other.example.com/cb?x=1", "http://localhost:1/cb"}})
		for _, c := range []struct {
			provider, redirect string
			admitted           bool
		}{
			{open, "http://localhost:5173/oauth/callback", true},
			{open, "http://localhost:8080/api/v1/oauth/callback/", true},
			{open, "http://127.0.0.1:9/cb", true},
			{open, "http://[::1]:8080/cb", true},
			{open, "https://localhost/cb", true},
			{open, "https://app.example.com/path/oauth/callback", true},
			{open, "https://app.example.com/account/oauth-providers/?providerId=" + open, true},
			{open, "HTTPS://APP.example.com/%7Ea/?q=%2F%2f", true},
			{open, h.URL + "/anything", true},

			{open, "https://evil.example.com/cb", false},
			{open, "http://app.example.com/cb", false},
			{open, "https://app.example.com:8443/cb", false},
			{open, "https://app.example.com.evil.example/cb", false},
			{open, "https://evil.example/https://app.example.com/", false},
			{open, "https://app.example.com@evil.example/cb", false},
			{open, "https://ada@app.example.com/cb", false},
			{open, "https://app.example.com/cb#part", false},
			{open, "https://app.example.com/cb#", false},
			{open, "https://app.example.com/a/../b", false},
			{open, "https://app.example.com/a/%2e%2e/b", false},
			{open, "https://app.example.com/a/..%2fb", false},
			{open, `https://app.example.com\@evil.example/`, false},
			{open, `https://app.example.com/\evil`, false},
			{open, "https://app.example.com/a\nb", false},
			{open, "https://app.example.com/a b", false},
			{open, "https://app.example.com/\x00", false},
			{open, " https://app.example.com/", false},
			{open, "https://app.example.com%2eevil.example/", false},
			{open, "http://localhost.evil.example/cb", false},
			{open, "http://localhost@evil.example/cb", false},
			{open, "http://127.0.0.1.evil.example/cb", false},
			{open, "http://0.0.0.0/cb", false},
			{open, "http://10.0.0.1/cb", false},
			{open, "//app.example.com/cb", false},
			{open, "/oauth/callback", false},
			{open, "app.example.com/cb", false},
			{open, "javascript:alert(1)", false},
			{open, "data:text/html,x", false},
			{open, "ftp://localhost/cb", false},
			{open, "myapp://callback", false},
			{open, "https:///cb", false},
			{open, "https://app.example.com/" + strings.Repeat("x", 1000), false},

			// With a list, only it: exactly, but for the port of loopback addresses.
			{listed, "https://other.example.com/cb?x=1", true},
			{listed, "http://localhost:1/cb", true},
			{listed, "http://localhost:54321/cb", true},
			{listed, "http://localhost/cb", true},
			{listed, "https://other.example.com/cb?x=2", false},
			{listed, "https://other.example.com/cb", false},
			{listed, "https://other.example.com/cb/?x=1", false},
			{listed, "https://other.example.com:8443/cb?x=1", false},
			{listed, "http://localhost:1/cb2", false},
			{listed, "http://127.0.0.1:1/cb", false},
			{listed, "https://app.example.com/path/oauth/callback", false},
			{listed, h.URL + "/anything", false},
		} {
			a := h.Do(t, h.User, "POST", authorizeAt(c.provider)+"?"+url.Values{"redirect_uri": {c.redirect}}.Encode(), nil)
			if !c.admitted {
				if a.Status != 422 {
					t.Errorf("%q is admitted", c.redirect)
					continue
				}
				wantFields(t, a, "redirect_uri")
				continue
			}
			if a.Status != 200 {
				t.Errorf("%q is not admitted: %s", c.redirect, a.Body)
				continue
			}
			if got := inside(t, text(t, want(t, 200, a), "redirectUrl"), "redirect_uri"); got != c.redirect {
				t.Errorf("%q became %q", c.redirect, got)
			}
		}
	})
}

func TestA1_WithoutARedirectURITheOwnCallbackIsUsed(t *testing.T) {
	h := embedded(t)
	p := createID(t, h, nil)
	for _, q := range []string{"", "?redirect_uri=", "?state=&redirect_uri=&skip_consent="} {
		target := text(t, want(t, 200, h.Do(t, h.User, "POST", authorizeAt(p)+q, nil)), "redirectUrl")
		if got := inside(t, target, "redirect_uri"); got != h.URL+"/external-auth/"+p+"/callback" {
			t.Errorf("%q: the redirect_uri is %q", q, got)
		}
	}
}

// A1: what was stored is sent byte for byte when the code is exchanged; the
// authorization server compares.
func TestA1_TheStoredRedirectURIIsReusedByteForByte(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := createID(t, h, nil)
		q := url.Values{"redirect_uri": {"http://localhost:5173/%7Ea//b/?providerId=" + p + "&e=&x=%2f%2F+ü"}}
		back := h.Approve(t, begin(t, h, h.User, p, q), "ada")
		want(t, 200, h.Do(t, h.User, "POST", callback, object{"providerId": p, "state": back.State.Reveal(), "code": secret(back.Code)}))
	})
}

// A4: a provider in use is not moved; one that is not moves only with a new
// secret, so that the old one is never sent elsewhere.
func TestA4_AProviderInUseCannotBeMoved(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		github := object{"type": "github", "metadata": object{"host": h.IdPURL}}
		move := object{"metadata": object{"host": "ghe.example"}, "clientSecret": "new"}
		for _, c := range []struct {
			name string
			use  func(id string)
		}{
			{"with a consent under way", func(id string) { begin(t, h, h.User, id, nil) }},
			{"with an authorization", func(id string) { consent(t, h, h.User, id, "ada") }},
			{"with a revocation outstanding", func(id string) {
				a := consent(t, h, h.User, id, "ada")
				h.IdP.Inject(testidp.Fault{Endpoint: testidp.Revoke, Status: 429, RetryAfter: "3600"})
				want(t, 204, h.Do(t, h.User, "DELETE", authorization(a), nil))
				h.IdP.ClearFaults()
			}},
		} {
			t.Run(c.name, func(t *testing.T) {
				id := createID(t, h, github)
				c.use(id)
				want(t, 409, h.Do(t, h.Admin, "PATCH", provider(id), move))
				want(t, 200, h.Do(t, h.Admin, "PATCH", provider(id), object{"metadata": object{"host": h.IdPURL}, "name": "Stays"}))
			})
		}
		t.Run("that is not in use", func(t *testing.T) {
			id := createID(t, h, github)
			wantFields(t, h.Do(t, h.Admin, "PATCH", provider(id), object{"metadata": object{"host": "ghe.example"}}), "clientSecret")
			moved := want(t, 200, h.Do(t, h.Admin, "PATCH", provider(id), move))
			if host := moved["metadata"].(object)["host"]; host != "ghe.example" {
				t.Errorf("it is at %v", host)
			}
			target := begin(t, h, h.User, id, nil).RedirectURL
			if !strings.HasPrefix(target, "https://ghe.example/login/oauth/authorize?") {
				t.Errorf("people are sent to %s", target)
			}
		})
		t.Run("whose issuer is its place", func(t *testing.T) {
			id := createID(t, h, object{"type": "oidc", "config": object{"issuer": "https://one.example"}})
			other := object{"config": object{"issuer": "https://two.example"}}
			wantFields(t, h.Do(t, h.Admin, "PATCH", provider(id), other), "clientSecret")
			other["clientSecret"] = "new"
			want(t, 200, h.Do(t, h.Admin, "PATCH", provider(id), other))
		})
	})
}

func inside(t testing.TB, address, parameter string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get(parameter)
}
