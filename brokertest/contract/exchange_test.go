package contract_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/grantd/grantd/broker"
	"github.com/grantd/grantd/brokertest"
	"github.com/grantd/grantd/brokertest/oidcprovider"
	"github.com/grantd/grantd/models"
	"github.com/grantd/grantd/testidp"
)

const (
	exchangeGrant   = "urn:ietf:params:oauth:grant-type:token-exchange"
	accessTokenType = "urn:ietf:params:oauth:token-type:access_token"
	jwtType         = "urn:ietf:params:oauth:token-type:jwt"
)

// oauthPost sends a form as a client of OAuth does. Without a client it authenticates by nothing.
func oauthPost(t testing.TB, h *brokertest.Instance, path string, client brokertest.Person, form url.Values) brokertest.Answer {
	t.Helper()
	r := request(t, h, "POST", path, form.Encode())
	r.Header.Del("Authorization")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if client.Token != "" {
		r.SetBasicAuth(url.QueryEscape(client.Caller.TokenID), url.QueryEscape(secret(client.Token)))
	}
	return sendPlainly(t, r)
}

// sendPlainly sends a request of which the OpenAPI document knows nothing.
func sendPlainly(t testing.TB, r *http.Request) brokertest.Answer {
	t.Helper()
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	return brokertest.Answer{Status: res.StatusCode, Header: res.Header, Body: []byte(read(t, res))}
}

// exchangeForm is the usual request for the token of whose.
func exchangeForm(whose models.Secret, changes url.Values) url.Values {
	form := url.Values{"grant_type": {exchangeGrant}, "subject_token": {secret(whose)}, "subject_token_type": {accessTokenType}}
	for name, values := range changes {
		form[name] = values
	}
	return form
}

func wantOAuth(t testing.TB, a brokertest.Answer, status int, code string) object {
	t.Helper()
	var body object
	if err := json.Unmarshal(a.Body, &body); err != nil || a.Status != status || code != "" && body["error"] != code {
		t.Fatalf("answered %d %s, want %d %s", a.Status, a.Body, status, code)
	}
	if got := a.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control is %q", got)
	}
	return body
}

// A service exchanges the token of a person for what that person has connected; the person does so too.
func TestAPersonsTokenIsExchanged(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p := create(t, h, object{"config": object{"match": []string{"git.example.com"}}})
		id, slug := text(t, p, "id"), text(t, p, "slug")
		a := consent(t, h, h.User, id, "ada")
		service := h.Limited(t, broker.NewAPIToken{OrgID: "acme", UserID: "app-web", Role: models.RoleService, Providers: []string{slug}})
		now := accessToken(t, h, h.User, a)
		for name, c := range map[string]struct {
			client brokertest.Person
			form   url.Values
		}{
			"by slug": {service, url.Values{"audience": {slug}}}, "by id": {service, url.Values{"audience": {id}}},
			"by an address":                  {service, url.Values{"resource": {"https://git.example.com/acme/app"}}},
			"by both":                        {service, url.Values{"audience": {slug}, "resource": {"https://git.example.com/acme/app"}}},
			"by account":                     {service, url.Values{"audience": {slug}, "account": {"ada"}}},
			"by the id of the authorization": {service, url.Values{"audience": {slug}, "account": {a}}},
			"by the person":                  {h.User, url.Values{"audience": {slug}}},
			"with a scope":                   {service, url.Values{"audience": {slug}, "scope": {"email"}, "requested_token_type": {accessTokenType}}},
		} {
			answer := oauthPost(t, h, "/oauth2/token", c.client, exchangeForm(h.User.Token, c.form))
			body := wantOAuth(t, answer, 200, "")
			if body["access_token"] != now || body["issued_token_type"] != accessTokenType || body["token_type"] != "Bearer" || body["refresh_token"] != nil {
				t.Errorf("%s: %v", name, body)
			}
			if expires, _ := body["expires_in"].(float64); expires < 3000 || body["scope"] == nil {
				t.Errorf("%s: %v", name, body)
			}
		}
		if err := h.Service.FlushFetches(ctx); err != nil {
			t.Fatal(err)
		}
		if got := column(t, h, "SELECT DISTINCT user_id || ' ' || token_id FROM token_fetches ORDER BY 1"); len(got) != 2 {
			t.Errorf("fetches are counted for %v", got)
		}
		// What has expired is refreshed, as over the API.
		h.IdP.SetAccessTTL(time.Hour)
		change(t, h, "UPDATE credentials SET expires_at = saved_at, refresh_after = saved_at")
		renewed := wantOAuth(t, oauthPost(t, h, "/oauth2/token", service, exchangeForm(h.User.Token, url.Values{"audience": {slug}})), 200, "")
		if renewed["access_token"] == now {
			t.Error("an expired token was handed out")
		}
	})
}

// Every refusal is one that OAuth has a word for, and no mistake of a client is a 5xx.
func TestWhatIsNotExchangedIsRefusedInTheWordsOfOAuth(t *testing.T) {
	t.Parallel()
	h, issuer := trusting(t, brokertest.Options{}, func(entries []broker.TrustedIssuer) { entries[0].Providers = []string{"p"} })
	p, other, unused := create(t, h, nil), create(t, h, nil), create(t, h, nil)
	id, slug := text(t, p, "id"), text(t, p, "slug")
	consent(t, h, h.User, id, "ada")
	twice := createID(t, h, object{"config": object{"match": []string{"git.example.com"}}})
	createID(t, h, object{"config": object{"match": []string{"git.example.com"}}})
	off := createID(t, h, nil)
	consent(t, h, h.User, off, "ada")
	want(t, 200, h.Do(t, h.Admin, "PATCH", provider(off), object{"status": "inactive"}))
	service := h.Limited(t, broker.NewAPIToken{OrgID: "acme", UserID: "app-web", Role: models.RoleService, Providers: []string{id, text(t, unused, "id"), twice, off}})
	foreign := h.Person(t, "globex", "ada", models.RoleUser)
	narrow := h.Limited(t, broker.NewAPIToken{OrgID: "acme", UserID: "ada", Role: models.RoleUser, Providers: []string{text(t, other, "id")}})
	machine := h.Person(t, "acme", "app-nightly", models.RoleUser)
	ada := secret(h.User.Token)
	for _, c := range []struct {
		name    string
		client  brokertest.Person
		changes url.Values
		status  int
		code    string
		connect bool
	}{
		{"no client", nobody, nil, 401, "invalid_client", false},
		{"an unknown client", brokertest.Person{Caller: service.Caller, Token: "grd_01936f2c-11aa-7c05-8d97-2b4e6f8a9c10_x"}, nil, 401, "invalid_client", false},
		{"another client's id", brokertest.Person{Caller: h.Admin.Caller, Token: service.Token}, nil, 401, "invalid_client", false},
		{"two ways to authenticate", service, url.Values{"client_secret": {secret(service.Token)}}, 400, "invalid_request", false},
		{"no grant type", service, url.Values{"grant_type": nil}, 400, "invalid_request", false},
		{"another grant", service, url.Values{"grant_type": {"client_credentials"}}, 400, "unsupported_grant_type", false},
		{"no subject", service, url.Values{"subject_token": nil}, 400, "invalid_request", false},
		{"an unknown subject", service, url.Values{"subject_token": {"grd_x"}}, 400, "invalid_request", false},
		{"a subject of bytes that no database stores", service, url.Values{"subject_token": {"grd_\xff\x00_x"}}, 400, "invalid_request", false},
		{"no type of the subject", service, url.Values{"subject_token_type": nil}, 400, "invalid_request", false},
		{"an API token that is called a JWT", service, url.Values{"subject_token_type": {jwtType}}, 400, "invalid_request", false},
		{"a refresh token as type", service, url.Values{"subject_token_type": {"urn:ietf:params:oauth:token-type:refresh_token"}}, 400, "invalid_request", false},
		{"an admin as subject", service, url.Values{"subject_token": {secret(h.Admin.Token)}}, 400, "invalid_request", false},
		{"a service as subject", service, url.Values{"subject_token": {secret(service.Token)}}, 400, "invalid_request", false},
		{"a subject of another organisation", service, url.Values{"subject_token": {secret(foreign.Token)}}, 400, "invalid_request", false},
		{"a user as somebody else's client", h.Colleague, nil, 400, "unauthorized_client", false},
		{"an admin as somebody else's client", h.Admin, nil, 400, "unauthorized_client", false},
		{"an actor that is unknown", service, url.Values{"actor_token": {"grd_x"}, "actor_token_type": {accessTokenType}}, 400, "invalid_request", false},
		{"an actor of another organisation", service, url.Values{"actor_token": {secret(foreign.Token)}, "actor_token_type": {accessTokenType}}, 400, "invalid_request", false},
		{"an actor without its type", service, url.Values{"actor_token": {ada}}, 400, "invalid_request", false},
		{"a type of no actor", service, url.Values{"actor_token_type": {accessTokenType}}, 400, "invalid_request", false},
		{"another type of token", service, url.Values{"requested_token_type": {"urn:ietf:params:oauth:token-type:refresh_token"}}, 400, "invalid_request", false},
		{"no target", service, url.Values{"audience": nil}, 400, "invalid_request", false},
		{"an unknown target", service, url.Values{"audience": {"nowhere"}}, 400, "invalid_target", false},
		{"a target of bytes that no database stores", service, url.Values{"audience": {"a\x00b\xff"}}, 400, "invalid_target", false},
		{"a target outside the client's limits", service, url.Values{"audience": {text(t, other, "slug")}}, 400, "invalid_target", false},
		{"a target outside the subject's limits", service, url.Values{"subject_token": {secret(narrow.Token)}}, 400, "invalid_target", false},
		{"a target that is switched off", service, url.Values{"audience": {off}}, 400, "invalid_target", false},
		{"two targets", service, url.Values{"audience": {slug, text(t, unused, "slug")}}, 400, "invalid_target", false},
		{"too many targets", service, url.Values{"audience": {slug, slug, slug, slug, slug}}, 400, "invalid_target", false},
		{"an address that fits two", h.User, url.Values{"audience": nil, "resource": {"https://git.example.com/a"}}, 400, "invalid_target", false},
		{"an address that fits none", service, url.Values{"audience": nil, "resource": {"https://elsewhere.example.com/a"}}, 400, "invalid_target", false},
		{"an address that is none", service, url.Values{"audience": nil, "resource": {"http://x/../%00"}}, 400, "invalid_target", false},
		{"a scope that was not granted", service, url.Values{"scope": {"email delete-everything"}}, 400, "invalid_scope", true},
		{"nothing connected", service, url.Values{"audience": {text(t, unused, "slug")}}, 400, "interaction_required", true},
		{"another account", service, url.Values{"account": {"grace"}}, 400, "interaction_required", true},
		{"nothing connected, of a machine", service, url.Values{"subject_token": {secret(machine.Token)}}, 400, "interaction_required", false},
		{"nothing connected, of somebody who cannot sign in", service, url.Values{"subject_token": {secret(ofPerson(t, issuer, "ada"))}, "subject_token_type": {jwtType}}, 400, "interaction_required", false},
		{"a parameter twice", service, url.Values{"account": {"a", "b"}}, 400, "invalid_request", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			form := exchangeForm(h.User.Token, url.Values{"audience": {slug}})
			for name, values := range c.changes {
				form[name] = values
				if values == nil {
					form.Del(name)
				}
			}
			answer := oauthPost(t, h, "/oauth2/token", c.client, form)
			body := wantOAuth(t, answer, c.status, c.code)
			if at, _ := body["connect_url"].(string); (at != "") != c.connect || c.connect && !strings.HasPrefix(at, h.URL+"/external-auth/") {
				t.Errorf("connect_url is %q", at)
			}
			if c.status == 401 && !strings.HasPrefix(answer.Header.Get("WWW-Authenticate"), "Basic") {
				t.Error("a 401 without WWW-Authenticate")
			}
			if strings.Contains(string(answer.Body), "grd_") {
				t.Errorf("the answer has a token: %s", answer.Body)
			}
		})
	}
	r := request(t, h, "POST", "/oauth2/token", `{"grant_type":"x"}`)
	r.Header.Set("Content-Type", "application/json")
	wantOAuth(t, sendPlainly(t, r), 400, "invalid_request")
	// In the address nothing counts: it ends up in logs.
	r = request(t, h, "POST", "/oauth2/token?"+exchangeForm(h.User.Token, url.Values{"audience": {slug}, "client_secret": {secret(service.Token)}}).Encode(), "")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	wantOAuth(t, sendPlainly(t, r), 400, "invalid_request")
	if strings.Contains(h.Log.String(), ada) || strings.Contains(h.Log.String(), secret(service.Token)) {
		t.Error("the log has a token")
	}

	want(t, 200, h.Do(t, h.User, "GET", root+"providers/", nil))
	change(t, h, "UPDATE credentials SET expires_at = saved_at, refresh_after = saved_at")
	h.IdP.Inject(testidp.Fault{Endpoint: testidp.Refresh, Times: 100, Status: 503})
	away := oauthPost(t, h, "/oauth2/token", service, exchangeForm(h.User.Token, url.Values{"audience": {slug}}))
	wantOAuth(t, away, 503, "temporarily_unavailable")
	if away.Header.Get("Retry-After") == "" {
		t.Error("a 503 without Retry-After")
	}
}

// Tokens of trusted issuers are clients, subjects and actors too. may_act says who may act for a subject.
func TestBearersOfATrustedIssuerExchange(t *testing.T) {
	t.Parallel()
	h, issuer := trusting(t, brokertest.Options{}, func(entries []broker.TrustedIssuer) { entries[0].Providers = []string{"test-provider"} })
	p := h.Provider(t, "test")
	want(t, 200, h.Do(t, h.Admin, "PATCH", provider(p.ID), object{"slug": "test-provider"}))
	ada := h.Bearer(t, ofPerson(t, issuer, "ada"))
	consent(t, h, ada, p.ID, "ada")
	ci := ofCI(t, issuer, nil)
	const ciSub = "repo:acme/app:ref:refs/heads/main"
	subject := func(mayAct any) models.Secret {
		return issuer.Bearer(t, "ada", object{"groups": "people", "may_act": mayAct})
	}
	service := h.Limited(t, broker.NewAPIToken{OrgID: "acme", UserID: "app-web", Role: models.RoleService, Providers: []string{p.ID}})
	for _, c := range []struct {
		name   string
		form   url.Values
		status int
		code   string
	}{
		{"an assertion", url.Values{"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {secret(ci)}}, 200, ""},
		{"an assertion of another type", url.Values{"client_assertion_type": {"saml"}, "client_assertion": {secret(ci)}}, 400, "invalid_request"},
		{"the form", url.Values{"client_id": {"issuer:ci"}, "client_secret": {secret(ci)}}, 200, ""},
		{"the form with another id", url.Values{"client_id": {"issuer:corp"}, "client_secret": {secret(ci)}}, 401, "invalid_client"},
		{"the subject itself", url.Values{"client_id": {"issuer:corp"}, "client_secret": {secret(ada.Token)}}, 200, ""},
		{"who may act", url.Values{"subject_token": {secret(subject(object{"sub": ciSub}))}, "client_id": {"issuer:ci"}, "client_secret": {secret(ci)}}, 200, ""},
		{"who may act, of the issuer", url.Values{"subject_token": {secret(subject(object{"iss": issuer.URL, "sub": ciSub}))}, "client_id": {"issuer:ci"}, "client_secret": {secret(ci)}}, 200, ""},
		{"who may act is of another issuer", url.Values{"subject_token": {secret(subject(object{"iss": "https://elsewhere.test", "sub": ciSub}))}, "client_id": {"issuer:ci"}, "client_secret": {secret(ci)}}, 400, "invalid_request"},
		{"who may act is somebody else", url.Values{"subject_token": {secret(subject(object{"sub": "app-web"}))}, "client_id": {"issuer:ci"}, "client_secret": {secret(ci)}}, 400, "invalid_request"},
		{"who may act cannot be read", url.Values{"subject_token": {secret(subject("app-web"))}, "client_id": {"issuer:ci"}, "client_secret": {secret(ci)}}, 400, "invalid_request"},
		{"the actor may act", url.Values{"subject_token": {secret(subject(object{"sub": ciSub}))}, "actor_token": {secret(ci)}, "actor_token_type": {jwtType},
			"client_id": {service.Caller.TokenID}, "client_secret": {secret(service.Token)}}, 200, ""},
		{"the client may act, and not the actor", url.Values{"subject_token": {secret(subject(object{"iss": h.URL, "sub": "app-web"}))}, "actor_token": {secret(ci)}, "actor_token_type": {jwtType},
			"client_id": {service.Caller.TokenID}, "client_secret": {secret(service.Token)}}, 400, "invalid_request"},
		{"the client may act", url.Values{"subject_token": {secret(subject(object{"iss": h.URL, "sub": "app-web"}))},
			"client_id": {service.Caller.TokenID}, "client_secret": {secret(service.Token)}}, 200, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			form := exchangeForm(ada.Token, url.Values{"audience": {"test-provider"}, "subject_token_type": {jwtType}})
			for name, values := range c.form {
				form[name] = values
			}
			wantOAuth(t, oauthPost(t, h, "/oauth2/token", nobody, form), c.status, c.code)
		})
	}
	r := request(t, h, "POST", "/oauth2/token", exchangeForm(ada.Token, url.Values{"audience": {"test-provider"}, "subject_token_type": {jwtType}}).Encode())
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Authorization", "Bearer "+secret(ci))
	wantOAuth(t, sendPlainly(t, r), 200, "")
}

// A service asks whether an access token that it was shown is one of its organisation's and providers'.
func TestATokenIsIntrospected(t *testing.T) {
	each(t, func(t *testing.T, h *brokertest.Instance) {
		p, q := createID(t, h, nil), createID(t, h, nil)
		a := consent(t, h, h.User, p, "ada")
		service := func(org, provider string) brokertest.Person {
			return h.Limited(t, broker.NewAPIToken{OrgID: org, UserID: "app-web", Role: models.RoleService, Providers: []string{provider}})
		}
		inside, outside := service("acme", p), service("acme", q)
		foreignProvider := text(t, want(t, 201, h.Do(t, h.Other, "POST", root+"providers/", newProvider(nil))), "id")
		foreign := service("globex", foreignProvider)
		introspect := func(who brokertest.Person, token string) object {
			t.Helper()
			return wantOAuth(t, oauthPost(t, h, "/oauth2/introspect", who, url.Values{"token": {token}, "token_type_hint": {"access_token"}}), 200, "")
		}
		inactive := func(what string, who brokertest.Person, token string) {
			t.Helper()
			if body := introspect(who, token); len(body) != 1 || body["active"] != false {
				t.Errorf("%s: %v", what, body)
			}
		}
		token := accessToken(t, h, h.User, a)
		body := introspect(inside, token)
		if exp, _ := body["exp"].(float64); body["active"] != true || body["sub"] != "ada" || body["aud"] != p || exp < float64(time.Now().Unix()) || len(body) > 5 {
			t.Errorf("introspected: %v", body)
		}
		inactive("outside its limits", outside, token)
		inactive("another organisation's", foreign, token)
		inactive("of a user", h.User, token)
		inactive("of an admin", h.Admin, token)
		inactive("an unknown one", inside, token+"x")
		inactive("an API token", inside, secret(h.User.Token))
		wantOAuth(t, oauthPost(t, h, "/oauth2/introspect", nobody, url.Values{"token": {token}}), 401, "invalid_client")
		wantOAuth(t, oauthPost(t, h, "/oauth2/introspect", inside, url.Values{}), 400, "invalid_request")

		// Nothing is written while tokens are handed out and asked about.
		if got := column(t, h, "SELECT generation FROM credentials"); !slices.Equal(got, []string{"1"}) {
			t.Errorf("generations: %v", got)
		}
		// After a reset the former one is not active any more.
		want(t, 201, h.Do(t, h.User, "POST", authorization(a)+"reset/", nil))
		inactive("the one from before a reset", inside, token)
		token = accessToken(t, h, h.User, a)
		if introspect(inside, token)["active"] != true {
			t.Error("the new one is not active")
		}
		want(t, 204, h.Do(t, h.User, "DELETE", authorization(a), nil))
		inactive("of a connection that has ended", inside, token)
	})
}

// What tells clients where to go (RFC 8414).
func TestTheMetadataOfTheExchange(t *testing.T) {
	h := embedded(t)
	r := request(t, h, "GET", "/.well-known/oauth-authorization-server", "")
	var m object
	if err := json.Unmarshal(sendPlainly(t, r).Body, &m); err != nil {
		t.Fatal(err)
	}
	if m["issuer"] != h.URL || m["token_endpoint"] != h.URL+"/oauth2/token" || m["introspection_endpoint"] != h.URL+"/oauth2/introspect" || m["response_types_supported"] == nil {
		t.Errorf("%v", m)
	}
}

// Two clients that others wrote exchange tokens unmodified: golang.org/x/oauth2, and openid-client of npm, which reads the
// metadata besides.
func TestIndependentClientsExchange(t *testing.T) {
	t.Parallel()
	h := brokertest.New(t, nil)
	p := h.Provider(t, "test")
	a := consent(t, h, h.User, p.ID, "ada")
	service := h.Limited(t, broker.NewAPIToken{OrgID: "acme", UserID: "app-web", Role: models.RoleService, Providers: []string{p.ID}})
	token := accessToken(t, h, h.User, a)

	config := clientcredentials.Config{ClientID: service.Caller.TokenID, ClientSecret: secret(service.Token), TokenURL: h.URL + "/oauth2/token",
		EndpointParams: exchangeForm(h.User.Token, url.Values{"audience": {p.Slug}}), AuthStyle: oauth2.AuthStyleInHeader}
	for _, style := range []oauth2.AuthStyle{oauth2.AuthStyleInHeader, oauth2.AuthStyleInParams} {
		config.AuthStyle = style
		got, err := config.Token(ctx)
		if err != nil || got.AccessToken != token || got.Expiry.Before(time.Now().Add(50*time.Minute)) {
			t.Errorf("x/oauth2: %v, %v", got, err)
		}
	}

	answer := object{}
	if err := json.Unmarshal(oidcprovider.Run(t, "exchange.mjs", map[string]string{"GRANTD": h.URL, "CLIENT_ID": service.Caller.TokenID, "CLIENT_SECRET": secret(service.Token),
		"SUBJECT": secret(h.User.Token), "AUDIENCE": p.Slug}), &answer); err != nil {
		t.Fatal(err)
	}
	if answer["access_token"] != token || answer["active"] != true || answer["sub"] != "ada" || answer["refused"] != "invalid_target" {
		t.Errorf("openid-client: %v", answer)
	}
}

// An exchange that takes one query is a fetch like others.
func TestExchangesAreCountedAsFetches(t *testing.T) {
	h := embedded(t)
	p := create(t, h, nil)
	consent(t, h, h.User, text(t, p, "id"), "ada")
	fetched := func() int {
		t.Helper()
		res, err := http.Get(h.MetricsURL)
		if err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile(`(?m)^grantd_token_fetches_total\{freshness="fresh",result="served"\} (\d+)$`).FindStringSubmatch(read(t, res))
		if m == nil {
			t.Fatal("fetches are not counted")
		}
		n, _ := strconv.Atoi(m[1])
		return n
	}
	before := fetched()
	for range 3 {
		wantOAuth(t, oauthPost(t, h, "/oauth2/token", h.User, exchangeForm(h.User.Token, url.Values{"audience": {text(t, p, "slug")}})), 200, "")
	}
	if n := fetched() - before; n != 3 {
		t.Errorf("3 exchanges are %d fetches", n)
	}
}
